//! Workspaces follow their folders: one that was moved or renamed keeps its identifier, runs, ports and logs, one
//! whose folder is gone is shown so. What is where is found out off the loop, before a request is heard that names
//! a folder, and when somebody reads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use run::folder::{self, FolderId};
use run::workspace::{FormerPlace, rebase};
use tokio::sync::{Mutex, oneshot};
use tracing::info;
use wire::{Kind, Text};

use crate::clock::wall_ms;
use crate::daemon::{Daemon, Shared};
use crate::input::{Input, Key};
use crate::port::shell_word;
use crate::service::{LiveRun, Obstacle, Service};
use crate::whereabouts::{self, Finding, Known};
use crate::workspace::{Workspace, name_of};

/// A file system that does not answer keeps nobody waiting for longer.
const PATIENCE: Duration = Duration::from_millis(300);
/// Former places that are remembered of a workspace.
const REMEMBERED: usize = 8;
/// Folders that were named and are no workspace yet.
const NAMED: usize = 64;

/// What is known of looking.
#[derive(Default)]
pub(crate) struct Places {
    /// Held by who looks: at most one helper thread ever waits for a file system.
    turn: Arc<Mutex<()>>,
    /// Since when somebody looks.
    looking: Option<Instant>,
    /// When the last look began that came to an end.
    looked: Option<Instant>,
    /// Folders that somebody named, for when they become workspaces.
    named: BTreeMap<Text, FolderId>,
}

/// Sees where the folders are. `asked` is the one that a request names.
pub(crate) async fn settle(daemon: &Shared, asked: Option<&Text>) {
    let arrived = Instant::now();
    {
        let daemon = daemon.borrow();
        // A file system that keeps another one waiting would keep this one, too.
        if daemon.places.looking.is_some_and(|since| since.elapsed() > PATIENCE) {
            return;
        }
    }
    let (shared, asked) = (Rc::clone(daemon), asked.cloned());
    let look = async move {
        let turn = Arc::clone(&shared.borrow().places.turn);
        let _turn = turn.lock().await;
        let known = {
            let mut daemon = shared.borrow_mut();
            let covered = asked.as_ref().is_none_or(|asked| daemon.is_at(asked));
            if covered && daemon.places.looked.is_some_and(|at| at >= arrived) {
                return;
            }
            daemon.places.looking = Some(Instant::now());
            daemon.known_places()
        };
        let named = asked.clone().filter(|path| path.as_path().is_absolute());
        let looked = crate::tasks::blocking(move || {
            let path = named.as_ref().map(Text::as_path);
            (whereabouts::look(path, &known), path.and_then(|path| FolderId::of(path).ok()))
        })
        .await;
        let (inputs, unknown) = {
            let mut daemon = shared.borrow_mut();
            let began = daemon.places.looking.take();
            daemon.places.looked = began;
            let unknown = asked.clone().filter(|asked| !daemon.is_at(asked));
            (daemon.inputs.clone(), unknown)
        };
        let Ok((findings, folder)) = looked else { return };
        let named = unknown.zip(folder);
        if findings.is_empty() && named.is_none() {
            return;
        }
        let (heard, hears) = oneshot::channel();
        let _ = inputs.send(Input::Places { findings, named, heard });
        let _ = hears.await;
    };
    let look = crate::tasks::spawn(look);
    let _ = tokio::time::timeout(PATIENCE, look).await;
}

impl Daemon {
    /// Whether a workspace's folder is there, as far as is known.
    fn is_at(&self, root: &Text) -> bool {
        self.workspaces.values().any(|workspace| workspace.root == *root && !workspace.gone)
    }

    /// The workspace at this path: the one that is there, else the one that was when its folder went.
    pub(crate) fn workspace_at(&self, root: &Text) -> Option<&Workspace> {
        let mut there = self.workspaces.values().filter(|workspace| workspace.root == *root);
        let first = there.next()?;
        Some(if first.gone { there.find(|other| !other.gone).unwrap_or(first) } else { first })
    }

