//! Programs that are measured beside this one: where they lie, and how those that are missing are made.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::all::last_words;

/// The daemons and the command line.
pub(crate) const DAEMONS: [&str; 3] = ["millrace-dataplane", "millrace-control", "millrace"];
/// Control's own programs that measure, by where they lie beside this one.
const EXAMPLES: [&str; 2] = ["examples/argo", "examples/wg"];

/// What makes all of them.
pub(crate) const BUILD: &str = "cargo build --release -p dataplane -p control --features dataplane/dpdk --bins --example argo --example wg";

/// Where one of control's own programs lies.
///
/// Errors: it is not there; how it is made.
pub(crate) fn example(name: &str) -> Result<PathBuf, Failure> {
    let path = folder()?.join("examples").join(name);
    if path.exists() {
        Ok(path)
    } else {
        Err(format!("{} is not there; `{BUILD}` makes it", path.display()).into())
    }
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
    let all = DAEMONS.into_iter().chain(EXAMPLES);
    let missing: Vec<_> = all.filter(|name| !folder.join(name).exists()).collect();
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
    cargo.current_dir(&top).args(BUILD.split(' ').skip(1));
    cargo.args(["--locked", "--quiet", "--target-dir"]).arg(target);
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
