//! Nothing is allocated after the making: set-ups in every way, their repetitions and their ends call the allocator never.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect has failed"
)]

#[path = "../../tests/allocation/counting.rs"]
mod counting;
mod network;

use std::net::SocketAddr;

use connect::head::Request;
use connect::time::Instant;
use connect::{
    Accepting, Arrived, Connect, Decision, Ended, Leg, NO_CLIENT, Opening, Segment, Splice,
    Verdict, World,
};
use network::frame::Frame;
use network::hand::{ANSWER_OPTIONS, CLIENT_ISN, FAR_ISN, OK, OPTIONS};
use network::pop::CONNECT_PORT;
use network::tcp::MS;
use network::{CLIENT_IP, EXIT_IP, INGRESS_IP, ORIGIN_IP, hop, ip, limits, to_target};
use wire::tcp::Flags;

use counting::CALLS;

/// Counts what it is given and keeps nothing but the last dialled number.
#[derive(Default)]
struct Quiet {
    port: u16,
    dialled: u32,
    own: u32,
    spliced: u32,
}

impl World for Quiet {
    fn send(&mut self, segment: &Segment<'_>) {
        if segment.flags == Flags::SYN {
            self.dialled = segment.sequence_number;
        } else if segment.flags == Flags::SYN | Flags::ACK {
            self.own = segment.sequence_number;
        }
    }

    fn take_port(&mut self, _tag: u64, _remote: SocketAddr) -> Option<SocketAddr> {
        self.port += 1;
        Some(SocketAddr::from(([192, 0, 2, 1], 20_000 + self.port)))
    }

    fn return_port(&mut self, _local: SocketAddr, _remote: SocketAddr) {}

    fn admit(&mut self, _near: &Leg, _tag: u64, request: &Request<'_>) -> Decision {
        to_target(request)
    }

    fn random(&mut self) -> u32 {
        9
    }

    fn splice(&mut self, _splice: &Splice) -> bool {
        self.spliced += 1;
        true
    }

    fn ended(&mut self, _ended: &Ended) {}
}

struct Bench {
    connect: Connect,
    world: Quiet,
    now: Instant,
    allocated: u64,
}

impl Bench {
    fn take(
        &mut self,
        client: u32,
        ends: (SocketAddr, SocketAddr),
        (flags, numbers): (Flags, (u32, u32)),
        (options, payload): (&[u8], &[u8]),
    ) {
        let frame = Frame::new(ends, (flags, 1000), numbers, options, payload);
        let routes = [hop(EXIT_IP, false), hop(ORIGIN_IP, true)];
        let before = CALLS.get();
        let arrived = Arrived::of(client, frame.source, frame.destination, &frame.segment).unwrap();
        let verdict = self.connect.segment(&arrived, &mut self.world, self.now);
        if verdict == Verdict::Unknown && arrived.is_open() && client == NO_CLIENT {
            let accepting = Accepting { syn: &arrived, tag: 0, is_ours: true, mss_max: 1400 };
            self.connect.accept(&accepting, &mut self.world, self.now).unwrap();
        } else if verdict == Verdict::Unknown && arrived.is_open() {
            let opening = Opening {
                syn: &arrived,
                tag: 0,
                routes: &routes,
                mss_max: 1380,
                keepalive_secs: 15,
            };
            self.connect.open(&opening, &mut self.world, self.now).unwrap();
        }
        self.allocated += CALLS.get() - before;
    }

    fn wait(&mut self, ms: u64) {
        let before = CALLS.get();
        for _ in 0..ms {
            self.now = Instant(self.now.0 + MS);
            self.connect.expire(&mut self.world, self.now, 64);
        }
        self.allocated += CALLS.get() - before;
    }
}

#[test]
fn setups_call_the_allocator_never() {
    let mut bench = Bench {
        connect: Connect::new(limits(), 3),
        world: Quiet::default(),
        now: Instant(1000 * MS),
        allocated: 0,
    };
    let first = CLIENT_ISN.wrapping_add(1);
    let syn_ack = Flags::SYN | Flags::ACK;
    for round in 0..20_u16 {
        // An ingress: a head in pieces, early payload, and a client that comes late.
        let near = ((ip(CLIENT_IP), 1000 + round).into(), (ip(ORIGIN_IP), 80).into());
        bench.take(7, near, (Flags::SYN, (CLIENT_ISN, 0)), (OPTIONS, &[]));
        let here = SocketAddr::from(([192, 0, 2, 1], 20_000 + bench.world.port));
        let far = (hop(EXIT_IP, false).address, here);
        bench.wait(60);
        let ack = bench.world.dialled.wrapping_add(1);
        bench.take(NO_CLIENT, far, (syn_ack, (FAR_ISN, ack)), (ANSWER_OPTIONS, &[]));
        bench.take(NO_CLIENT, far, (Flags::ACK, (FAR_ISN + 1, first)), (&[], &OK[..9]));
        let rest = [&OK[9..], b"hello"].concat();
        bench.take(NO_CLIENT, far, (Flags::ACK, (FAR_ISN + 10, first)), (&[], &rest));
        bench.take(7, near, (Flags::ACK, (first, FAR_ISN + 20)), (&[], &[]));
        // An exit that is asked in pieces, and one that is asked nonsense.
        let near = ((ip(INGRESS_IP), 1000 + round).into(), (ip(EXIT_IP), CONNECT_PORT).into());
        bench.take(NO_CLIENT, near, (Flags::SYN, (CLIENT_ISN, 0)), (OPTIONS, &[]));
        let ack = bench.world.own.wrapping_add(1);
        let text = b"CONNECT 198.51.100.1:80 HTTP/1.1\r\n\r\n";
        bench.take(NO_CLIENT, near, (Flags::ACK, (first, ack)), (&[], &text[..20]));
        let at = first.wrapping_add(20);
        let text = if round % 2 == 0 { &text[20..] } else { b"\r\n\r\n" };
        bench.take(NO_CLIENT, near, (Flags::ACK, (at, ack)), (&[], text));
        bench.wait(30_000);
    }
    assert_eq!(bench.world.spliced, 20);
    assert_eq!(bench.connect.counts(), connect::Counts::default());
    assert_eq!(bench.allocated, 0, "calls of the allocator");
}
