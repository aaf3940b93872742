//! Why a program is refused: where, what, and what to do about it.

use std::fmt;

use crate::PROGRAM_MAX;
use crate::op::MEMORY;

/// Where a program is wrong, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The instruction, counted from 0.
    pub at: usize,
    /// What is wrong with it.
    pub kind: Kind,
}

/// What is wrong with a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No instruction at all.
    Empty,
    /// More than [`PROGRAM_MAX`] instructions; so many.
    TooLong(usize),
    /// No instruction of classic BPF has this code.
    Code(u16),
    /// A jump past the end, or backwards.
    Jump,
    /// The end is reached without a return.
    NoReturn,
    /// There is no memory word of this number.
    Memory(u32),
    /// This memory word is read where nothing was stored in it before.
    Unwritten(u32),
    /// A division or remainder by the constant zero.
    Zero,
    /// A shift by 32 bits or more.
    Shift(u32),
    /// An offset below zero, which means the link header or the kernel's own data; neither is there.
    Offset(u32),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instruction {}: {}", self.at, self.kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the program is empty; end it with a return"),
            Self::TooLong(count) => write!(
                f,
                "the program has {count} instructions, more than {PROGRAM_MAX}; split the expression into several"
            ),
            Self::Code(code) => write!(
                f,
                "code {code:#06x} is none of classic BPF; let libpcap compile the expression"
            ),
            Self::Jump => {
                write!(f, "it jumps out of the program or back; jump forward to an instruction")
            }
            Self::NoReturn => write!(f, "the program ends here without a return; add one"),
            Self::Memory(word) => {
                write!(f, "memory word {word} is not there; use 0 to {}", MEMORY - 1)
            }
            Self::Unwritten(word) => write!(
                f,
                "memory word {word} is read though not every way here has stored it; store it first"
            ),
            Self::Zero => write!(f, "it divides by zero; use another constant"),
            Self::Shift(bits) => write!(f, "it shifts by {bits} bits; use 0 to 31"),
            Self::Offset(offset) => write!(
                f,
                "offset {} is before the packet, which begins at its IP header; leave out what asks about the link",
                offset.cast_signed()
            ),
        }
    }
}

impl std::error::Error for Fault {}
