//! Connections to the Internet by HTTP CONNECT through another data centre, and for other data centres: set up by `connect`,
//! carried as flows once they are spliced.

mod keepalive;
mod outbox;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use connect::head::{Host, Request, Status, Target};
use connect::limits::Limits;
use connect::targets::Targets;
use connect::{
    Accepting, Arrived, Connect, Decision, Ended, Leg, Mode, NO_CLIENT, NextHop as Hop, Opening,
    Segment, Splice, Verdict, World,
};
use flows::{FlowId, Flows, Lease, Path, Realm};
use rand_chacha::rand_core::Rng;
use wire::tcp;
use wireguard::time::Instant;

use crate::counters::Counters;
use crate::fate::{DropReason, Fate};
use crate::frame::{Frame, Note};
use crate::handshake::Random;
use crate::limits::{
    CONNECT_TIMERS_PER_TURN, KEEPALIVE_SECS, OUTBOX_PACKET_LEN, RELAYS_MAX, SETUPS_PER_CLIENT,
};
use crate::packet::{Address, own};
use crate::site::{Site, global_number};
use crate::stages::egress::dials::{Dials, Way};
use crate::stages::route::{Asked, Centres, NextHop, TRIED_MAX};
use crate::table::Key;

use keepalive::Keepalives;
use outbox::Outbox;

/// The connections of one worker that are being set up, or were a moment ago.
#[derive(Debug)]
pub struct Splicer {
    connect: Connect,
    leases: HashMap<SocketAddr, Lease>,
    outbox: Outbox,
    targets: Targets,
    dials: Dials,
    keepalives: Keepalives,
}

/// What a set-up of this worker needs of the others' things.
#[derive(Debug)]
pub struct Around<'a> {
    /// The worker's flows.
    pub flows: &'a mut Flows,
    /// The worker's randomness.
    pub random: &'a mut Random,
    /// The server.
    pub site: &'a Site,
    /// Data centres.
    pub centres: &'a Centres,
    /// The worker's counters.
    pub counters: &'a Counters,
    /// The number of the client that is this machine itself; behind it come those for whom this is an exit.
    pub machine: u32,
    /// The worker.
    pub worker: u8,
    /// Now.
    pub now: Instant,
}

/// Whose packet a segment came in.
#[derive(Clone, Copy, Debug)]
pub enum From {
    /// A client's, by its number on the worker.
    Client(u32),
    /// The network's.
    Network,
}

/// What becomes of a segment that may belong to a set-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It belongs to none.
    Stranger,
    /// It goes on by its flow.
    Passes,
}

/// Accounts for exits: as many as share the flows that this worker has for other data centres.
pub const EXIT_ACCOUNTS: u32 = 64;

const fn drop(reason: DropReason) -> Fate {
    Fate::Drop(reason)
}

impl Splicer {
    /// With room for so many set-ups, and flows that follow from them; `targets` are those of an exit.
    pub fn new((setups, flows): (u32, u32), targets: Targets, dials: Dials, seed: u64) -> Self {
        let limits = Limits {
            setups,
            buffers: setups / 8 + 1,
            setups_per_client: (setups / 4 + 1).min(SETUPS_PER_CLIENT),
            setups_per_peer: setups / 2 + 1,
            ..Limits::default()
        };
        let count = setups as usize * 2;
        Self {
            connect: Connect::new(limits, seed),
            leases: HashMap::with_capacity(count),
            outbox: Outbox::default(),
            targets,
            dials,
            keepalives: Keepalives::new(flows),
        }
    }

    /// Serves the set-ups whose time has come.
    pub fn expire(&mut self, around: Around<'_>) {
        let now = connect::time::Instant(around.now.0);
        let (connect, mut world) = self.split(around);
        connect.expire(&mut world, now, CONNECT_TIMERS_PER_TURN);
    }

