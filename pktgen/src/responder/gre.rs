//! GRE (RFC 2784, keys and sequence numbers of RFC 2890): the tenant's end of each tunnel, with keepalives both ways
//! and the faults that a tenant's router may have.
//!
//! A keepalive, as routers commonly have it, carries its own answer: inside lies a packet back to the sender, GRE with
//! protocol 0 and nothing in it. Who receives it takes off the outer headers and forwards what is left.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;
use wire::{NoRoom, gre, ipv4, ipv6};
use wireguard::time::Instant;

use crate::link::Range;
use crate::packet::{self, Located};

/// The protocol type inside a keepalive's answer.
const PROTOCOL_NONE: u16 = 0;
/// How long a keepalive waits for a neighbour to be found.
const POSTPONED: Duration = Duration::from_millis(20);

/// What the tenant's router does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Sends another key than was agreed, or one where none was.
    pub key: bool,
    /// Sends from the address after its own.
    pub source: bool,
    /// Answers no keepalive.
    pub silent: bool,
}

/// One tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Our outer address.
    pub local: IpAddr,
    /// The server's, of the same family.
    pub remote: IpAddr,
    /// The key, both ways.
    pub key: Option<u32>,
    /// Whether what we send has a checksum.
    pub checksum: bool,
    /// Whether what we send is numbered.
    pub sequence: bool,
    /// The tenant's addresses behind it, of either family.
    pub inner: Vec<Range>,
    /// Time between keepalives of ours; zero for none.
    pub keepalive: Duration,
    /// The neighbour that our keepalives go to.
    pub hop: IpAddr,
    /// What it does wrong.
    pub faults: Faults,
}

/// The counts of one tunnel, beside the responder's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Packets that came through it, keepalives and their answers included.
    pub packets_received: u64,
    /// Packets sent into it, keepalives of ours included.
    pub packets_sent: u64,
    /// Sequence numbers that were passed over.
    pub sequence_gaps: u64,
    /// Packets numbered below one that had come.
    pub sequence_late: u64,
    /// Keepalives of ours.
    pub keepalives_sent: u64,
    /// Of them answered before the next one was due.
    pub keepalives_answered: u64,
    /// Of them not answered by then.
    pub keepalives_lost: u64,
    /// Answers to none, or late.
    pub answers_unasked: u64,
    /// The longest time to an answer, nanoseconds.
    pub answer_max_ns: u64,
    /// The server's keepalives.
    pub keepalives_received: u64,
}

/// Our end of one tunnel.
#[derive(Debug)]
pub struct Tunnel {
    plan: Plan,
    /// Its counts.
    pub tally: Tally,
    next_sequence: u32,
    /// The lowest number that would be no late one.
    expected: Option<u32>,
    /// When the next keepalive is due.
    due: Instant,
    /// When the keepalive left that nobody has answered yet.
    asked_at: Option<Instant>,
}

/// What came through a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside<'a> {
    /// A packet of the tenant's, and what was read of it.
    Packet(&'a [u8], Located<'a>),
    /// The server's keepalive: this packet wants to go back to it.
    Keepalive(&'a [u8]),
    /// The answer to a keepalive of ours.
    Answer,
}

/// Why a GRE packet came through no tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No header that RFC 2784 and 2890 allow, or a wrong checksum.
    Malformed,
    /// No tunnel between these addresses.
    Unknown,
    /// A tunnel between them has another key.
    Key,
    /// Inside is no whole IP packet of the announced family.
    Inner,
}

impl Tunnel {
    /// A tunnel that has carried nothing; the first keepalive is due at once.
    pub fn new(plan: Plan, now: Instant) -> Self {
        let due = if plan.keepalive.is_zero() { Instant::NEVER } else { now };
        let tally = Tally::default();
        Self { plan, tally, next_sequence: 0, expected: None, due, asked_at: None }
    }

    /// How it is set up.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Octets in front of a packet in the tunnel: outer IP and GRE.
    pub fn head_len(&self) -> usize {
        packet::ip_header_len(self.plan.local) + self.fields(0).header_len()
    }

