//! A client of the simulation: ours, or boringtun.

use std::net::SocketAddr;

use dataplane::testing::client::{Client, Tally};
use wireguard::time::Instant;

use super::boring::Boring;

pub(crate) enum Peer {
    Ours(Box<Client>),
    Boring(Box<Boring>),
}

impl Peer {
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Ours(client) => client.address,
            Self::Boring(client) => client.address,
        }
    }

    pub(crate) fn send(&mut self, packet: &[u8], now: Instant) {
        match self {
            // What has no session yet waits, and too much of it is lost.
            Self::Ours(client) => drop(client.send(packet, now)),
            Self::Boring(client) => client.send(packet, now),
        }
    }

    pub(crate) fn receive(&mut self, octets: &[u8], from: SocketAddr, now: Instant) {
        match self {
            Self::Ours(client) => client.receive(octets, from, now),
            Self::Boring(client) => client.receive(octets, now),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Ours(client) => client.deadline(),
            Self::Boring(client) => Some(client.deadline()),
        }
    }

    pub(crate) fn tick(&mut self, now: Instant) {
        match self {
            Self::Ours(client) => client.tick(now),
            Self::Boring(client) => client.tick(now),
        }
    }

    pub(crate) fn roam(&mut self, address: SocketAddr) {
        match self {
            Self::Ours(client) => client.roam(address),
            Self::Boring(client) => client.address = address,
        }
    }

    pub(crate) fn restart(&mut self, now: Instant) {
        match self {
            Self::Ours(client) => client.restart(now),
            Self::Boring(client) => client.restart(now),
        }
    }

    /// Datagrams to be sent, and inner packets that have come.
    pub(crate) fn take(&mut self) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        match self {
            Self::Ours(client) => {
                let outbox = std::mem::take(&mut client.outbox);
                (
                    outbox.into_iter().map(|(_, octets)| octets).collect(),
                    std::mem::take(&mut client.inbox),
                )
            }
            Self::Boring(client) => {
                (std::mem::take(&mut client.outbox), std::mem::take(&mut client.inbox))
            }
        }
    }

    /// Datagrams that it refused.
    pub(crate) fn refused(&self) -> usize {
        match self {
            Self::Ours(client) => client.tally.refused,
            Self::Boring(client) => client.refused,
        }
    }

    pub(crate) fn tally(&self) -> Option<Tally> {
        match self {
            Self::Ours(client) => Some(client.tally),
            Self::Boring(_) => None,
        }
    }
}
