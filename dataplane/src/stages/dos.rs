//! Stage 1, dos: what should never have come leaves here.

mod handshakes;
pub mod sketch;

pub use handshakes::{Defence, admit, shown_id};