    /// Whether there are packets of our own.
    #[inline]
    pub fn has_packets(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// A client is no more: nothing is opened for it, and who gets its number hears of none of it.
    pub fn forget(&mut self, client: u32, around: Around<'_>) {
        let now = connect::time::Instant(around.now.0);
        let (connect, mut world) = self.split(around);
        connect.forget(client, &mut world, now);
    }

    /// Copies the next packet of our own, and gives its note and length.
    pub fn take_packet(&mut self, into: &mut [u8; OUTBOX_PACKET_LEN]) -> Option<(Note, usize)> {
        let packet = self.outbox.pop()?;
        let octets = packet.octets();
        into.get_mut(..octets.len())?.copy_from_slice(octets);
        Some((packet.note, octets.len()))
    }

    /// A flow of another data centre's lives: its origin may have to be asked whether it does.
    #[inline]
    pub fn swept(&mut self, flow: FlowId) {
        self.keepalives.swept(flow);
    }

    /// Whether there are such flows.
    #[inline]
    pub fn has_swept(&self) -> bool {
        self.keepalives.has_swept()
    }

    /// Looks at them.
    #[cold]
    pub fn keep_alive(&mut self, around: Around<'_>) {
        self.keepalives.turn(&mut self.outbox, around);
    }

    /// Whether nothing is under way.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.opening() == 0
    }

    /// How many connections are being opened, or were a moment ago.
    #[inline]
    pub fn opening(&self) -> u64 {
        self.connect.counts().setups as u64
    }

    fn split<'a>(&'a mut self, around: Around<'a>) -> (&'a mut Connect, Surroundings<'a>) {
        let Self { connect, leases, outbox, targets, dials, keepalives } = self;
        (connect, Surroundings { around, leases, outbox, targets, dials, keepalives })
    }

    /// What is told of clients' connections.
    #[inline]
    pub fn dials_mut(&mut self) -> &mut Dials {
        &mut self.dials
    }

    /// Whether an exit makes connections to this address and port, if it is not ours.
    pub fn may_reach(&self, address: IpAddr, port: Option<u16>) -> bool {
        match port {
            Some(port) => self.targets.judge(address, port).is_ok(),
            None => self.targets.judge_address(address).is_ok(),
        }
    }

    /// Judges a segment of a set-up; `Err` when it ends here.
    pub fn segment(
        &mut self,
        frame: &Frame<'_>,
        from: From,
        around: Around<'_>,
    ) -> Result<Judged, Fate> {
        let arrived = arrived(frame, from)?;
        let now = connect::time::Instant(around.now.0);
        let (connect, mut world) = self.split(around);
        match connect.segment(&arrived, &mut world, now) {
            Verdict::Unknown => Ok(Judged::Stranger),
            Verdict::Pass => Ok(Judged::Passes),
            Verdict::Taken => Err(Fate::Consumed),
            Verdict::Dropped(dropped) => Err(drop(names::of_segment(dropped))),
        }
    }

    /// A client's connection through a data centre: its SYN is held until the other side has answered.
    pub fn open(
        &mut self,
        frame: &Frame<'_>,
        (client, asked): (u32, Asked),
        around: Around<'_>,
    ) -> Fate {
        let syn = match arrived(frame, From::Client(client)) {
            Ok(syn) if syn.is_open() => syn,
            Ok(_) => return drop(DropReason::EgressNatState),
            Err(fate) => return fate,
        };
        let site = around.site;
        let mut routes = [NOWHERE; TRIED_MAX];
        let mut count = 0;
        for (route, address) in routes.iter_mut().zip(asked.machines.into_iter().flatten()) {
            *route = hop(site, address, (RELAYS_MAX, asked.leaves()));
            count += 1;
        }
        let opening = Opening {
            syn: &syn,
            tag: tag(client, Way { exit: asked.exit, relay: asked.relay }),
            routes: routes.get(..count).unwrap_or_default(),
            mss_max: inner_mss(site, syn.leg.theirs),
            keepalive_secs: KEEPALIVE_SECS,
        };
        let now = connect::time::Instant(around.now.0);
        let (connect, mut world) = self.split(around);
        match connect.open(&opening, &mut world, now) {
            Ok(()) => Fate::Consumed,
            Err(refusal) => drop(names::of_refusal(refusal)),
        }
    }

    /// A connection of another data centre to our CONNECT port.
    pub fn accept(&mut self, frame: &Frame<'_>, around: Around<'_>) -> Fate {
        let syn = match arrived(frame, From::Network) {
            Ok(syn) if syn.is_open() => syn,
            Ok(_) => return drop(DropReason::EgressNatState),
            Err(fate) => return fate,
        };
        let tag = account(syn.leg.theirs, around.machine);
        let accepting = Accepting {
            syn: &syn,
            tag: tag.into(),
            is_ours: true,
            mss_max: outer_mss(around.site, syn.leg.theirs),
        };
        let now = connect::time::Instant(around.now.0);
        let (connect, mut world) = self.split(around);
        match connect.accept(&accepting, &mut world, now) {
            Ok(()) => Fate::Consumed,
            Err(refusal) => drop(names::of_refusal(refusal)),
        }
    }
}

