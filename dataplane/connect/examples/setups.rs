//! Times set-ups on one core, frames written and read included: nanoseconds for each (10th percentile of blocks) and how many
//! that is in a second; and what reading a head costs.
//!
//! usage: cargo run --release -p connect --example setups

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a measurement, not a part of the edge"
)]

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant as Clock};

use connect::head::{CONNECTED, Request, parse_answer, parse_request};
use connect::limits::Limits;
use connect::time::Instant;
use connect::{
    Accepting, Arrived, Connect, Decision, Ended, Leg, NO_CLIENT, NextHop, Opening, Segment,
    Splice, Verdict, World,
};
use wire::checksum::Sum;
use wire::tcp::{self, Fields, Flags};

const BLOCK: u32 = 512;
const BLOCKS: usize = 600;
/// Time that passes from one set-up to the next: 250,000 in a second.
const STEP: u64 = 4_000;

const INGRESS: [u8; 4] = [192, 0, 2, 1];
const EXIT: [u8; 4] = [192, 0, 2, 3];
const ORIGIN: [u8; 4] = [198, 51, 100, 1];
const OPTIONS: &[u8] = &[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 3, 232, 0, 0, 0, 0, 1, 3, 3, 7];
const REQUEST: &[u8] = b"CONNECT 198.51.100.1:443 HTTP/1.1\r\nHost: 198.51.100.1:443\r\n\
    Exit-Tcp-Keepalive-Duration: 15\r\nApplication: warp\r\nExit-Hops: 1\r\n\r\n";

/// Writes each frame and remembers the last one that went to each place.
struct Wire {
    octets: [u8; 512],
    last: Fields,
    leg: Leg,
    port: u32,
    dialled: Option<(Leg, u32, usize)>,
    spliced: u32,
    random: u32,
}

impl World for Wire {
    fn send(&mut self, segment: &Segment<'_>) {
        self.last = Fields {
            source_port: segment.leg.ours.port(),
            destination_port: segment.leg.theirs.port(),
            sequence_number: segment.sequence_number,
            acknowledgment_number: segment.acknowledgment_number,
            flags: segment.flags,
            window: segment.window,
        };
        self.leg = segment.leg;
        if segment.flags == Flags::SYN {
            self.dialled = Some((segment.leg, segment.sequence_number, segment.payload.len()));
        }
        let header_len = tcp::HEADER_LEN + segment.options.len();
        let all = &mut self.octets[..header_len + segment.payload.len()];
        all[header_len..].copy_from_slice(segment.payload);
        black_box(emit(all, segment.leg, &self.last, segment.options));
    }

    fn take_port(&mut self, _tag: u64, _remote: SocketAddr) -> Option<SocketAddr> {
        // Ports rest, so several addresses take turns.
        self.port = self.port.wrapping_add(1);
        let [a, b, c, d] = INGRESS;
        let address = [a, b, c, d + (self.port >> 15 & 15) as u8];
        Some((address, 0x8000 | self.port as u16).into())
    }

    fn return_port(&mut self, _local: SocketAddr, _remote: SocketAddr) {}

    fn admit(&mut self, _near: &Leg, _tag: u64, request: &Request<'_>) -> Decision {
        let connect::head::Host::Address(address) = request.target.host else {
            return Decision::Refuse(connect::head::Status::BadGateway);
        };
        Decision::Dial { origin: (address, request.target.port).into(), rtt: None, mss_max: 1460 }
    }

    fn random(&mut self) -> u32 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.random
    }

    fn splice(&mut self, _splice: &Splice) -> bool {
        self.spliced += 1;
        true
    }

    fn ended(&mut self, _ended: &Ended) {}
}

fn emit(segment: &mut [u8], leg: Leg, fields: &Fields, options: &[u8]) -> usize {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (leg.ours.ip(), leg.theirs.ip()) else {
        return 0;
    };
    let len = segment.len() as u16;
    let pseudo = Sum::pseudo_v4(source, destination, tcp::PROTOCOL, len);
    tcp::emit(segment, fields, options, pseudo).unwrap()
}

