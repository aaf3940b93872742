//! What control and dataplane say to each other: commands down, events up, as fixed runs of words.
//!
//! Encoding fills a run of words; decoding checks every octet of one and gives a value that nothing needs to
//! check again, or a [`Malformed`] with its name. Unused octets must be zero, so that they can get a meaning
//! later without being mistaken. Numbers are in this machine's byte order: both sides are on it.
//!
//! | kinds | what |
//! |---|---|
//! | 1..=3 | begin, commit, abort of a transaction |
//! | 4 | survey: tell the states of all peers |
//! | 16..=18 | peers |
//! | 32..=33 | routes |
//! | 48..=49 | next hops |
//! | 64..=66 | tenants |
//! | 80..=84 | rules, and what is on their lists |
//! | 96..=99 | the fleet |
//! | 112..=115 | tenants' tunnels and their rules |
//! | 128..=130 | data centres |
//! | 256.. | events |

mod address;
mod centre;
mod choice;
mod command;
mod event;
mod fleet;
mod heavy;
mod measured;
mod rule;
mod ruleset;
mod tenant;
mod tunnel;

use std::fmt;

pub use centre::{Centre, Machine};
pub use choice::{
    Check, Class, DialFailure, DontFragment, Mode, ProbeStyle, SynGuard, TunnelState, Unit,
};
pub use command::{COMMAND_WORDS, Command, Item, NextHop, Peer, Scope, TooMany};
pub use event::{EVENT_WORDS, Event};
pub use fleet::{Fleet, Member, MemberState, Past};
pub use heavy::{Heavy, Pattern};
pub use measured::{DIALS_PER_EVENT, Dial, PATHS_PER_EVENT, Path, Run, run};
pub use rule::{Instruction, Matter, Per, Reach, Rule};
pub use ruleset::ALL_RULES;
pub use tenant::Tenant;
pub use tunnel::{Probe, Tunnel};

use crate::layout;

/// Version of the messages' meaning; their shape is hashed apart.
pub const VERSION: u32 = 6;

/// A hash over the shape of all messages.
pub const SHAPE: u64 = {
    let hash = layout::number(layout::EMPTY, command::SHAPE);
    let hash = layout::number(hash, event::SHAPE);
    let hash = layout::number(hash, fleet::SHAPE);
    let hash = layout::number(hash, heavy::SHAPE);
    let hash = layout::number(hash, rule::SHAPE);
    let hash = layout::number(hash, ruleset::SHAPE);
    let hash = layout::number(hash, tenant::SHAPE);
    let hash = layout::number(hash, tunnel::SHAPE);
    let hash = layout::number(hash, centre::SHAPE);
    let hash = layout::number(hash, measured::SHAPE);
    layout::number(hash, address::SHAPE)
};

/// A `WireGuard` public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(..)")
    }
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Its kind has no meaning.
    Kind(u16),
    /// Octets without a meaning are not zero.
    Reserved,
    /// An address family other than 4 and 6.
    Family(u8),
    /// A prefix longer than its family's addresses.
    PrefixLen(u8),
    /// A prefix with bits beyond its length.
    HostBits,
    /// A public key of zeros.
    Key,
    /// More addresses than fit the message, or none where there must be some.
    AddressCount(u8),
    /// An endpoint without a port.
    Port,
    /// A flag other than 0 and 1.
    Flag(u8),
    /// A scope other than snapshot and delta.
    Scope(u8),
    /// A next hop of no known kind.
    NextHop(u8),
    /// A tunnel between addresses of different families.
    Families,
    /// A reason that has no name.
    Reason(u16),
    /// More members or weights than fit the message.
    MemberCount(u8),
    /// A member in no known state.
    MemberState(u8),
    /// One of a few with a number that none of them has.
    Choice(u8),
    /// More instructions than fit the message, or none where there must be some.
    InstructionCount(u8),
    /// A rule with the id 0.
    RuleId,
    /// A tunnel that carries less or more than any does.
    Mtu(u16),
    /// A tunnel without a weight, or with more than any has.
    Weight(u16),
    /// Milliseconds between probes, out of bounds.
    Interval(u32),
    /// More text than fits the message, or none where there must be some.
    TextLen(u8),
    /// A data centre with the number 0.
    Centre,
}

