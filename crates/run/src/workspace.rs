//! `workspace.json`: what is kept of a workspace. Written by the daemon only; whoever wants to know what a service will
//! be started with may read it, with or without a daemon.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wire::{DependSpec, Goal, ServiceSpec, Text};

use crate::folder::{self, FolderId};
use crate::layout::{HostDir, workspace_id};
use crate::record;

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
    /// The folder itself, by which it is known when it is moved. Absent in records of before that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<FolderId>,
    /// Where it was before, the last place first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<FormerPlace>,
}

/// Where a workspace's folder was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerPlace {
    /// Its path there.
    pub root: Text,
    /// When it was noticed that it is there no more, milliseconds since the Unix epoch.
    pub until_ms: i64,
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

/// Has a service that is to run in `from` run in `to`, where that folder is now.
pub fn rebase(spec: &mut ServiceSpec, from: &Path, to: &Path) {
    let values = spec.env.values_mut().filter_map(Option::as_mut);
    let paths = spec.argv.iter_mut().chain(&mut spec.env_files).chain(&mut spec.watch);
    for text in paths.chain(values).chain([&mut spec.cwd]) {
        folder::rebase(text, from, to);
    }
    for absent in &mut spec.absent {
        folder::rebase(&mut absent.path, from, to);
        reword(&mut absent.detail, from, to);
    }
    reword(&mut spec.found, from, to);
    for sentence in spec.warnings.iter_mut().chain(&mut spec.refused) {
        reword(sentence, from, to);
    }
}

/// A sentence for people that names the folder.
fn reword(sentence: &mut String, from: &Path, to: &Path) {
    if let (Some(from), Some(to)) = (from.to_str(), to.to_str())
        && sentence.contains(from)
    {
        *sentence = sentence.replace(from, to);
    }
}

/// Every workspace that is on record, by its identifier. What cannot be read is left out.
pub fn recorded(hosts: &[HostDir]) -> Vec<(String, WorkspaceRecord)> {
    let mut found: Vec<(String, WorkspaceRecord)> = Vec::new();
    for host in hosts {
        for entry in std::fs::read_dir(host.workspaces()).into_iter().flatten().flatten() {
            let Ok(id) = entry.file_name().into_string() else { continue };
            if found.iter().any(|(known, _)| *known == id) {
                continue;
            }
            found.extend(
                record::read(&host.workspace(&id).record()).ok().flatten().map(|record| (id, record)),
            );
        }
    }
    found
}

/// Which workspace a folder is, as far as that is on record: the daemon may know more. A folder that no record knows
/// has the identifier that its path gives it.
pub fn id_of(hosts: &[HostDir], root: &Path) -> String {
    let usual = workspace_id(root);
    let here = FolderId::of(root).ok();
    let is_it = |record: &WorkspaceRecord| {
        let same = record.folder.is_none_or(|folder| here.is_none_or(|here| here == folder));
        record.root.as_path() == root && same
    };
    let read = |host: &HostDir| record::read::<WorkspaceRecord>(&host.workspace(&usual).record()).ok()?;
    if hosts.iter().find_map(read).is_some_and(|record| is_it(&record)) {
        return usual;
    }
    let all = recorded(hosts);
    let moved = |record: &WorkspaceRecord| record.folder.is_some() && record.folder == here;
    let at_path = |record: &WorkspaceRecord| record.root.as_path() == root;
    let found = (all.iter().find(|(_, record)| is_it(record)))
        .or_else(|| all.iter().find(|(_, record)| moved(record)))
        .or_else(|| all.iter().find(|(_, record)| at_path(record)));
    found.map_or(usual, |(id, _)| id.clone())
}

