//! Machines, links between them, and one virtual clock: the same seed gives the same run.

#![allow(dead_code, reason = "each test binary uses its part of this")]

pub(crate) mod frame;
pub(crate) mod hand;
pub(crate) mod host;
pub(crate) mod pop;
pub(crate) mod scene;
pub(crate) mod tcp;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use connect::limits::Limits;
use connect::{Decision, NextHop};
use frame::Frame;
use host::Host;
use pop::Pop;
use tcp::{MS, Time};

/// Numbers at random, the same for the same seed (xorshift64*).
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % bound
    }
}

/// What a link does, in parts of a thousand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) delay: Time,
    pub(crate) loss: u64,
    pub(crate) reorder: u64,
    pub(crate) duplicate: u64,
}

impl Default for Link {
    fn default() -> Self {
        Self { delay: 5 * MS, loss: 0, reorder: 0, duplicate: 0 }
    }
}

/// A frame as it left a machine.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Time,
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    pub(crate) frame: Frame,
}

pub(crate) enum Node {
    Host(Host),
    Pop(Box<Pop>),
}

pub(crate) const CLIENT_IP: &str = "10.0.0.1";
pub(crate) const INGRESS_IP: &str = "192.0.2.1";
pub(crate) const RELAY_IP: &str = "192.0.2.2";
pub(crate) const EXIT_IP: &str = "192.0.2.3";
pub(crate) const ORIGIN_IP: &str = "198.51.100.1";

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

type Judge = Box<dyn FnMut(&Seen) -> bool>;

/// The network.
pub(crate) struct Net {
    pub(crate) now: Time,
    pub(crate) nodes: BTreeMap<IpAddr, Node>,
    pub(crate) links: HashMap<(IpAddr, IpAddr), Link>,
    pub(crate) seen: Vec<Seen>,
    /// Which frames are lost on purpose.
    pub(crate) loses: Judge,
    random: Random,
    queue: BTreeMap<(Time, u64), (IpAddr, IpAddr, Frame)>,
    count: u64,
    pub(crate) keeps_seen: bool,
}