    /// The identifier of the workspace at this path, or that one there would get.
    pub(crate) fn id_at(&self, root: &Text) -> Arc<str> {
        if let Some(workspace) = self.workspace_at(root) {
            return Arc::clone(&workspace.id);
        }
        let usual = run::layout::workspace_id(root.as_path());
        // A folder that was here and is elsewhere now has taken the identifier along.
        let taken = |id: &str| self.workspaces.contains_key(id);
        let others = (2..).map(|number: u32| format!("{usual}-{number}"));
        let id = std::iter::once(usual.clone()).chain(others).find(|id| !taken(id));
        id.unwrap_or(usual).into()
    }

    /// The folder at this path, when somebody named it just now.
    pub(crate) fn folder_named(&mut self, root: &Text) -> Option<FolderId> {
        self.places.named.remove(root)
    }

    fn known_places(&self) -> Vec<Known> {
        let workspaces = self.workspaces.values().filter(|workspace| workspace.root.as_path().is_absolute());
        let known = workspaces.map(|workspace| Known {
            id: Arc::clone(&workspace.id),
            root: workspace.root.as_path().to_owned(),
            folder: workspace.folder,
            gone: workspace.gone,
            former: workspace.former.iter().map(|place| place.root.as_path().to_owned()).collect(),
            stale_scripts: workspace.stale_scripts,
            pids: workspace.services.iter().filter_map(|(_, service)| Some(main_of(service)?.pid)).collect(),
        });
        known.collect()
    }

    /// Somebody needs a folder that is not where it was.
    pub(crate) fn look_for_folders(&self) {
        if let Some(daemon) = self.own.upgrade() {
            crate::tasks::spawn(async move { settle(&daemon, None).await });
        }
    }

    /// What was found out about the folders.
    pub(crate) fn on_places(
        &mut self,
        findings: Vec<(Arc<str>, Finding)>,
        named: Option<(Text, FolderId)>,
        heard: oneshot::Sender<()>,
    ) {
        if let Some((root, folder)) = named {
            if self.places.named.len() >= NAMED {
                self.places.named.clear();
            }
            self.places.named.insert(root, folder);
        }
        for (id, finding) in findings {
            let Some(workspace) = self.workspaces.get_mut(&id) else { continue };
            match finding {
                Finding::Here(folder) => {
                    let was_gone = std::mem::take(&mut workspace.gone);
                    if workspace.folder.replace(folder) != Some(folder) {
                        self.after_record(&id, Vec::new());
                    }
                    if was_gone {
                        info!(workspace = %id, "its folder is there again");
                        self.try_again(&id);
                    }
                }
                Finding::Moved { to, folder } => self.follow(&id, &to, folder),
                Finding::Gone => {
                    info!(workspace = %id, root = %workspace.root.to_string_lossy(), "its folder is gone");
                    workspace.gone = true;
                }
                Finding::StaleScripts(stale) => workspace.stale_scripts = stale,
            }
        }
        self.touch();
        let _ = heard.send(());
    }

    /// The workspace's folder is at another path now.
    fn follow(&mut self, id: &Arc<str>, to: &Path, folder: FolderId) {
        let Some(workspace) = self.workspaces.get_mut(id) else { return };
        let from = workspace.root.as_path().to_owned();
        info!(workspace = %id, from = %from.display(), to = %to.display(), "its folder was moved");
        workspace.moved(&from, to, folder);
        self.after_record(id, Vec::new());
        self.try_again(id);
    }

    /// What could not run without its folder may be able to now; who watches files of it watches others.
    fn try_again(&mut self, id: &Arc<str>) {
        let Some(workspace) = self.workspaces.get(id) else { return };
        let names: Vec<_> = workspace.services.iter().map(|(name, _)| Arc::clone(name)).collect();
        for service in names {
            let key = Key { workspace: Arc::clone(id), service };
            self.attend_anew(&key);
            let blocked = |service: &Service| {
                matches!(service.core.phase(), lifecycle::Phase::Blocked { why: lifecycle::Block::Exec, .. })
            };
            if self.service(&key).is_some_and(blocked) {
                let _ = self.inputs.send(Input::Relief { key });
            }
        }
    }
}

