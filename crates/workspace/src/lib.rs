//! From a folder to what runs in it: which folder is the workspace, which Python, which services, which
//! environment.
//!
//! Read in this order: [`find_root`] → [`load`], which asks `config` (what the user wrote in `pipd.toml`),
//! `python` (what can be found without asking) and `services` (both together), and answers with a
//! [`wire::WorkspaceSpec`].
//!
//! It never talks to the daemon, opens no socket, changes no file and reads nothing of the process it runs in:
//! who calls, from where and with which environment is a [`Caller`]. The only program it ever runs is the
//! workspace's own interpreter, at most once, and only when no file says whether JupyterLab is installed.

#![forbid(unsafe_code)]

mod caller;
mod config;
mod diagnostic;
mod env;
mod error;
mod examine;
mod load;
mod nearest;
mod python;
mod recipes;
mod root;
#[cfg(feature = "schema")]
mod schema;
mod services;

pub use caller::Caller;
pub use diagnostic::ConfigError;
pub use env::{LEFT_BEHIND, Pattern, captured_env};
pub use error::Error;
pub use examine::{Examined, Python, Wants, examine};
pub use load::load;
pub use nearest::nearest;
pub use recipes::{AddError, Added, Form, Moved, Recipe, add, recipes, with_free_ports};
pub use root::{Root, find_root};
#[cfg(feature = "schema")]
pub use schema::json_schema;
