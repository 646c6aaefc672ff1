//! Writes the manual pages: `cargo run -p pipctl --example man -- FOLDER`. They are made from what `pipctl` itself
//! knows of its verbs; no shipped program carries them.

use std::ffi::OsString;
use std::path::Path;

use clap::{Arg, ArgAction, Command};

fn main() -> std::io::Result<()> {
    let folder: OsString = std::env::args_os()
        .nth(1)
        .ok_or_else(|| std::io::Error::other("usage: man FOLDER, the folder the pages are written to"))?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    for command in [pipctl::grammar(), pipd(), shim()] {
        clap_mangen::generate_to(command.disable_help_subcommand(true), folder)?;
    }
    Ok(())
}

fn pipd() -> Command {
    Command::new("pipd")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The daemon of pipctl: keeps services running")
        .long_about(
            "pipd decides what runs. There is one for each user and host. pipctl has it started when a verb needs \
             it; a service manager may start it as well. The services are not its children: it may be stopped, \
             killed or replaced at any time, and they keep running.",
        )
        .arg(
            Arg::new("check")
                .long("check")
                .action(ArgAction::SetTrue)
                .help("See whether this pipd could serve here, without disturbing one that does"),
        )
        .after_help("SIGTERM ends pipd and leaves the services. See pipctl(1), pipctl-daemon(1).")
}

fn shim() -> Command {
    Command::new("pipd-shim")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The parent of one run of a service of pipd")
        .long_about(
            "pipd-shim is started by pipd, one for each run of a service. It writes the service's output to its \
             log, ends what the run leaves behind and records how it ended. It is not to be started by hand.",
        )
        .arg(Arg::new("RUN").required(true).help("Folder of the run"))
        .after_help("See pipctl(1).")
}