/// The account that a connection of another data centre is counted against. All of one data centre come from few addresses, so
/// it is the port that spreads them: together they may have as many flows as the table has.
fn account(remote: SocketAddr, machine: u32) -> u32 {
    let address = Address::from(remote.ip()).bits();
    let hash = (address ^ u128::from(remote.port()) << 64).hash(0);
    let spread = u32::try_from(hash % u64::from(EXIT_ACCOUNTS)).unwrap_or(0);
    machine + 1 + spread
}

/// A set-up's client, and the way that its dial takes.
fn tag(client: u32, Way { exit, relay }: Way) -> u64 {
    u64::from(client) | u64::from(exit) << 32 | u64::from(relay) << 48
}

/// See [`tag`].
#[expect(clippy::cast_possible_truncation, reason = "each has its own bits")]
const fn of_tag(tag: u64) -> (u32, Way) {
    (tag as u32, Way { exit: (tag >> 32) as u16, relay: (tag >> 48) as u16 })
}

/// A machine that is asked, which may itself ask so many others; our own take the request with the SYN.
fn hop(site: &Site, address: SocketAddr, (hops, leaves): (u8, Option<u16>)) -> Hop {
    let connect = site.connect.as_ref();
    let is_ours = connect.is_some_and(|connect| connect.lets_in(address.ip().into()));
    Hop {
        address,
        rtt: Duration::ZERO,
        takes_syn_payload: is_ours,
        mss_max: outer_mss(site, address),
        hops: is_ours.then_some(hops),
        site: leaves.filter(|_| is_ours),
    }
}

const NOWHERE: Hop = Hop {
    address: SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0),
    rtt: Duration::ZERO,
    takes_syn_payload: false,
    mss_max: 0,
    hops: None,
    site: None,
};

/// Octets of payload that one packet to a client carries.
fn inner_mss(site: &Site, like: SocketAddr) -> u16 {
    mss(site.inner_mtu, like)
}

/// Octets of payload that one packet to somebody outside carries.
fn outer_mss(site: &Site, remote: SocketAddr) -> u16 {
    mss(site.way_to(remote.ip().into()).map_or(0, |(_, face)| face.mtu), remote)
}

fn mss(mtu: usize, like: SocketAddr) -> u16 {
    let header_len = own::header_len(like.ip().into());
    u16::try_from(mtu.saturating_sub(header_len + tcp::HEADER_LEN)).unwrap_or(u16::MAX)
}

/// Reads the segment in a packet; what is broken belongs to nobody.
fn arrived<'a>(frame: &'a Frame<'_>, from: From) -> Result<Arrived<'a>, Fate> {
    let broken = drop(DropReason::EgressNatHeader);
    let ip = &frame.note.ip;
    let source = ip.source_in(frame.data()).ok_or(broken)?;
    let destination = ip.destination_in(frame.data()).ok_or(broken)?;
    let segment = frame.data().get(usize::from(ip.payload_offset)..ip.len.into()).ok_or(broken)?;
    let len = u16::try_from(segment.len()).unwrap_or(u16::MAX);
    let pseudo = own::pseudo((source, destination), tcp::PROTOCOL, len);
    tcp::verify(pseudo, segment).map_err(|_| broken)?;
    let client = match from {
        From::Client(client) => client,
        From::Network => NO_CLIENT,
    };
    Arrived::of(client, source.into(), destination.into(), segment).map_err(|_| broken)
}

