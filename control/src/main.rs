//! millrace-control: keeps the book and feeds the dataplane until it is told to stop.
#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use control::api::{self, Api};
use control::argo;
use control::config::Config;
use control::counters::Counters;
use control::desk::Desk;
use control::dos::journal::Journal;
use control::dos::steward;
use control::keep::Keep;
use control::metrics;
use control::model::{Book, Limits};
use control::register;
use control::source::{Directory, Follower, Source as _};
use control::start::{Failure, say, start};
use control::uapi;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

/// millrace's control: feeds the dataplane with peers and routes, and answers those who ask.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the configuration and what its directory declares, and end; prints what is wrong, where, and the remedy.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    start("millrace-control", || run(&options))
}

fn run(options: &Options) -> Result<(), Failure> {
    let config = Config::read(&options.config)?;
    if options.check {
        return check(&options.config.display().to_string(), &config);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config))
}

/// Reads what the directory declares, and judges it by itself.
fn check(path: &str, config: &Config) -> Result<(), Failure> {
    let mut book = Book::default();
    if let Some(directory) = &config.directory {
        let declaration = Directory::new(directory.clone()).read()?;
        book.declare(declaration, &Limits::default())?;
    }
    let declared = book.declared();
    say(&format!("{path}: ok, {} peers, {} routes", declared.peers, declared.routes))
}

async fn serve(config: Config) -> Result<(), Failure> {
    // First of all, so that none is missed.
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let rival = || Desk::rival(&config.place).map_or(Ok(()), Err);
    patiently(rival, |_| true).await?;
    let unreadable = PanicSentence::begin(config.state.join("state.redb"));
    let keep = patiently(|| Keep::open(&config.state), |error| error.is_taken).await?;
    let listener = api::listen(&config.socket).map_err(|error| {
        let socket = config.socket.display();
        format!("{socket}: cannot be listened to ({error}); set `socket` to a path that may be")
    })?;
    let wireguard = config.wireguard.as_ref().map(uapi::listen).transpose()?;
    let here = config.centre.as_deref().map(Into::into);
    let desk = Desk::open_at(config.place.clone(), keep, here)?;
    let journal = Arc::new(Journal::open(&config.state)?);
    steward::begin(desk.clone(), Arc::clone(&journal));
    argo::steward::begin(desk.clone());
    drop(unreadable);
    let kept = desk.book().counts();
    log::info!("begins with {} peers and {} routes as they were kept", kept.peers, kept.routes);
    let source = config.directory.clone().map(|directory| {
        (directory.clone(), Follower::begin(Directory::new(directory), desk.clone()))
    });
    let follower = source.as_ref().map(|(_, follower)| follower.clone());
    serve_http(&config, &desk).await?;
    let counters = Counters::new(config.place.clone());
    let api = Arc::new(Api {
        instance: config.instance,
        desk: desk.clone(),
        source,
        counters,
        journal,
        terminate: config.terminate,
    });
    tokio::spawn(api.serve(listener));
    let mut tools = JoinSet::new();
    if let Some(listener) = wireguard {
        tools.spawn(listener.serve(desk.clone()));
    }
    say("ready")?;
    loop {
        tokio::select! {
            _ = hangup.recv() => reread(follower.as_ref()),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    log::info!("stopping");
    tools.shutdown().await;
    desk.end().await;
    // What a later start would take for a dead control's anyway.
    drop(std::fs::remove_file(&config.socket));
    Ok(())
}

/// How long a control that was told to end, or was killed, may take to be gone.
const SUCCESSION: Duration = Duration::from_secs(3);

/// Tries for so long as the control before this one may still be there.
async fn patiently<T, E>(
    mut attempt: impl FnMut() -> Result<T, E>,
    may_pass: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let end = Instant::now() + SUCCESSION;
    loop {
        match attempt() {
            Err(error) if may_pass(&error) && Instant::now() < end => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            result => return result,
        }
    }
}

/// Registration and metrics, as far as the configuration has them.
async fn serve_http(config: &Config, desk: &Desk) -> Result<(), Failure> {
    let mut registration = None;
    if let Some(section) = &config.register {
        let service = register::open(desk.clone(), section.clone()).await?;
        log::info!("clients register at {}", service.address());
        registration = Some(service.counters());
        tokio::spawn(service.serve());
    }
    if let Some(section) = &config.metrics {
        let place = config.place.clone();
        let watch = config.terminate.clone();
        let service = metrics::open(desk.clone(), place, (registration, watch), section).await?;
        log::info!("metrics are at http://{}/metrics", service.address());
        tokio::spawn(service.serve());
    }
    Ok(())
}

/// The store panics at some files that are damaged. While this is there, a panic ends the program with a sentence.
struct PanicSentence;

impl PanicSentence {
    fn begin(path: PathBuf) -> Self {
        std::panic::set_hook(Box::new(move |panic| {
            let what = panic.payload_as_str().unwrap_or("it is damaged");
            let refused = control::keep::damaged(&path, &what);
            drop(writeln!(io::stderr(), "millrace-control: {refused}"));
            std::process::exit(1);
        }));
        Self
    }
}

impl Drop for PanicSentence {
    fn drop(&mut self) {
        drop(std::panic::take_hook());
    }
}

fn reread(follower: Option<&Follower>) {
    let Some(follower) = follower.cloned() else { return };
    tokio::spawn(async move {
        match follower.reread().await {
            Ok(_) => log::info!("the directory was read again"),
            // The follower has said what is wrong, unless it said so before.
            Err(refused) => log::warn!("the directory was read again: {refused}"),
        }
    });
}
