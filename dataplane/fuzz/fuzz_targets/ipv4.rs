//! IPv4: what is located lies inside, and changes in place keep it valid.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::checksum::Sum;
use wire::{ecn::Ecn, ipv4};

fuzz_target!(|octets: &[u8]| {
    let _ = ipv4::parse_quoted(octets);
    let Ok(located) = ipv4::parse_unverified(octets) else { return };
    assert!(located.payload_offset >= ipv4::HEADER_LEN && located.total_len() <= octets.len());
    let mut octets = octets.to_vec();
    octets[10..12].fill(0);
    let checksum = Sum::of(&octets[..located.payload_offset]).finish();
    octets[10..12].copy_from_slice(&checksum.to_be_bytes());
    assert_eq!(ipv4::parse(&octets), Ok(located));
    let header = ipv4::Header::of(&mut octets).unwrap();
    header.set_ecn(Ecn::Ce);
    header.set_source(located.destination);
    let alive = header.decrement_ttl().is_ok();
    let changed = ipv4::parse(&octets).unwrap();
    assert_eq!(changed.source, located.destination);
    assert_eq!(changed.tos, located.tos | 3);
    assert_eq!(changed.ttl, located.ttl - u8::from(alive));
});