impl Around<'_> {
    const fn told(&self) -> (&Counters, Instant) {
        (self.counters, self.now)
    }

    fn time(&self) -> flows::Instant {
        flows::Instant(self.now.0)
    }
}

/// What `connect` is given to work with.
struct Surroundings<'a> {
    around: Around<'a>,
    leases: &'a mut HashMap<SocketAddr, Lease>,
    outbox: &'a mut Outbox,
    targets: &'a Targets,
    dials: &'a mut Dials,
    keepalives: &'a mut Keepalives,
}

impl World for Surroundings<'_> {
    fn send(&mut self, segment: &Segment<'_>) {
        let Around { site, machine, worker, .. } = self.around;
        let client = segment.leg.client;
        let to = if client == machine {
            NextHop::Local
        } else if client == NO_CLIENT {
            NextHop::None
        } else {
            NextHop::Client(global_number(client, worker.into(), site.workers))
        };
        if !self.outbox.push(segment, to, site) {
            self.around.counters.segments_unsent.add(1);
        }
    }

    fn take_port(&mut self, tag: u64, remote: SocketAddr) -> Option<SocketAddr> {
        let (client, _) = of_tag(tag);
        let (now, random) = (self.around.time(), self.around.random.next_u64());
        let lease = self.around.flows.lease(client, remote.is_ipv6(), (now, random)).ok()?;
        let local = SocketAddr::new(lease.address, lease.port);
        self.leases.insert(local, lease);
        Some(local)
    }

    fn return_port(&mut self, local: SocketAddr, _remote: SocketAddr) {
        if let Some(lease) = self.leases.remove(&local) {
            self.around.flows.release(lease, self.around.time());
        }
    }

    fn admit(&mut self, near: &Leg, _tag: u64, request: &Request<'_>) -> Decision {
        let centres = self.around.centres;
        if let Some(number) = request.site.filter(|number| centres.here() != Some(*number)) {
            return self.relay(near, number);
        }
        // Names are for who asks to resolve: an exit that did it would wait.
        let Target { host: Host::Address(address), port } = request.target else {
            return Decision::Refuse(Status::BadGateway);
        };
        let site = self.around.site;
        let is_ours = site.owns(address.into()) || site.is_clients(address.into());
        let origin = SocketAddr::new(address, port);
        // A request within a request would go round without end.
        let is_loop = centres.has_machine(origin);
        if is_ours || is_loop || self.targets.judge(address, port).is_err() {
            return Decision::Refuse(Status::Forbidden);
        }
        Decision::Dial { origin, rtt: None, mss_max: outer_mss(site, origin) }
    }

    fn random(&mut self) -> u32 {
        self.around.random.next_u32()
    }

    fn splice(&mut self, splice: &Splice) -> bool {
        if !self.enter(splice) {
            return false;
        }
        if let Some(dial) = dial(&splice.near, splice.tag) {
            self.dials.opened(dial, splice.answer_time, self.around.told());
        }
        self.around.counters.connects_opened.add(1);
        self.around.counters.connects_borne.add(u64::from(splice.mode == Mode::Borne));
        true
    }

    fn ended(&mut self, ended: &Ended) {
        if !ended.was_spliced {
            self.around.counters.connects_failed.add(1);
            if let Some(dial) = dial(&ended.near, ended.tag) {
                self.dials.failed(dial, ended.why, self.around.told());
            }
        } else if let Some(flow) = self.flow_of(&ended.near) {
            self.around.flows.remove(flow, self.around.time());
        }
    }
}

/// What comes in from the other end of a leg.
fn path(leg: &Leg) -> Path {
    let end = |address: SocketAddr| (address.ip(), address.port());
    Path { source: end(leg.theirs), destination: end(leg.ours) }
}

/// Where to and how a client dials; a set-up for another data centre is that one's dial.
fn dial(near: &Leg, tag: u64) -> Option<(SocketAddr, Way)> {
    let (_, way) = of_tag(tag);
    (near.client != NO_CLIENT).then_some((near.ours, way))
}

