//! millrace-pktgen: reads a profile, opens the device, and runs clients and attacks against a server of one's own.
#![forbid(unsafe_code)]

mod shortcut;

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
use pktgen::profile::Profile;
use pktgen::report::{History, Pace, Report, percentiles_svg, rates_svg};
use pktgen::run::{Run, Told};
use pktgen::selftest;
use pktgen::status::Status;
use pktgen::streams::Captures;
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
        /// The attack; `attacks` lists them. --rate is its rate, 1kpps without.
        name: String,
        #[command(flatten)]
        running: Running,
    },
    /// Sends synthetic packets alone: those of the flags, or the profile's [[synth]] sections.
    Synth {
        #[command(flatten)]
        packets: Box<shortcut::Packets>,
        #[command(flatten)]
        running: Running,
    },
    /// Sends a capture alone.
    Replay {
        #[command(flatten)]
        recording: Box<shortcut::Recording>,
        #[command(flatten)]
        running: Running,
    },
    /// Runs a profile's responder alone; with run.secs = 0 until it is stopped.
    Respond(Running),
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
    /// The profile (TOML); without one everything comes from the flags.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Changes any field of the profile: --set roam.kind=port --set clients.count=10.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    fields: Fields,
}

/// The fields that are changed most often, each as a flag of its own.
#[derive(Clone, Debug, Args)]
struct Fields {
    /// `device.name`: devargs such as `net_af_packet0,iface=eth0`, or a PCI address.
    #[arg(long)]
    device: Option<String>,
    /// `device.core`.
    #[arg(long)]
    core: Option<String>,
    /// `server.public_key`.
    #[arg(long, value_name = "KEY")]
    server: Option<String>,
    /// `server.endpoints`; again for the other family.
    #[arg(long)]
    endpoint: Vec<String>,
    /// `clients.addresses`: 192.0.2.10+100; again for the other family.
    #[arg(long, value_name = "ROW")]
    addresses: Vec<String>,
    /// `clients.inner`: the first client's; again for the other family.
    #[arg(long)]
    inner: Vec<String>,
    /// `clients.count`.
    #[arg(long)]
    clients: Option<String>,
    /// `traffic.kind`.
    #[arg(long)]
    kind: Option<String>,
    /// `traffic.to`.
    #[arg(long)]
    to: Option<String>,
    /// `traffic.sizes`: 200, [64, 1420] or imix.
    #[arg(long)]
    sizes: Option<String>,
    /// `traffic.rate`, or of `attack` its rate: 20kpps, 1Gbit/s, 10Gbit/s-l1.
    #[arg(long)]
    rate: Option<String>,
    /// `traffic.pattern`: constant, poisson, { bursts = 8 }.
    #[arg(long)]
    pattern: Option<String>,
    /// `run.factor`: multiplies every rate.
    #[arg(long)]
    factor: Option<String>,
    /// `run.secs`.
    #[arg(long)]
    secs: Option<String>,
    /// `run.loss_allowed`: the largest share of missing packets that is good.
    #[arg(long, value_name = "SHARE")]
    loss: Option<String>,
    /// `seed`.
    #[arg(long)]
    seed: Option<String>,
    /// `[[attack]]`: NAME=RATE beside the traffic; several are good.
    #[arg(long, value_name = "NAME=RATE")]
    attack: Vec<String>,
}

impl Fields {
    /// The same as changes.
    fn changes(&self) -> Vec<String> {
        let one = [
            ("device.name", &self.device),
            ("device.core", &self.core),
            ("server.public_key", &self.server),
            ("clients.count", &self.clients),
            ("traffic.kind", &self.kind),
            ("traffic.to", &self.to),
            ("traffic.sizes", &self.sizes),
            ("traffic.rate", &self.rate),
            ("traffic.pattern", &self.pattern),
            ("run.factor", &self.factor),
            ("run.secs", &self.secs),
            ("run.loss_allowed", &self.loss),
            ("seed", &self.seed),
        ];
        let many = [
            ("server.endpoints", &self.endpoint),
            ("clients.addresses", &self.addresses),
            ("clients.inner", &self.inner),
        ];
        let one =
            one.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?)));
        let filled = many.into_iter().filter(|(_, values)| !values.is_empty());
        // A list of strings is written alike in Rust and in TOML.
        let many = filled.map(|(key, values)| format!("{key}={values:?}"));
        one.chain(many).chain(self.attacks()).collect()
    }

    fn attacks(&self) -> Option<String> {
        let one = |text: &String| {
            let (name, rate) = text.split_once('=').unwrap_or((text, ""));
            format!("{{ name = {name:?}, rate = {rate:?} }}")
        };
        let all: Vec<String> = self.attack.iter().map(one).collect();
        (!all.is_empty()).then(|| format!("attack=[{}]", all.join(", ")))
    }
}

