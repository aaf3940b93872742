//! Rules: what control says of packets that shall not go on.

mod count;
mod listed;
mod wire;

use std::time::Duration;

pub(super) use count::CountWire;
pub(super) use listed::{ListedWire, list, message_count};
pub(super) use wire::{InstructionsWire, RuleRemoveWire, RuleWire, SHAPE};

use super::choice::{Check, Class, Mode, Unit};

/// Whose packets a rule judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// All.
    All,
    /// Those to this server's own addresses.
    Own,
    /// Those to the prefixes of the tenant with this id.
    Tenant(u32),
}

/// What shares a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Per {
    /// Sources whose addresses agree in so many bits.
    Source {
        /// Of an IPv4 address.
        v4_len: u8,
        /// Of an IPv6 address.
        v6_len: u8,
    },
    /// Destinations whose addresses agree in so many bits.
    Destination {
        /// Of an IPv4 address.
        v4_len: u8,
        /// Of an IPv6 address.
        v6_len: u8,
    },
    /// All that the rule reaches.
    Whole,
}

/// An instruction of classic BPF, as `struct sock_filter` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// How many instructions to skip when a comparison holds.
    pub jt: u8,
    /// How many when it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// What a rule is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Matter {
    /// A list of sources whose packets are dropped; [`Item::Listed`](super::Item::Listed) fills it.
    Block,
    /// A list of sources whose packets no list, signature or limit drops.
    Allow,
    /// A set of prefixes that tenants' rules name; it drops nothing by itself.
    Set,
    /// A program of 1 to [`PROGRAM_MAX`](crate::limits::PROGRAM_MAX) instructions over a packet from its IP header
    /// on: what it accepts is dropped.
    Signature(Vec<Instruction>),
    /// A limit, by token bucket.
    Limit {
        /// What shares it.
        per: Per,
        /// Which packets it counts.
        class: Class,
        /// What of them.
        unit: Unit,
        /// How much of it per second.
        per_second: u64,
        /// How much of it at once.
        burst: u64,
    },
    /// One of the built-in checks, in place of its default.
    Check(Check),
}

/// Anything that judges packets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// By which control knows it; never 0.
    pub id: u32,
    /// What becomes of what it judges.
    pub mode: Mode,
    /// Whose packets it judges.
    pub reach: Reach,
    /// Since the Unix epoch, in whole seconds: from when it judges no more.
    pub expires: Option<Duration>,
    /// What it is.
    pub matter: Matter,
}
