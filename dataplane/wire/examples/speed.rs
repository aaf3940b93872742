//! Times the checksum and the parsers on one core: `cargo run --release -p wire --example speed`.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "prints its numbers and works on packets it built itself"
)]

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;
use wire::checksum::Sum;
use wire::{ethernet, ipv4, ipv6, udp};

const ROUNDS: u32 = 200_000;
const REPEATS: usize = 25;

fn main() {
    for len in [20, 40, 64, 128, 576, 1420, 9000] {
        let octets = vec![0x5a; len + 1];
        let aligned = best(|| Sum::of(black_box(&octets[..len])).finish());
        let odd = best(|| Sum::of(black_box(&octets[1..])).finish());
        println!("checksum of {len:5} octets: {aligned:6.1} ns, from an odd address {odd:6.1} ns");
    }
    let (v4, v6) = (frame_v4(), frame_v6());
    println!("ethernet::parse          {:6.1} ns", best(|| ethernet::parse(black_box(&v4))));
    println!("ipv4::parse              {:6.1} ns", best(|| ipv4::parse(black_box(&v4[14..]))));
    println!(
        "ipv4::parse_unverified   {:6.1} ns",
        best(|| ipv4::parse_unverified(black_box(&v4[14..])))
    );
    println!("ipv6::parse              {:6.1} ns", best(|| ipv6::parse(black_box(&v6[14..]))));
    println!("udp::parse               {:6.1} ns", best(|| udp::parse(black_box(&v4[34..]))));
    println!("ethernet, ipv4, udp      {:6.1} ns", best(|| whole(black_box(&v4))));
    println!("ethernet, ipv6, udp      {:6.1} ns", best(|| whole_v6(black_box(&v6))));
    let (mut out, fields) = ([0; 128], fields_v4(108));
    println!(
        "emit ipv4, udp           {:6.1} ns",
        best(|| dress(black_box(&mut out), black_box(&fields)))
    );
}

/// Nanoseconds of one call, in the quietest of several blocks.
fn best<T>(mut call: impl FnMut() -> T) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..REPEATS {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            black_box(call());
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS));
    }
    best
}

fn whole(frame: &[u8]) -> Option<u16> {
    let link = ethernet::parse(frame).ok()?;
    let packet = frame.get(link.payload_offset..)?;
    let ip = ipv4::parse(packet).ok()?;
    let datagram = packet.get(ip.payload_offset..ip.total_len())?;
    Some(udp::parse(datagram).ok()?.ports.destination)
}

fn whole_v6(frame: &[u8]) -> Option<u16> {
    let link = ethernet::parse(frame).ok()?;
    let packet = frame.get(link.payload_offset..)?;
    let ip = ipv6::parse(packet).ok()?;
    let datagram = packet.get(ip.payload_offset..ip.total_len())?;
    Some(udp::parse(datagram).ok()?.ports.destination)
}

/// Writes the headers of a tunnel packet, the UDP checksum left out.
fn dress(out: &mut [u8], fields: &ipv4::Fields) -> Result<(), wire::NoRoom> {
    ipv4::emit(out, fields)?;
    udp::emit_without_checksum(&mut out[20..], PORTS)
}

fn fields_v4(payload_len: usize) -> ipv4::Fields {
    ipv4::Fields {
        source: Ipv4Addr::new(192, 0, 2, 1),
        destination: Ipv4Addr::new(198, 51, 100, 2),
        protocol: udp::PROTOCOL,
        ttl: 64,
        tos: 0,
        identification: 0,
        dont_fragment: true,
        payload_len,
    }
}

const PORTS: udp::Ports = udp::Ports { source: 40_000, destination: 2408 };

fn frame_v4() -> Vec<u8> {
    let mut frame = vec![0; 14 + 20 + 8 + 100];
    let fields = fields_v4(108);
    ethernet::emit(&mut frame, [2; 6], [4; 6], None, ipv4::ETHERTYPE).expect("fits");
    ipv4::emit(&mut frame[14..], &fields).expect("fits");
    udp::emit_v4(&mut frame[34..], PORTS, fields.source, fields.destination).expect("fits");
    frame
}

fn frame_v6() -> Vec<u8> {
    let mut frame = vec![0; 14 + 40 + 8 + 100];
    let fields = ipv6::Fields {
        source: Ipv6Addr::LOCALHOST,
        destination: Ipv6Addr::LOCALHOST,
        protocol: udp::PROTOCOL,
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
        payload_len: 108,
    };
    ethernet::emit(&mut frame, [2; 6], [4; 6], None, ipv6::ETHERTYPE).expect("fits");
    ipv6::emit(&mut frame[14..], &fields).expect("fits");
    udp::emit_without_checksum(&mut frame[54..], PORTS).expect("fits");
    frame
}
