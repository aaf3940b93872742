//! The fleet's header: what is located lies inside and is IP, and is located again after it is emitted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::{fleet, udp};

fuzz_target!(|octets: &[u8]| {
    let Ok((header, is_v6, payload_offset)) = fleet::parse(octets) else { return };
    assert!(payload_offset < octets.len());
    assert_eq!(octets[payload_offset] >> 4, if is_v6 { 6 } else { 4 });
    assert_eq!(fleet::Header::from_key(header.key(), header.proof), header);
    let mut out = [&[0; udp::HEADER_LEN], octets].concat();
    fleet::emit(&mut out, 0xc000, &header).unwrap();
    let datagram = udp::parse(&out).unwrap();
    assert_eq!(datagram.ports, udp::Ports { source: 0xc000, destination: fleet::PORT });
    let payload = &out[udp::HEADER_LEN..];
    assert_eq!(fleet::parse(payload), Ok((header, is_v6, payload_offset)));
    assert_eq!(payload[payload_offset..], octets[payload_offset..]);
});
