//! Stage 1, dos: what should never have come leaves here.

mod handshakes;
pub mod lists;
pub mod rate;
pub mod buckets;

pub use handshakes::{Defence, admit, shown_id};
