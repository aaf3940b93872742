//! Nothing is allocated after the making: flows that open, carry, meet full tables, end and open again call the allocator never.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect has failed"
)]

#[path = "../../tests/allocation/counting.rs"]
mod counting;

use std::net::Ipv4Addr;

use flows::{Config, Flows, Instant, Limits, Outline, Query, Realm, Timeouts, Verdict};
use wire::{ipv4, udp};

use counting::CALLS;

const LEN: usize = 40;

/// A datagram of a client's, from this port to one of eight servers, whole or the first piece of one.
fn packet(port: u16, whole: bool) -> [u8; LEN] {
    let mut packet = [0; LEN];
    let (header, payload) = packet.split_at_mut(ipv4::HEADER_LEN);
    let (source, destination) =
        (Ipv4Addr::new(172, 16, 0, 2), Ipv4Addr::from(0xc633_6400 + u32::from(port % 8)));
    let fields = ipv4::Fields {
        source,
        destination,
        protocol: udp::PROTOCOL,
        ttl: 64,
        tos: 0,
        identification: port,
        dont_fragment: whole,
        payload_len: payload.len(),
    };
    ipv4::emit(header, &fields).unwrap();
    udp::emit_v4(payload, udp::Ports { source: port, destination: 53 }, source, destination)
        .unwrap();
    packet
}

#[test]
fn nothing_is_allocated_once_a_table_is_made() {
    let mut flows = Flows::new(&Config {
        flows: 300,
        clients: 8,
        fragments: 64,
        limits: Limits { flows: 100, ports: 60, setups: 10 },
        timeouts: Timeouts::default(),
        addresses: &[Ipv4Addr::new(192, 0, 2, 1).into()],
        ports: 1024..=1223,
        seed: 1,
    })
    .unwrap();
    let mut now = Instant(1 << 40);
    let (mut carried, mut refused, mut ended) = (0, 0, 0);
    let before = CALLS.get();
    for step in 0..20_000_u32 {
        let whole = step % 3 != 0;
        let port = 1 + u16::try_from(step * 7919 % 997).unwrap();
        let mut packet = packet(port, whole);
        let (payload_offset, len) = (20, 40);
        let outline = Outline { protocol: udp::PROTOCOL, payload_offset, len, fragment: !whole };
        let mut query = Query::NONE;
        flows.ask(&mut query, &packet, outline, Realm::Client(step % 8)).unwrap();
        flows.find(std::slice::from_mut(&mut query));
        let mut verdict = flows.carry(&query, &mut packet, now);
        if verdict == Verdict::Unknown {
            let random = u64::from(step).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            match flows.open(&query, &packet, (now, random)) {
                Ok(_) => verdict = flows.carry(&query, &mut packet, now),
                Err(_) => refused += 1,
            }
        }
        carried += u32::from(matches!(verdict, Verdict::Carried { .. }));
        now.0 += 200_000_000;
        let held = flows.len();
        flows.sweep(now, |_| {});
        ended += held - flows.len();
    }
    let calls = CALLS.get() - before;
    assert!(carried > 1000 && refused > 1000 && ended > 500, "{carried} {refused} {ended}");
    assert_eq!(calls, 0);
}
