//! Argo: by which data centre new flows go out, prefix by prefix, from what probes and clients' dials say.
//!
//! The logic has neither clock nor socket: it is told times, and tells what has changed.

pub mod choice;
pub mod damping;
pub mod dials;
pub mod explain;
pub mod explore;
mod heard;
pub mod load;
pub mod paths;
pub mod rows;
pub mod steward;
pub mod table;
pub mod testing;
pub mod ticks;
pub mod ways;

pub use heard::Argo;
pub use table::{Centre, Changes, Led, Subject, Table};

#[cfg(test)]
mod tests;
