//! placeholder
use crate::terminal::Terminal;
use crate::workspace::Workspace;
#[derive(clap::Args)]
pub(crate) struct Options {}
pub(crate) fn run(
    _: &Options,
    _: &Workspace,
    _: &Terminal,
) -> anyhow::Result<std::process::ExitCode> {
    Ok(std::process::ExitCode::SUCCESS)
}
pub(crate) fn oldest(_: &Workspace, _: &Terminal) -> anyhow::Result<crate::test::Report> {
    Ok(Default::default())
}
