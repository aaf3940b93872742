//! Servers that splice: what control has told them, and the connections that they have.

use std::net::Ipv4Addr;
use std::time::Duration;

use dataplane::config::{ConnectConfig, NatConfig};
use dataplane::fate::Fate;
use dataplane::frame::Entry;
use dataplane::keeper::Keeper;
use dataplane::port::Batch;
use dpdk::{Mbuf, Pool, mbuf};
use ipnet::Ipv4Net;
use shm::message::{Centre, Item, Machine, NextHop, Scope};
use shm::transaction::Transaction;
use wire::ethernet;
use wire::tcp::Flags;
use wireguard::secret::Secret;

use super::ends::{ASKED, CENTRE, Role, frame};
use super::opening::{Arriving, Manner, Opened, Opening};
use crate::Failure;
use crate::service::server::{self, End, Server};
use crate::service::stages::Stages;
use crate::turns::{Landing, Setting, Whose, filled};

/// Connections that are begun together.
pub(super) const TOGETHER: u32 = 32;
/// Time from the beginning of some to that of the next: 200,000 a second.
pub(super) const PACE: Duration = Duration::from_micros(160);
/// After this nothing of them is waited for.
const YOUTH: Duration = Duration::from_secs(2);

/// The addresses from which origins are dialled: with 64,512 ports each they are enough for the most connections.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const OUTSIDE_COUNT: u32 = 32;
/// The number of the other data centre.
const NUMBER: u16 = 7;

/// What a server is, and how it is asked.
pub(super) type Kind = (Role, Manner);

/// A whole worker, and what is walked from outside, both with connections.
pub(super) struct Splicing {
    pub(super) landing: Landing,
    role: Role,
    of_server: Vec<Opened>,
    of_stages: Vec<Opened>,
    flows: u32,
    /// Octets of the packets.
    size: usize,
}

impl Splicing {
    /// With so many connections, and packets of this many octets.
    pub(super) fn start(
        setting: &Setting,
        (role, manner): Kind,
        (flows, size): (u32, usize),
    ) -> Result<Self, Failure> {
        let kind = (role, manner);
        let name = format!("{flows}{}", letter(kind));
        let mut landing = Landing::start(setting, &name, || keeper(kind, flows))?;
        let (mut of_server, mut of_stages) = (Vec::new(), Vec::new());
        for first in (0..flows).step_by(TOGETHER as usize) {
            let some = (first, TOGETHER.min(flows - first));
            let Landing { server, stages } = &mut landing;
            of_server.extend(by_server(server, kind, some)?.0);
            of_stages.extend(by_stages(stages, &setting.pool, kind, some)?);
        }
        let mut splicing = Self { landing, role, of_server, of_stages, flows, size };
        splicing.settle(&setting.pool)?;
        Ok(splicing)
    }

    /// Lets all come of age: of each a packet is seen after nothing is waited for any more.
    fn settle(&mut self, pool: &Pool) -> Result<(), Failure> {
        let Landing { server, stages } = &mut self.landing;
        server.pass(YOUTH);
        while server.totals().connects_opening > 0 {
            server.turn();
        }
        stages.pass(YOUTH);
        while stages.pass(Duration::ZERO) > 0 {}
        for number in 0..self.flows {
            let packets = &mut Batch::new();
            let ends = (self.role.near_end(), End::Wire);
            packets.push(filled(pool, &self.onward(number, Whose::Server)?)?);
            self.landing.server.carry(packets, ends);
            if packets.len() != 1 {
                return Err("a connection does not carry".into());
            }
            mbuf::free_bulk(packets);
            packets.push(filled(pool, &self.onward(number, Whose::Stages)?)?);
            self.landing.stages.walk(packets, entry(ends.0), Fate::Transmit(0))?;
            mbuf::free_bulk(packets);
        }
        Ok(())
    }

    fn of(&self, number: u32, whose: Whose) -> Result<(u32, &Opened), Failure> {
        let number = number % self.flows;
        let all = if whose == Whose::Server { &self.of_server } else { &self.of_stages };
        Ok((number, all.get(number as usize).ok_or("a connection is not there")?))
    }

    /// A frame from who has begun a connection.
    pub(super) fn onward(&self, number: u32, whose: Whose) -> Result<Vec<u8>, Failure> {
        let (number, opened) = self.of(number, whose)?;
        let (end, near) = (self.role.near_end(), self.role.near(number));
        Ok(frame(end, near, (Flags::ACK, opened.near), &self.payload()))
    }

    /// A frame from whom it leads to.
    pub(super) fn back(&self, number: u32, whose: Whose) -> Result<Vec<u8>, Failure> {
        let (number, opened) = self.of(number, whose)?;
        let far = [self.role.far(number), opened.ours];
        Ok(frame(End::Wire, far, (Flags::ACK, opened.far), &self.payload()))
    }

