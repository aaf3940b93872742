//! Programs that are measured beside this one: where they lie, and how those that are missing are made.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::all::last_words;

/// What is measured as a process of its own, by where it lies beside this program.
const PROGRAMS: [&str; 5] =
    ["millrace-dataplane", "millrace-control", "millrace", "examples/argo", "examples/wg"];

/// What makes them.
const BUILD: [&str; 15] = [
    "build",
    "--locked",
    "--quiet",
    "--release",
    "-p",
    "dataplane",
    "-p",
    "control",
    "--features",
    "dataplane/dpdk",
    "--bins",
    "--example",
    "argo",
    "--example",
    "wg",
];

/// Where a program lies, if it was built with this one.
pub(crate) fn beside(name: &str) -> Result<PathBuf, Failure> {
    Ok(folder()?.join(name))
}

/// The folder of this program.
pub(crate) fn folder() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    Ok(own.parent().ok_or("this program has no folder")?.to_owned())
}

/// Makes those that are missing, where this program lies as cargo has built it and its sources are there; says which.
///
/// Errors: they cannot be made; what needs them leaves a hole.
pub(crate) fn make_missing() -> Result<Vec<&'static str>, Failure> {
    let folder = folder()?;
    let missing: Vec<_> = PROGRAMS.into_iter().filter(|name| !folder.join(name).exists()).collect();
    if missing.is_empty() {
        return Ok(missing);
    }
    let refused = |why: &str| format!("{} are not built, and {why}", missing.join(", "));
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = folder.parent().filter(|_| folder.ends_with("release"));
    let Some(target) = target.filter(|_| top.join("Cargo.toml").exists()) else {
        return Err(refused("this is no release build beside its sources").into());
    };
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&top).args(BUILD).arg("--target-dir").arg(target);
    let output = cargo.output().map_err(|error| refused(&format!("cargo: {error}")))?;
    if output.status.success() {
        return Ok(missing);
    }
    Err(refused(&last_words(&output.stderr, &output.status.to_string())).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_of_tests_makes_nothing() {
        match make_missing() {
            Ok(made) => assert!(made.is_empty(), "{made:?}"),
            Err(why) => assert!(why.to_string().contains("no release build"), "{why}"),
        }
    }
}
