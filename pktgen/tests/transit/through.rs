//! What comes from a tenant's router through its tunnel.

use std::collections::BTreeMap;

use crate::lab::traffic::transfer;
use crate::lab::{alone, until};
use crate::numbers::{Number, found};
use crate::site::{INTERNET, SERVER, SHOP, Site};
use crate::tunnel::{Kind, Tunnel, speak};
use crate::wire::Capture;
use crate::{ALL, Stage, each, more, on_stage, reasons};

const OCTETS: usize = 1_000_000;

/// Both outer families, with the fields of GRE that a tunnel may have.
const TUNNELS: [Tunnel; 3] = [
    Tunnel { router: 1, v6: false, key: None, checksum: false, probed: false, clears_df: false },
    Tunnel { router: 1, v6: false, key: Some(7), checksum: true, probed: false, clears_df: false },
    Tunnel {
        router: 1,
        v6: true,
        key: Some(u32::MAX),
        checksum: false,
        probed: false,
        clears_df: false,
    },
];

#[test]
fn what_a_tenant_answers_through_its_tunnel_reaches_the_internet_and_nothing_goes_past_it() {
    each(&TUNNELS, ALL, Site::serve, |&Stage { site, place, router, kind, tunnel, .. }| {
        router.answer_through();
        let own = site.server.run("cat /sys/class/net/outer/address");
        let [v4, v6] = SHOP.prefixes;
        let past =
            format!("not ether src {} and (ip src net {v4} or ip6 src net {v6})", own.trim());
        let past = Capture::start(&site.internet, "eth0", &past);
        for host in SHOP.hosts {
            let rate = transfer(&site.internet, place, host, OCTETS);
            println!("{kind:?}, {tunnel:?}, {host}: {rate} Mbit/s both ways through the tunnel");
        }
        assert!(past.frames().is_empty(), "{:?}", past.lines());
    });
}

/// A numbered datagram from one of the tenant's hosts to the Internet, as scapy writes it.
fn datagram(number: u32) -> String {
    let [host, internet] = [SHOP.hosts[0], INTERNET[0]];
    format!(
        "IP(src='{host}', dst='{internet}')/UDP(sport=1000, dport=1000)/bytes.fromhex('{}')",
        Number { flow: 1, number }.hex()
    )
}

/// Fields beside the key that a router may send, whatever it is sent itself (RFC 2784 2.3, RFC 2890 2.2).
const UNDERSTOOD: [&str; 4] = [
    "",
    "chksum_present=1",
    "seqnum_present=1, sequence_number=5",
    "chksum_present=1, seqnum_present=1, sequence_number=4294967295",
];

#[test]
fn key_checksum_and_sequence_from_a_router_are_understood_and_a_keepalive_is_answered() {
    let _machine = alone();
    for tunnel in TUNNELS {
        on_stage((Kind::Scapy, tunnel), ALL, Site::serve, understands_all_fields);
    }
}

#[cfg(test)]
fn understands_all_fields(&Stage { site, server, place, router, tunnel, .. }: &Stage<'_>) {
    let capture = Capture::start(&site.internet, "eth0", "udp dst port 1000");
    let packets: Vec<_> = (0..)
        .zip(UNDERSTOOD)
        .map(|(number, fields)| format!("{}/{}", tunnel.headers(fields), datagram(number)))
        .collect();
    speak(place, 1, &packets);
    until("all of them arrive", 30, || found(&capture.frames()).len() == UNDERSTOOD.len());

    speak(place, 1, &[format!("{}/{}", tunnel.headers(""), tunnel.headers_back())]);
    until("the keepalive is answered", 30, || router.mentions("keepalive answered") == 1);
    assert_eq!(more(&reasons(server), &BTreeMap::new()), BTreeMap::new());
}

/// How often each of what is dropped is sent.
const TIMES: u64 = 5;

#[test]
fn what_no_tunnel_may_carry_is_dropped_by_name() {
    let _machine = alone();
    on_stage((Kind::Scapy, TUNNELS[1]), ALL, Site::serve, drops_by_name);
}

/// Sends what the tunnel may not carry; all of it is lost for its reason, and nothing of it comes out.
#[cfg(test)]
fn drops_by_name(&Stage { site, server, place, tunnel, .. }: &Stage<'_>) {
    let capture = Capture::start(&site.internet, "eth0", "udp dst port 1000 or ip proto 47");
    let inner = datagram(0);
    let [ours, theirs] = tunnel.ends();
    let with = |fields: &str| format!("{}/{inner}", tunnel.headers(fields));
    let around = |inner: &str| format!("{}/{inner}", tunnel.headers(""));
    let dropped = [
        ("egress_gre_header", with("version=1")),
        ("egress_gre_header", with("routing_present=1")),
        ("egress_gre_header", with("chksum_present=1, chksum=0xdead")),
        (
            "egress_gre_header",
            format!("IP(src='{theirs}', dst='{ours}', proto=47)/b'\\x20\\0\\x08\\0'"),
        ),
        (
            "egress_gre_tunnel",
            format!("IP(src='{theirs}', dst='{ours}')/GRE(key_present=1, key=8)/{inner}"),
        ),
        ("egress_gre_tunnel", format!("IP(src='{theirs}', dst='{ours}')/GRE()/{inner}")),
        (
            "egress_gre_tunnel",
            format!("IP(src='11.1.0.150', dst='{ours}')/GRE(key_present=1, key=7)/{inner}"),
        ),
        ("egress_gre_payload", with("proto=0x6558")),
        ("egress_gre_payload", around("b''")),
        ("egress_gre_source", around(&inner.replace(SHOP.hosts[0], "198.51.100.9"))),
        ("egress_gre_source", around(&inner.replace(SHOP.hosts[0], SERVER[0]))),
        // Congestion outside, and a transport inside that knows none.
        (
            "egress_gre_ecn",
            format!("IP(src='{theirs}', dst='{ours}', tos=3)/GRE(key_present=1, key=7)/{inner}"),
        ),
        (
            "egress_gre_recursion",
            around(&format!("IP(src='{}', dst='{ours}')/GRE()/{inner}", SHOP.hosts[0])),
        ),
    ];
    let mut wanted = BTreeMap::new();
    for (reason, _) in &dropped {
        *wanted.entry(*reason).or_insert(0) += TIMES;
    }
    let before = reasons(server);
    speak(place, TIMES, &dropped.map(|(_, packet)| packet));
    let mut after = before.clone();
    let total = |of: &BTreeMap<&str, u64>| of.values().sum::<u64>();
    until("all of them are counted", 30, || {
        after = reasons(server);
        total(&more(&after, &before)) >= total(&wanted)
    });
    assert_eq!(more(&after, &before), wanted);
    assert!(capture.frames().is_empty(), "{:?}", capture.lines());
}
