//! A machine of ours: the set-ups, and the plainest rewriting of what is spliced.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use connect::head::Request;
use connect::limits::Limits;
use connect::time::Instant;
use connect::{
    Accepting, Arrived, Connect, Decision, Dropped, Ended, Leg, NO_CLIENT, NextHop, Opening,
    Refusal, Rewrite, Segment, Splice, Verdict, Why, World,
};
use wire::tcp::{OptionField, Options};

use super::frame::Frame;
use super::tcp::Time;

/// The port to which others send CONNECT.
pub(crate) const CONNECT_PORT: u16 = 3128;
/// The number of the only client.
pub(crate) const CLIENT: u32 = 7;

type Admit = Box<dyn Fn(&Request<'_>) -> Decision>;

/// What the set-ups see of the machine.
pub(crate) struct Around {
    pub(crate) ip: IpAddr,
    pub(crate) sent: Vec<Frame>,
    pub(crate) spliced: Vec<Splice>,
    pub(crate) ended: Vec<Ended>,
    pub(crate) ports: VecDeque<u16>,
    pub(crate) taken: Vec<u16>,
    pub(crate) admit: Admit,
    pub(crate) admitted: u32,
    flows: HashMap<Leg, (Leg, Rewrite)>,
    /// Whether there is room for another flow.
    pub(crate) has_room: bool,
    random: u32,
}

pub(crate) struct Pop {
    pub(crate) connect: Connect,
    pub(crate) around: Around,
    pub(crate) routes: Vec<NextHop>,
    pub(crate) mss_max: u16,
    pub(crate) is_peer: bool,
    pub(crate) dropped: Vec<Dropped>,
    pub(crate) refused: Vec<Refusal>,
    pub(crate) strays: u32,
}

impl World for Around {
    fn send(&mut self, segment: &Segment<'_>) {
        self.sent.push(Frame::new(
            (segment.leg.ours, segment.leg.theirs),
            (segment.flags, segment.window),
            (segment.sequence_number, segment.acknowledgment_number),
            segment.options,
            segment.payload,
        ));
    }

    fn take_port(&mut self, _tag: u64, _remote: SocketAddr) -> Option<SocketAddr> {
        let port = self.ports.pop_front()?;
        self.taken.push(port);
        Some(SocketAddr::new(self.ip, port))
    }

    fn return_port(&mut self, local: SocketAddr, _remote: SocketAddr) {
        self.taken.retain(|port| *port != local.port());
        self.ports.push_back(local.port());
    }

    fn admit(&mut self, _near: &Leg, _tag: u64, request: &Request<'_>) -> Decision {
        self.admitted += 1;
        (self.admit)(request)
    }

    fn random(&mut self) -> u32 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.random
    }

    fn splice(&mut self, splice: &Splice) -> bool {
        if self.has_room {
            self.flows.insert(splice.near, (splice.far, splice.to_far));
            self.flows.insert(splice.far, (splice.near, splice.to_near));
            self.spliced.push(*splice);
        }
        self.has_room
    }

    fn ended(&mut self, ended: &Ended) {
        if ended.was_spliced {
            self.flows.remove(&ended.near);
            self.flows.remove(&ended.far.unwrap());
        }
        self.ended.push(*ended);
    }
}

/// Parses, adds, sums anew: what the flow table does with one constant.
pub(crate) fn rewrite(frame: &Frame, onward: &Leg, rewrite: &Rewrite) -> Frame {
    let header = frame.header();
    let mut options = frame.options().to_vec();
    shift_blocks(&mut options, rewrite.acknowledgment);
    Frame::new(
        (onward.ours, onward.theirs),
        (header.flags, window(header.window, rewrite.window_shift)),
        (
            header.sequence_number.wrapping_add(rewrite.sequence),
            header.acknowledgment_number.wrapping_add(rewrite.acknowledgment),
        ),
        &options,
        frame.payload(),
    )
}

