//! Clients that reach the Internet by the server's addresses: dataplane and control as processes, clients and servers that
//! nobody here wrote. Needs root and the programs of `scripts/setup`.
#![cfg(feature = "dpdk")]

#[cfg(test)]
mod lab;

#[cfg(test)]
#[path = "egress/site.rs"]
mod site;

#[cfg(test)]
#[path = "egress/through.rs"]
mod through;

#[cfg(test)]
#[path = "egress/middle.rs"]
mod middle;

#[cfg(test)]
#[path = "egress/ends.rs"]
mod ends;

#[cfg(test)]
#[path = "egress/kinds.rs"]
mod kinds;

#[cfg(test)]
#[path = "egress/floods.rs"]
mod floods;

#[cfg(test)]
#[path = "egress/loss.rs"]
mod loss;

#[cfg(test)]
#[path = "egress/relay.rs"]
mod relay;

#[cfg(test)]
#[path = "egress/refusals.rs"]
mod refusals;

#[cfg(test)]
#[path = "egress/policy.rs"]
mod policy;

#[cfg(test)]
#[path = "egress/changes.rs"]
mod changes;

#[cfg(test)]
#[path = "egress/datagrams.rs"]
mod datagrams;

#[cfg(test)]
#[path = "egress/terminating.rs"]
mod terminating;

#[cfg(test)]
#[path = "egress/terminate.rs"]
mod terminate;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use lab::process::Process;
use lab::traffic::ping;
use lab::until;
use lab::{alone, bound};
use site::{
    CLIENTS, Client, INNER_V6, INTERNET, INTERNET_V6, KNOWN_V6, NAT, OUTSIDE_V6, POP_NAT, STUN,
    Site, fetch, is_whole, lost, served,
};
use through::{Through, Way};

#[test]
fn clients_with_the_same_address_load_and_store_side_by_side() {
    let _machine = alone();
    let site = Site::new();
    let server = site.serve(1);
    let _web = site.web();
    let clients: Vec<_> = (0..CLIENTS).map(|number| site.client(number)).collect();
    for client in &clients {
        ping(client.place, INTERNET, 5);
    }
    load_side_by_side(&clients.iter().collect::<Vec<_>>());
    for client in &clients {
        store(&site, client);
    }
    let lines = served(&site);
    assert_eq!(lines.len(), CLIENTS * (LOADS + 1));
    assert!(lines.iter().all(|line| line.starts_with(NAT)), "{lines:?}");
    drop(clients);
    assert_eq!(lost(&server, "egress_nat_unknown"), 0);
    server.stop();
}

#[test]
fn connections_go_through_proxies_that_nobody_here_wrote_and_through_another_data_centre() {
    let _machine = alone();
    for way in [Way::Tinyproxy, Way::Squid, Way::Borne, Way::Plain] {
        let site = Site::new();
        let _web = site.web();
        let through = Through::start(&site, way);
        let client = site.client(0);
        load_side_by_side(&[&client]);
        store(&site, &client);
        let lines = served(&site);
        assert_eq!(lines.len(), LOADS + 1, "{way:?}");
        let is_pop = matches!(way, Way::Borne | Way::Plain);
        let is_right =
            |line: &String| line.starts_with(POP_NAT) == is_pop && !line.starts_with(NAT);
        assert!(lines.iter().all(is_right), "{way:?}: {lines:?}");
        drop(client);
        let opened = LOADS as u64 + 1;
        let borne = if way == Way::Borne { opened } else { 0 };
        for counters in through.end(opened) {
            assert_eq!(counters["connects_borne"], borne, "{way:?}: the request in the SYN");
        }
    }
}

/// Loads of each client at the same time.
const LOADS: usize = 4;