impl Net {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: 1000 * MS,
            nodes: BTreeMap::new(),
            links: HashMap::new(),
            seen: Vec::new(),
            loses: Box::new(|_| false),
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            queue: BTreeMap::new(),
            count: 0,
            keeps_seen: true,
        }
    }

    pub(crate) fn host(&mut self, address: &str) -> &mut Host {
        match self.nodes.get_mut(&ip(address)) {
            Some(Node::Host(host)) => host,
            _ => panic!("{address} is no host"),
        }
    }

    pub(crate) fn pop(&mut self, address: &str) -> &mut Pop {
        match self.nodes.get_mut(&ip(address)) {
            Some(Node::Pop(pop)) => pop,
            _ => panic!("{address} is no PoP"),
        }
    }

    /// Which machine a frame from one of them comes to next.
    fn next(from: IpAddr, to: IpAddr) -> IpAddr {
        if from == ip(CLIENT_IP) { ip(INGRESS_IP) } else { to }
    }

    fn transmit(&mut self, from: IpAddr, frame: Frame) {
        let to = Self::next(from, frame.destination);
        let link = self.links.get(&(from, to)).copied().unwrap_or_default();
        let seen = Seen { at: self.now, from, to, frame };
        let is_lost = self.random.below(1000) < link.loss || (self.loses)(&seen);
        if self.keeps_seen {
            self.seen.push(seen.clone());
        }
        if is_lost {
            return;
        }
        let copies = 1 + usize::from(self.random.below(1000) < link.duplicate);
        for _ in 0..copies {
            let is_late = self.random.below(1000) < link.reorder;
            let extra = if is_late { self.random.below(20) * MS } else { 0 };
            self.count += 1;
            let at = (self.now + link.delay + extra, self.count);
            self.queue.insert(at, (from, to, seen.frame.clone()));
        }
    }

    /// Puts a frame into the network as if that machine had sent it.
    pub(crate) fn inject(&mut self, from: &str, frame: Frame) {
        self.transmit(ip(from), frame);
    }

    /// Lets what machines have to send leave them.
    fn drain(&mut self) {
        let mut out = Vec::new();
        let now = self.now;
        for (address, node) in &mut self.nodes {
            let frames = match node {
                Node::Host(host) => host.drain(now),
                Node::Pop(pop) => std::mem::take(&mut pop.around.sent),
            };
            out.extend(frames.into_iter().map(|frame| (*address, frame)));
        }
        for (from, frame) in out {
            self.transmit(from, frame);
        }
    }

    fn deliver(&mut self, from: IpAddr, to: IpAddr, frame: &Frame) {
        let now = self.now;
        match self.nodes.get_mut(&to) {
            Some(Node::Host(host)) => host.take(frame, now),
            Some(Node::Pop(pop)) => pop.take(frame, from == ip(CLIENT_IP), now),
            None => {}
        }
    }

    /// Goes on for so many milliseconds.
    pub(crate) fn run(&mut self, ms: u64) {
        let end = self.now + ms * MS;
        self.run_until(end, |_| false);
    }

    /// Goes on until the condition holds; false when it does not within the time.
    pub(crate) fn run_to(&mut self, ms: u64, is_done: impl Fn(&mut Self) -> bool) -> bool {
        let end = self.now + ms * MS;
        self.run_until(end, is_done)
    }

    fn run_until(&mut self, end: Time, is_done: impl Fn(&mut Self) -> bool) -> bool {
        let mut tick = self.now;
        loop {
            self.drain();
            if is_done(self) {
                return true;
            }
            let next = self.queue.first_key_value().map(|(key, _)| key.0);
            if tick > end && next.is_none_or(|next| next > end) {
                self.now = end;
                return false;
            }
            if next.is_some_and(|next| next <= tick) {
                let ((at, _), (from, to, frame)) = self.queue.pop_first().unwrap();
                self.now = self.now.max(at);
                self.deliver(from, to, &frame);
                continue;
            }
            self.now = self.now.max(tick.min(end));
            let now = self.now;
            for node in self.nodes.values_mut() {
                match node {
                    Node::Host(host) => host.expire(now),
                    Node::Pop(pop) => pop.expire(now),
                }
            }
            tick += 5 * MS;
        }
    }

    /// Frames that one machine has sent to another.
    pub(crate) fn between(&self, from: &str, to: &str) -> Vec<Seen> {
        let (from, to) = (ip(from), ip(to));
        self.seen.iter().filter(|seen| seen.from == from && seen.to == to).cloned().collect()
    }

    /// Whether nothing is left of set-ups anywhere, nor of ports that no flow has.
    pub(crate) fn assert_nothing_is_left(&mut self) {
        self.run(25_000);
        for (address, node) in &self.nodes {
            let Node::Pop(pop) = node else { continue };
            assert_eq!(pop.connect.counts(), connect::Counts::default(), "at {address}");
            let flows = pop.flow_count() / 2;
            assert_eq!(pop.around.taken.len(), flows + pop.ended_flows(), "ports at {address}");
        }
    }
}

impl Pop {
    /// Flows that ended after they were told as spliced: their ports are the flow table's.
    pub(crate) fn ended_flows(&self) -> usize {
        self.around.ended.iter().filter(|ended| ended.was_spliced).count()
    }
}

/// Room for few set-ups, as a test has hundreds of machines.
pub(crate) fn limits() -> Limits {
    Limits { setups: 32, buffers: 8, ..Limits::default() }
}

pub(crate) fn hop(address: &str, takes_syn_payload: bool) -> NextHop {
    NextHop {
        address: (ip(address), pop::CONNECT_PORT).into(),
        rtt: std::time::Duration::from_millis(10),
        takes_syn_payload,
        mss_max: 1400,
        hops: takes_syn_payload.then_some(1),
        site: None,
    }
}

/// Connects to whatever is asked for.
pub(crate) fn to_target(request: &connect::head::Request<'_>) -> Decision {
    let connect::head::Host::Address(address) = request.target.host else {
        return Decision::Refuse(connect::head::Status::BadGateway);
    };
    Decision::Dial { origin: (address, request.target.port).into(), rtt: None, mss_max: 1460 }
}