impl Choice {
    fn read(&self) -> Result<Profile, Failure> {
        let changes = [self.set.clone(), self.fields.changes()].concat();
        Ok(Profile::read(self.profile.as_deref(), &changes)?)
    }

    fn name(&self) -> String {
        self.profile
            .as_ref()
            .map_or_else(|| "the command line".to_owned(), |path| path.display().to_string())
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
    latency_svg: Option<PathBuf>,
    /// Write a plot of the rates over time.
    #[arg(long, value_name = "FILE")]
    rate_svg: Option<PathBuf>,
    /// Let DPDK log to standard error.
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    dry: shortcut::Dry,
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
        Command::Attack { name, running } => generate(&alone(name, &running.choice)?, running),
        Command::Synth { packets, running } => {
            generate(&shortcut::synth(packets, &running.choice)?, running)
        }
        Command::Replay { recording, running } => {
            generate(&shortcut::replay(recording, &running.choice)?, running)
        }
        Command::Respond(running) => generate(&running.choice.read()?.respond()?, running),
        Command::Attacks => {
            for attack in Attack::ALL {
                say(&format!("{:<24} {}", attack.name(), attack.about()));
            }
            Ok(0)
        }
        Command::Peers(choice) => {
            let plan = choice.read()?.plan;
            (0..plan.members()).for_each(|number| say(&peer_text(&plan, number)));
            Ok(0)
        }
        Command::Check(choice) => {
            let profile = choice.read()?;
            let (clients, streams) = (profile.plan.clients, &profile.streams);
            let (synths, replays) = (streams.synths.len(), streams.replays.len());
            let beside = if streams.is_empty() {
                String::new()
            } else {
                format!(", {synths} synthetic streams, {replays} replays")
            };
            say(&format!("{}: ok, {clients} clients{beside}", choice.name()));
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
fn alone(name: &str, choice: &Choice) -> Result<Profile, Failure> {
    let mut changes = choice.set.clone();
    let fields = Fields { rate: None, ..choice.fields.clone() };
    changes.extend(fields.changes());
    let rate = choice.fields.rate.as_deref().unwrap_or("1kpps");
    changes.push(format!("attack=[{{ name = {name:?}, rate = {rate:?} }}]"));
    let mut profile = Profile::read(choice.profile.as_deref(), &changes)?;
    profile.plan.clients = 0;
    profile.plan.traffic = None;
    profile.streams = pktgen::profile::Streams::default();
    profile.enlist()?;
    Ok(profile)
}

fn generate(profile: &Profile, running: &Running) -> Result<u8, Failure> {
    if let Some(code) = shortcut::show(profile, &running.dry)? {
        return Ok(code);
    }
    // Before anything takes time, so that no signal is missed.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let captures = Captures::read(profile)?;
    for remark in captures.remarks(profile) {
        say_error(&remark);
    }
    let eal = device::start(&profile.device, running.verbose)?;
    let device = Device::open(&eal, &profile.device.name)?;
    let run = Run::new(profile, captures, device, &stop);
    let (mut status, mut history) = (Status::of_stderr(), History::new());
    let (report, latency) = run.go(&mut |told| {
        if let Told::Interval(interval, _) = told {
            history.push(interval);
        }
        tell(&told, running.json, &mut status);
    })?;
    status.end();
    conclude(&report, running)?;
    plot(running, &latency, &history)?;
    Ok(report.verdict as u8)
}

fn tell(told: &Told<'_>, json: bool, status: &mut Status<std::io::Stderr>) {
    match told {
        Told::Interval(interval, streams) if json => {
            let line = serde_json::json!({ "interval": interval, "streams": streams });
            say(&serde_json::to_string(&line).unwrap_or_default());
        }
        Told::Interval(interval, streams) => {
            let streams: Vec<_> = streams.iter().map(Pace::text).collect();
            status.line(&[interval.line(), streams.join("  ")].join("  "));
        }
        Told::Responder(interval) if json => {
            let line = serde_json::json!({ "responder": interval });
            say(&serde_json::to_string(&line).unwrap_or_default());
        }
        Told::Responder(interval) => status.line(&interval.line()),
        Told::Connecting { connected, clients, secs } => {
            status.passing(&format!("{secs:7.1} s  {connected} of {clients} clients connected"));
        }
    }
}

fn conclude(report: &Report, running: &Running) -> Result<(), Failure> {
    if running.json {
        say(&serde_json::to_string(&serde_json::json!({ "report": report }))?);
    } else {
        say(&report.table());
    }
    Ok(())
}

fn plot(running: &Running, latency: &Latency, history: &History) -> Result<(), Failure> {
    let name = running.choice.name();
    if let Some(path) = &running.latency_svg {
        let title = format!("latency from planned sending, {name}");
        write(path, &percentiles_svg(&title, latency))?;
    }
    if let Some(path) = &running.rate_svg {
        write(path, &rates_svg(&format!("packets per second, {name}"), &history.intervals()))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
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
