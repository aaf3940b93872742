//! Packets of any octets through a flow table, from clients and from the network, while time passes: none is a surprise, what leaves
//! is still IP, and in the end nothing is left.
#![no_main]

use std::net::IpAddr;

use flows::{
    Config, Entry, Flows, Holding, Instant, Limits, Opened, Outline, Path, Query, Realm, Splice,
    Timeouts, Verdict,
};
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

/// A splice of the first client's whose ends count differently: each segment's numbers and options are walked.
fn splice(flows: &mut Flows, now: Instant) {
    let lease = flows.lease(0, false, (now, 7)).unwrap();
    let server = ([198, 51, 100, 7].into(), 443);
    let entry = Entry {
        client: 0,
        realm: Realm::Client(0),
        near: Path { source: ([172, 16, 0, 2].into(), 4000), destination: server },
        far: Path { source: server, destination: (lease.address, lease.port) },
        lease,
    };
    let sides = [Opened { acked: 1000, edge: 60_000, scale: 7 }; 2];
    let splice = Splice { sides, shifts: [u32::MAX - 5, 77], windows: [3, -8] };
    flows.splice(entry, &splice, now).unwrap();
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
    splice(&mut flows, now);
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
