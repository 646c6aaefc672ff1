//! What can be learnt about a workspace's Python without asking the person, mostly without running it.

mod interpreter;
mod jupyterlab;
mod script;
mod tokens;

pub(crate) use interpreter::{Interpreter, choose, setup_with};
pub(crate) use jupyterlab::{JupyterLab, jupyterlab};
pub(crate) use script::{CANDIDATES, Serving, inspect};