    /// Writes the outer headers before the packet that stands at `outer[self.head_len()..]`.
    ///
    /// # Errors
    /// When there is no packet, or it is too long for an IP header.
    pub fn encap(&mut self, outer: &mut [u8]) -> Result<(), NoRoom> {
        let inner = outer.get(self.head_len()).ok_or(NoRoom)?;
        let protocol = if inner >> 4 == 6 { ipv6::ETHERTYPE } else { ipv4::ETHERTYPE };
        let fields = self.fields(protocol);
        let body = outer.get_mut(packet::ip_header_len(self.plan.local)..).ok_or(NoRoom)?;
        gre::emit(body, &fields)?;
        let source = if self.plan.faults.source { next(self.plan.local) } else { self.plan.local };
        packet::emit_ip(outer, (source, self.plan.remote), gre::PROTOCOL, packet::HOP_LIMIT)?;
        self.next_sequence = self.next_sequence.wrapping_add(u32::from(self.plan.sequence));
        self.tally.packets_sent += 1;
        Ok(())
    }

    /// Takes what lies behind a GRE header that [`Tunnels::find`] has assigned to this tunnel.
    ///
    /// # Errors
    /// `Inner`.
    pub fn decap<'a>(
        &mut self,
        arrived: &Arrived<'a>,
        now: Instant,
    ) -> Result<Inside<'a>, Refused> {
        self.tally.packets_received += 1;
        self.follow(arrived.header.sequence);
        match (arrived.header.protocol, arrived.inner.first().map(|octet| octet >> 4)) {
            (PROTOCOL_NONE, _) => {
                self.answered(now);
                return Ok(Inside::Answer);
            }
            (ipv4::ETHERTYPE, Some(4)) | (ipv6::ETHERTYPE, Some(6)) => {}
            _ => return Err(Refused::Inner),
        }
        let inner = packet::read(arrived.inner).ok_or(Refused::Inner)?;
        let octets = arrived.inner.get(..inner.len).ok_or(Refused::Inner)?;
        if self.is_keepalive(&inner) {
            self.tally.keepalives_received += 1;
            return Ok(Inside::Keepalive(octets));
        }
        Ok(Inside::Packet(octets, inner))
    }

    /// Whether an inner address is the tenant's.
    pub fn has(&self, inner: IpAddr) -> bool {
        self.plan.inner.iter().any(|range| range.position(inner).is_some())
    }

    /// When the next keepalive is due.
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// The inside of a keepalive of ours, and the plan of the next: it is the server's answer, made in advance.
    ///
    /// # Errors
    /// Never for a tunnel between addresses of one family.
    pub fn ask(&mut self, now: Instant) -> Result<Vec<u8>, NoRoom> {
        self.tally.keepalives_lost += u64::from(self.asked_at.is_some());
        self.asked_at = Some(now);
        self.tally.keepalives_sent += 1;
        self.due = (self.due + self.plan.keepalive).max(now);
        let Plan { local, remote, key, .. } = self.plan;
        let fields =
            gre::Fields { protocol: PROTOCOL_NONE, key, sequence: None, with_checksum: false };
        let ip_len = packet::ip_header_len(remote);
        let mut answer = vec![0; ip_len + fields.header_len()];
        gre::emit(answer.get_mut(ip_len..).unwrap_or_default(), &fields)?;
        packet::emit_ip(&mut answer, (remote, local), gre::PROTOCOL, packet::HOP_LIMIT)?;
        Ok(answer)
    }

    /// The next keepalive is due a little later, because its way is not known yet.
    pub fn postpone(&mut self, now: Instant) {
        self.due = now + POSTPONED;
    }

    /// No keepalive any more.
    pub const fn hush(&mut self) {
        self.due = Instant::NEVER;
    }

    fn answered(&mut self, now: Instant) {
        let Some(asked_at) = self.asked_at.take() else {
            self.tally.answers_unasked += 1;
            return;
        };
        self.tally.keepalives_answered += 1;
        let nanos = u64::try_from(now.since(asked_at).as_nanos()).unwrap_or(u64::MAX);
        self.tally.answer_max_ns = self.tally.answer_max_ns.max(nanos);
    }

    /// Between the tunnel's own ends and GRE again: nothing but a keepalive is.
    fn is_keepalive(&self, inner: &Located<'_>) -> bool {
        inner.protocol == gre::PROTOCOL
            && (inner.source, inner.destination) == (self.plan.local, self.plan.remote)
            && gre::parse(inner.payload).is_ok_and(|header| header.protocol == PROTOCOL_NONE)
    }

    /// Numbers are compared around their end (RFC 2890 2.2).
    fn follow(&mut self, sequence: Option<u32>) {
        let Some(sequence) = sequence else { return };
        let ahead = sequence.wrapping_sub(self.expected.unwrap_or(sequence));
        if ahead > u32::MAX / 2 {
            self.tally.sequence_late += 1;
        } else {
            self.tally.sequence_gaps += u64::from(ahead);
            self.expected = Some(sequence.wrapping_add(1));
        }
    }

    fn fields(&self, protocol: u16) -> gre::Fields {
        let agreed = self.plan.key;
        let key = if self.plan.faults.key { Some(agreed.map_or(1, |key| key ^ 1)) } else { agreed };
        let sequence = self.plan.sequence.then_some(self.next_sequence);
        gre::Fields { protocol, key, sequence, with_checksum: self.plan.checksum }
    }
}

