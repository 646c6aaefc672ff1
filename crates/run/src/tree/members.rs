//! Finding the members of a tree.

use std::collections::HashMap;
use std::io;

use os::process::{Liveness, ProcessIdentity, ProcessInfo};

use super::Scope;
use super::owners::{Owner, owners};
use crate::layout::HostDir;
use crate::record::MARKER;

/// What was found, zombies left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// What belongs to the run.
    pub members: Vec<ProcessInfo>,
    /// What a person started from a terminal of the run, and all below.
    pub left_running: Vec<ProcessInfo>,
    /// Process groups of which every process was a member.
    pub groups: Vec<i32>,
}

/// Everything that belongs to the run. Reads the environment of every process of this user: milliseconds.
///
/// # Errors
/// When the process table cannot be read.
pub fn members(scope: &Scope) -> io::Result<Tree> {
    find(scope, true)
}

/// What belongs to the run by descent, group or session, without looking into environments.
///
/// # Errors
/// When the process table cannot be read.
pub fn family(scope: &Scope) -> io::Result<Tree> {
    find(scope, false)
}

/// What is known of a process while a tree is searched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Stranger,
    Member,
    Persons,
    /// A daemon, a shim, or the asking process.
    Exempt,
}

struct Search<'a> {
    scope: &'a Scope,
    table: Vec<ProcessInfo>,
    at: HashMap<i32, usize>,
    children: HashMap<i32, Vec<usize>>,
    roles: Vec<Role>,
    owners: Vec<Owner>,
    user: u32,
}

fn find(scope: &Scope, everywhere: bool) -> io::Result<Tree> {
    let table = os::process::table()?;
    let at = table.iter().enumerate().map(|(index, process)| (process.pid, index)).collect();
    let mut children: HashMap<i32, Vec<usize>> = HashMap::new();
    for (index, process) in table.iter().enumerate() {
        children.entry(process.ppid).or_default().push(index);
    }
    let mut search = Search {
        scope,
        roles: vec![Role::Stranger; table.len()],
        table,
        at,
        children,
        owners: owners(&HostDir::at(&scope.host_dir)),
        user: nix::unistd::geteuid().as_raw(),
    };
    search.exempt();
    search.spread();
    if everywhere {
        search.by_marker();
    }
    Ok(search.result())
}

fn same(process: &ProcessInfo, identity: &ProcessIdentity) -> bool {
    process.pid == identity.pid && process.start == identity.start
}

impl Search<'_> {
    fn exempt(&mut self) {
        let me = i32::try_from(std::process::id()).unwrap_or(0);
        for (process, role) in self.table.iter().zip(&mut self.roles) {
            let owner = self.owners.iter().any(|owner| same(process, &owner.process));
            let shim = self.scope.shim.as_ref().is_some_and(|shim| same(process, shim));
            if owner || shim || process.pid == me || process.pid <= 1 {
                *role = Role::Exempt;
            }
        }
    }

    /// By descent, group and session.
    fn spread(&mut self) {
        if let Some(main) = &self.scope.main {
            let leader = self.at.get(&main.pid).map(|&index| self.table[index]);
            // Another process with that number: the group of that number is its own, not ours.
            let ours = leader.map_or(self.scope.proven, |leader| same(&leader, main));
            if ours {
                let number = main.pid;
                for index in 0..self.table.len() {
                    let process = self.table[index];
                    if process.pid == number || process.pgid == number || process.sid == number {
                        self.enter(index);
                    }
                }
                self.enter_children(number);
            }
        }
        if let Some(shim) = &self.scope.shim
            && self.at.get(&shim.pid).is_some_and(|&index| same(&self.table[index], shim))
        {
            self.enter_children(shim.pid);
        }
    }

    fn by_marker(&mut self) {
        for index in 0..self.table.len() {
            let process = self.table[index];
            if self.roles[index] == Role::Stranger
                && process.uid == self.user
                && process.state != Liveness::Zombie
                && !self.is_below_another_shim(index)
                && has_marker(process.pid, &self.scope.marker)
            {
                self.enter(index);
            }
        }
    }

    /// Takes a process and all below it in.
    fn enter(&mut self, index: usize) {
        let mut pending = vec![(index, false)];
        while let Some((index, persons)) = pending.pop() {
            let process = self.table[index];
            let persons = persons || self.is_persons(&process);
            let role = match (self.roles[index], persons) {
                (Role::Stranger, false) => Role::Member,
                // Found as a member by its group before it was found below a person's process.
                (Role::Stranger | Role::Member, true) => Role::Persons,
                _ => continue,
            };
            self.roles[index] = role;
            for &child in self.children.get(&process.pid).into_iter().flatten() {
                pending.push((child, persons));
            }
        }
    }

    fn enter_children(&mut self, pid: i32) {
        for index in self.children.get(&pid).cloned().unwrap_or_default() {
            self.enter(index);
        }
    }

    /// Born in a JupyterLab terminal: a kernel knows its server as its parent, a terminal's child only by URL.
    fn is_persons(&self, process: &ProcessInfo) -> bool {
        let main = self.scope.main.as_ref().is_some_and(|main| same(process, main));
        if !self.scope.spare_terminals || main || process.state == Liveness::Zombie {
            return false;
        }
        let Ok(environ) = os::process::environ(process.pid) else { return false };
        let has = |name: &[u8]| {
            environ
                .split(|&byte| byte == 0)
                .any(|variable| variable.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&b'=')))
        };
        has(b"JUPYTER_SERVER_URL") && !has(b"JPY_PARENT_PID")
    }

    /// Whether the next shim upwards is another run's.
    fn is_below_another_shim(&self, index: usize) -> bool {
        let mut process = self.table[index];
        for _ in 0..self.table.len() {
            let Some(&parent) = self.at.get(&process.ppid) else { return false };
            process = self.table[parent];
            if self.scope.shim.as_ref().is_some_and(|shim| same(&process, shim)) {
                return false;
            }
            if self.owners.iter().any(|owner| owner.is_shim && same(&process, &owner.process)) {
                return true;
            }
        }
        false
    }

    fn result(self) -> Tree {
        let alive = |process: &ProcessInfo| process.state != Liveness::Zombie;
        let with = |role: Role| {
            let chosen =
                self.table.iter().zip(&self.roles).filter(|(process, is)| **is == role && alive(process));
            chosen.map(|(process, _)| *process).collect()
        };
        let mut groups: HashMap<i32, bool> = HashMap::new();
        for (process, role) in self.table.iter().zip(&self.roles) {
            // The zombies of a group say nothing about who lives in it.
            if alive(process) {
                *groups.entry(process.pgid).or_insert(true) &= *role == Role::Member;
            }
        }
        let groups = groups.into_iter().filter(|&(group, ours)| ours && group > 1).map(|(group, _)| group);
        Tree { members: with(Role::Member), left_running: with(Role::Persons), groups: groups.collect() }
    }
}

fn has_marker(pid: i32, marker: &str) -> bool {
    let wanted = [MARKER.as_bytes(), b"=", marker.as_bytes()].concat();
    os::process::environ(pid).is_ok_and(|environ| environ.split(|&byte| byte == 0).any(|one| one == wanted))
}
