//! One connection: a TCP socket in a stack of its own, fed with packets and time, and what is spoken over it.

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant as Micros};
use smoltcp::wire::{HardwareAddress, IpCidr};
use wireguard::time::Instant;

use super::cable::Cable;
use super::{Ends, Segment, Tally, http};
use crate::responder::Via;

/// How long the other side may take to complete a connection.
const OPENING: Duration = Duration::from_secs(5);
/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(60);

/// What is spoken.
#[derive(Debug)]
pub(super) enum Service {
    /// HTTP/1.1.
    Http(http::Talk),
    /// What comes goes back (RFC 862).
    Echo,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// In order, by both sides.
    Closed,
    /// Reset, or silent for too long.
    Aborted,
    /// Before it was complete.
    Abandoned,
}

/// A connection.
pub(super) struct Connection {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    service: Service,
    ends: Ends,
    via: Via,
    mtu: usize,
    /// The state before the present one.
    before: State,
}

impl Connection {
    /// A connection that waits for the SYN of this segment.
    pub(super) fn new(
        syn: &Segment<'_>,
        service: Service,
        (seed, buffer): (u64, usize),
        now: Instant,
    ) -> Self {
        let [incoming, outgoing] = [(); 2].map(|()| SocketBuffer::new(vec![0; buffer]));
        let mut socket = Socket::new(incoming, outgoing);
        socket.set_congestion_control(CongestionControl::Reno);
        // Heads and bodies are written apart; a peer that delays its ACKs must not make us wait between them.
        socket.set_nagle_enabled(false);
        socket.set_timeout(Some(OPENING));
        // Fails on port 0 only, to which nobody listens.
        let _: Result<(), _> = socket.listen((syn.local.ip(), syn.local.port()));
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket);
        Self {
            interface: interface(syn, seed, now),
            sockets,
            handle,
            service,
            ends: syn.ends(),
            via: syn.via,
            mtu: syn.mtu,
            before: State::Listen,
        }
    }

    pub(super) const fn ends(&self) -> Ends {
        self.ends
    }

    /// Where its packets go, and how long they may be.
    pub(super) const fn way(&self) -> (Via, usize) {
        (self.via, self.mtu)
    }

    /// Sends the other way from now on: where the last segment came from.
    pub(super) const fn turn_to(&mut self, via: Via) {
        self.via = via;
    }

    /// Takes the cable's packet if one has come, lets the service act, and sends what may be sent.
    pub(super) fn run(&mut self, now: Instant, cable: &mut Cable<'_>, tally: &mut Tally) {
        let (at, state) = (micros(now), self.state());
        self.interface.poll(at, cable, &mut self.sockets);
        let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
        if state == State::SynReceived && socket.state() != state {
            socket.set_timeout(Some(IDLE));
        }
        match &mut self.service {
            Service::Http(talk) => talk.serve(socket, tally),
            Service::Echo => http::echo(socket, tally),
        }
        self.interface.poll(at, cable, &mut self.sockets);
        if self.state() != state {
            self.before = state;
        }
    }

    /// Whether it only waits for stray segments.
    pub(super) fn rests(&self) -> bool {
        self.state() == State::TimeWait
    }

    /// How it ended, if it has.
    pub(super) fn end(&mut self) -> Option<End> {
        match self.state() {
            // Silence of either side; the reset has left with the last poll.
            State::Closed => Some(match self.before {
                State::LastAck | State::TimeWait | State::Closing => End::Closed,
                State::Listen | State::SynReceived => End::Abandoned,
                State::Closed
                | State::SynSent
                | State::Established
                | State::FinWait1
                | State::FinWait2
                | State::CloseWait => End::Aborted,
            }),
            // A SYN that the stack did not take, or a reset that came before the connection was complete.
            State::Listen => Some(End::Abandoned),
            State::SynSent
            | State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck
            | State::TimeWait => None,
        }
    }

    /// When it has to run again at the latest.
    pub(super) fn deadline(&mut self, now: Instant) -> Instant {
        let at = self.interface.poll_at(micros(now), &self.sockets);
        at.map_or(Instant::NEVER, |at| {
            let nanos = u64::try_from(at.total_micros()).unwrap_or(0).saturating_mul(1000);
            Instant(nanos.max(now.0))
        })
    }

    fn state(&self) -> State {
        self.sockets.get::<Socket<'_>>(self.handle).state()
    }
}

/// Answers a segment of no connection with a reset, if it is none itself.
pub(super) fn refuse(segment: &Segment<'_>, now: Instant, cable: &mut Cable<'_>) {
    let mut interface = interface(segment, 0, now);
    interface.poll(micros(now), cable, &mut SocketSet::new(Vec::new()));
}

/// A stack that has the segment's destination as its address.
fn interface(segment: &Segment<'_>, seed: u64, now: Instant) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed;
    // Only asked for its capabilities.
    let (mut nothing, mut nobody) = (Vec::new(), |_: Via, _: &[u8]| false);
    let mut cable = Cable::new(&mut nothing, (segment.via, segment.mtu), None, &mut nobody);
    let mut interface = Interface::new(config, &mut cable, micros(now));
    let local = segment.local.ip();
    let prefix_len = if local.is_ipv4() { 32 } else { 128 };
    interface.update_ip_addrs(|addresses| {
        // There is room for the first.
        let _: Result<(), _> = addresses.push(IpCidr::new(local.into(), prefix_len));
    });
    interface
}

fn micros(now: Instant) -> Micros {
    Micros::from_micros(i64::try_from(now.0 / 1000).unwrap_or(i64::MAX))
}
