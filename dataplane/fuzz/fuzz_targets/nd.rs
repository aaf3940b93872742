//! Neighbour discovery in a whole IPv6 packet: a message that is read is read again once it is emitted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::checksum::Sum;
use wire::{icmp, ipv6, nd};

fuzz_target!(|octets: &[u8]| {
    let Ok(ip) = ipv6::parse(octets) else { return };
    let mut message = octets[ip.payload_offset..ip.total_len()].to_vec();
    if message.len() < nd::HEADER_LEN {
        return;
    }
    // No fuzzer guesses a checksum, so it is made right.
    message[2..4].fill(0);
    let len = u16::try_from(message.len()).unwrap();
    let pseudo = Sum::pseudo_v6(ip.source, ip.destination, icmp::v6::PROTOCOL, len);
    let checksum = pseudo.plus(Sum::of(&message)).finish();
    message[2..4].copy_from_slice(&checksum.to_be_bytes());

    let Ok(read) = nd::parse(&ip, &message) else { return };
    let mut out = [0; nd::LEN_MAX];
    let len = nd::emit(&mut out, ip.source, ip.destination, &read).unwrap();
    assert_eq!(nd::parse(&ip, &out[..len]), Ok(read));
});
