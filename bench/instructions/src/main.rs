//! millrace-instructions: the dataplane's stages over packets in memory, for callgrind to count. `millrace-bench counts` runs it under
//! valgrind and reads what was written down; by itself it only shows that every packet gets where it should.

mod callgrind;
mod course;
mod scenes;
mod splice;
mod ways;

use std::io::Write as _;
use std::process::ExitCode;

/// Why nothing was counted: a sentence.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match ways::all() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(std::io::stderr(), "millrace-instructions: {error}").unwrap_or_default();
            ExitCode::FAILURE
        }
    }
}
