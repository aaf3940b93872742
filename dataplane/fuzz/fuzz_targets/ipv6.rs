//! IPv6: the walk stays inside and bounded, and the fixed header is emitted as it was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::ipv6;

fuzz_target!(|octets: &[u8]| {
    let Ok(located) = ipv6::parse(octets) else {
        let _ = ipv6::parse_quoted(octets);
        return;
    };
    assert_eq!(ipv6::parse_quoted(octets), Ok(located));
    let extensions_len = located.payload_offset - ipv6::HEADER_LEN;
    assert!(extensions_len <= ipv6::EXTENSION_LEN_MAX && located.total_len() <= octets.len());
    let fields = ipv6::Fields {
        source: located.source,
        destination: located.destination,
        protocol: octets[6],
        hop_limit: located.hop_limit,
        traffic_class: located.traffic_class,
        flow_label: located.flow_label,
        payload_len: extensions_len + located.payload_len,
    };
    let mut out = [0; ipv6::HEADER_LEN];
    assert_eq!(ipv6::emit(&mut out, &fields), Ok(ipv6::HEADER_LEN));
    assert_eq!(out, octets[..ipv6::HEADER_LEN]);
});
