//! The consuming side of transactions: message after message in, whole transactions out.

use std::fmt;

use ipnet::IpNet;

use super::digest::Digest;
use super::{Reason, Refusal, Refusals, Transaction};
use crate::limits::{
    ADDRESSES_PER_PEER_MAX, MEMBERS_MAX, PAST_MAX, PROGRAM_MAX, TENANT_PREFIXES_MAX,
};
use crate::message::{
    COMMAND_WORDS, Command, Fleet, Instruction, Item, Malformed, Matter, Member, Past, PublicKey,
    Rule, Scope,
};

/// What a message led to.
#[derive(Debug)]
pub enum Step {
    /// Nothing yet.
    Gathered,
    /// A transaction is complete.
    Complete(Transaction),
    /// A transaction is refused.
    Refused(Refusal),
    /// The states of all peers are asked for, under this number. An open transaction goes on.
    Survey(u64),
}

/// Gathers transactions.
pub struct Collector {
    items_max: usize,
    epoch: u64,
    state: State,
    refusals: Refusals,
}

enum State {
    /// Nothing has begun.
    Idle,
    /// Messages are gathered.
    Open(Box<Open>),
    /// The transaction is refused; the rest of it is passed over.
    Skipping,
}

struct Open {
    id: u64,
    scope: Scope,
    digest: Digest,
    items: Vec<Item>,
    /// The last item goes on.
    more: bool,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector")
            .field("epoch", &self.epoch)
            .field("open", &self.open_id())
            .field("refusals", &self.refusals)
            .finish_non_exhaustive()
    }
}

impl Collector {
    /// Gathers up to `items_max` messages per transaction.
    pub fn new(items_max: usize) -> Self {
        Self { items_max, epoch: 0, state: State::Idle, refusals: Refusals::default() }
    }

    /// The number of the transaction that is being gathered.
    pub fn open_id(&self) -> Option<u64> {
        match &self.state {
            State::Open(open) => Some(open.id),
            State::Idle | State::Skipping => None,
        }
    }

    /// The producer's epoch from here on: with another one than before, whoever began a transaction cannot
    /// end it any more.
    pub fn enter(&mut self, epoch: u64) -> Option<Refusal> {
        if epoch == self.epoch {
            return None;
        }
        self.epoch = epoch;
        self.forsake(Reason::ProducerDied)
    }

    /// Refuses what is open, whatever comes next; none when nothing is.
    pub fn forsake(&mut self, reason: Reason) -> Option<Refusal> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Open(open) => Some(self.refusal(&open, reason, None)),
            State::Idle | State::Skipping => None,
        }
    }

    /// Takes the next message.
    pub fn take(&mut self, message: &[u64; COMMAND_WORDS]) -> Step {
        match (Command::decode(message), std::mem::replace(&mut self.state, State::Idle)) {
            (Ok(Command::Begin { id, scope }), before) => self.begin(id, scope, before),
            (Ok(Command::Survey { id }), before) => {
                self.state = before;
                Step::Survey(id)
            }
            (Ok(Command::Commit { id, count, digest }), State::Open(open)) => {
                self.commit(*open, id, count, digest)
            }
            (Ok(Command::Abort { id }), State::Open(open)) => {
                let reason = if id == open.id { Reason::Aborted } else { Reason::OtherTransaction };
                Step::Refused(self.refusal(&open, reason, None))
            }
            (Ok(Command::Commit { .. } | Command::Abort { .. }), State::Skipping) => Step::Gathered,
            (_, State::Skipping) => {
                self.state = State::Skipping;
                Step::Gathered
            }
            (command, State::Idle) => self.outside(&command),
            (Ok(command), State::Open(open)) => self.gather(open, command, message),
            (Err(malformed), State::Open(open)) => {
                let reason = reason_for(malformed);
                self.skip(&open, reason, Some(malformed))
            }
        }
    }

    /// What was refused so far.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// The same, to count what is refused after it was gathered.
    pub fn refusals_mut(&mut self) -> &mut Refusals {
        &mut self.refusals
    }

    fn begin(&mut self, id: u64, scope: Scope, before: State) -> Step {
        self.state = State::Open(Box::new(Open {
            id,
            scope,
            digest: Digest::new(id, scope),
            items: Vec::new(),
            more: false,
        }));
        match before {
            State::Open(open) => Step::Refused(self.refusal(&open, Reason::NestedBegin, None)),
            State::Idle | State::Skipping => Step::Gathered,
        }
    }

    fn commit(&mut self, open: Open, id: u64, count: u64, digest: u64) -> Step {
        let wrong = if id != open.id {
            Some(Reason::OtherTransaction)
        } else if open.more {
            Some(Reason::Continuation)
        } else if count != open.digest.count() {
            Some(Reason::Count)
        } else if digest != open.digest.value() {
            Some(Reason::Digest)
        } else {
            None
        };
        match wrong {
            Some(reason) => Step::Refused(self.refusal(&open, reason, None)),
            None => Step::Complete(Transaction { id, scope: open.scope, count, items: open.items }),
        }
    }

    /// One refusal for all that comes before the next beginning.
    fn outside(&mut self, command: &Result<Command, Malformed>) -> Step {
        self.state = match command {
            Ok(Command::Commit { .. } | Command::Abort { .. }) => State::Idle,
            _ => State::Skipping,
        };
        let (reason, malformed) = match command {
            Err(malformed) => (reason_for(*malformed), Some(*malformed)),
            Ok(_) => (Reason::ItemOutside, None),
        };
        self.refusals.add(reason);
        Step::Refused(Refusal { id: 0, reason, item: 0, malformed })
    }

    fn gather(
        &mut self,
        mut open: Box<Open>,
        command: Command,
        message: &[u64; COMMAND_WORDS],
    ) -> Step {
        if open.digest.count() >= u64::try_from(self.items_max).unwrap_or(u64::MAX) {
            return self.skip(&open, Reason::TooLarge, None);
        }
        let wrong = match command {
            Command::Item { .. } if open.more => Some(Reason::Continuation),
            Command::Item { item, more } => {
                open.items.push(item);
                open.more = more;
                None
            }
            Command::Addresses { public_key, allowed_ips, more } => {
                open.continue_peer(public_key, allowed_ips, more).err()
            }
            Command::Members { generation, members, more } => {
                open.continue_members(generation, members, more).err()
            }
            Command::Past { generation, past, continued, more } => {
                open.continue_past(generation, past, (continued, more)).err()
            }
            Command::Prefixes { tenant, prefixes, more } => {
                open.continue_tenant(tenant, prefixes, more).err()
            }
            Command::Instructions { rule, instructions, more } => {
                open.continue_rule(rule, instructions, more).err()
            }
            // These were taken care of above.
            Command::Begin { .. }
            | Command::Commit { .. }
            | Command::Abort { .. }
            | Command::Survey { .. } => None,
        };
        if let Some(reason) = wrong {
            return self.skip(&open, reason, None);
        }
        open.digest.add(message);
        self.state = State::Open(open);
        Step::Gathered
    }

    fn skip(&mut self, open: &Open, reason: Reason, malformed: Option<Malformed>) -> Step {
        self.state = State::Skipping;
        Step::Refused(self.refusal(open, reason, malformed))
    }

    fn refusal(&mut self, open: &Open, reason: Reason, malformed: Option<Malformed>) -> Refusal {
        self.refusals.add(reason);
        Refusal { id: open.id, reason, item: open.digest.count(), malformed }
    }
}

