//! The border for programs: what is let through ends, stays inside, and reads nothing that it has not written.

use crate::op::Op;
use crate::{Fault, Instruction, Kind, PROGRAM_MAX};

/// Takes the program apart and follows every way through it.
pub(crate) fn decode(instructions: &[Instruction]) -> Result<Vec<Op>, Fault> {
    let count = instructions.len();
    if count == 0 {
        return Err(Fault { at: 0, kind: Kind::Empty });
    }
    if count > PROGRAM_MAX {
        return Err(Fault { at: PROGRAM_MAX, kind: Kind::TooLong(count) });
    }
    let fault = |at| move |kind| Fault { at, kind };
    let decoded = instructions.iter().enumerate();
    let ops = decoded
        .map(|(at, instruction)| Op::decode(*instruction).map_err(fault(at)))
        .collect::<Result<Vec<Op>, Fault>>()?;
    // What is written on every way to an instruction, one bit for each word. Jumps only go forward, so all
    // ways to an instruction are known when its turn comes; to what is never reached, everything is written.
    let mut written = vec![u16::MAX; count];
    if let Some(first) = written.first_mut() {
        *first = 0;
    }
    for (at, op) in ops.iter().enumerate() {
        let before = written.get(at).copied().unwrap_or_default();
        let after = through_memory(*op, before).map_err(fault(at))?;
        for next in successors(*op, at).into_iter().flatten() {
            let kind = if is_jump(*op) { Kind::Jump } else { Kind::NoReturn };
            let there = written.get_mut(next).ok_or(Fault { at, kind })?;
            *there &= after;
        }
    }
    Ok(ops)
}

/// The instructions of the longest way through a verified program.
pub(crate) fn longest(ops: &[Op]) -> u16 {
    let mut from = vec![0u16; ops.len()];
    for (at, op) in ops.iter().enumerate().rev() {
        let ahead = successors(*op, at).into_iter().flatten();
        let rest = ahead.filter_map(|next| from.get(next).copied()).max().unwrap_or(0);
        if let Some(entry) = from.get_mut(at) {
            *entry = rest.saturating_add(1);
        }
    }
    from.first().copied().unwrap_or(0)
}

/// Where the program goes on after the instruction: two ways at most.
pub(crate) fn successors(op: Op, at: usize) -> [Option<usize>; 2] {
    let skip = |count: u8| Some(at + 1 + usize::from(count));
    if matches!(op, Op::Return(_) | Op::ReturnA) {
        [None, None]
    } else if let Op::Branch { yes, no, .. } | Op::BranchX { yes, no, .. } = op {
        [skip(yes), skip(no)]
    } else if let Op::Jump(count) = op {
        [skip(count), None]
    } else {
        [skip(0), None]
    }
}

const fn is_jump(op: Op) -> bool {
    matches!(op, Op::Jump(_) | Op::Branch { .. } | Op::BranchX { .. })
}

/// The words that are written after the instruction, or the one that it must not read yet.
fn through_memory(op: Op, written: u16) -> Result<u16, Kind> {
    if let Op::Store(word) | Op::StoreX(word) = op {
        return Ok(written | 1 << word);
    }
    if let Op::LoadMemory(word) | Op::LoadXMemory(word) = op
        && written & 1 << word == 0
    {
        return Err(Kind::Unwritten(word.into()));
    }
    Ok(written)
}
