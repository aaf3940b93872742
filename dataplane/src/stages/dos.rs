//! Stage 1, dos: what should never have come leaves here.

mod handshakes;

pub use handshakes::{Defence, Known, Sender, admit, shown_id};
