//! Packets of any octets through a flow table, from clients and from the network, while time passes: none is a surprise, what leaves
//! is still IP, and in the end nothing is left.
#![no_main]

use std::net::IpAddr;

use flows::{Config, Flows, Holding, Instant, Limits, Outline, Query, Realm, Timeouts, Verdict};
use libfuzzer_sys::fuzz_target;
use wire::{ipv4, ipv6};

const CLIENTS: u32 = 4;

fn table() -> Flows {
    Flows::new(&Config {
        flows: 16,
        clients: CLIENTS,
        fragments: 8,
        limits: Limits { flows: 10, ports: 6, setups: 4 },
        timeouts: Timeouts::default(),
        addresses: &[IpAddr::from([192, 0, 2, 1])],
        ports: 1024..=1031,
        seed: 1,
    })
    .unwrap()
}

/// What the dataplane's parse finds.
fn outline(packet: &[u8]) -> Option<Outline> {
    let short = |len: usize| u16::try_from(len).ok();
    if packet.first()? >> 4 == 4 {
        let ip = ipv4::parse_unverified(packet).ok()?;
        let (payload_offset, len) = (short(ip.payload_offset)?, short(ip.total_len())?);
        let fragment = ip.is_fragment();
        return Some(Outline { protocol: ip.protocol, payload_offset, len, fragment });
    }
    let ip = ipv6::parse(packet).ok()?;
    let (payload_offset, len) = (short(ip.payload_offset)?, short(ip.total_len())?);
    Some(Outline { protocol: ip.protocol, payload_offset, len, fragment: ip.is_fragment() })
}

fn carry(flows: &mut Flows, packet: &mut [u8], realm: Realm, now: Instant) {
    let Some(outline) = outline(packet) else { return };
    let mut query = Query::NONE;
    if flows.ask(&mut query, packet, outline, realm).is_err() {
        return;
    }
    flows.find(std::slice::from_mut(&mut query));
    let mut verdict = flows.carry(&query, packet, now);
    let random = now.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    if verdict == Verdict::Unknown && flows.open(&query, packet, (now, random)).is_ok() {
        verdict = flows.carry(&query, packet, now);
        assert_ne!(verdict, Verdict::Unknown);
    }
    if let Verdict::Carried { flow, .. } = verdict {
        assert!(flows.flow(flow).is_some());
        assert_eq!(self::outline(packet), Some(outline));
    }
}

fuzz_target!(|octets: &[u8]| {
    let mut flows = table();
    let mut now = Instant(1 << 40);
    let mut rest = octets;
    while let [how, secs, len, after @ ..] = rest {
        let (packet, after) = after.split_at(usize::from(*len).min(after.len()));
        rest = after;
        now.0 += u64::from(*secs) << 31;
        let realm = match how % 6 {
            5 => Realm::Network,
            client => Realm::Client(client.into()),
        };
        carry(&mut flows, &mut packet.to_vec(), realm, now);
        flows.sweep(now, |_| {});
    }
    for _ in 0..4 {
        now.0 += 8_000_000_000_000;
        flows.sweep(now, |_| {});
    }
    assert!(flows.is_empty());
    (0..CLIENTS).for_each(|client| assert_eq!(flows.holding(client), Holding::default()));
});
