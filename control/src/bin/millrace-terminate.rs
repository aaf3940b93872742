//! millrace-terminate: serves the connections that the dataplane cannot splice, until it is told to stop.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use control::start::{Failure, say, start};
use control::terminate::config::Config;
use control::terminate::service::Service;
use tokio::signal::unix::{SignalKind, signal};

/// millrace's service for connections that cannot be spliced: asks next hops for them, over TLS where that is how they speak.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the configuration, and end; prints what is wrong, where, and the remedy.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    start("millrace-terminate", || run(&options))
}

fn run(options: &Options) -> Result<(), Failure> {
    let config = Config::read(&options.config)?;
    if options.check {
        let (path, count) = (options.config.display(), config.next_hops.len());
        return say(&format!("{path}: ok, {count} next hops"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.threads)
        .enable_all()
        .build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let service = Service::open(config)?;
    for address in service.addresses() {
        log::info!("listens at {address}");
    }
    say("ready")?;
    tokio::select! {
        () = service.run() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    log::info!("stopping");
    Ok(())
}
