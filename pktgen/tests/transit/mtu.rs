//! What does not fit a tunnel.

use crate::lab::namespace::Namespace;
use crate::lab::traffic::transfer;
use crate::lab::until;
use crate::site::{SERVER, SHOP, Site};
use crate::tunnel::{DEVICE, Router, Tunnel, kinds};
use crate::wire::Capture;
use crate::{ALL, alone};

const OCTETS: usize = 1_000_000;

const TUNNELS: [Tunnel; 2] = [
    Tunnel { router: 1, v6: false, key: Some(7), checksum: true, probed: false, clears_df: false },
    Tunnel { router: 1, v6: true, key: None, checksum: false, probed: false, clears_df: false },
];

/// Headers of a ping, over both families.
const PING_LEN: [u16; 2] = [28, 48];
const TCP_LEN: [u16; 2] = [40, 60];

/// One ping of a packet of so many octets that may (`dont`) or must not (`do`) be fragmented on the way: whether it is
/// answered, and what ping says.
fn ping(from: &Namespace, at: usize, len: u16, fragment: &str) -> (bool, String) {
    from.run("ip route flush cache");
    let payload = len - PING_LEN[at];
    from.attempt(&format!("ping -n -c 1 -W 3 -M {fragment} -s {payload} {}", SHOP.hosts[at]))
}

#[test]
fn what_does_not_fit_a_tunnel_is_answered_with_what_does_and_may_be_sent_in_fragments() {
    let _machine = alone();
    for kind in kinds() {
        for tunnel in TUNNELS {
            let site = Site::new();
            let place = site.place(1, SHOP);
            let server = site.serve(&SHOP.declared(ALL, &[tunnel]));
            let router = Router::start(&place, kind, &tunnel);
            let mtu = tunnel.mtu();
            for at in [0, 1] {
                let (is_answered, said) = ping(&site.internet, at, mtu, "do");
                assert!(is_answered, "{tunnel:?}, {mtu} octets: {said}");
                let (is_answered, said) = ping(&site.internet, at, mtu + 1, "do");
                assert!(!is_answered && said.contains(SERVER[at]), "{tunnel:?}: {said}");
                assert!(
                    said.contains(&format!("mtu = {mtu}")) || said.contains(&format!("mtu={mtu}")),
                    "{said}"
                );
            }
            arrives_in_fragments(&site, &place.namespace, mtu);
            assert_eq!(router.mentions("odd"), 0);
            server.stop();
        }
    }
}

/// Pings that may be fragmented are answered by the tenant's kernel, which has seen nothing but fragments of them.
fn arrives_in_fragments(site: &Site, tenant: &Namespace, mtu: u16) {
    let capture = Capture::start(tenant, DEVICE, "ip and icmp");
    // The second comes in fragments already, of which the first ones do not fit either.
    for (len, count) in [(1500, 2), (4000, 5)] {
        let before = capture.frames().len();
        let (is_answered, said) = ping(&site.internet, 0, len, "dont");
        assert!(is_answered, "{len} octets: {said}");
        until("its fragments are written", 5, || capture.frames().len() >= before + count);
        let frames = capture.frames().split_off(before);
        assert_eq!(frames.len(), count, "fragments of {len} octets");
        assert!(
            frames.iter().all(|frame| frame.len() <= usize::from(mtu)),
            "{:?}",
            capture.lines()
        );
    }
}

#[test]
fn a_tunnel_that_clears_df_fragments_what_must_not_be() {
    let _machine = alone();
    for kind in kinds() {
        let site = Site::new();
        let place = site.place(1, SHOP);
        let tunnel = Tunnel { clears_df: true, ..TUNNELS[0] };
        let server = site.serve(&SHOP.declared(ALL, &[tunnel]));
        let router = Router::start(&place, kind, &tunnel);
        let capture = Capture::start(&place.namespace, DEVICE, "ip and icmp");
        let (is_answered, said) = ping(&site.internet, 0, 1500, "do");
        assert!(is_answered, "{said}");
        until("its fragments are written", 5, || capture.frames().len() >= 2);
        assert_eq!(router.mentions("odd"), 0);
        server.stop();
    }
}

/// The largest segments that are announced in these lines of tcpdump.
fn announced(lines: &[String]) -> Vec<u16> {
    let size = |line: &String| line.split("mss ").nth(1)?.split([',', ']']).next()?.parse().ok();
    lines.iter().filter_map(size).collect()
}

#[test]
fn both_ends_of_a_connection_are_told_of_segments_that_fit_the_tunnel() {
    let _machine = alone();
    for kind in kinds() {
        for tunnel in TUNNELS {
            let site = Site::new();
            let place = site.place(1, SHOP);
            let server = site.serve(&SHOP.declared(ALL, &[tunnel]));
            let router = Router::start(&place, kind, &tunnel);
            router.answer_through();
            // The kernel behind knows nothing of the tunnel's headers.
            place.namespace.run(&format!("ip link set {DEVICE} mtu 1500"));
            let captures = [(&place.namespace, DEVICE), (&site.internet, "eth0")]
                .map(|(namespace, interface)| Capture::start(namespace, interface, "tcp"));
            for (at, host) in SHOP.hosts.iter().enumerate() {
                transfer(&site.internet, &place.namespace, host, OCTETS);
                let fits = tunnel.mtu() - TCP_LEN[at];
                let there = announced(&captures[0].with(&format!("> {host}.5001: Flags [S]")));
                let back = announced(
                    &captures[1]
                        .with(&format!("{host}.5001 > "))
                        .into_iter()
                        .filter(|line| line.contains("Flags [S.]"))
                        .collect::<Vec<_>>(),
                );
                println!(
                    "{kind:?}, {tunnel:?}, {host}: segments of {there:?} there and {back:?} back"
                );
                assert_eq!((there.first(), back.first()), (Some(&fits), Some(&fits)));
            }
            server.stop();
        }
    }
}
