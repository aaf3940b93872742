//! Inner traffic: flows that clients open through state that stands behind one server, with every packet
//! numbered in both directions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use dataplane::testing::packets::{self, Ip};
use dataplane::testing::site;
use wireguard::time::Instant;

/// How long a packet may take from end to end, with the handshake that it may wait for.
pub(crate) const ARRIVAL: Duration = Duration::from_secs(2);

/// The ports of the services behind the servers.
const PORT: u16 = 443;

/// One packet of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Segment {
    /// The flow: its client's number in the upper half, so that no two are the same.
    pub(crate) flow: u64,
    /// From the client, or to it.
    pub(crate) is_request: bool,
    /// Its number among those of its direction.
    pub(crate) number: u32,
    pub(crate) mark: Mark,
}

/// What a segment says beside its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// The client has not heard of the flow yet: it opens it, wherever it comes.
    Opening,
    /// The flow goes on.
    Going,
    /// The flow ends with this.
    Ending,
    /// Nobody here knows the flow.
    Reset,
}

const MARKS: [Mark; 4] = [Mark::Opening, Mark::Going, Mark::Ending, Mark::Reset];

impl Segment {
    /// The number of its client.
    pub(crate) fn client(&self) -> usize {
        usize::try_from(self.flow >> 32).unwrap()
    }

    /// The inner packet.
    pub(crate) fn packet(&self) -> Vec<u8> {
        let client = u32::try_from(self.flow >> 32).unwrap();
        let is_v6 = self.flow & 1 == 1;
        let (there, here): (IpAddr, IpAddr) = if is_v6 {
            (site::inner_v6(client).into(), site::BEHIND_V6.into())
        } else {
            (site::inner_v4(client).into(), site::BEHIND_V4.into())
        };
        let port = 10_000 + u16::try_from(self.flow % 50_000).unwrap();
        let payload = self.payload();
        if self.is_request {
            Ip::new(there, here).udp(port, PORT, &payload)
        } else {
            Ip::new(here, there).udp(PORT, port, &payload)
        }
    }

    fn payload(&self) -> Vec<u8> {
        let mut payload = self.flow.to_be_bytes().to_vec();
        payload.extend(self.number.to_be_bytes());
        payload.extend([u8::from(self.is_request), self.mark as u8]);
        let filling = (self.flow ^ (u64::from(self.number) * 77)) % 1200;
        payload.resize(payload.len() + usize::try_from(filling).unwrap(), 0x5a);
        payload
    }

    /// What a packet says; it must be one of ours, octet for octet.
    pub(crate) fn read(packet: &[u8]) -> Self {
        let outline = packets::outline(packet).expect("an IP packet");
        let (_, payload) = packets::udp_in(&outline, packet).expect("a whole datagram");
        let field = |at: usize| payload.get(at..).expect("a segment");
        let segment = Self {
            flow: u64::from_be_bytes(*field(0).first_chunk().unwrap()),
            number: u32::from_be_bytes(*field(8).first_chunk().unwrap()),
            is_request: field(12)[0] == 1,
            mark: MARKS[usize::from(field(13)[0])],
        };
        assert_eq!(segment.packet(), packet, "{segment:?} was changed on its way");
        segment
    }
}

/// A segment that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    /// Its client had a session to send it on.
    pub(crate) was_connected: bool,
}

/// Every segment under way, and those that did not arrive.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    under_way: BTreeMap<(u64, bool, u32), Sent>,
    by_time: BTreeSet<(Instant, u64, bool, u32)>,
    pub(crate) sent: u64,
}

impl Ledger {
    pub(crate) fn send(&mut self, segment: Segment, sent: Sent) {
        let key = (segment.flow, segment.is_request, segment.number);
        self.sent += 1;
        assert!(self.under_way.insert(key, sent).is_none(), "{segment:?} was sent twice");
        self.by_time.insert((sent.at, key.0, key.1, key.2));
    }

    /// A segment has come; gives when it was sent. It must be under way, or given up.
    pub(crate) fn arrive(&mut self, segment: &Segment) -> Option<Sent> {
        let key = (segment.flow, segment.is_request, segment.number);
        let sent = self.under_way.remove(&key)?;
        self.by_time.remove(&(sent.at, key.0, key.1, key.2));
        Some(sent)
    }

    /// Those that have been under way for too long; they are given up.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<((u64, bool, u32), Sent)> {
        let mut overdue = Vec::new();
        while let Some(&(at, flow, is_request, number)) = self.by_time.first()
            && at + ARRIVAL < now
        {
            self.by_time.pop_first();
            let key = (flow, is_request, number);
            overdue.extend(self.under_way.remove(&key).map(|sent| (key, sent)));
        }
        overdue
    }

    /// A flow is over: what of it is under way is nobody's loss.
    pub(crate) fn forget(&mut self, flow: u64) {
        let keys: Vec<_> = self
            .under_way
            .range((flow, false, 0)..=(flow, true, u32::MAX))
            .map(|(key, sent)| (*key, sent.at))
            .collect();
        for (key, at) in keys {
            self.under_way.remove(&key);
            self.by_time.remove(&(at, key.0, key.1, key.2));
        }
    }
}

/// The state behind one server, as a NAT has it: a flow lives where its first packet came.
#[derive(Debug, Default)]
pub(crate) struct Nat {
    flows: BTreeMap<u64, State>,
}

/// A flow that came here; one that has ended stays known, for what is late.
#[derive(Debug, Default)]
struct State {
    /// Segments sent to the client.
    sent: u32,
    has_ended: bool,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is answered with this.
    Reply(Segment),
    /// The flow does not live here.
    Broken(Segment),
}

impl Nat {
    /// Takes a request from the tunnel.
    pub(crate) fn take(&mut self, request: &Segment) -> Verdict {
        let Segment { flow, mark, .. } = *request;
        if mark == Mark::Opening {
            self.flows.entry(flow).or_default();
        }
        let Some(state) = self.flows.get_mut(&flow) else {
            let number = request.number;
            let reset = Segment { flow, is_request: false, number, mark: Mark::Reset };
            return Verdict::Broken(reset);
        };
        state.has_ended |= mark == Mark::Ending;
        Verdict::Reply(state.next(flow, mark))
    }

    /// Something that the service says by itself, if the flow is still there.
    pub(crate) fn push(&mut self, flow: u64) -> Option<Segment> {
        let state = self.flows.get_mut(&flow).filter(|state| !state.has_ended)?;
        Some(state.next(flow, Mark::Going))
    }

    /// The flows that live here.
    pub(crate) fn flows(&self) -> impl Iterator<Item = u64> {
        let live = self.flows.iter().filter(|(_, state)| !state.has_ended);
        live.map(|(flow, _)| *flow)
    }
}

impl State {
    const fn next(&mut self, flow: u64, mark: Mark) -> Segment {
        let number = self.sent;
        self.sent += 1;
        Segment { flow, is_request: false, number, mark }
    }
}