    fn payload(&self) -> Vec<u8> {
        vec![0; self.size - wire::ipv4::HEADER_LEN - wire::tcp::HEADER_LEN]
    }

    /// Figures of a run that lost or dropped something, or began or ended connections, are of no use.
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.landing.check()?;
        let totals = self.landing.server.totals();
        let flows = u64::from(self.flows);
        if (totals.flows, totals.connects_opened, totals.connects_failed) != (flows, flows, 0) {
            return Err(format!("connections were lost:\n{totals}").into());
        }
        Ok(())
    }
}

/// Rings bear short names.
const fn letter(kind: Kind) -> char {
    match kind {
        (Role::Ingress, _) => 'i',
        (Role::Exit, Manner::Borne) => 'e',
        (Role::Exit, Manner::Plain) => 's',
    }
}

const fn entry(end: End) -> Entry {
    match end {
        End::Local => Entry::Local,
        End::Wire | End::Kernel => Entry::Wire(0),
    }
}

/// Begins some connections through a worker; gives them, and the cycles of all turns.
pub(super) fn by_server(
    server: &mut Server,
    kind: Kind,
    some: (u32, u32),
) -> Result<(Vec<Opened>, u64), Failure> {
    let (mut opening, mut frames) = Opening::begin(kind, some)?;
    let mut taken = 0;
    server.pass(PACE);
    while !frames.is_empty() {
        for (end, frame) in frames.drain(..) {
            let mut packet = Batch::<Mbuf>::new();
            packet.push(filled(&server.pool, &frame)?);
            server.end(end).transmit(&mut packet);
        }
        taken += server.timed_turn();
        for end in [End::Wire, End::Local] {
            let mut packets = Batch::<Mbuf>::new();
            loop {
                server.end(end).receive(&mut packets);
                if packets.is_empty() {
                    break;
                }
                for packet in &packets {
                    let packet = packet.frame().get(ethernet::HEADER_LEN..).unwrap_or_default();
                    frames.extend(opening.answer(packet)?);
                }
                mbuf::free_bulk(&mut packets);
            }
        }
    }
    Ok((opening.opened()?, taken))
}

/// Begins some connections through the stages.
fn by_stages(
    stages: &mut Stages,
    pool: &Pool,
    kind: Kind,
    some: (u32, u32),
) -> Result<Vec<Opened>, Failure> {
    let (mut opening, mut frames) = Opening::begin(kind, some)?;
    stages.pass(PACE);
    while !frames.is_empty() {
        let arriving: Vec<Arriving> = std::mem::take(&mut frames);
        for (end, frame) in arriving {
            let mut packets = Batch::new();
            packets.push(filled(pool, &frame)?);
            stages.walked(&mut packets, entry(end));
            mbuf::free_bulk(&mut packets);
        }
        for packet in stages.own_packets() {
            frames.extend(opening.answer(&packet)?);
        }
    }
    opening.opened()
}

/// The tables of a server with room for so many connections.
pub(super) fn keeper((role, manner): Kind, flows: u32) -> Result<Keeper, Failure> {
    let items = match role {
        Role::Ingress => {
            let machine = Machine { address: CENTRE.into(), port: ASKED, weight: 1 };
            let centre =
                Centre { number: NUMBER, is_here: false, relay: 0, machines: vec![machine] };
            let hop = NextHop::Via { centre: NUMBER.into(), remote: None };
            vec![Item::Centre(Box::new(centre)), Item::NextHop { id: 1, hop }]
        }
        Role::Exit => vec![Item::NextHop { id: 1, hop: NextHop::Direct }],
    };
    let route = Item::Route { prefix: Ipv4Net::default().into(), next_hop: 1 };
    let items: Vec<_> = items.into_iter().chain([route]).collect();
    let (scope, count) = (Scope::Snapshot, items.len() as u64);
    let told = Transaction { id: 1, scope, count, items };
    let mut config = server::config(Secret::new([7; 32]), 1)?;
    let outside = |number| Ipv4Addr::from_bits(OUTSIDE.to_bits() + number);
    config.nat = Some(NatConfig {
        addresses: (0..OUTSIDE_COUNT).map(outside).collect(),
        client_address: None,
        flows,
        flows_per_client: flows,
        setups: dataplane::limits::NAT_SETUPS,
        untranslated: Vec::new(),
        prefixes: Vec::new(),
    });
    // Who is not known as one of ours is asked behind the SYN.
    let is_known = (role, manner) != (Role::Ingress, Manner::Plain);
    config.connect = is_known
        .then(|| -> Result<_, Failure> {
            Ok(ConnectConfig {
                port: ASKED,
                from: vec!["11.17.0.0/16".parse()?],
                private_targets: false,
                key: None,
                forbidden_ports: Vec::new(),
            })
        })
        .transpose()?;
    server::keeper(&config, told)
}