/// The machine under test, and the octets of the frame that comes next.
struct Bench {
    connect: Connect,
    wire: Wire,
    now: u64,
    frame: [u8; 512],
    hop: NextHop,
}

/// What came: from whom to whom, and numbers.
type Ends = (SocketAddr, SocketAddr);

impl Bench {
    fn new(is_borne: bool) -> Self {
        let hop = NextHop {
            address: (EXIT, 3128).into(),
            rtt: Duration::from_millis(10),
            takes_syn_payload: is_borne,
            mss_max: 1400,
            hops: Some(1),
            site: None,
        };
        let limits = Limits { setups_per_client: 1 << 16, ..Limits::default() };
        let leg = Leg { client: 0, ours: hop.address, theirs: hop.address };
        let last = fields(0, 0, (0, 0), Flags::SYN);
        let wire =
            Wire { octets: [0; 512], last, leg, port: 0, dialled: None, spliced: 0, random: 1 };
        Self { connect: Connect::new(limits, 7), wire, now: 1_000_000_000, frame: [0; 512], hop }
    }

    /// Reads a frame as the worker would and hands it over.
    fn take(
        &mut self,
        client: u32,
        (from, to): Ends,
        (flags, numbers): (Flags, (u32, u32)),
        (options, payload): (&[u8], &[u8]),
    ) -> Verdict {
        let header_len = tcp::HEADER_LEN + options.len();
        let all = &mut self.frame[..header_len + payload.len()];
        all[header_len..].copy_from_slice(payload);
        let fields = fields(from.port(), to.port(), numbers, flags);
        emit(all, Leg { client, ours: from, theirs: to }, &fields, options);
        let arrived = Arrived::of(client, from.ip(), to.ip(), all).unwrap();
        let now = Instant(self.now);
        let verdict = self.connect.segment(&arrived, &mut self.wire, now);
        if verdict == Verdict::Unknown && client == NO_CLIENT {
            let accepting = Accepting { syn: &arrived, tag: 0, is_ours: true, mss_max: 1400 };
            self.connect.accept(&accepting, &mut self.wire, now).unwrap();
        } else if verdict == Verdict::Unknown {
            let opening = Opening {
                syn: &arrived,
                tag: 0,
                routes: &[self.hop],
                mss_max: 1380,
                keepalive_secs: 15,
            };
            self.connect.open(&opening, &mut self.wire, now).unwrap();
        }
        verdict
    }

    /// A client's connection through an ingress.
    fn ingress(&mut self, number: u32, is_borne: bool) {
        let client = number & 0xffff;
        let from: SocketAddr = ([10, 0, 0, 1], (number % 60_000) as u16 + 1024).into();
        let to: SocketAddr = (ORIGIN, 443).into();
        let isn = number.wrapping_mul(0x9e37_79b9);
        self.take(client, (from, to), (Flags::SYN, (isn, 0)), (OPTIONS, &[]));
        let (leg, sequence, len) = self.wire.dialled.unwrap();
        let far = (leg.theirs, leg.ours);
        let syn_ack = Flags::SYN | Flags::ACK;
        let first = sequence.wrapping_add(1);
        let theirs = isn ^ 0x5555_5555;
        let end = isn.wrapping_add(1);
        if is_borne {
            assert!(len > 0);
            self.take(NO_CLIENT, far, (syn_ack, (theirs, end)), (OPTIONS, CONNECTED));
        } else {
            self.take(NO_CLIENT, far, (syn_ack, (theirs, first)), (OPTIONS, &[]));
            let numbers = (theirs.wrapping_add(1), end);
            self.take(NO_CLIENT, far, (Flags::ACK | Flags::PSH, numbers), (&[], CONNECTED));
        }
        let head = CONNECTED.len() as u32;
        let numbers = (end, theirs.wrapping_add(1).wrapping_add(head));
        let verdict = self.take(client, (from, to), (Flags::ACK, numbers), (&[], &[]));
        assert_eq!(verdict, Verdict::Pass);
    }

