//! GRE: what is located lies inside, and is located again after it is emitted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::gre;

fuzz_target!(|octets: &[u8]| {
    let Ok(located) = gre::parse(octets) else { return };
    let gre::Located { protocol, key, sequence, checksum, payload_offset } = located;
    assert!(payload_offset <= octets.len() && payload_offset <= gre::HEADER_LEN_MAX);
    let fields = gre::Fields { protocol, key, sequence, with_checksum: checksum.is_some() };
    let mut out = octets.to_vec();
    assert_eq!(gre::emit(&mut out, &fields), Ok(payload_offset));
    let again = gre::parse(&out).unwrap();
    assert_eq!(gre::Located { checksum, ..again }, located);
});
