//! Every implementation of the AEAD against the library that it stands in for, against vectors of
//! others, and against its own promises: what is not its own stays untouched, what is forged is not
//! opened. The MACs of handshake messages, whose implementation is chosen with it, too.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "tests may panic, and say what they ran"
)]

mod agreement;
mod batch;
mod forgery;
mod macs;
mod memory;
mod vectors;
