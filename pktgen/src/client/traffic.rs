//! The plan's traffic: inner packets with the trailer, from one client after the other.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use wire::tcp::Flags;
use wire::udp;
use wireguard::time::Instant;
use wireguard::timers::Rearm;

use super::batch::{Batch, Parcel};
use super::plan::{Kind, Order, Plan, Spread, Target, Traffic};
use super::template::{self, Flow};
use super::{Moment, Shared, Swarm, Tally};
use crate::measure::{Meter, TRAILER_LEN, Trailer};
use crate::pace::Pacer;
use crate::responder::ECHO_PORT;

/// The port where one-way traffic ends (RFC 863).
const DISCARD_PORT: u16 = 9;
/// Inner source ports: this and the following, a client each.
const SOURCE_PORT: u16 = 10_000;
const SOURCE_PORTS: u32 = 50_000;
/// The stream of the seed's randomness that makes the gaps. Stream 0 is the swarm's, the next are the clients'.
const GAPS: u64 = 1 << 32;

/// Whose turn it is, and with which packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    clients: u32,
    /// The client that sends next.
    number: u32,
    /// Packets before the next one.
    turn: u64,
}

impl Cursor {
    pub(super) fn new(clients: u32) -> Self {
        Self { clients: clients.max(1), number: 0, turn: 0 }
    }

    /// Packets before the next one.
    pub(super) const fn turn(&self) -> u64 {
        self.turn
    }

    /// The client of this turn, and the turn's number.
    pub(super) fn take(&mut self) -> (u32, u64) {
        let taken = (self.number, self.turn);
        self.turn += 1;
        self.number = if self.number + 1 == self.clients { 0 } else { self.number + 1 };
        taken
    }
}

/// The randomness of the gaps, the same in each run of a seed.
pub(super) fn gaps(plan: &Plan) -> ChaCha20Rng {
    let mut rng = ChaCha20Rng::seed_from_u64(plan.seed);
    rng.set_stream(GAPS);
    rng
}

impl Swarm {
    /// Sends what is due, a batch at most. Returns how many packets came due.
    pub(super) fn send_due(
        &mut self,
        moment: Moment,
        out: &mut impl FnMut(&[u8]) -> bool,
    ) -> usize {
        let mut due = 0;
        while !self.batch.is_full() {
            let Some((inner_len, planned)) = self.take_due(moment.now) else { break };
            due += 1;
            self.shared.tally.planned += 1;
            let (number, turn) = self.cursor.take();
            let Self { members, shared, wheel, batch, .. } = self;
            let member = members.get_mut(number as usize);
            let is_laid = member.is_some_and(|member| {
                let Some(tunnel) = member.tunnel.as_deref_mut() else { return false };
                // Borrowed where it lies: moved on right after it was written, it would have to be waited for.
                let outgoing = &tunnel.outgoing(moment.now);
                let Ok(outgoing) = outgoing else { return false };
                let rearm = outgoing.rearm;
                shared.meter.late(planned, moment.now);
                shared.lay_in(batch, (number, turn), outgoing, (inner_len, planned));
                if rearm == Rearm::Yes {
                    member.rearm(number, wheel);
                }
                true
            });
            if !is_laid {
                self.shared.tally.without_session += 1;
                self.call(number, moment, out);
            }
        }
        self.flush(out);
        due
    }

    fn take_due(&mut self, now: Instant) -> Option<(usize, Instant)> {
        let (pacer, traffic) = (self.traffic.as_mut()?, self.shared.plan.traffic.as_ref()?);
        let inner_len = traffic.sizes.of(self.cursor.turn());
        let frame_len = self.shared.plan.frame_len(inner_len);
        let planned = pacer.take(now, frame_len, &mut self.gaps)?;
        Some((inner_len, planned))
    }

    /// Seals what is in the batch, and gives it to the device.
    pub(super) fn flush(&mut self, out: &mut impl FnMut(&[u8]) -> bool) {
        let (tally, meter) = (&mut self.shared.tally, &mut self.shared.meter);
        self.batch.flush(&self.shared.link, |Parcel { number, is_answer }, frame| {
            let is_sent = frame.is_some_and(&mut *out);
            if is_answer {
                tally.transmit(is_sent, |tally| &mut tally.answers_sent);
            } else {
                leave(number, is_sent, tally, meter);
            }
        });
    }
}

/// Counts a packet of the plan whose frame was made.
pub(super) fn leave(number: u32, is_sent: bool, tally: &mut Tally, meter: &mut Meter) {
    if is_sent {
        tally.frames_sent += 1;
        tally.data_sent += 1;
    } else {
        tally.without_room += 1;
        meter.withdraw(number);
    }
}