/// The workspace that somebody means by `word` where no folder of that name is: one that was there, or at another
/// place before; its identifier; its folder's name.
///
/// # Errors
/// When several are meant: their folders.
pub fn meant(hosts: &[HostDir], word: &Path, cwd: &Path) -> Result<Option<Text>, Vec<Text>> {
    let path = folder::spelled_out(word, cwd);
    let all = recorded(hosts);
    let inside = |root: &Text| path.starts_with(root.as_path());
    type Way<'a> = &'a dyn Fn(&str, &WorkspaceRecord) -> bool;
    let ways: [Way<'_>; 4] = [
        &|_, record| inside(&record.root),
        &|_, record| record.former.iter().any(|place| inside(&place.root)),
        &|id, _| word.to_str() == Some(id),
        &|_, record| record.root.as_path().file_name() == Some(word.as_os_str()),
    ];
    for is_it in ways {
        let mut roots: Vec<Text> = all
            .iter()
            .filter(|(id, record)| is_it(id, record))
            .map(|(_, record)| record.root.clone())
            .collect();
        roots.sort();
        roots.dedup();
        match roots.len() {
            0 => {}
            1 => return Ok(roots.pop()),
            _ => return Err(roots),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Durability;

    fn keep(host: &HostDir, id: &str, root: &Path, former: &[&str]) {
        let folder = FolderId::of(root).ok();
        let former = former.iter().map(|root| FormerPlace { root: (*root).into(), until_ms: 1 }).collect();
        let mut kept: WorkspaceRecord =
            serde_json::from_value(serde_json::json!({"root": Text::from(root), "token": "t"})).unwrap();
        (kept.folder, kept.former) = (folder, former);
        std::fs::create_dir_all(host.workspace(id).path()).unwrap();
        record::write(&host.workspace(id).record(), &kept, Durability::Rename).unwrap();
    }

    #[test]
    fn a_folder_is_found_by_its_path_and_where_it_was_moved_to() {
        let world = tempfile::tempdir().unwrap();
        let hosts = [HostDir::at(world.path().join("host"))];
        let (one, two) = (world.path().join("one"), world.path().join("two"));
        for root in [&one, &two] {
            std::fs::create_dir(root).unwrap();
            keep(&hosts[0], &workspace_id(root), root, &[]);
        }
        let (id_one, id_two) = (workspace_id(&one), workspace_id(&two));
        let third = world.path().join("three");
        assert_eq!((id_of(&hosts, &one), id_of(&hosts, &third)), (id_one.clone(), workspace_id(&third)));
        // They change places.
        std::fs::rename(&one, &third).unwrap();
        std::fs::rename(&two, &one).unwrap();
        std::fs::rename(&third, &two).unwrap();
        assert_eq!((id_of(&hosts, &one), id_of(&hosts, &two)), (id_two, id_one.clone()));
        // Deleted and made anew, and no other folder is known to have been it: the path counts.
        std::fs::remove_dir(&two).unwrap();
        assert_eq!(id_of(&hosts, &two), workspace_id(&two));
    }

    #[test]
    fn a_folder_that_is_gone_is_meant_by_path_former_path_identifier_and_name() {
        let world = tempfile::tempdir().unwrap();
        let hosts = [HostDir::at(world.path().join("host"))];
        keep(&hosts[0], "shop-1", Path::new("/gone/a/shop"), &["/gone/before"]);
        keep(&hosts[0], "shop-2", Path::new("/gone/b/shop"), &[]);
        keep(&hosts[0], "lab-3", Path::new("/gone/lab"), &[]);
        let meant = |word: &str| meant(&hosts, Path::new(word), Path::new("/gone/a"));
        for (word, root) in [
            ("/gone/a/shop", "/gone/a/shop"),
            ("/gone/a/shop/notebooks", "/gone/a/shop"),
            ("shop/", "/gone/a/shop"),
            ("/gone/before/", "/gone/a/shop"),
            ("shop-2", "/gone/b/shop"),
            ("lab", "/gone/lab"),
        ] {
            assert_eq!(meant(word), Ok(Some(root.into())), "{word}");
        }
        assert_eq!(meant("/nowhere"), Ok(None));
        let elsewhere = super::meant(&hosts, Path::new("shop"), Path::new("/"));
        assert_eq!(elsewhere, Err(vec!["/gone/a/shop".into(), "/gone/b/shop".into()]));
    }

    #[test]
    fn a_service_follows_its_folder() {
        let mut spec: ServiceSpec = serde_json::from_value(serde_json::json!({
            "name": "web", "argv": ["/a/w/.venv/bin/python", "server.py"], "cwd": "/a/w/app",
            "env": {"DATA": "/a/w/data", "GONE": null, "OTHER": "/a/other"},
            "env_files": ["/a/w/.env"], "watch": ["/a/w/server.py"],
            "absent": [{"path": "/a/w/x", "detail": "/a/w/x is missing"}], "found": "x"
        }))
        .unwrap();
        rebase(&mut spec, Path::new("/a/w"), Path::new("/b"));
        let expected: ServiceSpec = serde_json::from_value(serde_json::json!({
            "name": "web", "argv": ["/b/.venv/bin/python", "server.py"], "cwd": "/b/app",
            "env": {"DATA": "/b/data", "GONE": null, "OTHER": "/a/other"},
            "env_files": ["/b/.env"], "watch": ["/b/server.py"],
            "absent": [{"path": "/b/x", "detail": "/b/x is missing"}], "found": "x"
        }))
        .unwrap();
        assert_eq!(spec, expected);
    }
}
