//! How the daemons begin and end: a log, files that are this user's alone, and a sentence where they cannot go on.

use std::io::{self, Write as _};
use std::process::ExitCode;

/// Why a daemon cannot go on.
pub type Failure = Box<dyn std::error::Error>;

/// Runs the daemon of this name to its end.
pub fn start(name: &str, run: impl FnOnce() -> Result<(), Failure>) -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    // Sockets and files are this user's alone from their first moment.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody left to tell when this fails.
            drop(writeln!(io::stderr(), "{name}: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// A line that starters wait for.
pub fn say(line: &str) -> Result<(), Failure> {
    let mut out = io::stdout();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}
