//! Egress by HTTP CONNECT: a connection of a client is opened through a proxy, or through a PoP of ours, and spliced.
//!
//! [`Connect`] has everything from the first SYN until both legs are one flow, after which a packet costs a constant
//! rewriting ([`Splice`]), and catches for a while what is still sent twice. It does no I/O: segments, time and chance
//! come in, segments and outcomes go out through [`World`]. A worker asks it only about flows that are being set up.
//!
//! A set-up has two legs. The **near** one was opened by a client or by another PoP; the **far** one goes to a next hop
//! (a proxy, a PoP of ours) or to the origin.
//!
//! - An *ingress* ([`Connect::open`]) holds the client's SYN until the next hop has connected, so that the client is told
//!   numbers and options that are the far leg's own: nothing but addresses is rewritten afterwards.
//! - An *exit* ([`Connect::accept`]) answers in the same way when the SYN bears the request. Otherwise it answers the SYN at
//!   once, reads the request, and has a constant difference in one direction.
//! - A *relay* is an exit whose far leg is a PoP of ours.
#![forbid(unsafe_code)]

pub mod head;
pub mod keepalive;
pub mod limits;
pub mod outcome;
pub mod segment;
pub mod splice;
pub mod targets;
pub mod time;
mod buffers;
mod engine;
mod options;
mod recent;
mod setup;
mod table;
mod timers;

pub use engine::{Connect, Counts};
pub use outcome::{
    Accepting, Decision, Dropped, Ended, NextHop, Opening, Refusal, Verdict, Why, World,
};
pub use segment::{Arrived, Leg, NO_CLIENT, Segment};
pub use splice::{Mode, Numbers, Rewrite, Splice};
