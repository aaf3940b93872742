//! Stage 1, dos: what should never have come leaves here.

pub mod flows;
mod handshakes;
pub mod lists;
pub mod rate;
pub mod buckets;
pub mod syn;
pub mod transit;
pub mod sketch;

pub use handshakes::{Defence, Known, Sender, admit, shown_id};
