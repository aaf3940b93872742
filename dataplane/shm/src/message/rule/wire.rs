//! Rules to words and back; a long program goes on in further messages.

use std::time::Duration;

use zerocopy::{IntoBytes, transmute};

use super::super::choice::{Check, Class, Mode, Unit};
use super::super::command::{
    COMMAND_WORDS, Command, Item, RULE, RULE_INSTRUCTIONS, RULE_REMOVE, TooMany,
};
use super::super::{Malformed, flag, reserved};
use super::{CountWire, Instruction, ListedWire, Matter, Per, Reach, Rule};
use crate::layout::{self, wire};
use crate::limits::PROGRAM_MAX;

/// Instructions in a rule's first message, and in each that continues it.
const FIRST: usize = 16;
const MORE: usize = 21;

/// The octets of [`RuleWire::reach`].
const ALL: u8 = 1;
const OWN: u8 = 2;
const TENANT: u8 = 3;

/// The octets of [`RuleWire::matter`].
const BLOCK: u8 = 1;
const ALLOW: u8 = 2;
const SIGNATURE: u8 = 3;
const LIMIT: u8 = 4;
const CHECK: u8 = 5;
const SET: u8 = 6;

/// The octets of [`RuleWire::per`].
const SOURCE: u8 = 1;
const DESTINATION: u8 = 2;
const WHOLE: u8 = 3;

wire! {
    /// An instruction.
    struct InstructionWire {
        code: u16,
        jt: u8,
        jf: u8,
        k: u32,
    }

    /// A rule with the first of its instructions; `more` says that a continuation follows.
    struct RuleWire {
        kind: u16,
        more: u8,
        count: u8,
        id: u32,
        expires_s: u64,
        per_second: u64,
        burst: u64,
        tenant: u32,
        mode: u8,
        reach: u8,
        has_expiry: u8,
        matter: u8,
        class: u8,
        unit: u8,
        per: u8,
        v4_len: u8,
        v6_len: u8,
        check: u8,
        reserved: [u8; 2],
        instructions: [InstructionWire; FIRST],
    }

    /// More instructions of the rule before.
    struct InstructionsWire {
        kind: u16,
        more: u8,
        count: u8,
        id: u32,
        instructions: [InstructionWire; MORE],
    }

    /// The end of a rule.
    struct RuleRemoveWire {
        kind: u16,
        reserved: [u8; 2],
        id: u32,
        rest: [u8; 168],
    }
}

/// The shapes of rules, of what is on their lists and of their counts, hashed.
pub(crate) const SHAPE: u64 = {
    let hash = layout::number(layout::EMPTY, InstructionWire::SHAPE);
    let hash = layout::number(hash, RuleWire::SHAPE);
    let hash = layout::number(hash, InstructionsWire::SHAPE);
    let hash = layout::number(hash, RuleRemoveWire::SHAPE);
    let hash = layout::number(hash, ListedWire::SHAPE);
    layout::number(hash, CountWire::SHAPE)
};

impl Rule {
    /// How many messages it takes.
    pub(crate) fn message_count(&self) -> Result<usize, TooMany> {
        match self.program().len() {
            count if count > PROGRAM_MAX => Err(TooMany::Instructions(count)),
            count => Ok(1 + count.saturating_sub(FIRST).div_ceil(MORE)),
        }
    }

    /// Appends its messages.
    pub(crate) fn encode(&self, into: &mut Vec<[u64; COMMAND_WORDS]>) {
        let program = self.program();
        let (first, rest) = program.split_at_checked(FIRST).unwrap_or((program, &[]));
        let wire = RuleWire { more: u8::from(!rest.is_empty()), ..RuleWire::new(self, first) };
        into.push(transmute!(wire));
        let mut left = rest.chunks(MORE);
        while let Some(some) = left.next() {
            let (instructions, count) = table(some);
            let more = u8::from(left.len() > 0);
            let kind = RULE_INSTRUCTIONS;
            into.push(transmute!(InstructionsWire {
                kind,
                more,
                count,
                id: self.id,
                instructions
            }));
        }
    }

    /// The instructions of a signature; none of anything else.
    fn program(&self) -> &[Instruction] {
        match &self.matter {
            Matter::Signature(program) => program,
            Matter::Block
            | Matter::Allow
            | Matter::Set
            | Matter::Limit { .. }
            | Matter::Check(_) => &[],
        }
    }
}

impl RuleWire {
    /// A rule with these instructions.
    fn new(rule: &Rule, program: &[Instruction]) -> Self {
        let (reach, tenant) = match rule.reach {
            Reach::All => (ALL, 0),
            Reach::Own => (OWN, 0),
            Reach::Tenant(id) => (TENANT, id),
        };
        let (instructions, count) = table(program);
        let wire = Self {
            kind: RULE,
            count,
            id: rule.id,
            expires_s: rule.expires.map_or(0, |expires| expires.as_secs()),
            tenant,
            mode: rule.mode.code(),
            reach,
            has_expiry: u8::from(rule.expires.is_some()),
            instructions,
            ..transmute!([0_u64; COMMAND_WORDS])
        };
        wire.with(&rule.matter)
    }

