//! UDP: a datagram that is read verifies once it is emitted over either IP.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::{Ipv4Addr, Ipv6Addr};
use wire::udp;

fuzz_target!(|octets: &[u8]| {
    let _ = udp::parse_start(octets);
    let Ok(located) = udp::parse(octets) else { return };
    assert_eq!(located.payload_len + udp::HEADER_LEN, octets.len());
    assert_eq!(udp::parse_start(octets), Ok(located));
    let (v4, v6) = (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
    let mut out = octets.to_vec();
    udp::emit_v4(&mut out, located.ports, v4, v4).unwrap();
    assert_eq!(udp::verify_v4(v4, v4, &out), Ok(()));
    udp::emit_v6(&mut out, located.ports, v6, v6).unwrap();
    assert_eq!(udp::verify_v6(v6, v6, &out), Ok(()));
    let again = udp::Located { checksum: located.checksum, ..udp::parse(&out).unwrap() };
    assert_eq!(again, located);
});
