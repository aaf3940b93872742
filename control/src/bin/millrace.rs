//! millrace: the command line of millrace-control.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    control::cli::main()
}
