//! Classic BPF, as libpcap makes it of tcpdump's expressions: programs verified once, run within bounds, and
//! many of them matched against a packet for little more than the price of one.
//!
//! Two things come from strangers: programs and packets. [`Program::verify`] is the border for programs; what it
//! lets through ends after at most [`PROGRAM_MAX`] instructions on any packet. A packet begins at its IP header and
//! ends where IP says that it ends. A [`Set`] knows what a packet must look like for each of its programs to match,
//! and runs only those that can.
#![forbid(unsafe_code)]

mod fault;
mod op;
mod program;
mod verify;
mod facts;
mod walk;
mod set;

pub use fault::{Fault, Kind};
pub use program::Program;
pub use set::{INSTRUCTIONS_MAX, Set, TooManyInstructions};

/// Instructions of the longest program that is taken.
pub const PROGRAM_MAX: usize = 256;

/// An instruction as it travels: `struct sock_filter` of Linux, `struct bpf_insn` of libpcap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// Class, size, mode, operation and source.
    pub code: u16,
    /// How many instructions to skip when the condition holds.
    pub jt: u8,
    /// How many to skip when it does not.
    pub jf: u8,
    /// The constant.
    pub k: u32,
}
