//! Instructions as they are run: codes taken apart once, operands where the interpreter wants them.

use crate::{Instruction, Kind};

/// Words of scratch memory.
pub(crate) const MEMORY: usize = 16;

/// How much of the packet a load takes, in network order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Width {
    Byte,
    Half,
    Word,
}

/// What is done with the accumulator and an operand. Everything wraps at 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
}

/// How the accumulator is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    Equal,
    Greater,
    GreaterOrEqual,
    /// Any bit in common.
    AnyBit,
}

/// One instruction in 8 octets. `A` is the accumulator, `X` the index register; a jump skips that many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// A = packet at the offset.
    Load {
        width: Width,
        offset: u32,
    },
    /// A = packet at X plus the offset.
    LoadAtX {
        width: Width,
        offset: u32,
    },
    LoadConstant(u32),
    LoadLen,
    LoadMemory(u8),
    /// X = 4 * (octet at the offset & 15): the length of an IPv4 header.
    LoadXHeaderLen(u32),
    LoadXConstant(u32),
    LoadXLen,
    LoadXMemory(u8),
    Store(u8),
    StoreX(u8),
    /// A = A op constant.
    Compute {
        arithmetic: Arithmetic,
        k: u32,
    },
    /// A = A op X.
    ComputeX(Arithmetic),
    Negate,
    Jump(u8),
    /// Compares A with the constant.
    Branch {
        test: Test,
        yes: u8,
        no: u8,
        k: u32,
    },
    /// Compares A with X.
    BranchX {
        test: Test,
        yes: u8,
        no: u8,
    },
    /// Ends; matches or not.
    Return(bool),
    /// Ends; matches unless A is zero.
    ReturnA,
    CopyAToX,
    CopyXToA,
}

impl Arithmetic {
    /// The result, or None for a division by zero. A shift by 32 bits or more leaves nothing, as in libpcap;
    /// Linux takes only the low 5 bits of X.
    #[inline]
    pub(crate) const fn apply(self, a: u32, operand: u32) -> Option<u32> {
        Some(match self {
            Self::Add => a.wrapping_add(operand),
            Self::Subtract => a.wrapping_sub(operand),
            Self::Multiply => a.wrapping_mul(operand),
            Self::Divide => return a.checked_div(operand),
            Self::Remainder => return a.checked_rem(operand),
            Self::And => a & operand,
            Self::Or => a | operand,
            Self::Xor => a ^ operand,
            Self::ShiftLeft => {
                if operand < 32 {
                    a << operand
                } else {
                    0
                }
            }
            Self::ShiftRight => {
                if operand < 32 {
                    a >> operand
                } else {
                    0
                }
            }
        })
    }
}

impl Test {
    #[inline]
    pub(crate) const fn holds(self, a: u32, operand: u32) -> bool {
        match self {
            Self::Equal => a == operand,
            Self::Greater => a > operand,
            Self::GreaterOrEqual => a >= operand,
            Self::AnyBit => a & operand != 0,
        }
    }
}

impl Op {
    /// Takes an instruction apart; what depends on other instructions is not looked at.
    pub(crate) fn decode(instruction: Instruction) -> Result<Self, Kind> {
        let Instruction { code, k, .. } = instruction;
        // The codes that Linux takes (`chk_code_allowed`), by their class in the low three bits.
        match code & 7 {
            0 | 1 => load(code, k),
            2 if code == 0x02 => Ok(Self::Store(word(k)?)),
            3 if code == 0x03 => Ok(Self::StoreX(word(k)?)),
            4 => compute(code, k),
            5 => jump(instruction),
            6 if code == 0x06 => Ok(Self::Return(k != 0)),
            6 if code == 0x16 => Ok(Self::ReturnA),
            7 if code == 0x07 => Ok(Self::CopyAToX),
            7 if code == 0x87 => Ok(Self::CopyXToA),
            _ => Err(Kind::Code(code)),
        }
    }
}

