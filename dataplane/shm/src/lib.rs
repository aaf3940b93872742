//! The border between control and dataplane.
pub mod limits;
mod layout;
pub mod header { pub const HEADER_WORDS: usize = 512; }
pub mod memory;
pub mod message;
pub mod ring;
pub mod transaction;
