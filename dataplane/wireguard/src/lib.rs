//! The `WireGuard` protocol, sans I/O: messages, handshakes, sessions, timers and a batched AEAD.
//!
//! Nothing here reads a clock, opens a socket or draws randomness: time and random octets are
//! arguments. In the dataplane workers own [`session`], [`keyring`] and [`timers`], handshake
//! threads own [`noise`] and [`cookie`]; [`tunnel`] composes all of it for one peer.
//! The protocol is that of the `WireGuard` whitepaper by Donenfeld (NDSS 2017); section numbers in this crate refer to it.
#![cfg_attr(
    test,
    allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests may panic")
)]

pub mod aead;
pub mod blake2s;
pub mod cookie;
mod hash;
pub mod index;
pub mod keyring;
pub mod limits;
pub mod message;
pub mod noise;
pub mod prefetch;
pub mod replay;
pub mod secret;
pub mod session;
pub mod time;
pub mod timers;
pub mod tunnel;
pub mod wheel;
