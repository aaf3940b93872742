//! A run in several processes, one after the other: where the system puts a program's memory decides whether some of its lines are
//! in each other's way, which costs a way up to a tenth for as long as the process lives. The blocks of all of them count together.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::report::Measured;
use crate::Failure;
use crate::all::last_words;

/// The option that makes a process a part of another one's run.
const PART: &str = "--part";

/// Makes so many parts of a run by the words that this process was called with.
pub(super) fn made(count: usize) -> Result<Vec<Vec<Measured>>, Failure> {
    let path = std::env::temp_dir().join(format!("millrace-part-{}.json", std::process::id()));
    let words = words(std::env::args().skip(1));
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

/// The words without those that say where the record goes.
fn words(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut words = Vec::new();
    let mut is_file = false;
    for word in all {
        if !is_file && word != "--json" && !word.starts_with("--json=") {
            words.push(word.clone());
        }
        is_file = word == "--json";
    }
    words
}

/// Keeps a part for the process that has asked for it.
pub(super) fn keep(measured: &[Measured], path: &PathBuf) -> Result<(), Failure> {
    fs::write(path, serde_json::to_string(measured)?)
        .map_err(|error| format!("{}: {error}", path.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_called_like_the_whole_but_keeps_no_record() {
        let all = ["service", "--json", "x.json", "--core", "1", "--json=y"];
        assert_eq!(words(all.into_iter().map(str::to_owned)), ["service", "--core", "1"]);
    }
}