fn next(address: IpAddr) -> IpAddr {
    Range { first: address, count: 2 }.at(1)
}

/// A GRE packet whose header was read.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    header: gre::Located,
    inner: &'a [u8],
}

/// All tunnels, found by their addresses and key.
#[derive(Debug)]
pub struct Tunnels {
    all: Vec<Tunnel>,
    by_ends: HashMap<(IpAddr, IpAddr, Option<u32>), u32>,
    /// The ends of all tunnels, whatever their keys.
    ends: HashSet<(IpAddr, IpAddr)>,
    /// Before this no keepalive is due.
    quiet_until: Instant,
}

impl Tunnels {
    /// The tunnels of these plans, no two of which have the same ends and key.
    pub fn new(plans: Vec<Plan>, now: Instant) -> Self {
        let ends = |(plan, index): (&Plan, u32)| ((plan.local, plan.remote, plan.key), index);
        let by_ends = plans.iter().zip(0..).map(ends).collect();
        let ends = plans.iter().map(|plan| (plan.local, plan.remote)).collect();
        let all = plans.into_iter().map(|plan| Tunnel::new(plan, now)).collect();
        Self { all, by_ends, ends, quiet_until: now }
    }

    /// Reads the GRE header in an outer packet, and finds its tunnel.
    ///
    /// # Errors
    /// `Malformed`, `Unknown`, `Key`.
    pub fn find<'a>(&self, outer: &Located<'a>) -> Result<(u32, Arrived<'a>), Refused> {
        let header = gre::parse(outer.payload).map_err(|_| Refused::Malformed)?;
        let inner = outer.payload.get(header.payload_offset..).unwrap_or_default();
        let (local, remote) = (outer.destination, outer.source);
        match self.by_ends.get(&(local, remote, header.key)) {
            Some(&index) => Ok((index, Arrived { header, inner })),
            None if self.ends.contains(&(local, remote)) => Err(Refused::Key),
            None => Err(Refused::Unknown),
        }
    }

    /// A tunnel, by its number in the profile.
    pub fn at(&mut self, index: u32) -> Option<&mut Tunnel> {
        self.all.get_mut(index as usize)
    }

    /// All of them, in the profile's order.
    pub fn iter(&self) -> impl Iterator<Item = &Tunnel> {
        self.all.iter()
    }

    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Tunnel> {
        self.all.iter_mut()
    }

    /// A tunnel whose keepalive is due. Deadlines only move on, so many tunnels are looked at only when one may be.
    pub fn due(&mut self, now: Instant) -> Option<u32> {
        if now < self.quiet_until {
            return None;
        }
        let index = self.all.iter().position(|tunnel| tunnel.due <= now);
        if index.is_none() {
            let next = self.all.iter().map(|tunnel| tunnel.due).min();
            self.quiet_until = next.unwrap_or(Instant::NEVER);
        }
        u32::try_from(index?).ok()
    }
}
