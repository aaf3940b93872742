//! millrace-pktgen: reads a profile, opens the device, and runs clients and attacks against a server of one's own.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Args, Parser, Subcommand};
use pktgen::attack::Attack;
use pktgen::client::peer_text;
use pktgen::device::{self, Device};
use pktgen::measure::Latency;
use pktgen::pace::{Pattern, Rate};
use pktgen::profile::{Assault, Profile};
use pktgen::report::{Interval, Report, percentiles_svg};
use pktgen::run::Run;
use pktgen::selftest;
use signal_hook::consts::{SIGINT, SIGTERM};

/// A load generator that speaks WireGuard. For servers of your own.
///
/// Exit codes: 0 as asked, 1 could not start, 2 something asked for was not reached, 3 more loss than allowed, 4 the
/// counts do not add up.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a profile: its clients, their traffic, and its attacks beside.
    Client(Running),
    /// Runs one attack alone, against the server of a profile.
    Attack {
        /// The attack; `attacks` lists them.
        name: String,
        /// How fast: 20kpps, 1Gbit/s, 10Gbit/s-l1.
        #[arg(long, default_value = "1kpps")]
        rate: String,
        #[command(flatten)]
        running: Running,
    },
    /// Lists the attacks.
    Attacks,
    /// Prints the profile's clients as [[peer]] sections of the server's configuration.
    Peers(Choice),
    /// Checks a profile and ends; prints what is wrong, where, and the remedy.
    Check(Choice),
    /// Measures what this core can generate.
    SelfTest {
        /// The core; none leaves it to the scheduler.
        #[arg(long)]
        core: Option<usize>,
        /// Seconds for each figure.
        #[arg(long, default_value_t = 1.0)]
        secs: f64,
        /// Print each figure as a line of JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct Choice {
    /// The profile (TOML).
    #[arg(long, value_name = "FILE")]
    profile: PathBuf,
    /// Changes a field of the profile: traffic.rate=2kpps, clients.count=10, run.secs=5, seed=2.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Choice {
    fn read(&self) -> Result<Profile, Failure> {
        Ok(Profile::read(&self.profile, &self.set)?)
    }
}

#[derive(Debug, Args)]
struct Running {
    #[command(flatten)]
    choice: Choice,
    /// Print each interval and the report as lines of JSON.
    #[arg(long)]
    json: bool,
    /// Write a plot of the latency percentiles.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Let DPDK log to standard error.
    #[arg(long)]
    verbose: bool,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run(&Options::parse().command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say_error(&format!("millrace-pktgen: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<u8, Failure> {
    match command {
        Command::Client(running) => generate(&running.choice.read()?, running),
        Command::Attack { name, rate, running } => {
            generate(&alone(running.choice.read()?, name, rate)?, running)
        }
        Command::Attacks => {
            for attack in Attack::ALL {
                say(&format!("{:<24} {}", attack.name(), attack.about()));
            }
            Ok(0)
        }
        Command::Peers(choice) => {
            let plan = choice.read()?.plan;
            (0..plan.clients).for_each(|number| say(&peer_text(&plan, number)));
            Ok(0)
        }
        Command::Check(choice) => {
            let clients = choice.read()?.plan.clients;
            say(&format!("{}: ok, {clients} clients", choice.profile.display()));
            Ok(0)
        }
        Command::SelfTest { core, secs, json } => {
            for figure in selftest::measure(*core, *secs)? {
                let text = if *json { serde_json::to_string(&figure)? } else { figure.line() };
                say(&text);
            }
            Ok(0)
        }
    }
}

/// The profile with nothing but this attack.
fn alone(mut profile: Profile, name: &str, rate: &str) -> Result<Profile, Failure> {
    let unknown = || format!("no attack is called {name}; `millrace-pktgen attacks` lists them");
    let attack = Attack::from_name(name).ok_or_else(unknown)?;
    let strange = || format!("\"{rate}\" is no rate such as 20kpps, 1Gbit/s or 10Gbit/s-l1");
    let rate = Rate::parse(rate).ok_or_else(strange)?;
    profile.plan.clients = 0;
    profile.plan.traffic = None;
    profile.attacks = vec![Assault { attack, rate, pattern: Pattern::Constant }];
    Ok(profile)
}

fn generate(profile: &Profile, running: &Running) -> Result<u8, Failure> {
    // Before anything takes time, so that no signal is missed.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let eal = device::start(&profile.device, running.verbose)?;
    let device = Device::open(&eal, &profile.device.name)?;
    let run = Run::new(profile, device, &stop);
    let (report, latency) = run.go(&mut |interval| tell(interval, running.json))?;
    conclude(&report, &latency, running)?;
    Ok(report.verdict as u8)
}

fn tell(interval: &Interval, json: bool) {
    if json {
        say(&serde_json::to_string(&serde_json::json!({ "interval": interval }))
            .unwrap_or_default());
    } else {
        say_error(&interval.line());
    }
}

fn conclude(report: &Report, latency: &Latency, running: &Running) -> Result<(), Failure> {
    if running.json {
        say(&serde_json::to_string(&serde_json::json!({ "report": report }))?);
    } else {
        say(&report.table());
    }
    if let Some(path) = &running.svg {
        write_plot(path, &running.choice.profile, latency)?;
    }
    Ok(())
}

fn write_plot(path: &Path, profile: &Path, latency: &Latency) -> Result<(), Failure> {
    let title = format!("latency from planned sending, {}", profile.display());
    std::fs::write(path, percentiles_svg(&title, latency))
        .map_err(|error| format!("{} cannot be written ({error})", path.display()).into())
}

/// A line for the person or script that started us. A closed pipe is no reason to stop.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()).unwrap_or_default();
}

fn say_error(text: &str) {
    writeln!(std::io::stderr(), "{text}").unwrap_or_default();
}
