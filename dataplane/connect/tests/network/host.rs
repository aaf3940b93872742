//! A machine with an ordinary stack: clients, origins, and a proxy that terminates what it connects.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use wire::tcp::Flags;

use super::frame::Frame;
use super::tcp::{Out, Speaks, State, Tcp, Time};

/// What listens on a port.
#[derive(Clone, Debug)]
pub(crate) enum Service {
    /// Sends back what comes, and closes after the other side.
    Echo,
    /// Says something first, then echoes.
    Banner(Vec<u8>),
    /// Takes everything, and closes after the other side.
    Sink,
    /// Closes first, after the request has come.
    CloseFirst,
    /// A proxy: answers CONNECT with these octets, then connects to the target and pipes. Each piece is a segment.
    Proxy(Vec<Vec<u8>>),
    /// Answers a head with these octets and pipes nothing.
    Answers(Vec<u8>),
    /// Takes a connection and stays silent.
    Silent,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) tcp: Tcp,
    service: Option<Service>,
    /// Octets of what was received that the service has dealt with.
    done: usize,
    /// The other connection of a proxy.
    other: Option<(SocketAddr, SocketAddr)>,
    pub(crate) head: Vec<u8>,
    pieces: VecDeque<Vec<u8>>,
}

pub(crate) struct Host {
    pub(crate) ip: IpAddr,
    pub(crate) speaks: Speaks,
    pub(crate) services: BTreeMap<u16, Service>,
    pub(crate) connections: BTreeMap<(SocketAddr, SocketAddr), Connection>,
    /// Answers SYNs to ports where nothing listens by a reset.
    pub(crate) refuses: bool,
    pub(crate) iss: u32,
    outs: Vec<Frame>,
    pub(crate) next_port: u16,
    pub(crate) proxied: u32,
}

impl Host {
    pub(crate) fn new(address: &str, speaks: Speaks, iss: u32) -> Self {
        Self {
            ip: super::ip(address),
            speaks,
            services: BTreeMap::new(),
            connections: BTreeMap::new(),
            refuses: true,
            iss,
            outs: Vec::new(),
            next_port: 40_000,
            proxied: 0,
        }
    }

    pub(crate) fn serving(mut self, port: u16, service: Service) -> Self {
        self.services.insert(port, service);
        self
    }

    fn put(&mut self, ends: (SocketAddr, SocketAddr), out: &Out) {
        self.outs.push(Frame::new(
            ends,
            (out.flags, out.window),
            (out.sequence, out.acknowledgment),
            &out.options,
            &out.payload,
        ));
    }

    /// Opens a connection and returns its ends.
    pub(crate) fn open(&mut self, remote: SocketAddr, now: Time) -> (SocketAddr, SocketAddr) {
        let local = SocketAddr::new(self.ip, self.next_port);
        self.next_port += 1;
        self.open_from(local, remote, now)
    }

    pub(crate) fn open_from(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        now: Time,
    ) -> (SocketAddr, SocketAddr) {
        self.iss = self.iss.wrapping_add(1_000_003);
        let (tcp, syn) = Tcp::open(local, remote, self.speaks, self.iss, now);
        let ends = (local, remote);
        self.put(ends, &syn);
        self.connections.insert(ends, connection(tcp, None));
        ends
    }

    pub(crate) fn tcp(&mut self, ends: (SocketAddr, SocketAddr)) -> &mut Tcp {
        &mut self.connections.get_mut(&ends).expect("no such connection").tcp
    }

    /// The only connection that was accepted at a port.
    pub(crate) fn accepted(&mut self, port: u16) -> &mut Tcp {
        let found = self.connections.values_mut().find(|one| one.tcp.local.port() == port);
        &mut found.expect("nothing was accepted").tcp
    }

    pub(crate) fn reset(&mut self, ends: (SocketAddr, SocketAddr), now: Time) {
        let out = self.tcp(ends).reset(now);
        self.put(ends, &out);
    }

    pub(crate) fn take(&mut self, frame: &Frame, now: Time) {
        let header = frame.header();
        let ends = (frame.to(), frame.from());
        let mut outs = Vec::new();
        if let Some(one) = self.connections.get_mut(&ends) {
            one.tcp.take(&header, frame.options(), frame.payload(), now, &mut outs);
        } else if header.flags.has(Flags::SYN) && !header.flags.has(Flags::ACK) {
            if let Some(service) = self.services.get(&header.destination_port).cloned() {
                self.iss = self.iss.wrapping_add(64_000_007);
                let offer = (&header, frame.options());
                let (tcp, syn_ack) = Tcp::accept(ends, self.speaks, self.iss, offer, now);
                self.connections.insert(ends, connection(tcp, Some(service)));
                outs.push(syn_ack);
            } else if self.refuses {
                let ack = header.sequence_number.wrapping_add(1);
                self.outs.push(Frame::new(ends, (Flags::RST | Flags::ACK, 0), (0, ack), &[], &[]));
            }
        } else if !header.flags.has(Flags::RST) {
            let sequence = (header.acknowledgment_number, 0);
            self.outs.push(Frame::new(ends, (Flags::RST, 0), sequence, &[], &[]));
        }
        for out in outs {
            self.put(ends, &out);
        }
        self.serve(ends, now);
    }

