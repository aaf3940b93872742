//! millrace-pktgen: reads a profile, opens the device, and runs clients and attacks against a server of one's own.
#![forbid(unsafe_code)]

mod options;
mod shortcut;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use options::{Choice, Fields, Running};
use pktgen::attack::Attack;
use pktgen::client::peer_text;
use pktgen::device::{self, Device};
use pktgen::measure::Latency;
use pktgen::profile::Profile;
use pktgen::report::{History, Report, percentiles_svg, rates_svg};
use pktgen::run::{Run, Told};
use pktgen::selftest;
use pktgen::status::Status;
use pktgen::stop::Stop;
use pktgen::streams::Captures;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use wireguard::aead::Implementation;

/// A load generator that speaks WireGuard. For servers of your own.
///
/// Exit codes: 0 as asked, 1 could not start or not write what was asked for, 2 something asked for was not reached, 3 more
/// loss than allowed, 4 the counts do not add up.
#[derive(Debug, Parser)]
#[command(name = "millrace-pktgen", version)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a profile, all of it: clients and their traffic, attacks, streams, replays and responder.
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
    /// Sends a capture alone, as the flags say; a profile gives the device and the next hop.
    Replay {
        #[command(flatten)]
        recording: Box<shortcut::Recording>,
        #[command(flatten)]
        running: Running,
    },
    /// Runs a profile's responder alone; with run.secs = 0 until SIGINT.
    Respond(Running),
    /// Lists the attacks.
    Attacks,
    /// Prints the profile's clients as [[peer]] sections for a file of millrace-control's directory.
    Peers(Choice),
    /// Checks a profile and ends; prints what is wrong, where, and the remedy.
    Check(Choice),
    /// Measures what this core can generate.
    SelfTest {
        /// The core; none leaves it to the scheduler.
        #[arg(long)]
        core: Option<usize>,
        /// Seconds for each figure, 0.01 to 60.
        #[arg(long, default_value_t = 1.0, value_parser = figure_secs)]
        secs: f64,
        /// Print each figure as a line of JSON.
        #[arg(long)]
        json: bool,
    },
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            error.print().unwrap_or_default();
            // Not clap's own 2, which stands for a run that fell short. Help and version are no failure.
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    match run(&options.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_closed_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            say_error(&format!("millrace-pktgen: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether nobody reads on, as `head` does, which is no failure.
fn is_closed_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

fn run(command: &Command) -> Result<u8, Failure> {
    if let Some(refused) = Implementation::refused() {
        return Err(refused.into());
    }
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
                say(&format!("{:<24} {}", attack.name(), attack.about()))?;
            }
            Ok(0)
        }
        Command::Peers(choice) => {
            let plan = choice.read()?.plan;
            for number in 0..plan.members() {
                say(&peer_text(&plan, number))?;
            }
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
            say(&format!("{}: ok, {clients} clients{beside}", choice.name()))?;
            Ok(0)
        }
        Command::SelfTest { core, secs, json } => {
            let stop = signals()?;
            let aead = Implementation::chosen();
            say(&if *json { format!("{{\"aead\":\"{aead}\"}}") } else { format!("AEAD {aead}") })?;
            for figure in selftest::measure(*core, *secs, &stop)? {
                let text = if *json { serde_json::to_string(&figure)? } else { figure.line() };
                say(&text)?;
            }
            Ok(told_stop(&stop))
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
    if profile.plan.members() > 0 && profile.plan.server_public == [0; 32] {
        return Err("server.public_key is all zeros, which is nobody's: put the server's there, or give --server KEY".into());
    }
    // Before anything takes time, so that no signal is missed.
    let stop = signals()?;
    let captures = Captures::read(profile)?;
    for remark in captures.remarks(profile) {
        say_error(&remark);
    }
    let eal = device::start(&profile.device, running.verbose)?;
    let device = Device::open(&eal, &profile.device.name)?;
    if let Some(interface) = device.shared_with_another() {
        say_error(&format!(
            "another millrace-pktgen is at {interface}, and each takes frames to the same addresses for its own: give them different addresses, inner addresses and seeds"
        ));
    }
    for path in [&running.latency_svg, &running.rate_svg].into_iter().flatten() {
        write(path, "")?;
    }
    let run = Run::new(profile, captures, device, &stop);
    let (mut status, mut history) = (Status::of_stderr(), History::new());
    let (report, latency) = run.go(&mut |told| {
        if let Told::Interval(interval, _) = told {
            history.push(interval);
        }
        tell(&told, running.json, &mut status);
    })?;
    status.end();
    told_stop(&stop);
    conclude(&report, running)?;
    plot(running, &latency, &history)?;
    Ok(report.verdict as u8)
}

fn tell(told: &Told<'_>, json: bool, status: &mut Status<io::Stderr>) {
    match told {
        Told::Interval(interval, streams) if json => {
            let line = serde_json::json!({ "interval": interval, "streams": streams });
            say_on(&serde_json::to_string(&line).unwrap_or_default());
        }
        Told::Interval(interval, streams) => {
            status.line(&interval.line(streams));
        }
        Told::Responder(interval) if json => {
            let line = serde_json::json!({ "responder": interval });
            say_on(&serde_json::to_string(&line).unwrap_or_default());
        }
        Told::Responder(interval) => status.line(&interval.line()),
        Told::Connecting { connected, clients, secs } => {
            status.passing(&format!("{secs:7.1} s  {connected} of {clients} clients connected"));
        }
    }
}

fn conclude(report: &Report, running: &Running) -> Result<(), Failure> {
    let text = if running.json {
        serde_json::to_string(&serde_json::json!({ "report": report }))?
    } else {
        report.table()
    };
    // The plots and the verdict are still to come.
    match say(&text) {
        Err(error) if !is_closed_pipe(&error) => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
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

/// A line for the person or script that started us.
fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()).map_err(|error| {
        io::Error::new(error.kind(), format!("standard output cannot be written ({error})"))
    })
}

/// The same under way: a run does not end because nobody listens; whoever wants its report hears of it then.
fn say_on(text: &str) {
    say(text).unwrap_or_default();
}

fn say_error(text: &str) {
    writeln!(io::stderr(), "{text}").unwrap_or_default();
}

/// What SIGINT and SIGTERM ask for, from now on.
fn signals() -> io::Result<Arc<Stop>> {
    let (stop, mut signals) = (Arc::new(Stop::new()), Signals::new([SIGINT, SIGTERM])?);
    let asked = Arc::clone(&stop);
    std::thread::spawn(move || signals.forever().for_each(|_| asked.ask()));
    Ok(stop)
}

/// Says whether a signal came before the end; the exit code of what had only its time to fill.
fn told_stop(stop: &Stop) -> u8 {
    if stop.is_asked() {
        say_error("stopped by a signal; the figures are those until then");
    }
    if stop.is_asked() { 2 } else { 0 }
}

fn figure_secs(text: &str) -> Result<f64, String> {
    let secs = text.parse().ok().filter(|secs| (0.01..=60.0).contains(secs));
    secs.ok_or_else(|| "give 0.01 to 60 seconds".to_owned())
}
