//! All measurements one after the other, each in a process of its own and for as long as it may take. One that fails is a hole in
//! the report and not its end.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use dpdk::clock::Clock;
use results::{Cell, Column, Conditions, Figure, Record, Section, Table, aims};
use serde::Serialize;

use crate::machine::{Machine, Weather};
use crate::{Failure, programs, publish};

/// What to run, and where its records go.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// The folder for records and page; it is made.
    #[arg(short, long, default_value = "bench-report")]
    output: PathBuf,
    /// A few minutes for all, to see that it works; the figures mean little.
    #[arg(long)]
    quick: bool,
    /// The core to measure on.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Only these measurements.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

/// A measurement and how it is asked for.
struct Step {
    measure: &'static str,
    /// Beside `--core`, which all get.
    arguments: &'static [&'static str],
    /// With `--quick`, which comes by itself.
    quick: &'static [&'static str],
    /// What it may take at most.
    limit: Duration,
}

impl Step {
    /// Its share of the time of this run. A program without optimisation, or beside others, needs some to begin at all.
    fn limit_in(&self, plan: &Plan) -> Duration {
        let share = LIMIT_QUICK.div_duration_f64(LIMIT);
        if plan.quick { self.limit.mul_f64(share).max(LEAST) } else { self.limit }
    }
}

const fn step(
    measure: &'static str,
    arguments: &'static [&'static str],
    quick: &'static [&'static str],
    seconds: u64,
) -> Step {
    Step { measure, arguments, quick, limit: Duration::from_secs(seconds) }
}

/// What says most comes first: time may run out.
const STEPS: [Step; 27] = [
    // Twice as long as by itself: `again` holds a second one against it.
    step(
        "service",
        &["--sizes", "64,512,1420", "--bursts", "32,64", "--blocks", "600", "--processes", "24"],
        &[],
        80,
    ),
    step("ndr", &["--sizes", "64,1420,imix"], &[], 140),
    step("overload", &["--flood-factors", "0.1,1"], &[], 210),
    // Twelve searches, of which none takes longer than its budget.
    step(
        "realtime",
        &["--ways", "open,clients,encap", "--sum-ms", "100", "--budget-secs", "6"],
        &["--tries", "3"],
        90,
    ),
    step("latency", &["--secs", "1"], &["--tries", "3"], 160),
    step("scale", &["--blocks", "60"], &[], 80),
    step("reconf", &["--sum-ms", "100", "--trials", "3"], &[], 80),
    step("aead", &["--batches", "1,8,64", "--blocks", "100"], &["--batches", "64"], 15),
    step("nat", &["--blocks", "100"], &[], 30),
    step("splice", &["--blocks", "60"], &["--bursts", "64"], 70),
    step("transit", &["--blocks", "100"], &["--rules", "50"], 15),
    step("steer", &["--blocks", "100"], &[], 30),
    step("handshakes", &["--bursts", "100", "--rounds", "20", "--floods", "0,1,10"], &[], 50),
    step(
        "rules",
        &[
            "--rules",
            "10,1000,10000",
            "--tenants",
            "60",
            "--blocks",
            "20",
            "--builds",
            "3",
            "--patience",
            "3",
        ],
        &[],
        60,
    ),
    step("syn", &[], &[], 15),
    step("signatures", &[], &[], 25),
    step("sketch", &[], &[], 10),
    step("dos", &["--prefixes", "1000000", "--blocks", "100"], &[], 40),
    step("routes", &["--builds", "3", "--changes", "1000"], &[], 25),
    step("control", &["--snapshots", "2"], &[], 100),
    step("ring", &[], &[], 15),
    step("argo", &[], &[], 40),
    step("wg", &[], &[], 30),
    step("ceiling", &[], &[], 40),
    // As far from the first run as can be.
    step("again", &[], &[], 80),
    step("quick", &[], &[], 120),
    // It shows again what others took part in above, and adds who needs namespaces and processes of their own.
    step("peers", &[], &[], 150),
];

/// Those that need other programs of this project.
const PROCESSES: [&str; 3] = ["argo", "wg", "peers"];

