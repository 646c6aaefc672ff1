//! `workspace.json`: what is kept of a workspace. Written by the daemon only; whoever wants to know what a service will
//! be started with may read it, with or without a daemon.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wire::{DependSpec, Goal, ServiceSpec, Text};

/// A captured environment.
pub type Environment = BTreeMap<String, Text>;

/// One workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceRecord {
    /// Canonical path of the folder.
    pub root: Text,
    /// What JupyterLab asks a browser for.
    pub token: String,
    /// Captured environments, by a hash of their content.
    #[serde(default)]
    pub environments: BTreeMap<String, Arc<Environment>>,
    /// In the order of the configuration.
    #[serde(default)]
    pub services: Vec<ServiceRecord>,
    /// What its services use and pipd does not run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends: Vec<DependSpec>,
}

impl WorkspaceRecord {
    /// The environment that was captured for a service.
    pub fn environment(&self, service: &str) -> Option<&Arc<Environment>> {
        let found = self.services.iter().find(|known| known.spec.name == service)?;
        self.environments.get(found.environment.as_ref()?)
    }
}

/// One service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRecord {
    /// As it is to be run.
    pub spec: ServiceSpec,
    /// What the user wants.
    pub goal: Goal,
    /// Which of the workspace's environments was captured for it.
    #[serde(default)]
    pub environment: Option<String>,
    /// The port that was found for it.
    #[serde(default)]
    pub port: Option<u16>,
    /// What was chosen on the command line instead of the configured port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_choice: Option<wire::PortSpec>,
    /// It is wanted, and its port is left to whoever runs it by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<ByHand>,
}

/// Somebody runs a service by hand, or did a moment ago. True only of the boot and as long as there was no later run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByHand {
    /// The boot during which it was seen.
    pub boot: String,
    /// The highest number that had been given to a run of ours.
    pub run: u64,
}
