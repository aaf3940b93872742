//! millrace: the command line of millrace-control.
#![forbid(unsafe_code)]

fn main() {}
