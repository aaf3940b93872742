//! millrace-pktgen.
fn main() {}
