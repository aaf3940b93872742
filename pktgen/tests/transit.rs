//! Tenants behind tunnels: dataplane and control as processes, routers, servers and clients that nobody here wrote. Needs
//! root and the programs of `scripts/setup`.
#![cfg(feature = "dpdk")]

#[cfg(test)]
mod lab;

#[cfg(test)]
#[path = "transit/ftp.rs"]
mod ftp;
#[cfg(test)]
#[path = "transit/health.rs"]
mod health;
#[cfg(test)]
#[path = "transit/mtu.rs"]
mod mtu;
#[cfg(test)]
#[path = "transit/numbers.rs"]
mod numbers;
#[cfg(test)]
#[path = "transit/site.rs"]
mod site;
#[cfg(test)]
#[path = "transit/through.rs"]
mod through;
#[cfg(test)]
#[path = "transit/tunnel.rs"]
mod tunnel;
#[cfg(test)]
#[path = "transit/wire.rs"]
mod wire;

use std::collections::{BTreeMap, BTreeSet};

use ftp::{active, content, curl, http};
use lab::dataplane::Dataplane;
use lab::files::{lay_out, path, vsftpd};
use lab::namespace::Namespace;
use lab::{alone, until};
use numbers::{Number, all, found, send};
use site::{BANK, INTERNET, SERVER, SHOP, Site, lost};
use tunnel::{DEVICE, Kind, Router, Tunnel, kinds, speak};
use wire::Capture;

/// The rules of the example.
const FTP_ALONE: &str = "policy drop\nip daddr 203.0.113.100 tcp dport 20-21 accept";

const ALL: &str = "policy accept";

const REFUSED: [&str; 4] =
    ["TCP(dport=22, flags='S')", "TCP(dport=80, flags='S')", "UDP(dport=21)", "ICMP()"];
/// How often each of them is sent.
const TIMES: u64 = 10;

/// What the tenant's interface has seen of the tenant's host, but for ports 20 and 21 of TCP.
fn others(capture: &Capture<'_>) -> Vec<String> {
    let host = format!("> {}", SHOP.hosts[0]);
    let is_let_in = |line: &String| {
        [".20: Flags", ".21: Flags"].iter().any(|port| line.contains(&format!("{host}{port}")))
    };
    capture.with(&host).into_iter().filter(|line| !is_let_in(line)).collect()
}

/// A tenant's place with its router, and the server that has the tunnel to it.
struct Stage<'a> {
    site: &'a Site,
    server: &'a Dataplane,
    place: &'a Namespace,
    router: &'a Router<'a>,
    kind: Kind,
    tunnel: Tunnel,
}

/// What starts the server of a site, with what is declared of tenants.
type Serve = fn(&Site, &str) -> Dataplane;