impl Malformed {
    /// A number for an [`Event::Refused`].
    pub const fn code(self) -> u16 {
        match self {
            Self::Kind(_) => 1,
            Self::Reserved => 2,
            Self::Family(_) => 3,
            Self::PrefixLen(_) => 4,
            Self::HostBits => 5,
            Self::Key => 6,
            Self::AddressCount(_) => 7,
            Self::Port => 8,
            Self::Flag(_) => 9,
            Self::Scope(_) => 10,
            Self::NextHop(_) => 11,
            Self::Families => 12,
            Self::Reason(_) => 13,
            Self::MemberCount(_) => 14,
            Self::MemberState(_) => 15,
            Self::Choice(_) => 16,
            Self::InstructionCount(_) => 17,
            Self::RuleId => 18,
            Self::Mtu(_) => 19,
            Self::Weight(_) => 20,
            Self::Interval(_) => 21,
            Self::TextLen(_) => 22,
            Self::Centre => 23,
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => write!(f, "messages of kind {kind} are not known here"),
            Self::Reserved => f.write_str("octets that must be zero are not"),
            Self::Family(family) => write!(f, "an address family is 4 or 6, not {family}"),
            Self::PrefixLen(len) => write!(f, "no prefix of its family is {len} bits long"),
            Self::HostBits => f.write_str("a prefix has bits set beyond its length"),
            Self::Key => f.write_str("a public key is all zeros"),
            Self::AddressCount(count) => write!(f, "no message of its kind has {count} addresses"),
            Self::Port => f.write_str("an endpoint has no port"),
            Self::Flag(flag) => write!(f, "a flag is 0 or 1, not {flag}"),
            Self::Scope(scope) => write!(f, "a transaction has no scope {scope}"),
            Self::NextHop(kind) => write!(f, "next hops of kind {kind} are not known here"),
            Self::Families => f.write_str("a tunnel's two addresses are of different families"),
            Self::Reason(reason) => write!(f, "there is no reason with number {reason}"),
            Self::MemberCount(count) => write!(f, "{count} members do not fit one message"),
            Self::MemberState(state) => write!(f, "a member has no state {state}"),
            Self::Choice(choice) => write!(f, "there is no choice with number {choice}"),
            Self::InstructionCount(count) => {
                write!(f, "no message of its kind has {count} instructions")
            }
            Self::RuleId => f.write_str("a rule's id is 0"),
            Self::Mtu(mtu) => write!(f, "no tunnel carries {mtu} octets in one piece"),
            Self::Weight(weight) => write!(f, "no tunnel has the weight {weight}"),
            Self::Interval(ms) => write!(f, "no tunnel is probed every {ms} ms"),
            Self::TextLen(len) => write!(f, "no message of its kind has {len} octets of text"),
            Self::Centre => f.write_str("a data centre's number is 0"),
        }
    }
}

impl std::error::Error for Malformed {}

/// A flag octet.
fn flag(octet: u8) -> Result<bool, Malformed> {
    match octet {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Malformed::Flag(other)),
    }
}

/// Octets that have no meaning yet.
fn reserved(octets: &[u8]) -> Result<(), Malformed> {
    if octets.iter().all(|octet| *octet == 0) { Ok(()) } else { Err(Malformed::Reserved) }
}

/// A key that can be one.
fn public_key(octets: &[u8; 32]) -> Result<PublicKey, Malformed> {
    if *octets == [0; 32] { Err(Malformed::Key) } else { Ok(PublicKey(*octets)) }
}

/// The kind of a message, its first two octets.
fn kind<const N: usize>(words: &[u64; N]) -> u16 {
    let [low, high, ..] = words.first().copied().unwrap_or(0).to_ne_bytes();
    u16::from_ne_bytes([low, high])
}

#[cfg(test)]
mod tests;