/// What all may take together, and with `--quick`, once everything is built.
const LIMIT: Duration = Duration::from_mins(30);
const LIMIT_QUICK: Duration = Duration::from_mins(5);

/// What each may take at least, as long as there is time.
const LEAST: Duration = Duration::from_secs(90);

/// What `timeout` says when it had to end something.
pub(crate) const TIMED_OUT: i32 = 124;

/// How a step ended.
struct Outcome {
    measure: &'static str,
    taken: Duration,
    record: Record,
    failed: bool,
}

/// Runs all and writes the page. What is void is a failure, after everything is written.
pub(crate) fn run(plan: &Plan) -> Result<(), Failure> {
    let known = |name: &String| STEPS.iter().any(|step| step.measure == *name);
    if let Some(unknown) = plan.only.iter().find(|name| !known(name)) {
        return Err(format!("--only: there is no measurement {unknown}").into());
    }
    fs::create_dir_all(&plan.output)
        .map_err(|error| format!("{}: {error}", plan.output.display()))?;
    let clock = Clock::calibrate();
    let machine = || Machine::observe(&clock, "no DPDK in it".to_owned(), false, plan.core);
    let before = Weather::observe();
    let begin = Instant::now();
    let wanted = STEPS
        .iter()
        .filter(|step| !(plan.quick && step.measure == "quick"))
        .filter(|step| plan.only.is_empty() || plan.only.iter().any(|name| name == step.measure));
    let wanted: Vec<&Step> = wanted.collect();
    if wanted.iter().any(|step| PROCESSES.contains(&step.measure)) {
        make_missing(begin)?;
    }
    // What building takes makes no holes.
    let end = Instant::now() + if plan.quick { LIMIT_QUICK } else { LIMIT };
    let mut outcomes = Vec::new();
    for step in wanted {
        let hole = || Conditions::new(machine(), (Weather::observe(), Weather::observe()));
        let outcome = measure(plan, step, end.saturating_duration_since(Instant::now()), hole)?;
        say(&outcome)?;
        outcomes.push(outcome);
    }
    let conditions = Conditions::new(machine(), (before, Weather::observe()));
    finish(plan, (outcomes, begin.elapsed()), conditions)
}

/// Builds the programs that are missing. Where that cannot be, what needs them says what is not there.
fn make_missing(begin: Instant) -> Result<(), Failure> {
    match programs::make_missing() {
        Ok(made) if made.is_empty() => {}
        Ok(made) => {
            let (seconds, made) = (begin.elapsed().as_secs_f64(), made.join(", "));
            writeln!(std::io::stdout(), "{:12} {seconds:6.1} s  {made}", "built")?;
        }
        Err(why) => writeln!(std::io::stderr(), "millrace-bench: {why}")?,
    }
    Ok(())
}

/// The summary, the page, and whether all is well.
fn finish(
    plan: &Plan,
    (outcomes, taken): (Vec<Outcome>, Duration),
    conditions: Conditions,
) -> Result<(), Failure> {
    let mut summary = summary(plan, &outcomes, conditions);
    if plan.only.is_empty() {
        summary.section(whole(taken));
        aims::judge(&mut summary)?;
    }
    keep(&plan.output, &summary)?;
    let void: Vec<&str> = outcomes
        .iter()
        .filter(|outcome| outcome.record.void.is_some())
        .map(|outcome| outcome.measure)
        .collect();
    let void = (!void.is_empty()).then(|| format!("void: {}", void.join(", ")));
    let records = outcomes.into_iter().map(|outcome| outcome.record).chain([summary]);
    let page = plan.output.join("index.html");
    publish::write_page(&page, "millrace: what it costs", &records.collect::<Vec<_>>(), None)?;
    writeln!(std::io::stdout(), "{}", page.display())?;
    void.map_or(Ok(()), |void| Err(void.into()))
}

