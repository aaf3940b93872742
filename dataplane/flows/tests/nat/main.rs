//! The translator by the requirements that it is held to, one file for each kind of packet, in virtual time.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "tests may panic"
)]

mod cases;
mod fragments;
mod hostile;
mod icmp;
mod model;
mod splice;
mod tcp;
mod udp;
mod world;
