//! Segments that no stack would send, in any order: nothing breaks, every set-up ends, and nothing is left.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect has failed"
)]

mod network;

use connect::Counts;
use network::frame::Frame;
use network::hand::{ANSWER_OPTIONS, OPTIONS};
use network::pop::{CONNECT_PORT, Pop};
use network::tcp::MS;
use network::{
    CLIENT_IP, EXIT_IP, INGRESS_IP, ORIGIN_IP, RELAY_IP, Random, hop, ip, limits, to_target,
};
use std::net::SocketAddr;
use wire::tcp::Flags;

const TEXTS: &[&[u8]] = &[
    b"",
    b"",
    b"",
    b"x",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n220 hello\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 421 No\r\nExit-Tcp-Options: sack=0 ws=7 mss=900\r\n\r\n",
    b"HTTP/1.1 503 No\r\n\r\n",
    b"HTTP/1.1 2",
    b"00 OK\r\n\r\n",
    b"CONNECT 198.51.100.1:80 HTTP/1.1\r\nHost: 198.51.100.1:80\r\n\r\n",
    b"CONNECT 198.51.100.1:80 HTTP/1.1\r\nHo",
    b"st: 198.51.100.1:80\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    &[b'a'; 1400],
];

/// A number that is likely to matter: around one of those that the machine has sent last.
fn number(random: &mut Random, known: &[u32]) -> u32 {
    if known.is_empty() || random.below(8) == 0 {
        return u32::try_from(random.below(1 << 32)).unwrap();
    }
    let base = known[usize::try_from(random.below(known.len() as u64)).unwrap()];
    let offsets = [0, 0, 0, 1, 1, 19, 20, 53, 54, u32::MAX, 1000];
    base.wrapping_add(offsets[usize::try_from(random.below(11)).unwrap()])
}

fn flags(random: &mut Random) -> Flags {
    let all = [0x02, 0x12, 0x10, 0x10, 0x10, 0x18, 0x18, 0x11, 0x04, 0x14, 0x00, 0x03, 0x06, 0xc2];
    Flags(all[usize::try_from(random.below(14)).unwrap()])
}

fn pops() -> Vec<Pop> {
    let mut ingress = Pop::new(ip(INGRESS_IP), limits(), Box::new(to_target));
    ingress.routes = vec![hop(EXIT_IP, true), hop(RELAY_IP, false)];
    let exit = Pop::new(ip(INGRESS_IP), limits(), Box::new(to_target));
    let relay = |_: &connect::head::Request<'_>| connect::Decision::Relay(hop(EXIT_IP, true));
    let relay = Pop::new(ip(INGRESS_IP), limits(), Box::new(relay));
    vec![ingress, exit, relay]
}

/// What a stack could answer to a frame, with some text.
fn answer(random: &mut Random, frame: &Frame) -> (Frame, bool) {
    let header = frame.header();
    let text = TEXTS[usize::try_from(random.below(TEXTS.len() as u64)).unwrap()];
    let end = header.sequence_number.wrapping_add(u32::try_from(header.sequence_len()).unwrap());
    let ends = (frame.to(), frame.from());
    let frame = if header.flags == Flags::SYN {
        let numbers = (u32::try_from(random.below(1 << 32)).unwrap(), end);
        Frame::new(ends, (Flags::SYN | Flags::ACK, 1000), numbers, ANSWER_OPTIONS, text)
    } else {
        let numbers = (header.acknowledgment_number, end);
        Frame::new(ends, (Flags::ACK | Flags::PSH, 1000), numbers, &[], text)
    };
    let is_client = frame.source == ip(CLIENT_IP);
    (frame, is_client)
}

/// Some frame, as likely as not one that continues what the machine said.
fn frame(random: &mut Random, is_client: bool, heard: &[Frame]) -> (Frame, bool) {
    if !heard.is_empty() && random.below(3) > 0 {
        let last = heard.len() - 1;
        let back = usize::try_from(random.below(3)).unwrap().min(last);
        return answer(random, &heard[last - back]);
    }
    let known: Vec<u32> = heard
        .iter()
        .flat_map(|frame| [frame.header().sequence_number, frame.header().acknowledgment_number])
        .map(|number| number.wrapping_add(1))
        .chain([7, 8])
        .collect();
    let numbers = (number(random, &known), number(random, &known));
    let text = TEXTS[usize::try_from(random.below(TEXTS.len() as u64)).unwrap()];
    let options = [&[][..], OPTIONS, ANSWER_OPTIONS, &[19, 4, 0, 0], &[2, 9, 0, 0]]
        [usize::try_from(random.below(5)).unwrap()];
    let near: SocketAddr = if is_client {
        (ip(CLIENT_IP), 40_000 + u16::try_from(random.below(3)).unwrap()).into()
    } else {
        (ip("203.0.113.5"), 5000 + u16::try_from(random.below(3)).unwrap()).into()
    };
    let to = if is_client { (ip(ORIGIN_IP), 80) } else { (ip(INGRESS_IP), CONNECT_PORT) };
    let far = heard
        .iter()
        .rev()
        .find(|frame| frame.header().flags.has(Flags::SYN) && frame.to().port() != near.port());
    let (ends, from_client) = match far {
        Some(far) if random.below(2) == 0 => {
            ((far.to(), far.from()), far.destination == ip(CLIENT_IP))
        }
        _ => ((near, to.into()), is_client),
    };
    let window = [0, 1, 1000, 65_535][usize::try_from(random.below(4)).unwrap()];
    (Frame::new(ends, (flags(random), window), numbers, options, text), from_client)
}

#[test]
fn nothing_that_comes_breaks_a_setup_or_stays_for_ever() {
    let mut spliced = 0;
    for seed in 1..2000_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for (kind, pop) in pops().iter_mut().enumerate() {
            let mut now = 1000 * MS;
            let mut heard: Vec<Frame> = Vec::new();
            for _ in 0..60 {
                let (frame, is_client) = frame(&mut random, kind == 0, &heard);
                pop.take(&frame, is_client, now);
                now += [0, MS, 30 * MS, 300 * MS][usize::try_from(random.below(4)).unwrap()];
                pop.expire(now);
                heard.extend(std::mem::take(&mut pop.around.sent));
                let keep = heard.len().saturating_sub(6);
                heard.drain(..keep);
                let counts = pop.connect.counts();
                assert!(
                    counts.legs <= 2 * counts.setups && counts.buffers <= counts.setups,
                    "seed {seed}"
                );
            }
            for _ in 0..80 {
                now += 1000 * MS;
                pop.expire(now);
            }
            assert_eq!(pop.connect.counts(), Counts::default(), "seed {seed}, kind {kind}");
            let flows = pop.around.spliced.len();
            assert_eq!(pop.around.taken.len(), flows, "ports, seed {seed}, kind {kind}");
            spliced += flows;
        }
    }
    assert!(spliced > 500, "only {spliced} came as far as a splice");
}
