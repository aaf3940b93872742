//! ARP: a message that is read is written with the same octets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::arp;

fuzz_target!(|octets: &[u8]| {
    let Ok(message) = arp::parse(octets) else { return };
    let mut out = [0; arp::LEN];
    assert_eq!(arp::emit(&mut out, &message), Ok(arp::LEN));
    assert_eq!(out, octets[..arp::LEN]);
});
