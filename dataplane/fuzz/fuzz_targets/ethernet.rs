//! Ethernet: what is located lies inside, and is located again after it is emitted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::ethernet;

fuzz_target!(|octets: &[u8]| {
    let Ok(located) = ethernet::parse(octets) else { return };
    assert!(located.payload_offset <= octets.len());
    let ethernet::Located { destination, source, vlan_id, ethertype, .. } = located;
    let mut out = [0; ethernet::TAGGED_HEADER_LEN];
    let len = ethernet::emit(&mut out, destination, source, vlan_id, ethertype).unwrap();
    let again = ethernet::parse(&out[..len]).unwrap();
    assert_eq!(ethernet::Located { payload_offset: located.payload_offset, ..again }, located);
    // Only a priority tag, which names no VLAN, is not written again.
    assert!(len == located.payload_offset || vlan_id.is_none());
});