/// Runs a test on a stage, where the router may find nothing odd.
fn on_stage(
    (kind, tunnel): (Kind, Tunnel),
    rules: &str,
    serve: Serve,
    test: impl FnOnce(&Stage<'_>),
) {
    let site = Site::new();
    let place = site.place(tunnel.router, SHOP);
    let server = serve(&site, &SHOP.declared(rules, &[tunnel]));
    let router = Router::start(&place, kind, &tunnel);
    let place = &place.namespace;
    test(&Stage { site: &site, server: &server, place, router: &router, kind, tunnel });
    assert_eq!(router.mentions("odd"), 0);
    server.stop();
}

/// The same with every kind of router and each of these tunnels.
fn each(tunnels: &[Tunnel], rules: &str, serve: Serve, test: impl Fn(&Stage<'_>)) {
    let _machine = alone();
    for kind in kinds() {
        for tunnel in tunnels {
            on_stage((kind, *tunnel), rules, serve, &test);
        }
    }
}

#[test]
fn the_rule_of_the_example_lets_ports_20_and_21_through_and_nothing_else() {
    let tunnel = Tunnel { router: 1, key: Some(7), checksum: true, ..Tunnel::default() };
    each(&[tunnel], FTP_ALONE, Site::serve, |&Stage { site, server, place, .. }| {
        let capture = Capture::start(place, "eth0", "ip proto 47");
        lay_out(place, &[("served", &content(1))]);
        carries_active_ftp(site, place);
        let before = lost(server, "tenant_policy");
        assert!(before > 0, "passive FTP needs other ports");

        let _servers = [20, 21, 22, 80].map(|port| http(place, port));
        let host = SHOP.hosts[0];
        for port in [20, 21] {
            assert!(
                curl(&site.internet, 20, &format!("http://{host}:{port}/served")),
                "port {port}"
            );
            assert!(
                std::fs::read(path(&site.internet, "got")).unwrap() == content(1),
                "port {port}"
            );
        }
        let refused = REFUSED.map(|inner| format!("IP(dst='{host}')/{inner}"));
        speak(&site.internet, TIMES, &refused);
        let wanted = TIMES * refused.len() as u64;
        until("all of them are counted", 30, || lost(server, "tenant_policy") >= before + wanted);
        assert_eq!(lost(server, "tenant_policy"), before + wanted);
        for port in [22, 80] {
            assert!(
                !curl(&site.internet, 2, &format!("http://{host}:{port}/served")),
                "port {port}"
            );
        }
        assert!(capture.with("20: Flags").len() > 100, "the capture sees what the tunnel carries");
        assert_eq!(others(&capture), [""; 0]);
    });
}

/// A file each way over active FTP, which needs ports 20 and 21 and no others; over passive FTP nothing comes.
#[cfg(test)]
fn carries_active_ftp(site: &Site, tenant: &Namespace) {
    let (host, _server) = (SHOP.hosts[0], vsftpd(tenant));
    assert!(curl(&site.internet, 20, &format!("{} ftp://{host}/served", active())));
    assert!(std::fs::read(path(&site.internet, "got")).unwrap() == content(1), "what was fetched");
    std::fs::write(path(&site.internet, "own"), content(2)).unwrap();
    let words = format!("{} -T /run/lab/own ftp://{host}/taken/own", active());
    assert!(curl(&site.internet, 20, &words));
    assert!(std::fs::read(path(tenant, "files/taken/own")).unwrap() == content(2), "what was sent");
    assert!(!curl(&site.internet, 3, &format!("--ftp-pasv ftp://{host}/served")), "passive FTP");
}

/// Datagrams of each flow.
const COUNT: u32 = 100;

/// The flow to an address that is nobody's on the Internet.
const UNROUTED: u32 = 7;

/// An address inside that both tenants have, and one that only the second has.
const INNER: [&str; 2] = ["192.168.1.7", "192.168.1.8"];

#[test]
fn tenants_of_the_same_addresses_inside_and_contrary_rules_never_see_each_others_packets() {
    let _machine = alone();
    for kind in kinds() {
        let site = Site::new();
        let (shop, bank) = (site.place(1, SHOP), site.place(2, BANK));
        let tunnels =
            [1, 2].map(|router| Tunnel { router, key: Some(7), probed: true, ..Tunnel::default() });
        let rules = [(1000, 2000), (2000, 1000)].map(|(accepted, dropped)| {
            format!("policy drop\nudp dport {accepted} accept\nudp dport {dropped} drop")
        });
        let server = site.serve(
            &(SHOP.declared(&rules[0], &tunnels[..1]) + &BANK.declared(&rules[1], &tunnels[1..])),
        );
        let routers = [(&shop, &tunnels[0]), (&bank, &tunnels[1])]
            .map(|(place, tunnel)| Router::start(place, kind, tunnel));
        until("each router answers its own probes", 30, || {
            let is_answered = |tunnel| standing(&site, &server, tunnel).1 > 0;
            tunnels.iter().all(is_answered)
        });
        shop.namespace.run(&format!("ip addr add {}/32 dev lo", INNER[0]));
        for inner in INNER {
            bank.namespace.run(&format!("ip addr add {inner}/32 dev lo"));
        }
        for prefix in [BANK.prefixes[0], "192.168.1.0/24"] {
            shop.namespace.run(&format!("ip route add {prefix} dev {DEVICE}"));
        }

        let captures = [&shop, &bank].map(|place| {
            Capture::start(
                &place.namespace,
                "eth0",
                &format!("ip proto 47 and src host {}", SERVER[0]),
            )
        });
        let before = reasons(&server);
        let [own, other] = [SHOP.hosts[0], BANK.hosts[0]];
        send(
            &site.internet,
            INTERNET[0],
            COUNT,
            &[(own, 1000, 1), (own, 2000, 2), (other, 1000, 3), (other, 2000, 4)],
        );
        // Through the first tenant's tunnel: to the other one's host, to what both have inside, and from there.
        let through = [(other, 1000, 5), (other, 2000, 6), (INNER[1], 2000, UNROUTED)];
        send(&shop.namespace, own, COUNT, &through);
        send(&shop.namespace, INNER[0], COUNT, &[(INNER[1], 2000, 8), (other, 2000, 9)]);
        let seen = || captures.each_ref().map(|capture| found(&capture.frames()));
        let [at_shop, at_bank] = [all(&[1], COUNT), all(&[4, 6], COUNT)];
        let is_all = |[shop, bank]: [BTreeSet<Number>; 2]| {
            // Who sends to nowhere is told, with the packet.
            let others = shop.into_iter().filter(|number| number.flow != UNROUTED);
            others.collect::<BTreeSet<_>>() == at_shop && bank == at_bank
        };
        until("all that is let in arrives", 20, || is_all(seen()));
        let count = u64::from(COUNT);
        let dropped = [("tenant_rule", 3 * count), ("egress_gre_source", 2 * count)];
        until("all others are counted", 30, || more(&reasons(&server), &before) == dropped.into());
        assert!(is_all(seen()), "nothing else arrives");
        assert_eq!(routers.map(|router| router.mentions("odd")), [0, 0]);
        server.stop();
    }
}

/// How many packets were lost for each reason.
#[cfg(test)]
fn reasons(server: &Dataplane) -> BTreeMap<String, u64> {
    let name = |(name, count): (String, u64)| Some((name.strip_prefix("drop.")?.to_owned(), count));
    server.counters().into_iter().filter_map(name).collect()
}

/// By how much reasons of tenants and their tunnels have grown.
#[cfg(test)]
fn more<'a>(
    after: &'a BTreeMap<String, u64>,
    before: &BTreeMap<String, u64>,
) -> BTreeMap<&'a str, u64> {
    let of_tenants = |name: &str| ["tenant", "egress"].iter().any(|stage| name.starts_with(stage));
    let grown = |(name, count): (&'a String, &u64)| {
        let grown = count - before.get(name).unwrap_or(&0);
        (of_tenants(name) && grown > 0).then_some((name.as_str(), grown))
    };
    after.iter().filter_map(grown).collect()
}

/// How the tunnel to this router stands, and how many of its probes were answered, as control tells it.
#[cfg(test)]
fn standing(site: &Site, server: &Dataplane, tunnel: &Tunnel) -> (String, u64) {
    let [_, router] = tunnel.ends();
    let list = site.ask(server, "tunnel list");
    let entry = list.into_iter().find(|entry| entry["remote"] == router).unwrap();
    let state = entry["state"].as_str().unwrap_or_default().to_owned();
    (state, entry["probes_answered"].as_u64().unwrap())
}