impl Open {
    fn continue_peer(
        &mut self,
        public_key: PublicKey,
        allowed_ips: Vec<IpNet>,
        more: bool,
    ) -> Result<(), Reason> {
        let Some(Item::Peer(peer)) = self.items.last_mut().filter(|_| self.more) else {
            return Err(Reason::Continuation);
        };
        if peer.public_key != public_key {
            return Err(Reason::Continuation);
        }
        append(&mut peer.allowed_ips, allowed_ips, ADDRESSES_PER_PEER_MAX)
            .ok_or(Reason::TooManyAddresses)?;
        self.more = more;
        Ok(())
    }

    /// The fleet of this generation, when it is what goes on.
    fn fleet(&mut self, generation: u16) -> Result<&mut Fleet, Reason> {
        match self.items.last_mut().filter(|_| self.more) {
            Some(Item::Fleet(fleet)) if fleet.generation == generation => Ok(fleet),
            _ => Err(Reason::Continuation),
        }
    }

    fn continue_members(
        &mut self,
        generation: u16,
        members: Vec<Member>,
        more: bool,
    ) -> Result<(), Reason> {
        let fleet = self.fleet(generation)?;
        if !fleet.past.is_empty() {
            return Err(Reason::Continuation);
        }
        append(&mut fleet.members, members, MEMBERS_MAX).ok_or(Reason::TooManyMembers)?;
        self.more = more;
        Ok(())
    }

    fn continue_past(
        &mut self,
        generation: u16,
        past: Past,
        (continued, more): (bool, bool),
    ) -> Result<(), Reason> {
        let fleet = self.fleet(generation)?;
        match fleet.past.last_mut().filter(|_| continued) {
            Some(last) if last.generation == past.generation => {
                append(&mut last.weights, past.weights, MEMBERS_MAX)
            }
            None if !continued => append(&mut fleet.past, vec![past], PAST_MAX),
            Some(_) | None => return Err(Reason::Continuation),
        }
        .ok_or(Reason::TooManyMembers)?;
        self.more = more;
        Ok(())
    }

    fn continue_tenant(&mut self, id: u32, prefixes: Vec<IpNet>, more: bool) -> Result<(), Reason> {
        match self.items.last_mut().filter(|_| self.more) {
            Some(Item::Tenant(tenant)) if tenant.id == id => {
                append(&mut tenant.prefixes, prefixes, TENANT_PREFIXES_MAX)
                    .ok_or(Reason::TooManyAddresses)?;
            }
            _ => return Err(Reason::Continuation),
        }
        self.more = more;
        Ok(())
    }

    fn continue_rule(
        &mut self,
        id: u32,
        instructions: Vec<Instruction>,
        more: bool,
    ) -> Result<(), Reason> {
        let Some(Item::Rule(rule)) = self.items.last_mut().filter(|_| self.more) else {
            return Err(Reason::Continuation);
        };
        let Rule { id: own, matter: Matter::Signature(program), .. } = &mut **rule else {
            return Err(Reason::Continuation);
        };
        if *own != id {
            return Err(Reason::Continuation);
        }
        append(program, instructions, PROGRAM_MAX).ok_or(Reason::ProgramTooLong)?;
        self.more = more;
        Ok(())
    }
}

/// Adds what goes on to what there is, unless there would be more than `max` of them.
fn append<T>(to: &mut Vec<T>, mut more: Vec<T>, max: usize) -> Option<()> {
    (to.len() + more.len() <= max).then(|| to.append(&mut more))
}

fn reason_for(malformed: Malformed) -> Reason {
    if matches!(malformed, Malformed::Kind(_)) { Reason::UnknownKind } else { Reason::Malformed }
}
