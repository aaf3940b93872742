//! The fleet in messages: members, four to a message, and the weights of earlier generations.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use zerocopy::IntoBytes;

use super::{Malformed, TooMany, flag, reserved};
use crate::layout::{self, wire};
use crate::limits::{MEMBERS_MAX, PAST_MAX};

/// Members in a message.
const MEMBERS: usize = 4;
/// Weights in a message.
const WEIGHTS: usize = 41;

/// The octets of [`MemberWire::state`].
const ACTIVE: u8 = 1;
const DRAINING: u8 = 2;
const DOWN: u8 = 3;

/// Bits of [`MemberWire::has`].
const HAS_V4: u8 = 1;
const HAS_V6: u8 = 2;
const HAS_DEADLINE: u8 = 4;

wire! {
    /// A server of the fleet.
    struct MemberWire {
        server: u8,
        state: u8,
        has: u8,
        reserved: u8,
        weight: u16,
        reserved2: [u8; 2],
        deadline_s: u64,
        v6: [u8; 16],
        v4: [u8; 4],
        reserved3: [u8; 4],
    }

    /// A fleet with the first of its members, or more members of the fleet before.
    struct MembersWire {
        kind: u16,
        more: u8,
        count: u8,
        generation: u16,
        reserved: [u8; 10],
        members: [MemberWire; MEMBERS],
    }

    /// What a server weighed.
    struct WeightWire {
        server: u8,
        reserved: u8,
        weight: u16,
    }

    /// An earlier generation of the fleet before, or more of its weights.
    struct PastWire {
        kind: u16,
        more: u8,
        count: u8,
        generation: u16,
        past: u16,
        continued: u8,
        reserved: [u8; 3],
        weights: [WeightWire; WEIGHTS],
    }

    /// What the fleet's messages have in common.
    struct HeadWire {
        kind: u16,
        more: u8,
        count: u8,
        rest: [u8; 172],
    }

    /// The end of a fleet.
    struct RemoveWire {
        kind: u16,
        rest: [u8; 174],
    }
}

/// The shapes in this file, hashed.
pub(super) const SHAPE: u64 = {
    let hash = layout::number(layout::EMPTY, MemberWire::SHAPE);
    let hash = layout::number(hash, MembersWire::SHAPE);
    let hash = layout::number(hash, WeightWire::SHAPE);
    let hash = layout::number(hash, PastWire::SHAPE);
    let hash = layout::number(hash, HeadWire::SHAPE);
    layout::number(hash, RemoveWire::SHAPE)
};

/// What a server of the fleet takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemberState {
    /// New clients, by its weight.
    Active,
    /// No new clients; it keeps those that it has.
    Draining {
        /// Since the Unix epoch, in whole seconds: when it keeps them no longer.
        deadline: Option<Duration>,
    },
    /// Nothing: it is not there.
    Down,
}

/// A server of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// Its number, as receiver indices name it.
    pub server: u8,
    /// How many clients it takes in proportion to the others.
    pub weight: u16,
    /// Whether it takes any.
    pub state: MemberState,
    /// Where other members reach it.
    pub v4: Option<Ipv4Addr>,
    /// The same in the other family.
    pub v6: Option<Ipv6Addr>,
}

/// An earlier generation of the fleet, from which previous owners follow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Past {
    /// Its number.
    pub generation: u16,
    /// The members that took new clients then, with their weights; at most [`MEMBERS_MAX`].
    pub weights: Vec<(u8, u16)>,
}

/// All servers that serve the same clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fleet {
    /// The number of this membership, the same on all servers.
    pub generation: u16,
    /// The servers; at most [`MEMBERS_MAX`].
    pub members: Vec<Member>,
    /// Earlier generations, the newest first; at most [`PAST_MAX`].
    pub past: Vec<Past>,
}

impl Fleet {
    /// How many messages it takes.
    pub fn message_count(&self) -> Result<usize, TooMany> {
        let weights = || self.past.iter().map(|past| past.weights.len());
        let members = weights().fold(self.members.len(), usize::max);
        if members > MEMBERS_MAX {
            return Err(TooMany::Members(members));
        }
        if self.past.len() > PAST_MAX {
            return Err(TooMany::Past(self.past.len()));
        }
        let past: usize = weights().map(|count| count.div_ceil(WEIGHTS).max(1)).sum();
        Ok(self.members.len().div_ceil(MEMBERS).max(1) + past)
    }

