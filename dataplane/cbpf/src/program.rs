//! A program that was verified, and how it is run.

use crate::facts::Clause;
use crate::op::{MEMORY, Op, Width};
use crate::walk::{self, Version};
use crate::{Fault, Instruction, verify};

/// A verified program: it ends on every packet after so many instructions as it has at most.
#[derive(Clone, Debug)]
pub struct Program {
    pub(crate) ops: Vec<Op>,
    /// Instructions of the longest way through it.
    pub(crate) longest: u16,
    /// What packets of each version look like that can match.
    pub(crate) clauses4: Vec<Clause>,
    pub(crate) clauses6: Vec<Clause>,
}

impl Program {
    /// Takes a program from a stranger. It must have 1 to [`crate::PROGRAM_MAX`] known instructions, jump forward and
    /// stay inside, return on every way, read only memory that it has written, divide by no constant zero, and ask
    /// about nothing before the packet.
    pub fn verify(instructions: &[Instruction]) -> Result<Self, Fault> {
        let ops = verify::decode(instructions)?;
        let longest = verify::longest(&ops);
        let clauses4 = walk::clauses(&ops, Version::Four);
        let clauses6 = walk::clauses(&ops, Version::Six);
        Ok(Self { ops, longest, clauses4, clauses6 })
    }

    /// Whether the packet, from its IP header to the end that IP states, matches. A load beyond its end and a
    /// division by zero end without a match, as in the kernel.
    pub fn matches(&self, packet: &[u8]) -> bool {
        run(&self.ops, packet, &mut [0; MEMORY])
    }

    /// The most instructions that a packet can cost.
    pub const fn instructions(&self) -> u16 {
        self.longest
    }
}

/// Runs a verified program; what its memory holds before does not matter to it.
#[inline]
pub(crate) fn run(ops: &[Op], packet: &[u8], memory: &mut [u32; MEMORY]) -> bool {
    execute(ops, packet, memory).unwrap_or(false)
}

/// The verdict, or None where the packet or a division ends the program early.
#[inline]
fn execute(ops: &[Op], packet: &[u8], memory: &mut [u32; MEMORY]) -> Option<bool> {
    let (mut a, mut x) = (0u32, 0u32);
    let mut at = 0usize;
    // `at` grows with each turn, so it ends.
    loop {
        let op = *ops.get(at)?;
        at += 1;
        match op {
            Op::Load { width, offset } => a = load(packet, width, offset)?,
            Op::Branch { test, yes, no, k } => {
                at += usize::from(if test.holds(a, k) { yes } else { no });
            }
            Op::Return(verdict) => return Some(verdict),
            Op::LoadAtX { width, offset } => a = load(packet, width, x.checked_add(offset)?)?,
            Op::LoadXHeaderLen(offset) => x = 4 * (load(packet, Width::Byte, offset)? & 15),
            Op::Compute { arithmetic, k } => a = arithmetic.apply(a, k)?,
            Op::ComputeX(arithmetic) => a = arithmetic.apply(a, x)?,
            Op::BranchX { test, yes, no } => {
                at += usize::from(if test.holds(a, x) { yes } else { no });
            }
            Op::Jump(count) => at += usize::from(count),
            Op::LoadLen => a = len(packet),
            Op::LoadXLen => x = len(packet),
            Op::LoadConstant(k) => a = k,
            Op::LoadXConstant(k) => x = k,
            Op::LoadMemory(word) => a = *memory.get(usize::from(word))?,
            Op::LoadXMemory(word) => x = *memory.get(usize::from(word))?,
            Op::Store(word) => *memory.get_mut(usize::from(word))? = a,
            Op::StoreX(word) => *memory.get_mut(usize::from(word))? = x,
            Op::Negate => a = a.wrapping_neg(),
            Op::CopyAToX => x = a,
            Op::CopyXToA => a = x,
            Op::ReturnA => return Some(a != 0),
        }
    }
}

/// The packet's length; IP has no longer ones than 32 bits can say.
#[inline]
pub(crate) fn len(packet: &[u8]) -> u32 {
    u32::try_from(packet.len()).unwrap_or(u32::MAX)
}

/// What stands at the offset, in network order; None beyond the end.
#[inline]
pub(crate) fn load(packet: &[u8], width: Width, offset: u32) -> Option<u32> {
    let rest = packet.get(usize::try_from(offset).ok()?..)?;
    Some(match width {
        Width::Byte => u32::from(*rest.first()?),
        Width::Half => u32::from(u16::from_be_bytes(*rest.first_chunk()?)),
        Width::Word => u32::from_be_bytes(*rest.first_chunk()?),
    })
}
