//! Instructions of the packets' way, as valgrind's callgrind counts them: `millrace-instructions` walks packets through the stages, and
//! has written down after each what it took.
//!
//! Only instructions of the program itself count. The C library chooses its copies by what the processor can, and so does the AEAD;
//! all else is one path of code, the same on every x86-64.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use results::counts::COMPILED;
use results::{Cell, Column, Conditions, Figure, Record, Section, Table};
use wireguard::aead::Implementation;

use crate::Failure;

/// The measurement's name in figures.
pub(super) const MEASURE: &str = "instructions";

/// What became of it.
pub(super) enum Counted {
    /// Instructions that this compiler has made.
    By(String, Box<Record>),
    /// None, and why.
    Not(String),
}

/// Builds what is counted, as it is in the sources now, and counts.
pub(super) fn count() -> Result<Counted, Failure> {
    let top = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    if let Some(why) = why_not(Path::new(top)) {
        return Ok(Counted::Not(why));
    }
    let compiler = said(Command::new("rustc").arg("--version").current_dir(top))?;
    let program = build(Path::new(top))?;
    let folder = std::env::temp_dir().join(format!("millrace-counts-{}", std::process::id()));
    // Not one that is there: laps of another run would count as ours.
    fs::create_dir(&folder)?;
    let laps = walked(&program, &folder);
    fs::remove_dir_all(&folder)?;
    Ok(Counted::By(compiler.trim().to_owned(), Box::new(record(&laps?))))
}

fn why_not(top: &Path) -> Option<String> {
    if !cfg!(target_arch = "x86_64") {
        return Some("those that are written down are x86-64's".to_owned());
    }
    if !top.join("Cargo.toml").exists() {
        return Some(format!("the sources are not in {} any more", top.display()));
    }
    let is_here = |tool: &str| Command::new(tool).arg("--version").output().is_ok();
    let missing = ["valgrind", "cargo"].into_iter().find(|tool| !is_here(tool))?;
    Some(format!("{missing} is not installed; scripts/setup tells what is needed"))
}

/// What a command has said; its own complaint when it has failed.
fn said(command: &mut Command) -> Result<String, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let Output { status, stdout, stderr } =
        command.output().map_err(|error| format!("{name}: {error}"))?;
    if !status.success() {
        return Err(format!("{name}: {status}:\n{}", String::from_utf8_lossy(&stderr)).into());
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// The program, optimised as its own configuration says, and without what makes the next build quicker: that cuts code elsewhere.
fn build(top: &Path) -> Result<PathBuf, Failure> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(top).env("CARGO_INCREMENTAL", "0");
    cargo.args(["build", "--locked", "--quiet", "--package", "instructions"]);
    cargo.args(["--config", "bench/instructions/build.toml", "--message-format", "json"]);
    let told = said(&mut cargo)?;
    let program = told.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message.get("executable")?.as_str().map(PathBuf::from)
    });
    // As valgrind names it.
    Ok(program.ok_or("cargo names no program that it has built")?.canonicalize()?)
}

/// Instructions by what they were for.
type Laps = BTreeMap<String, f64>;

/// Runs the program under callgrind, which writes a file into the folder for each lap.
fn walked(program: &Path, folder: &Path) -> Result<Laps, Failure> {
    let mut valgrind = Command::new("valgrind");
    // MACs of handshake messages have code for each kind of processor too; this one runs on all.
    valgrind.env(wireguard::aead::VARIABLE, Implementation::Portable.name());
    valgrind.args(["--tool=callgrind", "--instr-atstart=no", "--dump-line=no"]);
    valgrind.args(["--compress-strings=no", "--compress-pos=no"]);
    valgrind.arg(format!("--callgrind-out-file={}", folder.join("lap").display()));
    said(valgrind.arg(program))?;
    let mut laps = Laps::new();
    for entry in fs::read_dir(folder)? {
        let text = fs::read(entry?.path())?;
        let Some(lap) = Lap::of(&String::from_utf8_lossy(&text), program) else { continue };
        *laps.entry(lap.name).or_default() += lap.each;
    }
    if laps.values().all(|each| *each <= 0.0) {
        return Err("valgrind has counted nothing".into());
    }
    Ok(laps)
}

