//! `host plugin`: what authors of plugins need, from a first project to a component in a registry, and a look at those that serve.

mod build;
mod embedded;
mod inspect;
mod new;
mod registry;
mod server;
mod test;
mod wit;

use anyhow::Result;

use crate::args::plugin::PluginCommand;

/// Does what was asked, and prints what came of it.
pub(crate) async fn run(command: PluginCommand) -> Result<()> {
    match command {
        PluginCommand::New(args) => new::run(&args),
        PluginCommand::Wit { folder } => wit::run(&folder),
        PluginCommand::Build(args) => build::run(&args),
        PluginCommand::Inspect(args) => inspect::run(&args).await,
        PluginCommand::Test(args) => test::run(args).await,
        PluginCommand::Pull(args) => registry::pull(&args).await,
        PluginCommand::Push(args) => registry::push(&args).await,
        PluginCommand::List(args) => server::list(&args).await,
        PluginCommand::Reload(args) => server::reload(&args).await,
    }
}
