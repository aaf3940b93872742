//! All ways through a program at once, with what each knows of the packet: from that it follows which packets
//! can match. What is found is never too narrow: a packet that matches has all that one of the clauses says.

use crate::facts::{Clause, Field, Place};
use crate::op::{Arithmetic, MEMORY, Op, Test, Width};
use crate::verify::successors;

/// Ways that are told apart at one instruction; more become one that knows what all of them know.
const STATES_MAX: usize = 16;

/// Steps of a walk. A program that needs more is one whose packets nothing is known of.
const STEPS_MAX: usize = 4_096;

/// The version of IP that the packets have. Each is walked for itself: ports are elsewhere in the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Four,
    Six,
}

/// What a register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Unknown,
    Constant(u32),
    Field(Field),
    /// The length of the IPv4 header, and so much more.
    Behind(u32),
}

/// What registers hold at first.
const ZERO: Value = Value::Constant(0);

/// A way through the program up to an instruction, or several that know the same.
#[derive(Clone, Debug)]
struct State {
    registers: Registers,
    known: Clause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Registers {
    a: Value,
    x: Value,
    memory: [Value; MEMORY],
}

/// What packets of the version look like that the program matches, in as many clauses as it takes: none if it matches
/// no such packet.
pub(crate) fn clauses(ops: &[Op], version: Version) -> Vec<Clause> {
    Walk::new(ops, version).finish().unwrap_or_else(|TooLong| vec![Clause::default()])
}

/// The walk has come to its last step before the end.
struct TooLong;

struct Walk<'a> {
    ops: &'a [Op],
    version: Version,
    /// Where A is read before it is written again.
    reads_a: Vec<bool>,
    reads_x: Vec<bool>,
    ahead: Vec<Vec<State>>,
    accepted: Vec<Clause>,
    steps: usize,
}

impl<'a> Walk<'a> {
    fn new(ops: &'a [Op], version: Version) -> Self {
        let registers = Registers { a: ZERO, x: ZERO, memory: [Value::Unknown; MEMORY] };
        let mut ahead = vec![Vec::new(); ops.len()];
        if let Some(first) = ahead.first_mut() {
            first.push(State { registers, known: Clause::default() });
        }
        let reads_a = read_later(ops, reads_a, writes_a);
        let reads_x = read_later(ops, reads_x, writes_x);
        Self { ops, version, reads_a, reads_x, ahead, accepted: Vec::new(), steps: 0 }
    }

    fn finish(mut self) -> Result<Vec<Clause>, TooLong> {
        for (at, op) in self.ops.iter().enumerate() {
            let states = self.ahead.get_mut(at).map(std::mem::take).unwrap_or_default();
            for state in states {
                self.steps += 1;
                if self.steps > STEPS_MAX {
                    return Err(TooLong);
                }
                self.step(at, *op, state);
            }
        }
        Ok(self.accepted)
    }

    fn step(&mut self, at: usize, op: Op, mut state: State) {
        if matches!(op, Op::Return(_) | Op::ReturnA) {
            if op != Op::Return(false) && (op, state.registers.a) != (Op::ReturnA, ZERO) {
                self.accept(state.known);
            }
        } else if let Op::Branch { test, k, .. } = op {
            self.branch(successors(op, at), (test, Value::Constant(k)), &state);
        } else if let Op::BranchX { test, .. } = op {
            self.branch(successors(op, at), (test, state.registers.x), &state);
        } else if let (Some(registers), [Some(next), None]) =
            (state.registers.after(op), successors(op, at))
        {
            state.registers = registers;
            self.arrive(next, state);
        }
    }

    /// Goes on where the test holds and where it does not.
    fn branch(&mut self, ways: [Option<usize>; 2], (test, operand): (Test, Value), state: &State) {
        for (next, holds) in ways.into_iter().flatten().zip([true, false]) {
            if let Some(known) = self.narrowed(state, test, operand, holds) {
                self.arrive(next, State { registers: state.registers, known });
            }
        }
    }

    /// What is known after the test had this outcome; None if it cannot have had it.
    fn narrowed(&self, state: &State, test: Test, operand: Value, holds: bool) -> Option<Clause> {
        let Value::Constant(k) = operand else { return Some(state.known.clone()) };
        match state.registers.a {
            Value::Constant(a) => (test.holds(a, k) == holds).then(|| state.known.clone()),
            Value::Field(field) if self.version.forbids(field, test, k, holds) => None,
            Value::Field(field) if self.version.decides(field) => Some(state.known.clone()),
            Value::Field(field) => state.known.clone().narrowed(field, test, k, holds),
            Value::Unknown | Value::Behind(_) => Some(state.known.clone()),
        }
    }

