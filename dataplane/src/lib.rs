//! millrace's dataplane as a library: the packet's way and everything on it, without DPDK, without a clock,
//! without unsafe code. `pipeline` is the place to begin to read.
#![forbid(unsafe_code)]

pub mod config;
pub mod pipeline;
pub mod stages;
pub mod burst;
pub mod frame;
pub mod fate;
pub mod packet;
pub mod port;
pub mod worker;
#[cfg(feature = "dpdk")]
pub mod device;
pub mod held;
pub mod site;
pub mod fleet;
pub mod neighbours;
pub mod table;
pub mod exchange;
pub mod handshake;
pub mod keeper;
pub mod registry;
pub mod counters;
pub mod limiter;
pub mod wall;
pub mod large_pages;
pub mod limits;
pub mod testing;