    /// A connection of another PoP through an exit.
    fn exit(&mut self, number: u32, is_borne: bool) {
        let from = ([192, 0, 3, (number / 60_000 % 8) as u8], (number % 60_000) as u16 + 1024);
        let from = SocketAddr::from(from);
        let to: SocketAddr = (EXIT, 3128).into();
        let isn = number.wrapping_mul(0x9e37_79b9);
        let first = isn.wrapping_add(1);
        let end = first.wrapping_add(REQUEST.len() as u32);
        if is_borne {
            self.take(NO_CLIENT, (from, to), (Flags::SYN, (isn, 0)), (OPTIONS, REQUEST));
        } else {
            self.take(NO_CLIENT, (from, to), (Flags::SYN, (isn, 0)), (OPTIONS, &[]));
            let ack = self.wire.last.sequence_number.wrapping_add(1);
            let flags = Flags::ACK | Flags::PSH;
            self.take(NO_CLIENT, (from, to), (flags, (first, ack)), (&[], REQUEST));
        }
        let (leg, sequence, _) = self.wire.dialled.unwrap();
        let far = (leg.theirs, leg.ours);
        let numbers = (isn ^ 0x5555_5555, sequence.wrapping_add(1));
        self.take(NO_CLIENT, far, (Flags::SYN | Flags::ACK, numbers), (OPTIONS, &[]));
        let answer = self.wire.last.sequence_number.wrapping_add(CONNECTED.len() as u32);
        let ack = answer.wrapping_add(u32::from(is_borne));
        let verdict = self.take(NO_CLIENT, (from, to), (Flags::ACK, (end, ack)), (&[], &[]));
        assert_eq!(verdict, Verdict::Pass);
    }
}

fn fields(from: u16, to: u16, numbers: (u32, u32), flags: Flags) -> Fields {
    Fields {
        source_port: from,
        destination_port: to,
        sequence_number: numbers.0,
        acknowledgment_number: numbers.1,
        flags,
        window: 500,
    }
}

/// The 10th percentile of what blocks take, for each of so many.
fn time(count: u32, mut block: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..BLOCKS)
        .map(|_| {
            let start = Clock::now();
            block();
            start.elapsed().as_nanos() as f64 / f64::from(count)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[BLOCKS / 10]
}

type Job = fn(&mut Bench, u32, bool);

fn main() {
    let jobs = [
        ("ingress, in the SYN", Bench::ingress as Job, true),
        ("exit, in the SYN", Bench::exit, true),
        ("ingress, behind the SYN", Bench::ingress, false),
        ("exit, behind the SYN", Bench::exit, false),
    ];
    for (name, job, is_borne) in jobs {
        let mut bench = Bench::new(is_borne);
        let mut number = 0;
        let each = time(BLOCK, || {
            for _ in 0..BLOCK {
                number += 1;
                bench.now += STEP;
                job(&mut bench, number, is_borne);
            }
            let now = Instant(bench.now);
            bench.connect.expire(&mut bench.wire, now, 4096);
        });
        assert_eq!(bench.wire.spliced, number, "each is spliced");
        let counts = bench.connect.counts();
        println!("{name:24} {each:7.0} ns, {:9.0}/s, {counts:?}", 1e9 / each);
    }
    for (name, text, is_request) in [("request", REQUEST, true), ("answer", CONNECTED, false)] {
        let each = time(BLOCK, || {
            for _ in 0..BLOCK {
                let text = black_box(text);
                if is_request {
                    let _ = black_box(parse_request(text).is_ok());
                } else {
                    let _ = black_box(parse_answer(text).is_ok());
                }
            }
        });
        println!("reading {name:16} {each:7.0} ns, {} octets", text.len());
    }
}
