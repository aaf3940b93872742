//! The flows of one worker: a table of what each does to its packets, and the rules by which they begin and end.
//!
//! A flow is a translation of addresses and ports with optional constant shifts of sequence numbers and windows. NAT44 opens
//! flows by itself ([`Flows::open`]); CONNECT puts its own in ([`Flows::splice`]). Prefix translation of IPv6 has no flows
//! ([`nptv6`]). Packets are taken in bursts, in steps that overlap the waiting for memory:
//!
//! 1. [`Flows::ask`] reads each packet's key;
//! 2. [`Flows::find`] fetches what all of them need;
//! 3. [`Flows::carry`] follows and rewrites one packet, in place;
//! 4. [`Flows::open`] begins a flow for a packet that has none, once its route is known.
//!
//! Nothing here knows buffers, clocks or DPDK: time and randomness are arguments, refusals are names, and nothing is
//! allocated after the making.
#![deny(unsafe_code)]

pub mod nptv6;
mod carry;
mod clients;
mod config;
mod end;
mod fragments;
mod hash;
mod index;
mod install;
mod line;
mod mapping;
mod open;
mod ports;
mod prefetch;
mod query;
mod refusal;
mod report;
mod rewrite;
mod splice;
mod stranger;
mod sweep;
mod table;
mod tcp;
mod time;
mod view;

pub use carry::Verdict;
pub use clients::Holding;
pub use config::{Config, Limits, Timeouts, Wrong};
pub use line::{End, State};
pub use query::{Outline, Query, Realm};
pub use refusal::Refusal;
pub use splice::{Entry, Lease, Opened, Path, Splice};
pub use sweep::Live;
pub use table::{FlowId, Flows};
pub use time::Instant;
pub use view::Flow;