fn say(Outcome { measure, taken, record, .. }: &Outcome) -> Result<(), Failure> {
    let seconds = taken.as_secs_f64();
    let ending = record.void.as_ref().map_or_else(String::new, |why| format!("  **void:** {why}"));
    Ok(writeln!(std::io::stdout(), "{measure:12} {seconds:6.1} s{ending}")?)
}

/// Runs one step in a process of its own, for what it may take of the time that is left.
fn measure(
    plan: &Plan,
    step: &Step,
    left: Duration,
    hole: impl Fn() -> Conditions,
) -> Result<Outcome, Failure> {
    let begin = Instant::now();
    let json = plan.output.join(format!("{}.json", step.measure));
    let said = plan.output.join(format!("{}.md", step.measure));
    // What a run before this one has left is not this one's.
    for path in [&json, &said] {
        if path.exists() {
            fs::remove_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    let arguments = arguments(plan, step);
    let found = if left.is_zero() {
        Err("no time was left for it".to_owned())
    } else {
        child(&arguments, (&json, &said), step.limit_in(plan).min(left))?
    };
    let failed = found.is_err();
    let record = match found {
        Ok(record) => record,
        Err(why) => {
            let mut record = Record::new(step.measure, step.measure, plan, hole());
            record.argv = std::iter::once("millrace-bench".to_owned()).chain(arguments).collect();
            record.make_void(&why);
            keep(&plan.output, &record)?;
            record
        }
    };
    Ok(Outcome { measure: step.measure, taken: begin.elapsed(), record, failed })
}

fn arguments(plan: &Plan, step: &Step) -> Vec<String> {
    let mut arguments = vec![step.measure.to_owned(), "--core".to_owned(), plan.core.to_string()];
    let own = if plan.quick { step.quick } else { step.arguments };
    arguments.extend(own.iter().map(|&argument| argument.to_owned()));
    if plan.quick {
        arguments.push("--quick".to_owned());
    }
    if ["again", "peers"].contains(&step.measure) {
        arguments.extend(["--records".to_owned(), plan.output.display().to_string()]);
    }
    if step.measure == "steer"
        && let Some(second) = second_core(plan.core)
    {
        arguments.extend(["--second-core".to_owned(), second.to_string()]);
    }
    arguments
}

/// Another core that this process may run on.
pub(crate) fn second_core(first: usize) -> Option<usize> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    cores.into_iter().map(|core| core.id).find(|core| *core != first)
}

/// The record of a process, or why there is none. `timeout` ends it with everything that it has started.
pub(crate) fn child(
    arguments: &[String],
    (json, said): (&Path, &Path),
    limit: Duration,
) -> Result<Result<Record, String>, Failure> {
    let seconds = limit.as_secs().max(1);
    let out = File::create(said).map_err(|error| format!("{}: {error}", said.display()))?;
    let output = Command::new("timeout")
        .args(["--kill-after=5", &seconds.to_string()])
        .arg(std::env::current_exe()?)
        .args(arguments)
        .arg("--json")
        .arg(json)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| format!("timeout, of coreutils: {error}"))?;
    if output.status.code() == Some(TIMED_OUT) {
        return Ok(Err(format!("it took longer than {seconds} s and was stopped")));
    }
    if !output.status.success() {
        // The report shows one line of it; the rest, which tells the cause, is for who looks.
        std::io::stderr().write_all(&output.stderr).unwrap_or_default();
        return Ok(Err(last_words(&output.stderr, &output.status.to_string())));
    }
    let text = fs::read_to_string(json).map_err(|error| format!("{}: {error}", json.display()))?;
    Ok(Record::from_json(&text).map_err(|error| error.to_string()))
}

/// The words of a command without those that say where its record goes.
pub(crate) fn without_record(command: impl Iterator<Item = String>) -> Vec<String> {
    let mut words = Vec::new();
    let mut is_file = false;
    for word in command {
        let is_option = !is_file && word == "--json";
        if !is_file && !is_option && !word.starts_with("--json=") {
            words.push(word);
        }
        is_file = is_option;
    }
    words
}

