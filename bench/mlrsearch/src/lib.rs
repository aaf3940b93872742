//! `MLRsearch`: which load a server carries at a given ratio of loss, from trials of which no single one is believed
//! (draft-ietf-bmwg-mlrsearch-15). No clock and no I/O: it says which trial it wants next and is told how that went.
#![forbid(unsafe_code)]

mod classify;
mod goal;
mod search;
mod trial;

pub use classify::{Bound, classify, conditional_throughput};
pub use goal::{Goal, Unsound};
pub use search::{Ask, Outcome, Plan, Search};
pub use trial::Trial;