    fn accept(&mut self, known: Clause) {
        if self.accepted.iter_mut().any(|clause| clause.absorb(&known)) {
            return;
        }
        self.accepted.push(known);
        if self.accepted.len() > STATES_MAX {
            let all = std::mem::take(&mut self.accepted);
            self.accepted.extend(all.into_iter().reduce(|mut one, another| {
                one.widen(&another);
                one
            }));
        }
    }

    /// Puts the state before the instruction, together with another where nothing is lost by it.
    fn arrive(&mut self, at: usize, mut state: State) {
        if !self.reads_a.get(at).is_some_and(|read| *read) {
            state.registers.a = Value::Unknown;
        }
        if !self.reads_x.get(at).is_some_and(|read| *read) {
            state.registers.x = Value::Unknown;
        }
        let Some(states) = self.ahead.get_mut(at) else { return };
        let mut alike = states.iter_mut().filter(|other| other.registers == state.registers);
        if alike.any(|other| other.known.absorb(&state.known)) {
            return;
        }
        states.push(state);
        if states.len() > STATES_MAX {
            let all = std::mem::take(states);
            states.extend(all.into_iter().reduce(|one, another| one.widened(&another)));
        }
    }
}

impl State {
    fn widened(mut self, other: &Self) -> Self {
        let both = |one, another| if one == another { one } else { Value::Unknown };
        let (mine, theirs) = (&mut self.registers, other.registers);
        mine.a = both(mine.a, theirs.a);
        mine.x = both(mine.x, theirs.x);
        for (one, another) in mine.memory.iter_mut().zip(theirs.memory) {
            *one = both(*one, another);
        }
        self.known.widen(&other.known);
        self
    }
}

impl Registers {
    /// The registers after an instruction that neither branches nor returns; None where it ends without a match.
    fn after(mut self, op: Op) -> Option<Self> {
        let place = |width, offset| Value::Field(Field::whole(Place::Start { width, offset }));
        let word = |word: u8| self.memory.get(usize::from(word)).copied();
        match op {
            Op::Load { width, offset } => self.a = place(width, offset),
            Op::LoadAtX { width, offset } => self.a = at_x(self.x, width, offset),
            Op::LoadConstant(k) => self.a = Value::Constant(k),
            Op::LoadLen => self.a = Value::Field(Field::whole(Place::Len)),
            Op::LoadMemory(from) => self.a = word(from)?,
            Op::LoadXHeaderLen(0) => self.x = Value::Behind(0),
            Op::LoadXHeaderLen(_) => self.x = Value::Unknown,
            Op::LoadXConstant(k) => self.x = Value::Constant(k),
            Op::LoadXLen => self.x = Value::Field(Field::whole(Place::Len)),
            Op::LoadXMemory(from) => self.x = word(from)?,
            Op::Store(to) => *self.memory.get_mut(usize::from(to))? = self.a,
            Op::StoreX(to) => *self.memory.get_mut(usize::from(to))? = self.x,
            Op::Compute { arithmetic, k } => self.a = computed(arithmetic, self.a, k)?,
            Op::ComputeX(arithmetic) => {
                self.a = match self.x {
                    Value::Constant(x) => computed(arithmetic, self.a, x)?,
                    Value::Unknown | Value::Field(_) | Value::Behind(_) => Value::Unknown,
                };
            }
            Op::Negate => {
                self.a = match self.a {
                    Value::Constant(a) => Value::Constant(a.wrapping_neg()),
                    Value::Unknown | Value::Field(_) | Value::Behind(_) => Value::Unknown,
                };
            }
            Op::CopyAToX => self.x = self.a,
            Op::CopyXToA => self.a = self.x,
            Op::Jump(_) => {}
            Op::Branch { .. } | Op::BranchX { .. } | Op::Return(_) | Op::ReturnA => return None,
        }
        Some(self)
    }
}

fn at_x(x: Value, width: Width, offset: u32) -> Value {
    let place = match x {
        Value::Constant(x) => x.checked_add(offset).map(|offset| Place::Start { width, offset }),
        Value::Behind(more) => {
            more.checked_add(offset).map(|offset| Place::Behind { width, offset })
        }
        Value::Unknown | Value::Field(_) => None,
    };
    place.map_or(Value::Unknown, |place| Value::Field(Field::whole(place)))
}