    /// Its members as they go into messages: the first is there also without any.
    pub(super) fn member_runs(&self) -> impl Iterator<Item = &[Member]> {
        runs(&self.members, MEMBERS)
    }
}

impl Past {
    /// Its weights as they go into messages: the first is there also without any.
    pub(super) fn weight_runs(&self) -> impl Iterator<Item = &[(u8, u16)]> {
        runs(&self.weights, WEIGHTS)
    }
}

fn runs<T>(all: &[T], len: usize) -> impl Iterator<Item = &[T]> {
    let (first, rest) = all.split_at_checked(len).unwrap_or((all, &[]));
    std::iter::once(first).chain(rest.chunks(len))
}

impl MembersWire {
    /// Fills the table from the front.
    pub(super) fn put(&mut self, members: &[Member]) {
        for (place, member) in self.members.iter_mut().zip(members) {
            *place = MemberWire::from(member);
            self.count += 1;
        }
    }

    /// The members; what is not counted must be zero.
    pub(super) fn read(&self) -> Result<Vec<Member>, Malformed> {
        reserved(&self.reserved)?;
        used(&self.members, self.count)?.iter().map(MemberWire::read).collect()
    }
}

impl PastWire {
    /// Fills the table from the front.
    pub(super) fn put(&mut self, weights: &[(u8, u16)]) {
        for (place, (server, weight)) in self.weights.iter_mut().zip(weights) {
            *place = WeightWire { server: *server, reserved: 0, weight: *weight };
            self.count += 1;
        }
    }

    /// The generation; what is not counted must be zero.
    pub(super) fn read(&self) -> Result<Past, Malformed> {
        reserved(&self.reserved)?;
        flag(self.continued)?;
        let weight =
            |wire: &WeightWire| reserved(&[wire.reserved]).map(|()| (wire.server, wire.weight));
        let weights = used(&self.weights, self.count)?.iter().map(weight).collect::<Result<_, _>>();
        Ok(Past { generation: self.past, weights: weights? })
    }
}

/// The places of a table that are used.
fn used<T: IntoBytes + zerocopy::Immutable>(table: &[T], count: u8) -> Result<&[T], Malformed> {
    let split = table.split_at_checked(usize::from(count));
    let (used, unused) = split.ok_or(Malformed::MemberCount(count))?;
    reserved(unused.as_bytes()).map(|()| used)
}

impl From<&Member> for MemberWire {
    fn from(member: &Member) -> Self {
        let (state, deadline) = match member.state {
            MemberState::Active => (ACTIVE, None),
            MemberState::Draining { deadline } => (DRAINING, deadline),
            MemberState::Down => (DOWN, None),
        };
        let has = |bit: u8, is_there: bool| if is_there { bit } else { 0 };
        Self {
            server: member.server,
            state,
            has: has(HAS_V4, member.v4.is_some())
                | has(HAS_V6, member.v6.is_some())
                | has(HAS_DEADLINE, deadline.is_some()),
            reserved: 0,
            weight: member.weight,
            reserved2: [0; 2],
            deadline_s: deadline.map_or(0, |deadline| deadline.as_secs()),
            v6: member.v6.map_or([0; 16], |address| address.octets()),
            v4: member.v4.map_or([0; 4], |address| address.octets()),
            reserved3: [0; 4],
        }
    }
}

impl MemberWire {
    fn read(&self) -> Result<Member, Malformed> {
        let has = |bit: u8| self.has & bit != 0;
        let deadline = has(HAS_DEADLINE).then(|| Duration::from_secs(self.deadline_s));
        let member = Member {
            server: self.server,
            weight: self.weight,
            state: match self.state {
                ACTIVE => MemberState::Active,
                DRAINING => MemberState::Draining { deadline },
                DOWN => MemberState::Down,
                other => return Err(Malformed::MemberState(other)),
            },
            v4: has(HAS_V4).then(|| Ipv4Addr::from(self.v4)),
            v6: has(HAS_V6).then(|| Ipv6Addr::from(self.v6)),
        };
        // What a member does not name must be zero; writing it again says so for each state.
        let again = Self::from(&member);
        if again.as_bytes() == self.as_bytes() { Ok(member) } else { Err(Malformed::Reserved) }
    }
}
