//! The exhaustive walk.