/// The first line of a measurement's error, which may go on with counters, or the last that any other process said, or how it
/// ended.
pub(crate) fn last_words(stderr: &[u8], status: &str) -> String {
    const OURS: &str = "millrace-bench: ";
    let text = String::from_utf8_lossy(stderr);
    let mut lines = text.lines().rev().filter(|line| !line.trim().is_empty());
    let last = lines.clone().next();
    lines
        .find_map(|line| line.strip_prefix(OURS))
        .or(last)
        .map_or_else(|| format!("it ended with {status}"), str::to_owned)
}

/// How long everything took.
fn whole(taken: Duration) -> Section {
    let mut table =
        Table::new("", [Column::label("the whole run"), Column::of("minutes", "min", 1)]);
    let minutes = Figure::single(taken.as_secs_f64() / 60.0).lower();
    table.row([Cell::from("everything"), minutes.into()]);
    Section::default().table(table)
}

/// What the run was, step by step, and what the machine lacks.
fn summary(plan: &Plan, outcomes: &[Outcome], conditions: Conditions) -> Record {
    let hugepages = conditions.machine.hugepages.clone();
    let cores = conditions.machine.cores;
    let mut record = Record::new("all", "The whole run", plan, conditions);
    let columns =
        [Column::label("measurement"), Column::of("seconds", "s", 1), Column::label("ended")];
    let mut table = Table::new("", columns);
    for Outcome { measure, taken, record, failed } in outcomes {
        let ended = match (&record.void, failed) {
            (None, _) => "measured".to_owned(),
            (Some(why), true) => format!("failed: {why}"),
            (Some(why), false) => format!("void: {why}"),
        };
        let seconds = Figure::single(taken.as_secs_f64());
        table.row([Cell::from(*measure), seconds.into(), ended.into()]);
    }
    record.section(Section::default().table(table));
    if hugepages.starts_with("0 ") {
        record.leave_out("hugepages", "none are set aside; packets lay in ordinary pages");
    }
    if cores < 2 {
        record.leave_out("two cores", "this machine has one");
    }
    if plan.quick {
        record.leave_out("figures that mean something", "the run was a quick one");
    }
    for step in
        STEPS.iter().filter(|step| outcomes.iter().all(|outcome| outcome.measure != step.measure))
    {
        record.leave_out(step.measure, "it was not asked for");
    }
    record
}

fn keep(folder: &Path, record: &Record) -> Result<(), Failure> {
    let path = folder.join(format!("{}.json", record.measure));
    fs::write(&path, record.to_json()?)
        .map_err(|error| format!("{}: {error}", path.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use clap::Parser as _;

    #[test]
    fn every_step_can_be_asked_for() {
        for quick in [false, true] {
            let output = PathBuf::from("report");
            let plan = Plan { output, quick, core: 0, only: Vec::new() };
            for step in &STEPS {
                let name = std::iter::once("millrace-bench".to_owned());
                let parsed = Options::try_parse_from(name.chain(arguments(&plan, step)));
                assert!(parsed.is_ok(), "{}: {parsed:?}", step.measure);
            }
        }
    }

    #[test]
    fn all_steps_have_room_in_half_an_hour() {
        let sum: Duration = STEPS.iter().map(|step| step.limit).sum();
        assert!(sum <= LIMIT, "{sum:?}");
    }

    #[test]
    fn a_command_is_made_again_without_keeping_its_record() {
        let all = ["service", "--json", "x.json", "--core", "1", "--json=y"];
        let words = without_record(all.into_iter().map(str::to_owned));
        assert_eq!(words, ["service", "--core", "1"]);
    }

    #[test]
    fn a_process_that_fails_is_told_by_its_last_line() {
        assert_eq!(last_words(b"EAL: x\nmillrace-bench: no core\n\n", "exit 1"), "no core");
        let books = b"millrace-bench: the books do not close: 3 in\nreceived 3\nunaccounted 0\n";
        assert_eq!(last_words(books, "exit 1"), "the books do not close: 3 in");
        assert_eq!(last_words(b"Killed\n", "signal 9"), "Killed");
        assert_eq!(last_words(b"", "signal 9"), "it ended with signal 9");
    }
}
