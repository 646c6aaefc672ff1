//! One workspace as the daemon holds it, and its record on disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use run::folder::FolderId;
use run::workspace::{FormerPlace, ServiceRecord, WorkspaceRecord};
use wire::{DependSpec, Text};

use crate::journal::JournalState;
use crate::service::Service;
use crate::services::Services;

/// One workspace.
pub(crate) struct Workspace {
    pub(crate) id: Arc<str>,
    /// Canonical path of its folder, or where that was last.
    pub(crate) root: Text,
    /// The folder itself, once it was looked at.
    pub(crate) folder: Option<FolderId>,
    /// Where it was before, the last place first.
    pub(crate) former: Vec<FormerPlace>,
    /// It is not at its path, as last seen.
    pub(crate) gone: bool,
    /// Scripts of its environment name a former place, as last seen.
    pub(crate) stale_scripts: bool,
    /// Its records are being removed.
    pub(crate) forgetting: bool,
    /// In the order of the configuration.
    pub(crate) services: Services,
    /// Captured environments by the hash of their content.
    pub(crate) environments: BTreeMap<String, Arc<BTreeMap<String, Text>>>,
    /// What JupyterLab asks a browser for; one for the workspace's life, never empty.
    pub(crate) token: String,
    pub(crate) warnings: Vec<String>,
    /// What its services use and we do not run; published, never acted on.
    pub(crate) depends: Vec<DependSpec>,
    pub(crate) journal: JournalState,
}

impl Workspace {
    /// One without services.
    pub(crate) fn new(id: Arc<str>, root: Text, token: String) -> Self {
        Self {
            id,
            root,
            folder: None,
            former: Vec::new(),
            gone: false,
            stale_scripts: false,
            forgetting: false,
            services: Default::default(),
            environments: BTreeMap::new(),
            token,
            warnings: Vec::new(),
            depends: Vec::new(),
            journal: Default::default(),
        }
    }

    pub(crate) fn service(&self, name: &str) -> Option<&Service> {
        self.services.get(name)
    }

    pub(crate) fn service_mut(&mut self, name: &str) -> Option<&mut Service> {
        self.services.get_mut(name)
    }

    /// What is to be written.
    pub(crate) fn record(&self) -> WorkspaceRecord {
        let used = |name: &String| {
            self.services.iter().any(|(_, service)| service.environment.as_ref() == Some(name))
        };
        WorkspaceRecord {
            root: self.root.clone(),
            token: self.token.clone(),
            environments: self
                .environments
                .iter()
                .filter(|(name, _)| used(name))
                .map(|(name, environment)| (name.clone(), Arc::clone(environment)))
                .collect(),
            services: self
                .services
                .iter()
                .map(|(_, service)| ServiceRecord {
                    spec: service.spec.clone(),
                    goal: service.goal,
                    environment: service.environment.clone(),
                    port: service.port,
                    port_choice: service.port_choice,
                    by_hand: service.by_hand.clone(),
                })
                .collect(),
            depends: self.depends.clone(),
            folder: self.folder,
            former: self.former.clone(),
        }
    }

    /// Keeps `environment`, and says under which name.
    pub(crate) fn keep_environment(&mut self, environment: &BTreeMap<String, Text>) -> String {
        let name = name_of(environment);
        self.environments.entry(name.clone()).or_insert_with(|| Arc::new(environment.clone()));
        let used: Vec<String> = self.services.iter().filter_map(|(_, s)| s.environment.clone()).collect();
        self.environments.retain(|known, _| *known == name || used.contains(known));
        name
    }
}

/// The name under which an environment is kept, by its content.
pub(crate) fn name_of(environment: &BTreeMap<String, Text>) -> String {
    let mut content = Vec::new();
    for (name, value) in environment {
        content.extend_from_slice(name.as_bytes());
        content.push(b'=');
        content.extend_from_slice(value.as_os_str().as_encoded_bytes());
        content.push(0);
    }
    format!("{:016x}", run::layout::fnv1a(&content))
}