impl Shared {
    /// Puts packet number `turn` of the plan, the client's next one, into a batch.
    pub(super) fn lay_in(
        &mut self,
        batch: &mut Batch,
        (number, turn): (u32, u64),
        outgoing: &wireguard::tunnel::Outgoing<'_>,
        (len, planned): (usize, Instant),
    ) {
        let Self { plan, places, meter, segments, .. } = self;
        let Some(traffic) = &plan.traffic else { return };
        let trailer = meter.send(number, planned);
        let segment = segments.take(traffic, trailer, len);
        let source = places.facing(number, outgoing.to.is_ipv4());
        batch.push((number, source), outgoing, (len, plan.mtu), |inner| {
            let flow = flow(plan, traffic, (number, turn), segment);
            // The plan's check leaves no packet too short for its headers; one that were would arrive as a broken
            // one.
            let _: Result<(), wire::NoRoom> = template::write(inner, traffic.kind, &flow, trailer);
        });
    }
}

/// Where a packet comes from and goes to.
#[inline]
fn flow(
    plan: &Plan,
    traffic: &Traffic,
    (number, turn): (u32, u64),
    (sequence_number, flags): (u32, Flags),
) -> Flow {
    let spread = &traffic.spread;
    let source = plan.inner(number, traffic.family);
    let (to, rest) = match traffic.target {
        Target::Host(address) => (address, turn),
        Target::Hosts(range) => {
            let (nth, rest) = draw(plan, spread, turn, range.count);
            (range.at(nth), rest)
        }
        Target::Clients => {
            let next = if number + 1 == plan.clients { 0 } else { number + 1 };
            (plan.inner(next, traffic.family), turn)
        }
    };
    let (port, rest) = match (spread.ports, traffic.kind) {
        (Some(ports), _) => {
            let (nth, rest) = draw(plan, spread, rest, ports.count());
            (ports.at(nth), rest)
        }
        (None, Kind::Echo) => (ECHO_PORT, rest),
        (None, Kind::OneWay | Kind::Tcp | Kind::Ping) => (DISCARD_PORT, rest),
    };
    let source_port = match spread.source_ports {
        Some(ports) => ports.at(draw(plan, spread, rest, ports.count()).0),
        None => SOURCE_PORT + u16::try_from(number % SOURCE_PORTS).unwrap_or(0),
    };
    Flow {
        source,
        to,
        ports: udp::Ports { source: source_port, destination: port },
        sequence_number,
        flags,
    }
}

/// Which of `count` it is, and what chooses the next.
fn draw(plan: &Plan, spread: &Spread, turn: u64, count: u32) -> (u32, u64) {
    let count = u64::from(count.max(1));
    match spread.order {
        Order::Incremental => (u32::try_from(turn % count).unwrap_or(0), turn / count),
        Order::Random => {
            let mixed = mix(turn ^ plan.seed.rotate_left(32));
            let nth = ((mixed >> 32) * count) >> 32;
            (u32::try_from(nth).unwrap_or(0), mixed)
        }
    }
}

/// Spreads the bits of a number over all 64: twice the golden ratio's fraction, which is odd.
const fn mix(value: u64) -> u64 {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let value = (value ^ (value >> 31)).wrapping_mul(GOLDEN);
    let value = (value ^ (value >> 29)).wrapping_mul(GOLDEN);
    value ^ (value >> 32)
}

/// The numbers of the clients' next segments: they run on by what the segments carry (RFC 9293 3.4).
#[derive(Debug)]
pub(super) struct Segments(Vec<u32>);

impl Segments {
    /// Initial numbers from the seed; nothing unless the plan sends segments.
    pub(super) fn new(plan: &Plan) -> Self {
        let is_tcp = plan.traffic.as_ref().is_some_and(|traffic| traffic.kind == Kind::Tcp);
        let clients = if is_tcp { plan.clients } else { 0 };
        let initial = |number: u32| mix(plan.seed ^ (u64::from(number) << 32)).to_le_bytes();
        let low = |[a, b, c, d, ..]: [u8; 8]| u32::from_le_bytes([a, b, c, d]);
        Self((0..clients).map(|number| low(initial(number))).collect())
    }

    /// Number and control bits of a client's segment in an inner packet of this length.
    fn take(&mut self, traffic: &Traffic, trailer: Trailer, len: usize) -> (u32, Flags) {
        let Some(next) = self.0.get_mut(trailer.stream as usize) else {
            return (0, Flags::default());
        };
        let opening =
            if trailer.sequence == 0 { Flags::SYN } else { Flags(Flags::PSH.0 | Flags::ACK.0) };
        let flags = traffic.flags.map_or(opening, Flags);
        // The headers and the trailer stand in the shortest packet.
        let headers = Traffic::inner_len_min(traffic.kind, traffic.family) - TRAILER_LEN;
        let control = u32::from(flags.has(Flags::SYN)) + u32::from(flags.has(Flags::FIN));
        let octets = u32::try_from(len.saturating_sub(headers)).unwrap_or(0) + control;
        let number = *next;
        *next = next.wrapping_add(octets);
        (number, flags)
    }
}

