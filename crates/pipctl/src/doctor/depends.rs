//! What the services use and pipd does not run: `[depends.<name>]`.

use std::time::Duration;

use super::{Check, Context, Finding, Level};
use crate::http::{Address, Asked};

/// What each is given to answer.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Depends;

impl Check for Depends {
    fn name(&self) -> &'static str {
        "depends"
    }

    fn look(&self, context: &Context) -> Vec<Finding> {
        let asked: Vec<_> = context
            .examined()
            .depends
            .iter()
            .filter_map(|depend| {
                let address = Address::parse(&depend.url)?;
                Some((depend, std::thread::spawn(move || address.get(PATIENCE))))
            })
            .collect();
        let answered = asked.into_iter().map(|(depend, asking)| {
            let answer = asking.join().unwrap_or_else(|_| Asked::Silent("it could not be asked".into()));
            let (name, url) = (&depend.name, &depend.url);
            match answer {
                Asked::Silent(why) => {
                    let text = format!("{name} at {url}: {why}; nothing waits for it");
                    Finding::new(self, Level::Warning, text)
                        .mend(format!("start {name}, then: pipctl doctor"))
                }
                Asked::Answered { .. } | Asked::Accepts => {
                    Finding::new(self, Level::Ok, format!("{name} answers at {url}"))
                }
            }
        });
        answered.collect()
    }
}
