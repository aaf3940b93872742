//! The protocol as a whole: handshakes, a foreign peer, and two ends under virtual time.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "tests may panic"
)]

mod dice;
mod handshake;
mod interop;
mod simulation;
mod timing;
mod tunnel;
mod world;
