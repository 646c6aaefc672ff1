//! Making and filling the environment of a workspace.

pub(crate) mod stamp;
