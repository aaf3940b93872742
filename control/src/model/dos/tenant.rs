//! Tenants: owners of prefixes that are protected.

use std::sync::Arc;

use ipnet::IpNet;
use shm::message;

use super::{Mode, SynGuard};
use crate::model::Origin;

/// An owner of prefixes: as it is asked for, and as the book has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// What people call it; unique.
    pub name: Arc<str>,
    /// What the dataplane calls it. The book gives it; 0 in what is asked for.
    pub id: u32,
    /// With `monitor`, nothing of its packets is dropped by any rule.
    pub mode: Mode,
    /// How its connections are guarded against floods of SYN.
    pub syn: SynGuard,
    /// SYN per second from which they are; 0 for always.
    pub syn_above: u32,
    /// Whether its flows are followed, so that packets of none are told from others.
    pub flows: bool,
    /// How many packets of no flow pass per second.
    pub out_of_state: u32,
    /// Its prefixes, without host bits.
    pub prefixes: Box<[IpNet]>,
    /// Who has put it into the book.
    pub origin: Origin,
}

impl Tenant {
    /// Whether it says the same, whoever says it.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.mode == other.mode
            && self.syn == other.syn
            && self.syn_above == other.syn_above
            && self.flows == other.flows
            && self.out_of_state == other.out_of_state
            && self.prefixes == other.prefixes
    }

    /// As the dataplane is told.
    pub fn message(&self) -> message::Tenant {
        message::Tenant {
            id: self.id,
            mode: self.mode,
            syn: self.syn,
            syn_above: self.syn_above,
            flows: self.flows,
            out_of_state: self.out_of_state,
            prefixes: self.prefixes.to_vec(),
        }
    }

    /// How many messages it takes.
    pub(in crate::model) fn messages(&self) -> u64 {
        message::Item::Tenant(Box::new(self.message())).message_count().unwrap_or(1) as u64
    }
}
