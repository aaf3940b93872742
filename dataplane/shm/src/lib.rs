//! The border between control and dataplane: shared memory that a wrong or hostile neighbour process
//! cannot use to crash or mislead us.
//!
//! The dataplane makes three regions, files of `/dev/shm/millrace-INSTANCE`: a ring of commands, a ring of
//! events, a page of counters ([`attach::Dataplane`]). Control attaches to them ([`attach::Control`]); whoever may
//! read them looks at the counters ([`attach::Viewer`]). From the bottom up:
//! - [`memory`]: words that anybody may write at any moment; [`mapping`] is such memory behind a file, and the
//!   only unsafe code here;
//! - [`region`] and [`header`]: what a file is, whose, and whether to use it; what is trusted, and what is not;
//! - [`ring`]: one producer, one consumer, every index compared;
//! - [`message`]: what is said, checked once;
//! - [`transaction`]: changes, whole or not at all; [`events`]: what comes back;
//! - [`counters`]: numbers that describe themselves.
//!
//! Nothing here waits, reads a clock or draws randomness.

pub mod attach;
pub mod counters;
mod directory;
pub mod error;
pub mod events;
pub mod header;
mod layout;
pub mod limits;
pub mod mapping;
pub mod memory;
pub mod message;
pub mod process;
pub mod region;
pub mod ring;
pub mod testing;
pub mod transaction;

pub use attach::{Control, Dataplane, Viewer};
pub use directory::Place;
pub use error::Error;
