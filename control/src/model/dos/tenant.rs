//! Tenants: owners of prefixes that are protected, with their rules and the tunnels to their routers.

use std::sync::Arc;

use ipnet::IpNet;
use shm::message;

use super::{Firewall, Mode, SynGuard, Told, Tunnel};
use crate::model::Origin;

/// Packets per second of no flow that a tenant gets where it is not said: answers of a few hundred clients that were
/// there before their flows were followed.
pub const OUT_OF_STATE: u32 = 1000;

/// An owner of prefixes: as it is asked for, and as the book has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// What people call it; unique.
    pub name: Arc<str>,
    /// What the dataplane calls it. The book gives it; 0 in what is asked for.
    pub id: u32,
    /// With `monitor`, nothing of its packets is dropped by the filter; its own rules drop all the same.
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
    /// Its tunnels.
    pub tunnels: Box<[Tunnel]>,
    /// Its rules; without any, everything is accepted.
    pub firewall: Option<Firewall>,
    /// Who has put it into the book.
    pub origin: Origin,
}

impl Tenant {
    /// A tenant with nothing but its prefixes.
    pub fn new(name: &str, prefixes: impl Into<Box<[IpNet]>>) -> Self {
        Self {
            name: name.into(),
            id: 0,
            mode: Mode::Enforce,
            syn: SynGuard::Off,
            syn_above: 0,
            flows: false,
            out_of_state: OUT_OF_STATE,
            prefixes: prefixes.into(),
            tunnels: Box::default(),
            firewall: None,
            origin: Origin::Cli,
        }
    }

    /// Whether it says the same, whoever says it.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.mode == other.mode
            && self.syn == other.syn
            && self.syn_above == other.syn_above
            && self.flows == other.flows
            && self.out_of_state == other.out_of_state
            && self.prefixes == other.prefixes
            && self.tunnels.len() == other.tunnels.len()
            && self.tunnels.iter().zip(&other.tunnels).all(|(one, two)| one.says_the_same(two))
            && match (&self.firewall, &other.firewall) {
                (Some(one), Some(two)) => one.says_the_same(two),
                (one, two) => one.is_none() && two.is_none(),
            }
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

    /// How many messages it takes, without tunnels and rules.
    pub(in crate::model) fn own_messages(&self) -> u64 {
        message::Item::Tenant(Box::new(self.message())).message_count().unwrap_or(1) as u64
    }

    /// Its rules as the dataplane is told; none when they let everything pass.
    pub(crate) fn told(&self) -> Option<Told> {
        let firewall = self.firewall.as_ref().filter(|firewall| firewall.told_len() > 0)?;
        Some(firewall.of_tenant(self.id))
    }

    /// How many messages its rules take.
    pub(in crate::model) fn messages_of_rules(&self) -> u64 {
        self.told().map_or(0, |told| told.messages())
    }

    /// How many it takes, all in all.
    pub(in crate::model) fn messages(&self) -> u64 {
        self.own_messages() + self.tunnels.len() as u64 + self.messages_of_rules()
    }
}
