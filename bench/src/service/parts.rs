//! A run in several processes, one after the other: where the system puts a program's memory decides whether some of its lines are
//! in each other's way, which costs a way up to a tenth for as long as the process lives. The blocks of all of them count together.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::report::Measured;
use crate::Failure;
use crate::all::{last_words, without_record};

/// The option that makes a process a part of another one's run.
const PART: &str = "--part";

/// Makes so many parts of a run by the words that this process was called with.
pub(super) fn made(count: usize) -> Result<Vec<Vec<Measured>>, Failure> {
    let path = std::env::temp_dir().join(format!("millrace-part-{}.json", std::process::id()));
    let words = without_record(std::env::args().skip(1));
    let parts = (0..count).map(|_| part(&words, &path)).collect();
    drop(fs::remove_file(&path));
    parts
}

fn part(words: &[String], path: &Path) -> Result<Vec<Measured>, Failure> {
    let output = Command::new(std::env::current_exe()?)
        .args(words)
        .arg(PART)
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()?;
    if !output.status.success() {
        return Err(last_words(&output.stderr, &output.status.to_string()).into());
    }
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

/// Keeps a part for the process that has asked for it.
pub(super) fn keep(measured: &[Measured], path: &Path) -> Result<(), Failure> {
    fs::write(path, serde_json::to_string(measured)?)
        .map_err(|error| format!("{}: {error}", path.display()).into())
}
