//! `cargo xtask bench`.
pub(crate) fn run(_: &[String]) -> anyhow::Result<std::process::ExitCode> {
    anyhow::bail!("not yet")
}