/// The number of a memory word.
fn word(k: u32) -> Result<u8, Kind> {
    u8::try_from(k).ok().filter(|word| usize::from(*word) < MEMORY).ok_or(Kind::Memory(k))
}

fn offset(k: u32) -> Result<u32, Kind> {
    if k.cast_signed() < 0 { Err(Kind::Offset(k)) } else { Ok(k) }
}

fn load(code: u16, k: u32) -> Result<Op, Kind> {
    Ok(match code {
        0x20 => Op::Load { width: Width::Word, offset: offset(k)? },
        0x28 => Op::Load { width: Width::Half, offset: offset(k)? },
        0x30 => Op::Load { width: Width::Byte, offset: offset(k)? },
        0x40 => Op::LoadAtX { width: Width::Word, offset: offset(k)? },
        0x48 => Op::LoadAtX { width: Width::Half, offset: offset(k)? },
        0x50 => Op::LoadAtX { width: Width::Byte, offset: offset(k)? },
        0x00 => Op::LoadConstant(k),
        0x60 => Op::LoadMemory(word(k)?),
        0x80 => Op::LoadLen,
        0x01 => Op::LoadXConstant(k),
        0x61 => Op::LoadXMemory(word(k)?),
        0x81 => Op::LoadXLen,
        0xb1 => Op::LoadXHeaderLen(offset(k)?),
        _ => return Err(Kind::Code(code)),
    })
}

fn compute(code: u16, k: u32) -> Result<Op, Kind> {
    let arithmetic = match code & !8 {
        0x04 => Arithmetic::Add,
        0x14 => Arithmetic::Subtract,
        0x24 => Arithmetic::Multiply,
        0x34 => Arithmetic::Divide,
        0x44 => Arithmetic::Or,
        0x54 => Arithmetic::And,
        0x64 => Arithmetic::ShiftLeft,
        0x74 => Arithmetic::ShiftRight,
        0x94 => Arithmetic::Remainder,
        0xa4 => Arithmetic::Xor,
        0x84 if code == 0x84 => return Ok(Op::Negate),
        _ => return Err(Kind::Code(code)),
    };
    if code & 8 != 0 {
        return Ok(Op::ComputeX(arithmetic));
    }
    if arithmetic.apply(0, k).is_none() {
        return Err(Kind::Zero);
    }
    if matches!(arithmetic, Arithmetic::ShiftLeft | Arithmetic::ShiftRight) && k >= 32 {
        return Err(Kind::Shift(k));
    }
    Ok(Op::Compute { arithmetic, k })
}

fn jump(Instruction { code, jt: yes, jf: no, k }: Instruction) -> Result<Op, Kind> {
    let test = match code & !8 {
        0x05 if code == 0x05 => return u8::try_from(k).map(Op::Jump).map_err(|_| Kind::Jump),
        0x15 => Test::Equal,
        0x25 => Test::Greater,
        0x35 => Test::GreaterOrEqual,
        0x45 => Test::AnyBit,
        _ => return Err(Kind::Code(code)),
    };
    let with_x = code & 8 != 0;
    Ok(if with_x { Op::BranchX { test, yes, no } } else { Op::Branch { test, yes, no, k } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_no_more_room_than_what_it_is_made_of() {
        assert_eq!(size_of::<Op>(), 8);
    }

    #[test]
    fn knows_the_codes_of_classic_bpf_and_no_others() {
        let decoded = |code| Op::decode(Instruction { code, jt: 0, jf: 0, k: 1 });
        let known = (0..=u16::MAX).filter(|code| decoded(*code).is_ok()).count();
        // 13 loads, 2 stores, 10 operations from either source and NEG, JA, 4 tests of either, 2 returns, 2 copies.
        assert_eq!(known, 13 + 2 + 2 * 10 + 1 + 1 + 2 * 4 + 2 + 2);
        assert_eq!(decoded(0x8c), Err(Kind::Code(0x8c)));
    }
}
