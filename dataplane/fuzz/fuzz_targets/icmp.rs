//! ICMP of both kinds: errors about any packet can be read, and echoes answered.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::Ipv6Addr;
use wire::icmp::{Echo, v4, v6};
use wire::{ipv4, ipv6};

const OURS: Ipv6Addr = Ipv6Addr::LOCALHOST;

fuzz_target!(|octets: &[u8]| {
    let _ = (v4::parse(octets), v6::parse(OURS, OURS, octets));
    let mut out = [0; 1280];
    let len = v4::emit_error(&mut out, v4::Error::TimeExceeded, octets).unwrap();
    assert!(v4::parse(&out[..len]).unwrap().is_error_v4() && len + ipv4::HEADER_LEN <= 576);
    let len = v6::emit_error(&mut out, v6::Error::TimeExceeded, OURS, OURS, octets).unwrap();
    assert!(v6::parse(OURS, OURS, &out[..len]).unwrap().is_error_v6());
    assert!(len + ipv6::HEADER_LEN <= 1280);

    let echo = Echo { identifier: 1, sequence: 2 };
    let mut message = octets.to_vec();
    if v4::emit_echo_request(&mut message, echo).is_ok() {
        v4::answer_echo(&mut message).unwrap();
        assert_eq!(v4::parse(&message).unwrap().echo_reply_v4(), Some(echo));
    }
    if v6::emit_echo_request(&mut message, echo, OURS, OURS).is_ok() {
        v6::answer_echo(&mut message).unwrap();
        assert_eq!(v6::parse(OURS, OURS, &message).unwrap().echo_reply_v6(), Some(echo));
    }
    if let Ok(offender) = ipv4::parse_unverified(octets) {
        v4::may_answer(&offender, &octets[offender.payload_offset..], false);
    }
    if let Ok(offender) = ipv6::parse(octets) {
        let payload = &octets[offender.payload_offset..];
        v6::may_answer(v6::Error::TimeExceeded, &offender, payload, false);
    }
});
