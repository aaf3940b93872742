//! TCP: options end, a clamp leaves an intact segment intact, and a header is emitted as it was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::checksum::Sum;
use wire::tcp;

fuzz_target!(|octets: &[u8]| {
    let Ok(located) = tcp::parse(octets) else { return };
    assert_eq!(located.payload_offset + located.payload_len, octets.len());
    assert!(located.options(octets).count() <= tcp::HEADER_LEN_MAX - tcp::HEADER_LEN);
    let fields = tcp::Fields {
        source_port: located.source_port,
        destination_port: located.destination_port,
        sequence_number: located.sequence_number,
        acknowledgment_number: located.acknowledgment_number,
        flags: located.flags,
        window: located.window,
    };
    let mut out = octets.to_vec();
    let options = &octets[tcp::HEADER_LEN..located.payload_offset];
    assert_eq!(tcp::emit(&mut out, &fields, options, Sum::ZERO), Ok(located.payload_offset));
    let again = tcp::Located { checksum: located.checksum, ..tcp::parse(&out).unwrap() };
    assert_eq!(again, located);
    let _ = tcp::clamp_mss(&mut out, &located, 1200);
    assert_eq!(tcp::verify(Sum::ZERO, &out), Ok(()));
});
