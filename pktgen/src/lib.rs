//! A load generator that speaks WireGuard, as a library without devices.
#![forbid(unsafe_code)]

pub mod pace;
pub mod rewrite;
pub mod size;
pub mod synth;
pub mod replay;
pub mod measure;
pub mod packet;
pub mod pcap;
pub mod link;
pub mod responder;
pub mod attack;
pub mod client;
pub mod profile;
pub mod barrage;
pub mod decode;
pub mod streams;
pub mod rehearsal;
pub mod report;
pub mod status;
pub mod stop;
#[cfg(feature = "dpdk")]
pub mod device;
#[cfg(feature = "dpdk")]
pub mod run;
#[cfg(feature = "dpdk")]
pub mod selftest;