/// A window that is open stays open.
fn window(window: u16, shift: i8) -> u16 {
    let bits = shift.unsigned_abs();
    let wide = u32::from(window);
    let wide = if shift < 0 { (wide >> bits).max(wide.min(1)) } else { wide << bits };
    u16::try_from(wide).unwrap_or(u16::MAX)
}

fn shift_blocks(options: &mut [u8], delta: u32) {
    let copy = options.to_vec();
    for option in Options::of(&copy) {
        let Ok(OptionField::Sack(blocks)) = option else { continue };
        let at = blocks.as_ptr() as usize - copy.as_ptr() as usize;
        for edge in options[at..at + blocks.len()].chunks_exact_mut(4) {
            let number = u32::from_be_bytes(edge.try_into().unwrap()).wrapping_add(delta);
            edge.copy_from_slice(&number.to_be_bytes());
        }
    }
}

impl Pop {
    pub(crate) fn new(ip: IpAddr, limits: Limits, admit: Admit) -> Self {
        let around = Around {
            ip,
            sent: Vec::new(),
            spliced: Vec::new(),
            ended: Vec::new(),
            ports: (20_000..21_000).collect(),
            taken: Vec::new(),
            admit,
            admitted: 0,
            flows: HashMap::new(),
            has_room: true,
            random: 0xfff0_0000,
        };
        Self {
            connect: Connect::new(limits, 1),
            around,
            routes: Vec::new(),
            mss_max: 1380,
            is_peer: true,
            dropped: Vec::new(),
            refused: Vec::new(),
            strays: 0,
        }
    }

    /// Takes a frame; what it makes of it is in `around.sent`.
    pub(crate) fn take(&mut self, frame: &Frame, is_client: bool, now: Time) {
        let client = if is_client { CLIENT } else { NO_CLIENT };
        let arrived = Arrived::of(client, frame.source, frame.destination, &frame.segment).unwrap();
        match self.connect.segment(&arrived, &mut self.around, Instant(now)) {
            Verdict::Taken => {}
            Verdict::Dropped(dropped) => self.dropped.push(dropped),
            // What passes and has no flow any more may open another one.
            Verdict::Pass | Verdict::Unknown => self.onward(frame, &arrived, now),
        }
    }

    fn pass(&mut self, frame: &Frame, leg: &Leg) {
        let Some((onward, how)) = self.around.flows.get(leg) else {
            self.strays += 1;
            return;
        };
        let onward = rewrite(frame, onward, how);
        self.around.sent.push(onward);
    }

    fn onward(&mut self, frame: &Frame, arrived: &Arrived<'_>, now: Time) {
        let is_live = self.around.flows.contains_key(&arrived.leg);
        if !arrived.is_open() || is_live {
            return self.pass(frame, &arrived.leg);
        }
        let began = if arrived.leg.client == CLIENT {
            let opening = Opening {
                syn: arrived,
                tag: 1,
                routes: &self.routes,
                mss_max: self.mss_max,
                keepalive_secs: 15,
            };
            self.connect.open(&opening, &mut self.around, Instant(now))
        } else if arrived.leg.ours.port() == CONNECT_PORT {
            let accepting =
                Accepting { syn: arrived, tag: 2, is_ours: self.is_peer, mss_max: 1460 };
            self.connect.accept(&accepting, &mut self.around, Instant(now))
        } else {
            self.strays += 1;
            return;
        };
        self.refused.extend(began.err());
    }

    pub(crate) fn expire(&mut self, now: Time) {
        self.connect.expire(&mut self.around, Instant(now), 1000);
    }

    pub(crate) fn whys(&self) -> Vec<Why> {
        self.around.ended.iter().map(|ended| ended.why).collect()
    }

    /// Forgets all flows, and has their ports again.
    pub(crate) fn forget_flows(&mut self) {
        self.around.flows.clear();
        self.around.taken.clear();
    }

    pub(crate) fn flow_count(&self) -> usize {
        self.around.flows.len()
    }
}