fn realm(near: &Leg) -> Realm {
    if near.client == NO_CLIENT { Realm::Network } else { Realm::Client(near.client) }
}

impl Surroundings<'_> {
    /// To a machine of the centre at which a connection is to leave, straight. How many may follow is the request's to say.
    fn relay(&self, near: &Leg, number: u16) -> Decision {
        let Around { site, centres, .. } = self.around;
        let client = u32::from(near.theirs.port()) << 16 | u32::from(near.ours.port());
        let [first, ..] = centres.machines(number, client, near.theirs.is_ipv4());
        match first {
            Some(address) => Decision::Relay(hop(site, address, (0, Some(number)))),
            None => Decision::Refuse(Status::BadGateway),
        }
    }

    fn flow_of(&self, near: &Leg) -> Option<FlowId> {
        self.around.flows.find_near(realm(near), &path(near))
    }

    /// Makes both legs one flow, if there is room; if not, the port is still the set-up's.
    fn enter(&mut self, splice: &Splice) -> bool {
        let Some(lease) = self.leases.remove(&splice.far.ours) else { return false };
        let (client, _) = of_tag(splice.tag);
        let entry = flows::Entry {
            client,
            realm: realm(&splice.near),
            near: path(&splice.near),
            far: path(&splice.far),
            lease,
        };
        let now = self.around.time();
        let side = |numbers: connect::Numbers| flows::Opened {
            acked: numbers.next,
            edge: numbers.edge,
            scale: numbers.scale,
        };
        let change = flows::Splice {
            sides: splice.numbers.map(side),
            shifts: [splice.to_far.sequence, splice.to_near.sequence],
            windows: [splice.to_far.window_shift, splice.to_near.window_shift],
        };
        match self.around.flows.splice(entry, &change, now) {
            Ok(flow) => {
                // What is sent twice of heads is caught for a while.
                self.around.flows.watch(flow);
                self.keepalives.begin(flow, splice, now);
                true
            }
            Err((_, lease)) => {
                self.leases.insert(splice.far.ours, lease);
                false
            }
        }
    }
}

/// Under which names segments and connections are lost.
mod names {
    use connect::{Dropped, Refusal};

    use crate::fate::DropReason;

    pub(super) const fn of_segment(dropped: Dropped) -> DropReason {
        match dropped {
            Dropped::Repeated
            | Dropped::NotYet
            | Dropped::OutOfOrder
            | Dropped::Stale
            | Dropped::TooEarly
            | Dropped::OldBlock
            | Dropped::BelowHead => DropReason::EgressConnectUntimely,
            Dropped::SimultaneousOpen
            | Dropped::ResetElsewhere
            | Dropped::CloseElsewhere
            | Dropped::Unacceptable
            | Dropped::Unasked => DropReason::EgressConnectSegment,
            Dropped::BuffersFull | Dropped::HoldFull => DropReason::EgressConnectFull,
        }
    }

    pub(super) const fn of_refusal(refusal: Refusal) -> DropReason {
        match refusal {
            Refusal::SetupsFull | Refusal::HolderFull => DropReason::EgressConnectFull,
            Refusal::PortsExhausted => DropReason::EgressNatPorts,
            Refusal::NoRoute | Refusal::OtherFamily => DropReason::EgressConnectRoute,
            Refusal::Authenticated
            | Refusal::Malformed
            | Refusal::NotOpen
            | Refusal::TargetTooLong => DropReason::EgressConnectRefused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_one_machine_are_spread_over_all_accounts() {
        let mut counts = [0_u32; EXIT_ACCOUNTS as usize];
        for port in 1024..=u16::MAX {
            let number = account(([192, 0, 2, 7], port).into(), 99);
            counts[usize::try_from(number - 100).unwrap()] += 1;
        }
        let even = 64_512 / EXIT_ACCOUNTS;
        assert!(counts.iter().all(|count| count.abs_diff(even) < even / 4), "{counts:?}");
    }
}
