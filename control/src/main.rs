//! millrace-control: keeps the book and feeds the dataplane until it is told to stop.
#![forbid(unsafe_code)]

fn main() {}
