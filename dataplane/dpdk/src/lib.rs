//! The safe verbs over DPDK: environment, pools, packet buffers, ports and their queues, rings,
//! threads, cycles.
//!
//! Nothing outside this crate names DPDK. What the types promise:
//! - an [`mbuf::Mbuf`] owns its buffer and returns it to its pool when dropped, on whichever
//!   thread;
//! - a [`queue::Queue`] keeps its port open, a port keeps its pools, and all of them keep the
//!   environment;
//! - a pool's memory is given back only when all of its buffers are home, else it stays until the
//!   process ends.

#![expect(
    unsafe_code,
    reason = "this crate is the border to DPDK; each block says why it is sound"
)]

pub mod clock;
pub mod eal;
pub mod error;
pub mod lcore;
pub mod mbuf;
pub mod pool;
pub mod port;
pub mod queue;
pub mod ring;
pub mod vdev;

pub use eal::Eal;
pub use error::Error;
pub use mbuf::Mbuf;
pub use pool::Pool;
pub use port::Port;
pub use queue::Queue;