/// Lets clients load what is served, all at once.
#[cfg(test)]
fn load_side_by_side(clients: &[&Client<'_>]) {
    let loads: Vec<_> = clients
        .iter()
        .flat_map(|client| (0..LOADS).map(|load| client.place.command_line(&fetch(load))))
        .map(|mut command| command.spawn().unwrap())
        .collect();
    for mut load in loads {
        assert!(load.wait().unwrap().success(), "a load has failed");
    }
    for client in clients {
        let wholes = (0..LOADS).map(|load| is_whole(client.place, load));
        assert_eq!(wholes.filter(|is_whole| *is_whole).count(), LOADS, "what was served");
    }
}

/// Lets a client store what it has loaded.
#[cfg(test)]
fn store(site: &Site, client: &Client<'_>) {
    client.place.run(&format!(
        "curl -sS --max-time 20 -T /run/lab/got0 http://{INTERNET}/taken/{}",
        client.number
    ));
    assert!(site.is_taken(client.number), "not what was stored");
}

/// What STUN's client calls us (RFC 3489 10.1).
#[test]
fn stun_finds_independent_mappings_address_dependent_filters_and_hairpins() {
    let _machine = alone();
    let site = Site::new();
    let server = site.serve(2);
    let client = site.client(0);
    is_called_a_good_translator(&site, &client);
    drop(client);
    server.stop();
}

/// Has a stock client of STUN look at us.
#[cfg(test)]
fn is_called_a_good_translator(site: &Site, client: &Client<'_>) {
    let mut stund = site.internet.command("stund");
    stund.args(["-h", STUN[0], "-a", STUN[1]]);
    let _stund = Process::start("stund", stund);
    let mut said = String::new();
    until("STUN is answered", 30, || {
        (_, said) = client.place.attempt(&format!("stun {}", STUN[0]));
        said.contains("Primary:") && !said.contains("Blocked")
    });
    println!("{said}");
    assert!(said.contains("Independent Mapping"), "{said}");
    assert!(said.contains("will hairpin"), "{said}");
    assert!(said.contains("Address Dependent Filter"), "{said}");
}

#[test]
fn two_servers_see_one_mapping_of_a_clients_datagrams() {
    let _machine = alone();
    let site = Site::new();
    let server = site.serve(2);
    let client = site.client(0);
    let at = STUN.map(|address| SocketAddr::new(address.parse().unwrap(), 443));
    let servers = at.map(|address| bound(&site.internet, address));
    let socket = bound(client.place, SocketAddr::new([0, 0, 0, 0].into(), 0));
    for end in servers.iter().chain([&socket]) {
        end.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    }
    let mut seen = BTreeSet::new();
    // As long as QUIC's packets are at least (RFC 9000 14), by turns there and back.
    let (mut sent, mut heard) = ([0; 1200], [0; 1500]);
    for turn in 0..100 {
        let (server, address) = (&servers[turn % 2], at[turn % 2]);
        sent.fill(u8::try_from(turn).unwrap());
        socket.send_to(&sent, address).unwrap();
        let (len, from) = server.recv_from(&mut heard).unwrap();
        assert_eq!(heard[..len], sent);
        seen.insert(from);
        server.send_to(&sent, from).unwrap();
        assert_eq!(socket.recv_from(&mut heard).unwrap(), (sent.len(), address));
        assert_eq!(heard[..len], sent);
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen.first().unwrap().ip().to_string(), NAT);
    drop(client);
    server.stop();
}

#[test]
fn names_are_found_and_files_fetched_from_servers_that_speak_first() {
    let _machine = alone();
    let site = Site::new();
    let server = site.serve(1);
    let client = site.client(1);
    let _dnsmasq = names(&site);
    finds_names(&client);
    let _ftp = site.ftp();
    client.place.run(&format!("curl -sS --max-time 20 -o /run/lab/got0 ftp://{INTERNET}/served"));
    assert!(is_whole(client.place, 0));
    drop(client);
    server.stop();
}

/// A server of names.
#[cfg(test)]
fn names(site: &Site) -> Process {
    let mut dnsmasq = site.internet.command("dnsmasq");
    let listen = format!("--listen-address={INTERNET}");
    dnsmasq.args(["-k", "-C", "/dev/null", "-h", "-R", &listen, "--bind-interfaces"]);
    dnsmasq.args(["--address=/edge.example/203.0.113.77", "--pid-file=", "--user=root"]);
    dnsmasq.args(["--log-queries", "--log-facility=-"]);
    Process::start("dnsmasq", dnsmasq)
}

/// Has a client ask it for a name.
#[cfg(test)]
fn finds_names(client: &Client<'_>) {
    for way in ["+notcp", "+tcp"] {
        let ask = format!("dig @{INTERNET} edge.example +short +tries=1 +time=5 {way}");
        until("a name is found", 60, || client.place.attempt(&ask).1.trim() == "203.0.113.77");
    }
}

#[test]
fn a_router_beyond_tells_clients_of_hops_and_sizes() {
    let _machine = alone();
    let site = Site::new();
    let server = site.serve(1);
    let client = site.client(0);
    // The Internet's own router stands before its servers, and what is behind it takes less than the tunnel.
    let far = site.beyond(1000);
    let (_, said) = client.place.attempt(&format!("ping -n -c 1 -W 2 -t 2 {far}"));
    assert!(said.contains("Time to live exceeded"), "{said}");
    until("the size is heard of", 30, || {
        let (_, said) = client.place.attempt(&format!("ping -n -c 1 -W 1 -M do -s 1200 {far}"));
        said.contains("mtu = 1000") || said.contains("mtu=1000")
    });
    ping(client.place, far, 3);
    drop(client);
    server.stop();
}

#[test]
fn ipv6_goes_out_as_it_is_or_under_another_prefix_and_comes_in_unasked() {
    let _machine = alone();
    let site = Site::new();
    let server = site.serve(2);
    let _web = site.web();
    let clients: Vec<_> = (0..CLIENTS).map(|number| site.client(number)).collect();
    for (host, client) in (2..).zip(&clients) {
        for own in [KNOWN_V6, INNER_V6] {
            client.place.run(&format!(
                "curl -sS --max-time 30 --interface {own}{host} -o /run/lab/got0 http://[{INTERNET_V6}]/served"
            ));
            assert!(is_whole(client.place, 0), "{own}{host}");
            client.place.run(&format!(
                "curl -sS --max-time 20 --interface {own}{host} -T /run/lab/got0 http://[{INTERNET_V6}]/taken/{}",
                client.number
            ));
            assert!(site.is_taken(client.number), "{own}{host}");
        }
    }
    let lines = served(&site);
    assert_eq!(lines.len(), CLIENTS * 4);
    let by = |prefix: &str| lines.iter().filter(|line| line.starts_with(prefix)).count();
    assert_eq!((by(KNOWN_V6), by(OUTSIDE_V6)), (CLIENTS * 2, CLIENTS * 2), "{lines:?}");
    // Somebody out there speaks first, to both of a client's addresses.
    let outside = lines.iter().find(|line| line.starts_with(OUTSIDE_V6)).unwrap();
    let outside = outside.split_whitespace().next().unwrap().to_owned();
    let host = clients[0].place;
    let web = host.command_line("python3 -m http.server --bind :: --directory /run/lab 8080");
    let _web_of_client = Process::start("http.server", web);
    for address in [format!("{KNOWN_V6}2"), outside] {
        until("the client serves", 20, || {
            let get = format!("curl -sS --max-time 5 -o /run/lab/got http://[{address}]:8080/got0");
            site.internet.attempt(&get).0
        });
        assert_eq!(site.internet.run("cmp /run/lab/got /run/lab/files/served"), "");
        // A router's word on sizes comes through: this does not fit the tunnel.
        site.internet.run(&format!("ping -6 -n -c 2 -W 2 -M dont -s 1600 {address}"));
    }
    drop(clients);
    server.stop();
}