/// What is in A after the operation; None after a division by zero, which ends the program.
fn computed(arithmetic: Arithmetic, a: Value, operand: u32) -> Option<Value> {
    let by_zero = arithmetic.apply(0, operand).is_none();
    let part = |field: Option<Field>| field.map_or(Value::Constant(0), Value::Field);
    Some(match a {
        _ if by_zero => return None,
        Value::Constant(a) => Value::Constant(arithmetic.apply(a, operand)?),
        Value::Field(field) if arithmetic == Arithmetic::And => part(field.and(operand)),
        Value::Field(field) if arithmetic == Arithmetic::ShiftRight => {
            part(field.shift_right(operand))
        }
        // A header has 60 octets at most; sums that could wrap are left alone.
        Value::Behind(more) if arithmetic == Arithmetic::Add => {
            let sum = more.checked_add(operand).filter(|sum| u16::try_from(*sum).is_ok());
            sum.map_or(Value::Unknown, Value::Behind)
        }
        Value::Unknown | Value::Field(_) | Value::Behind(_) => Value::Unknown,
    })
}

impl Version {
    /// The bits of the field that the version says, and what they are. It is in the upper half of the first octet.
    const fn says(self, field: Field) -> (u32, u32) {
        let Place::Start { width, offset: 0 } = field.place else { return (0, 0) };
        let up = match width {
            Width::Byte => 0,
            Width::Half => 8,
            Width::Word => 24,
        };
        let number: u32 = match self {
            Self::Four => 0x40,
            Self::Six => 0x60,
        };
        let said = field.mask & (0xf0 << up);
        (said >> field.shift, (said & (number << up)) >> field.shift)
    }

    /// Whether all of the field is the version, or nothing.
    const fn decides(self, field: Field) -> bool {
        self.says(field).0 == field.bits()
    }

    /// Whether the test cannot have this outcome.
    const fn forbids(self, field: Field, test: Test, k: u32, holds: bool) -> bool {
        let (said, value) = self.says(field);
        match (test, holds) {
            _ if said == 0 => false,
            _ if said == field.bits() => test.holds(value, k) != holds,
            (Test::Equal, true) => (value ^ k) & said != 0,
            (Test::AnyBit, true) => k & field.bits() & !said == 0 && value & k == 0,
            (Test::AnyBit, false) => value & k != 0,
            (Test::Equal, false) | (Test::Greater | Test::GreaterOrEqual, _) => false,
        }
    }
}

/// For each instruction whether a register is read there, or later before it is written.
fn read_later(ops: &[Op], reads: fn(Op) -> bool, writes: fn(Op) -> bool) -> Vec<bool> {
    let mut later = vec![false; ops.len()];
    for (at, op) in ops.iter().enumerate().rev() {
        let mut ahead = successors(*op, at).into_iter().flatten();
        let read_ahead = ahead.any(|next| later.get(next).is_some_and(|read| *read));
        if let Some(entry) = later.get_mut(at) {
            *entry = reads(*op) || (read_ahead && !writes(*op));
        }
    }
    later
}

const fn reads_a(op: Op) -> bool {
    matches!(
        op,
        Op::Store(_)
            | Op::Compute { .. }
            | Op::ComputeX(_)
            | Op::Negate
            | Op::Branch { .. }
            | Op::BranchX { .. }
            | Op::ReturnA
            | Op::CopyAToX
    )
}

const fn writes_a(op: Op) -> bool {
    matches!(
        op,
        Op::Load { .. }
            | Op::LoadAtX { .. }
            | Op::LoadConstant(_)
            | Op::LoadLen
            | Op::LoadMemory(_)
            | Op::CopyXToA
    )
}

const fn reads_x(op: Op) -> bool {
    matches!(
        op,
        Op::LoadAtX { .. } | Op::StoreX(_) | Op::ComputeX(_) | Op::BranchX { .. } | Op::CopyXToA
    )
}

const fn writes_x(op: Op) -> bool {
    matches!(
        op,
        Op::LoadXHeaderLen(_)
            | Op::LoadXConstant(_)
            | Op::LoadXLen
            | Op::LoadXMemory(_)
            | Op::CopyAToX
    )
}