    pub(crate) fn expire(&mut self, now: Time) {
        let all: Vec<_> = self.connections.keys().copied().collect();
        for ends in all {
            let mut outs = Vec::new();
            self.tcp(ends).expire(now, &mut outs);
            for out in outs {
                self.put(ends, &out);
            }
        }
    }

    pub(crate) fn drain(&mut self, now: Time) -> Vec<Frame> {
        let all: Vec<_> = self.connections.keys().copied().collect();
        for ends in all {
            let mut outs = Vec::new();
            self.tcp(ends).flush(now, &mut outs);
            for out in outs {
                self.put(ends, &out);
            }
        }
        std::mem::take(&mut self.outs)
    }

    fn serve(&mut self, ends: (SocketAddr, SocketAddr), now: Time) {
        let Some(one) = self.connections.get_mut(&ends) else { return };
        if one.tcp.state == State::Reset {
            let other = one.other.take();
            let is_open =
                |ends: &_| self.connections.get(ends).is_some_and(|one| one.tcp.is_open());
            if let Some(other) = other.filter(is_open) {
                self.reset(other, now);
            }
            return;
        }
        if !one.tcp.is_open() {
            return;
        }
        let new = one.tcp.received[one.done..].to_vec();
        match one.service.clone() {
            Some(Service::Echo) => {
                one.done += new.len();
                one.tcp.send(&new);
                if one.tcp.fin_received {
                    one.tcp.close();
                }
            }
            Some(Service::Banner(banner)) => {
                one.service = Some(Service::Echo);
                one.tcp.send(&banner);
                self.serve(ends, now);
            }
            Some(Service::Sink) => {
                if one.tcp.fin_received {
                    one.tcp.close();
                }
            }
            Some(Service::CloseFirst) => {
                if !new.is_empty() {
                    one.done += new.len();
                    one.tcp.send(b"bye");
                    one.tcp.close();
                }
            }
            Some(Service::Answers(answer)) => {
                if one.tcp.received.ends_with(b"\r\n\r\n") && one.done == 0 {
                    one.done = one.tcp.received.len();
                    one.tcp.send(&answer);
                }
            }
            Some(Service::Proxy(pieces)) => self.proxy(ends, &pieces, now),
            Some(Service::Silent) => {}
            None => self.pipe(ends),
        }
    }

    /// The head is read, the target is dialled, and what comes from there is piped.
    fn proxy(&mut self, ends: (SocketAddr, SocketAddr), pieces: &[Vec<u8>], now: Time) {
        let one = self.connections.get_mut(&ends).unwrap();
        if one.other.is_none() {
            let text = &one.tcp.received;
            let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") else { return };
            one.head = text[..end + 4].to_vec();
            one.done = end + 4;
            let target = String::from_utf8(text[8..end].to_vec()).unwrap();
            let target: SocketAddr = target.split(' ').next().unwrap().parse().unwrap();
            self.proxied += 1;
            let onward = self.open(target, now);
            let one = self.connections.get_mut(&ends).unwrap();
            one.other = Some(onward);
            one.pieces = pieces.iter().cloned().collect();
            self.connections.get_mut(&onward).unwrap().other = Some(ends);
            return;
        }
        self.pipe(ends);
    }

    /// What has come on one connection goes to the other, once that is open.
    fn pipe(&mut self, ends: (SocketAddr, SocketAddr)) {
        let Some(other) = self.connections[&ends].other else { return };
        if !self.connections.get(&other).is_some_and(|other| other.tcp.is_open()) {
            return;
        }
        for (from, to) in [(ends, other), (other, ends)] {
            let one = self.connections.get_mut(&from).unwrap();
            let new = one.tcp.received[one.done..].to_vec();
            one.done = one.tcp.received.len();
            let fin = one.tcp.fin_received;
            let two = self.connections.get_mut(&to).unwrap();
            let pieces = std::mem::take(&mut two.pieces);
            for piece in pieces {
                two.tcp.send(&piece);
            }
            two.tcp.send(&new);
            if fin {
                two.tcp.close();
            }
        }
    }
}

fn connection(tcp: Tcp, service: Option<Service>) -> Connection {
    Connection { tcp, service, done: 0, other: None, head: Vec::new(), pieces: VecDeque::new() }
}