/// The first packets of the plan's traffic as they are before they are sealed, each with its planned moment.
pub fn inner_packets(plan: &Plan, count: usize, start: Instant) -> Vec<(Instant, Vec<u8>)> {
    let Some(traffic) = &plan.traffic else { return Vec::new() };
    let (mut gaps, mut cursor) = (gaps(plan), Cursor::new(plan.clients));
    let (mut segments, mut pacer) =
        (Segments::new(plan), Pacer::new(traffic.rate, traffic.pattern, start));
    let one = || {
        let len = traffic.sizes.of(cursor.turn());
        let planned = pacer.take(Instant::NEVER, plan.frame_len(len), &mut gaps)?;
        let (number, turn) = cursor.take();
        let sequence = turn / u64::from(plan.clients.max(1));
        let trailer = Trailer { stream: number, sequence, planned };
        let segment = segments.take(traffic, trailer, len);
        let (flow, mut inner) = (flow(plan, traffic, (number, turn), segment), vec![0; len]);
        template::write(&mut inner, traffic.kind, &flow, trailer).ok()?;
        Some((planned, inner))
    };
    std::iter::from_fn(one).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Family, Ports, Sealing};
    use crate::link::Range;
    use crate::pace::{Pattern, Rate};
    use crate::size::Sizes;
    use std::collections::HashSet;
    use std::net::SocketAddr;
    use wireguard::time::Instant;

    fn spread_out(order: Order) -> (Plan, Traffic) {
        let mut plan = crate::client::tests::plan(3);
        plan.seed = 5;
        let row = Range { first: "198.51.100.0".parse().unwrap(), count: 8 };
        let spread = Spread {
            ports: Some(Ports { first: 65_532, last: 65_535 }),
            source_ports: Some(Ports { first: 1, last: 2 }),
            order,
        };
        let traffic = Traffic {
            kind: Kind::Tcp,
            flags: None,
            is_measured_elsewhere: true,
            target: Target::Hosts(row),
            spread,
            sealing: Sealing::Live,
            family: Family::V4,
            sizes: Sizes::imix(),
            rate: Rate::Packets(1.0),
            pattern: Pattern::Constant,
        };
        plan.traffic = Some(traffic.clone());
        (plan, traffic)
    }

    fn ends((plan, traffic): &(Plan, Traffic), turn: u64) -> (SocketAddr, u16) {
        let flow = flow(plan, traffic, (0, turn), (0, Flags::SYN));
        (SocketAddr::new(flow.to, flow.ports.destination), flow.ports.source)
    }

    #[test]
    fn rows_are_gone_through_before_anything_comes_again() {
        let made = spread_out(Order::Incremental);
        let all: HashSet<_> = (0..64).map(|turn| ends(&made, turn)).collect();
        assert_eq!(all.len(), 8 * 4 * 2);
        assert_eq!(ends(&made, 64), ends(&made, 0));
        let to = |turn| ends(&made, turn).0.to_string();
        assert_eq!(
            [to(0), to(1), to(8)],
            ["198.51.100.0:65532", "198.51.100.1:65532", "198.51.100.0:65533"]
        );
    }

    #[test]
    fn random_rows_reach_everything_and_follow_from_the_seed() {
        let made = spread_out(Order::Random);
        let seen: Vec<_> = (0..2000).map(|turn| ends(&made, turn)).collect();
        assert_eq!(seen.iter().collect::<HashSet<_>>().len(), 8 * 4 * 2);
        assert!((0..).zip(&seen).all(|(turn, seen)| ends(&made, turn) == *seen));
        let mut other = made.clone();
        other.0.seed = 6;
        assert!((0..).zip(&seen).any(|(turn, seen)| ends(&other, turn) != *seen));
    }

    #[test]
    fn segments_begin_with_syn_and_run_on_by_what_they_carry() {
        let (plan, mut traffic) = spread_out(Order::Incremental);
        let mut segments = Segments::new(&plan);
        let mut take = |traffic: &Traffic, sequence, len| {
            let trailer = Trailer { stream: 1, sequence, planned: Instant(0) };
            segments.take(traffic, trailer, len)
        };
        let (first, flags) = take(&traffic, 0, 140);
        assert_eq!(flags, Flags::SYN);
        // 100 octets of payload, and the SYN counts as one.
        let (second, flags) = take(&traffic, 1, 90);
        assert_eq!((second, flags.0), (first.wrapping_add(101), 0x18));
        traffic.flags = Some(Flags::FIN.0);
        let (third, flags) = take(&traffic, 2, 90);
        assert_eq!((third, flags), (second.wrapping_add(50), Flags::FIN));
        assert_eq!(take(&traffic, 3, 90).0, third.wrapping_add(51));
    }
}
