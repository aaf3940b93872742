//! Servers that translate what their kernel sends to the Internet: what control has told them, and the flows that they have.

use std::net::Ipv4Addr;

use dataplane::config::NatConfig;
use dataplane::fate::Fate;
use dataplane::frame::Entry;
use dataplane::keeper::Keeper;
use dataplane::port::Batch;
use dataplane::site::ROUTER;
use dataplane::testing::packets::{self, Ip};
use dpdk::{Mbuf, Pool, mbuf};
use ipnet::Ipv4Net;
use shm::message::{Item, NextHop, Scope};
use shm::transaction::Transaction;
use wire::{ethernet, ipv4, udp};
use wireguard::secret::Secret;

use crate::Failure;
use crate::service::client::{GATEWAY_LINK, KERNEL_LINK, LOCAL, PORT_LINK};
use crate::service::server::{self, End};
use crate::turns::{Landing, Setting, Whose, filled};

/// The address by which the Internet knows the machine.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
/// Ports that flows are sent from, of which each has a mapping; flows beyond them go from the same to other addresses.
pub(crate) const PORTS: u32 = 50_000;
const FIRST_PORT: u16 = 2_000;
/// Ports of the Internet's servers, and their first address: one that somebody may have. Nothing leaves memory.
const ASKED: u16 = 443;
const ASKED_FIRST: Ipv4Addr = Ipv4Addr::new(11, 18, 0, 1);

/// One flow, by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    port: u16,
    remote: Ipv4Addr,
}

impl Flow {
    pub(crate) fn of(number: u32) -> Self {
        let port = u16::try_from(number % PORTS).unwrap_or(0) + FIRST_PORT;
        Self { port, remote: Ipv4Addr::from_bits(ASKED_FIRST.to_bits() + number / PORTS) }
    }

    /// A frame of the kernel's with so many octets inside.
    pub(crate) fn outward(self, len: usize) -> Vec<u8> {
        let packet = Ip::new(LOCAL, self.remote).udp(self.port, ASKED, &payload(len));
        packets::frame(ROUTER, KERNEL_LINK, None, &packet)
    }

    /// A frame from the Internet that answers it, to the port that stands outside for the flow's.
    pub(crate) fn back(self, mapped: u16, len: usize) -> Vec<u8> {
        let packet = Ip::new(self.remote, OUTSIDE).udp(ASKED, mapped, &payload(len));
        packets::frame(PORT_LINK, GATEWAY_LINK, None, &packet)
    }
}

/// Which port stands outside for each of [`PORTS`].
type Mapped = Vec<u16>;

/// A whole worker, and what is walked from outside, both with flows.
pub(super) struct Translator {
    pub(super) landing: Landing,
    of_server: Mapped,
    of_stages: Mapped,
    pub(super) flows: u32,
    /// Octets of the packets.
    pub(super) size: usize,
}

impl Translator {
    /// With so many flows, and packets of this many octets.
    pub(super) fn start(setting: &Setting, (flows, size): (u32, usize)) -> Result<Self, Failure> {
        let landing = Landing::start(setting, &flows.to_string(), || keeper(flows))?;
        let (of_server, of_stages) = (Mapped::new(), Mapped::new());
        let mut translator = Self { landing, of_server, of_stages, flows, size };
        for number in 0..flows {
            translator.open(&setting.pool, number)?;
        }
        Ok(translator)
    }

    /// Sends the first packet of a flow, to either.
    fn open(&mut self, pool: &Pool, number: u32) -> Result<(), Failure> {
        let mut packets = Batch::new();
        for whose in [Whose::Server, Whose::Stages] {
            packets.push(filled(pool, &self.outward(number))?);
            match whose {
                Whose::Server => {
                    self.landing.server.carry(&mut packets, (End::Local, End::Wire));
                }
                Whose::Stages => {
                    self.landing.stages.walk(&mut packets, Entry::Local, Fate::Transmit(0))?;
                }
            }
            let sent = packets.first().ok_or("a flow was not opened")?;
            let port = port_outside(sent).ok_or("no datagram has left")?;
            let mapped =
                if whose == Whose::Server { &mut self.of_server } else { &mut self.of_stages };
            if number < PORTS {
                mapped.push(port);
            }
            mbuf::free_bulk(&mut packets);
        }
        Ok(())
    }

    /// A frame of the kernel's, of a flow.
    pub(super) fn outward(&self, number: u32) -> Vec<u8> {
        Flow::of(number % self.flows).outward(self.size)
    }

    /// A frame from the Internet that answers it.
    pub(super) fn back(&self, number: u32, whose: Whose) -> Result<Vec<u8>, Failure> {
        let number = number % self.flows;
        let mapped = if whose == Whose::Server { &self.of_server } else { &self.of_stages };
        let port = mapped.get((number % PORTS) as usize).ok_or("a flow has no port")?;
        Ok(Flow::of(number).back(*port, self.size))
    }
}

fn payload(len: usize) -> Vec<u8> {
    vec![0; len - ipv4::HEADER_LEN - udp::HEADER_LEN]
}

/// The source port of a translated datagram that has left.
pub(crate) fn port_outside(sent: &Mbuf) -> Option<u16> {
    let ports = sent.frame().get(ethernet::HEADER_LEN + ipv4::HEADER_LEN..)?;
    udp::parse_start(ports).ok().map(|datagram| datagram.ports.source)
}

/// The tables of a server with room for so many flows.
pub(crate) fn keeper(flows: u32) -> Result<Keeper, Failure> {
    let hop = Item::NextHop { id: 1, hop: NextHop::Direct };
    let items = vec![hop, Item::Route { prefix: Ipv4Net::default().into(), next_hop: 1 }];
    let (scope, count) = (Scope::Snapshot, items.len() as u64);
    let told = Transaction { id: 1, scope, count, items };
    let mut config = server::config(Secret::new([7; 32]), 1)?;
    config.nat = Some(NatConfig {
        addresses: vec![OUTSIDE],
        client_address: None,
        flows,
        flows_per_client: flows.max(PORTS),
        setups: 1,
        untranslated: Vec::new(),
        prefixes: Vec::new(),
    });
    server::keeper(&config, told)
}