/// One file of callgrind's.
#[derive(Debug, PartialEq)]
struct Lap {
    name: String,
    /// Instructions, by the number that they are for.
    each: f64,
}

impl Lap {
    /// None where nothing counts: at the end of the program, and in the AEAD.
    #[expect(clippy::cast_precision_loss, reason = "instructions far below 2^52")]
    fn of(text: &str, program: &Path) -> Option<Self> {
        let name = text.lines().find_map(|line| line.strip_prefix(TRIGGER))?;
        let mut parts = name.split('|');
        let (way, lap, count) = (parts.next()?, parts.next()?, parts.next()?);
        let count: u32 = count.parse().ok()?;
        let name = if lap.is_empty() { way.to_owned() } else { format!("{way}: {lap}") };
        let each = instructions(text, program) as f64 / f64::from(count);
        (lap != "AEAD").then_some(Self { name, each })
    }
}

/// Before the name that the program has given a lap.
const TRIGGER: &str = "desc: Trigger: Client Request: ";

/// The instructions of this program itself: lines that begin with a number end with a count, and belong to the object that was named
/// last. The line after a call counts what was called, which has lines of its own.
fn instructions(text: &str, program: &Path) -> u64 {
    let (mut is_ours, mut is_call, mut sum) = (false, false, 0);
    for line in text.lines() {
        if let Some(object) = line.strip_prefix("ob=") {
            is_ours = Path::new(object) == program;
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if line.starts_with(|letter: char| letter.is_ascii_digit()) {
            let count = line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok());
            sum += count.filter(|_| is_ours && !is_call).unwrap_or(0);
            is_call = false;
        }
    }
    sum
}

fn record(laps: &Laps) -> Record {
    let columns = [Column::label("what"), Column::of(COMPILED, COMPILED, 1)];
    let mut table = Table::new("", columns);
    for (what, each) in laps {
        table.row([Cell::from(what.as_str()), Figure::single(*each).lower().into()]);
    }
    let title = "Instructions of the packets' way";
    let mut record = Record::new(MEASURE, title, &(), Conditions::default());
    record.section(Section::default().table(table));
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "version: 1\n\
        desc: Trigger: Client Request: NAT44 out|nat::dress|128\n\
        positions: line\nevents: Ir\nsummary: 999\n\n\
        ob=/usr/lib/libc.so.6\nfl=memmove.S\nfn=memcpy\n0 400\n\n\
        ob=/target/it\nfl=a.rs\nfn=dress\n0 256\ncob=/usr/lib/libc.so.6\ncfn=memcpy\n\
        calls=3 0\n0 400\n0 128\n\nfn=find\n0 64\n";

    #[test]
    fn counts_what_the_program_itself_does_and_nothing_twice() {
        let lap = Lap::of(TEXT, Path::new("/target/it")).unwrap();
        assert_eq!(lap, Lap { name: "NAT44 out: nat::dress".to_owned(), each: 3.5 });
    }

    #[test]
    fn the_aead_and_what_nobody_named_count_nowhere() {
        let program = Path::new("/target/it");
        assert_eq!(Lap::of(&TEXT.replace("nat::dress", "AEAD"), program), None);
        let ended = TEXT.replace(TRIGGER, "desc: Trigger: Program termination");
        assert_eq!(Lap::of(&ended, program), None);
    }

    #[test]
    fn what_is_no_stage_bears_its_own_name() {
        let lap = Lap::of(&TEXT.replace("nat::dress", ""), Path::new("/target/it")).unwrap();
        assert_eq!(lap.name, "NAT44 out");
    }
}
