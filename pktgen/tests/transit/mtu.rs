//! What does not fit a tunnel.

use std::net::SocketAddr;
use std::time::Duration;

use crate::lab::namespace::Namespace;
use crate::lab::traffic::transfer;
use crate::lab::{bound, until};
use crate::site::{SERVER, SHOP, Site, lost};
use crate::tunnel::{DEVICE, Tunnel};
use crate::wire::Capture;
use crate::{ALL, Stage, each};

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
fn what_does_not_fit_a_tunnel_is_answered_with_what_does() {
    each(&TUNNELS, ALL, Site::serve, |&Stage { site, tunnel, .. }| {
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
    });
}

/// Nothing but what only the first fragment of a datagram says lets it in.
const BY_FIRST: &str = "policy drop\nicmp type echo-request accept\nicmpv6 type echo-request accept\nudp dport 1000 accept";

#[test]
fn fragments_are_judged_together_and_split_again_where_they_do_not_fit() {
    each(
        &TUNNELS,
        BY_FIRST,
        Site::serve_by_tap,
        |&Stage { site, server, place, tunnel, .. }| {
            // Of IPv6 nobody on the way may split anything.
            let (prefix, via) = (SHOP.prefixes[1], SERVER[1]);
            site.internet.run(&format!("ip route change {prefix} via {via} mtu 1280"));
            for (at, len, count) in [(0, 1500, 2), (0, 4000, 5), (1, 4000, 4)] {
                // Of IPv6 only fragments: the router's kernel solicits by itself.
                let capture = Capture::start(place, DEVICE, "icmp or ip6 proto 44");
                let (is_answered, said) = ping(&site.internet, at, len, "dont");
                assert!(is_answered, "{len} octets: {said}");
                until("its fragments are written", 30, || capture.frames().len() >= count);
                let frames = capture.frames();
                assert_eq!(frames.len(), count, "{len} octets: {:?}", capture.lines());
                assert!(frames.iter().all(|frame| frame.len() <= tunnel.mtu().into()));
            }
            assert_eq!(lost(server, "tenant_policy"), 0);
            let capture = Capture::start(place, DEVICE, "udp");
            assert_eq!(arrivals(site, place, [2000, 1000]), LONG);
            until("both are settled", 30, || lost(server, "tenant_policy") >= 3);
            assert_eq!(lost(server, "tenant_policy"), 3);
            until("all parts are written", 30, || capture.frames().len() >= 5);
            assert_eq!(capture.frames().len(), 5, "{:?}", capture.lines());
        },
    );
}

/// Octets of a datagram that comes in three fragments of a whole link.
const LONG: usize = 4000;

/// Sends a long datagram to each of these ports; how long the one is that comes to port 1000.
fn arrivals(site: &Site, tenant: &Namespace, ports: [u16; 2]) -> usize {
    let [host, _] = SHOP.hosts;
    let receiver = bound(tenant, SocketAddr::new(host.parse().unwrap(), 1000));
    receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let sender = bound(&site.internet, SocketAddr::from(([0; 4], 0)));
    for port in ports {
        sender.send_to(&[0; LONG], (host, port)).unwrap();
    }
    receiver.recv(&mut [0; 2 * LONG]).unwrap()
}

#[test]
fn a_tunnel_that_clears_df_fragments_what_must_not_be() {
    let tunnel = Tunnel { clears_df: true, ..TUNNELS[0] };
    each(&[tunnel], ALL, Site::serve, |&Stage { site, place, .. }| {
        let capture = Capture::start(place, DEVICE, "ip and icmp");
        let (is_answered, said) = ping(&site.internet, 0, 1500, "do");
        assert!(is_answered, "{said}");
        until("its fragments are written", 30, || capture.frames().len() >= 2);
    });
}

/// The largest segments that are announced where tcpdump's line has both of these.
fn announced(capture: &Capture<'_>, words: [&str; 2]) -> Vec<u16> {
    let size = |line: &String| line.split("mss ").nth(1)?.split([',', ']']).next()?.parse().ok();
    let lines = capture.with(words[0]);
    lines.iter().filter(|line| line.contains(words[1])).filter_map(size).collect()
}

#[test]
fn both_ends_of_a_connection_are_told_of_segments_that_fit_the_tunnel() {
    each(&TUNNELS, ALL, Site::serve, |&Stage { site, place, router, kind, tunnel, .. }| {
        router.answer_through();
        // The kernel behind knows nothing of the tunnel's headers.
        place.run(&format!("ip link set {DEVICE} mtu 1500"));
        let captures = [(place, DEVICE), (&site.internet, "eth0")]
            .map(|(namespace, interface)| Capture::start(namespace, interface, "tcp"));
        for (at, host) in SHOP.hosts.iter().enumerate() {
            transfer(&site.internet, place, host, OCTETS);
            let fits = tunnel.mtu() - TCP_LEN[at];
            let mut sizes = [Vec::new(), Vec::new()];
            until("both have announced a size", 30, || {
                sizes = [
                    announced(&captures[0], [&format!("> {host}.5001: "), "Flags [S]"]),
                    announced(&captures[1], [&format!("{host}.5001 > "), "Flags [S.]"]),
                ];
                sizes.iter().all(|sizes| !sizes.is_empty())
            });
            let [there, back] = sizes;
            println!("{kind:?}, {tunnel:?}, {host}: segments of {there:?} there and {back:?} back");
            assert_eq!((there.first(), back.first()), (Some(&fits), Some(&fits)));
        }
    });
}
