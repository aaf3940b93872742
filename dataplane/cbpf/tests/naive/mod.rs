//! Classic BPF as its paper describes it (1993), in the plainest way: codes are taken apart
//! at each step, numbers are wide, and whatever a program must not do is an error.

use cbpf::Instruction;

/// What a verified program never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Code(u16),
    Outside(usize),
    Unwritten(usize),
    Backwards,
}

/// A verdict, and after how many instructions.
pub(crate) type Run = Result<(bool, usize), Wrong>;

const WRAP: u128 = 1 << 32;

/// Runs the program; what ends early has no match.
pub(crate) fn run(program: &[Instruction], packet: &[u8]) -> Run {
    let mut machine = Machine { a: 0, x: 0, memory: [None; 16], packet };
    let (mut at, mut steps) = (0, 0);
    loop {
        let instruction = *program.get(at).ok_or(Wrong::Outside(at))?;
        steps += 1;
        match machine.step(instruction)? {
            Next::Skip(count) => at += 1 + count,
            Next::End(value) => return Ok((value != 0, steps)),
        }
    }
}

struct Machine<'a> {
    a: u128,
    x: u128,
    memory: [Option<u128>; 16],
    packet: &'a [u8],
}

enum Next {
    Skip(usize),
    End(u128),
}

impl Machine<'_> {
    fn step(&mut self, instruction: Instruction) -> Result<Next, Wrong> {
        let Instruction { code, jt, jf, k } = instruction;
        let k = u128::from(k);
        match code & 0x07 {
            0x00 | 0x01 => {
                let Some(value) = self.load(code, k)? else { return Ok(Next::End(0)) };
                if code & 0x01 == 0 { self.a = value } else { self.x = value }
            }
            0x02 => *self.word(k)? = Some(self.a),
            0x03 => *self.word(k)? = Some(self.x),
            0x04 => {
                let operand = if code & 0x08 == 0 { k } else { self.x };
                let Some(value) = self.compute(code, operand)? else { return Ok(Next::End(0)) };
                self.a = value;
            }
            0x05 => {
                let operand = if code & 0x08 == 0 { k } else { self.x };
                let holds = match code & 0xf0 {
                    0x00 if k < 256 => return Ok(Next::Skip(k as usize)),
                    0x00 => return Err(Wrong::Backwards),
                    0x10 => self.a == operand,
                    0x20 => self.a > operand,
                    0x30 => self.a >= operand,
                    0x40 => self.a & operand > 0,
                    _ => return Err(Wrong::Code(code)),
                };
                return Ok(Next::Skip(usize::from(if holds { jt } else { jf })));
            }
            0x06 => return Ok(Next::End(if code & 0x18 == 0x10 { self.a } else { k })),
            _ if code & 0xf8 == 0 => self.x = self.a,
            _ => self.a = self.x,
        }
        Ok(Next::Skip(0))
    }

    /// None beyond the packet.
    fn load(&mut self, code: u16, k: u128) -> Result<Option<u128>, Wrong> {
        let size = match code & 0x18 {
            0x00 => 4,
            0x08 => 2,
            _ => 1,
        };
        Ok(match code & 0xe0 {
            0x00 => Some(k),
            0x20 => self.octets(k, size),
            0x40 => self.octets(self.x + k, size),
            0x60 => Some(self.word(k)?.ok_or(Wrong::Unwritten(k as usize))?),
            0x80 => Some(self.packet.len() as u128),
            0xa0 => self.octets(k, 1).map(|octet| octet % 16 * 4),
            _ => return Err(Wrong::Code(code)),
        })
    }

    fn octets(&self, from: u128, size: u128) -> Option<u128> {
        let places = from..from + size;
        places
            .map(|place| self.packet.get(usize::try_from(place).ok()?))
            .try_fold(0, |sum, octet| Some(sum * 256 + u128::from(*octet?)))
    }

    fn word(&mut self, k: u128) -> Result<&mut Option<u128>, Wrong> {
        self.memory.get_mut(k as usize).ok_or(Wrong::Outside(k as usize))
    }

    /// None for a division by zero.
    fn compute(&self, code: u16, operand: u128) -> Result<Option<u128>, Wrong> {
        let a = self.a;
        Ok(Some(match code & 0xf0 {
            0x00 => (a + operand) % WRAP,
            0x10 => (WRAP + a - operand) % WRAP,
            0x20 => a * operand % WRAP,
            0x30 | 0x90 if operand == 0 => return Ok(None),
            0x30 => a / operand,
            0x40 => a | operand,
            0x50 => a & operand,
            0x60 => {
                if operand > 31 {
                    0
                } else {
                    (a << operand) % WRAP
                }
            }
            0x70 => {
                if operand > 31 {
                    0
                } else {
                    a >> operand
                }
            }
            0x80 => (WRAP - a) % WRAP,
            0x90 => a % operand,
            0xa0 => a ^ operand,
            _ => return Err(Wrong::Code(code)),
        }))
    }
}
