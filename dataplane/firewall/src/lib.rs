//! A tenant's firewall: rules in the syntax of nft, of which the first that matches decides. Control reads, prints and
//! explains them; the dataplane compiles them into a classifier whose cost does not depend on what packets hold.
//!
//! Nothing here knows time, buffers or DPDK.
#![forbid(unsafe_code)]

pub mod classifier;
pub mod facts;
pub mod rules;
pub mod parse;
pub mod print;
pub mod walk;
pub mod packet;
mod names;

pub use packet::packet;
pub use parse::{Wrong, parse};
pub use walk::{Decision, Members, explain, holds, sets, walk};