    fn with(self, matter: &Matter) -> Self {
        match *matter {
            Matter::Block => Self { matter: BLOCK, ..self },
            Matter::Allow => Self { matter: ALLOW, ..self },
            Matter::Set => Self { matter: SET, ..self },
            Matter::Signature(_) => Self { matter: SIGNATURE, ..self },
            Matter::Check(check) => Self { matter: CHECK, check: check.code(), ..self },
            Matter::Limit { per, class, unit, per_second, burst } => {
                let (per, v4_len, v6_len) = match per {
                    Per::Source { v4_len, v6_len } => (SOURCE, v4_len, v6_len),
                    Per::Destination { v4_len, v6_len } => (DESTINATION, v4_len, v6_len),
                    Per::Whole => (WHOLE, 0, 0),
                };
                let (class, unit) = (class.code(), unit.code());
                Self { matter: LIMIT, per, v4_len, v6_len, class, unit, per_second, burst, ..self }
            }
        }
    }

    /// The rule, and whether it goes on.
    pub(crate) fn read(&self) -> Result<Command, Malformed> {
        let program = used(&self.instructions, self.count)?;
        let rule = Rule {
            id: self.id,
            mode: Mode::read(self.mode)?,
            reach: self.reach()?,
            expires: flag(self.has_expiry)?.then(|| Duration::from_secs(self.expires_s)),
            matter: self.matter(&program)?,
        };
        let more = flag(self.more)?;
        // A rule has fields that belong to other kinds of it: what it does not name must be zero, and only a
        // program goes on. Writing it again and comparing says that for each kind without saying it twice.
        let again = Self { more: self.more, ..Self::new(&rule, rule.program()) };
        let goes_on = matches!(rule.matter, Matter::Signature(_));
        match rule.id {
            0 => Err(Malformed::RuleId),
            _ if again.as_bytes() != self.as_bytes() || more && !goes_on => {
                Err(Malformed::Reserved)
            }
            _ => Ok(Command::Item { item: Item::Rule(Box::new(rule)), more }),
        }
    }

    fn reach(&self) -> Result<Reach, Malformed> {
        match self.reach {
            ALL => Ok(Reach::All),
            OWN => Ok(Reach::Own),
            TENANT => Ok(Reach::Tenant(self.tenant)),
            other => Err(Malformed::Choice(other)),
        }
    }

    fn matter(&self, program: &[Instruction]) -> Result<Matter, Malformed> {
        match self.matter {
            BLOCK => Ok(Matter::Block),
            ALLOW => Ok(Matter::Allow),
            SET => Ok(Matter::Set),
            SIGNATURE if program.is_empty() => Err(Malformed::InstructionCount(0)),
            SIGNATURE => Ok(Matter::Signature(program.to_vec())),
            LIMIT => Ok(Matter::Limit {
                per: self.per()?,
                class: Class::read(self.class)?,
                unit: Unit::read(self.unit)?,
                per_second: self.per_second,
                burst: self.burst,
            }),
            CHECK => Check::read(self.check).map(Matter::Check),
            other => Err(Malformed::Choice(other)),
        }
    }

    fn per(&self) -> Result<Per, Malformed> {
        let &Self { v4_len, v6_len, .. } = self;
        if v4_len > 32 {
            return Err(Malformed::PrefixLen(v4_len));
        }
        if v6_len > 128 {
            return Err(Malformed::PrefixLen(v6_len));
        }
        match self.per {
            SOURCE => Ok(Per::Source { v4_len, v6_len }),
            DESTINATION => Ok(Per::Destination { v4_len, v6_len }),
            WHOLE => Ok(Per::Whole),
            other => Err(Malformed::Choice(other)),
        }
    }
}

impl InstructionsWire {
    /// The instructions that continue a rule.
    pub(crate) fn read(&self) -> Result<Command, Malformed> {
        let instructions = used(&self.instructions, self.count)?;
        match self.count {
            0 => Err(Malformed::InstructionCount(0)),
            _ => Ok(Command::Instructions { rule: self.id, instructions, more: flag(self.more)? }),
        }
    }
}

impl RuleRemoveWire {
    /// The words of the end of a rule.
    pub(crate) fn encode(id: u32) -> [u64; COMMAND_WORDS] {
        transmute!(Self { kind: RULE_REMOVE, reserved: [0; 2], id, rest: [0; 168] })
    }

    /// The rule that ends.
    pub(crate) fn read(&self) -> Result<Item, Malformed> {
        reserved(&self.reserved)?;
        reserved(&self.rest)?;
        if self.id == 0 { Err(Malformed::RuleId) } else { Ok(Item::RuleRemove(self.id)) }
    }
}

/// A table filled from the front, and how many places that took.
fn table<const N: usize>(program: &[Instruction]) -> ([InstructionWire; N], u8) {
    let mut count = 0;
    let mut table = [const { InstructionWire { code: 0, jt: 0, jf: 0, k: 0 } }; N];
    for (place, &Instruction { code, jt, jf, k }) in table.iter_mut().zip(program) {
        *place = InstructionWire { code, jt, jf, k };
        count += 1;
    }
    (table, count)
}

/// The instructions of a table; what is not counted must be zero.
fn used(table: &[InstructionWire], count: u8) -> Result<Vec<Instruction>, Malformed> {
    let split = table.split_at_checked(usize::from(count));
    let (used, unused) = split.ok_or(Malformed::InstructionCount(count))?;
    reserved(unused.as_bytes())?;
    let instruction =
        |&InstructionWire { code, jt, jf, k }: &InstructionWire| Instruction { code, jt, jf, k };
    Ok(used.iter().map(instruction).collect())
}