fn main_of(service: &Service) -> Option<&os::process::ProcessIdentity> {
    service.live.as_ref()?.main.as_ref()
}

impl Workspace {
    /// Its folder is at another path now: so is all that is in it.
    fn moved(&mut self, from: &Path, to: &Path, folder: FolderId) {
        self.root = Text::from(to);
        self.folder = Some(folder);
        self.gone = false;
        self.former.retain(|place| place.root.as_path() != to && place.root.as_path() != from);
        self.former.insert(0, FormerPlace { root: Text::from(from), until_ms: wall_ms() });
        self.former.truncate(REMEMBERED);
        // An environment is known by its content, which is another one now.
        let mut renamed = BTreeMap::new();
        for (before, values) in std::mem::take(&mut self.environments) {
            let mut values = Arc::unwrap_or_clone(values);
            values.values_mut().for_each(|value| folder::rebase(value, from, to));
            let name = name_of(&values);
            renamed.insert(before, name.clone());
            self.environments.insert(name, Arc::new(values));
        }
        for (_, service) in self.services.iter_mut() {
            for spec in std::iter::once(&mut service.spec).chain(&mut service.next_spec) {
                rebase(spec, from, to);
            }
            service.environment = service.environment.take().and_then(|before| renamed.get(&before).cloned());
        }
    }

    /// What a person should know of its folder.
    pub(crate) fn warnings_of_place(&self) -> Vec<String> {
        let root = shell_word(&self.root.to_string_lossy());
        let mut warnings = Vec::new();
        if self.gone {
            warnings.push(format!(
                "its folder is gone: deleted, or moved where pipd did not find it. Where it is now, type: pipctl status; \
                 to drop what is kept of it: pipctl forget {root}"
            ));
        }
        if let Some(place) = self.former.first().filter(|_| self.stale_scripts) {
            warnings.push(format!(
                "it was moved here from {}, and scripts of its environment (pip, jupyter) still name that place; services \
                 do not use them. To have them right: pipctl setup --fresh -w {root}",
                place.root.to_string_lossy()
            ));
        }
        warnings
    }

    /// What a run has from a place where its folder is no more.
    pub(crate) fn left_behind(&self, service: &Service, live: &LiveRun) -> Option<String> {
        if live.cwd.starts_with(self.root.as_path()) {
            return None;
        }
        let place = self.former.iter().find(|place| live.cwd.starts_with(place.root.as_path()))?;
        let from = place.root.to_string_lossy();
        let name = &service.spec.name;
        let lost = match service.spec.kind {
            Kind::Jupyter => "its kernels go on, but notebooks are opened and saved where they were",
            Kind::Web | Kind::Command => {
                "it goes on, but its interpreter, imports and files are looked for where they were"
            }
        };
        Some(format!(
            "it was started in {from} and does not know of the move: {lost}. Then type: pipctl restart {name}"
        ))
    }
}

/// What a run needs to know of the folder that it is to be started in.
pub(crate) struct Place {
    root: PathBuf,
    folder: Option<FolderId>,
    gone: bool,
}

impl Place {
    pub(crate) fn of(workspace: &Workspace) -> Self {
        Self { root: workspace.root.as_path().to_owned(), folder: workspace.folder, gone: workspace.gone }
    }

    /// Why nothing can be started there. Asks the file system.
    pub(crate) fn obstacle(&self) -> Option<Obstacle> {
        if !self.root.is_absolute() {
            return None;
        }
        let is_gone = match FolderId::of(&self.root) {
            Err(error) => folder::is_absence(&error),
            Ok(found) => self.gone && self.folder.is_some_and(|folder| folder != found),
        };
        let root = self.root.to_string_lossy();
        is_gone.then(|| {
            let choices = vec![
                "pipctl status   (typed in the folder where it is now; then pipd goes on with it)".to_owned(),
                format!("pipctl forget {}   (drops what is kept of it)", shell_word(&root)),
            ];
            Obstacle {
                detail: format!("its folder {root} is gone: deleted, or moved where pipd did not find it"),
                hint: choices.first().cloned(),
                choices,
                folder_is_gone: true,
                ..Obstacle::default()
            }
        })
    }
}
