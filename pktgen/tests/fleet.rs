//! Servers behind a router that spreads one anycast address over them by the hash of addresses and ports, and changes its
//! mind all the time: dataplanes and controls as processes, and clients of three kinds that move without a pause. Needs
//! root and the programs of `scripts/setup`.
#![cfg(feature = "dpdk")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at its first broken assumption"
)]

#[cfg(test)]
mod lab;

#[cfg(test)]
#[path = "fleet/badge.rs"]
mod badge;
#[cfg(test)]
#[path = "fleet/caller.rs"]
mod caller;
#[cfg(test)]
#[path = "fleet/datagrams.rs"]
mod datagrams;
#[cfg(test)]
#[path = "fleet/directory.rs"]
mod directory;
#[cfg(test)]
#[path = "fleet/egress.rs"]
mod egress;
#[cfg(test)]
#[path = "fleet/membership.rs"]
mod membership;
#[cfg(test)]
#[path = "fleet/movement.rs"]
mod movement;
#[cfg(test)]
#[path = "fleet/outside.rs"]
mod outside;
#[cfg(test)]
#[path = "fleet/router.rs"]
mod router;
#[cfg(test)]
#[path = "fleet/sequence.rs"]
mod sequence;
#[cfg(test)]
#[path = "fleet/site.rs"]
mod site;
#[cfg(test)]
#[path = "fleet/stock.rs"]
mod stock;
#[cfg(test)]
#[path = "fleet/stream.rs"]
mod stream;
#[cfg(test)]
#[path = "fleet/swarm.rs"]
mod swarm;
#[cfg(test)]
#[path = "fleet/traveller.rs"]
mod traveller;
#[cfg(test)]
#[path = "fleet/watch.rs"]
mod watch;
#[cfg(test)]
#[path = "fleet/wire.rs"]
mod wire;

use std::ops::Range;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use caller::{Caller, Way};
use lab::generator::number;
use lab::keys::Keys;
use lab::namespace::Namespace;
use lab::{alone, until};
use router::{ANYCAST_V4, ANYCAST_V6, Subnet};
use site::{Server, Site, peer};
use stock::Stock;
use stream::Stream;
use swarm::{CLIENTS, Swarm};
use watch::{Watch, go_on, nothing_is_lost, went_on};

/// Keys that are the same in every run, so that the same clients are at the same servers.
fn keys(of: u8) -> Keys {
    Keys::of([of; 32])
}

const SERVER: u8 = 201;
const FLEET: u8 = 202;

/// Subnets of the stock clients, whom they call, and their inner hosts.
const STOCK: [(Subnet, &str, u8); 3] =
    [(Subnet(101), ANYCAST_V4, 2), (Subnet(102), ANYCAST_V6, 3), (Subnet(103), ANYCAST_V4, 5)];

const CALLERS: Subnet = Subnet(110);
/// Inner hosts of the first and of the second crowd.
const FIRST: Range<u8> = 20..32;
const SECOND: Range<u8> = 32..44;

/// An id-client of a dead server is back within a round trip, a prompt and a handshake; the rest of this is the machine's.
const BACK: Duration = Duration::from_secs(2);

fn peers(swarm: &Swarm) -> String {
    let mut text = swarm.peers();
    for (_, _, host) in STOCK {
        text += &peer(&keys(host), host, None);
    }
    for host in FIRST.chain(SECOND) {
        text += &peer(&keys(host), host, Some(&STANDARD.encode(Caller::id(host))));
    }
    text
}

/// Callers of both outer families.
fn crowd(place: &Arc<Namespace>, hosts: Range<u8>) -> Vec<Caller> {
    let server_keys = &keys(SERVER);
    let ways = [(CALLERS.v4(1), ANYCAST_V4), (format!("[{}]", CALLERS.v6(1)), ANYCAST_V6)];
    let ways = ways.map(|(address, server)| Way { place, address, server_keys, server });
    let hosts = hosts.zip(ways.iter().cycle());
    let crowd: Vec<_> = hosts.map(|(host, way)| Caller::start(way, &keys(host), host)).collect();
    until("every caller is answered", 30, || crowd.iter().all(|caller| caller.server().is_some()));
    crowd
}

/// Those who were answered by this server last.
fn at(callers: &[Caller], server: u8) -> Vec<&Caller> {
    callers.iter().filter(|caller| caller.server() == Some(server)).collect()
}

/// Clients without an id, who are at several servers.
fn stock_clients(places: &[Namespace; 3]) -> Vec<Stock<'_>> {
    let clients = places.iter().zip(STOCK).map(|(place, (subnet, server, host))| {
        Stock::connect(place, subnet, (&keys(host), host), (&keys(SERVER), server))
    });
    clients.collect()
}

/// Holds the machine for one test, or says why there is none.
fn begin() -> Option<MutexGuard<'static, ()>> {
    if let Some(why) = router::why_not() {
        println!("skipped: {why}");
        return None;
    }
    Some(alone())
}

#[test]
fn without_a_fleet_a_client_that_changes_its_port_loses_its_session_and_its_flows() {
    let Some(_machine) = begin() else { return };
    let swarm = Swarm::new(&keys(SERVER));
    let site = Site::new(&keys(SERVER), None, 2, &peers(&swarm));
    (1..=2).for_each(|server| site.start(server));
    site.spread(&[1, 2]);
    let swarms_place = Swarm::place(&site);
    let run = swarm.start(&swarms_place);
    let (subnet, server, host) = STOCK[0];
    let place = Stock::place(&site, subnet);
    let client = Stock::connect(&place, subnet, (&keys(host), host), (&keys(SERVER), server));
    go_on(&client.streams);
    until("its packets land on the other server", 60, || {
        client.rebind();
        !went_on(&client.streams)
    });
    // It shakes hands anew by its timers (whitepaper 6.5), with a server that knows nothing of these connections.
    until("the flows of a client that has changed its port break", 60, || {
        client.streams.iter().any(|stream| stream.end().is_some())
    });
    let ends: Vec<_> = client.streams.iter().filter_map(Stream::end).collect();
    assert!(ends.iter().all(|end| end.contains("reset")), "{ends:?}");
    let (_, report) = run.end();
    assert!(number(&report, "/sums/missing") > number(&report, "/sums/sent") / 4, "{report}");
    site.servers.iter().for_each(Server::stop);
}

/// What comes out of the servers while clients move: what they carry for each other, and who answers.
fn is_carried_as_rfc_8086_says(site: &Site, stocks: &[Stock<'_>], traffic: impl FnOnce()) {
    let captures = [1, 2, 3].map(|server| wire::Capture::start(&site.router, Subnet(server)));
    traffic();
    for (server, packets) in (1..).zip(captures.map(wire::Capture::end)) {
        let carried: Vec<_> = packets.iter().filter(|packet| packet.is_fleet()).cloned().collect();
        let read = wire::read_as_gre(&site.router, &carried);
        let (sent, count, first) = (packets.len(), carried.len(), read.first());
        println!("server {server} sends {sent} packets and carries {count} of them: {first:?}");
        assert!(count > 0 && read.len() == count, "tcpdump reads {} of {count}", read.len());
        let of_client = |line: &String| line.contains(" > 192.0.2.1.51820: UDP");
        assert!(read.iter().any(of_client), "as it came from a client");
        for packet in carried {
            let (from, to) = (packet.source(), packet.destination());
            let is_member = |other: u8| other != server && Subnet(other).holds(to);
            assert!(Subnet(server).holds(from) && (1..=3).any(is_member), "{from} to {to}");
            let (port, checksum) = (packet.source_port(), packet.checksum());
            assert!(port >= 49_152 && checksum == 0, "RFC 8086 3.1, 3.2: {port}, {checksum}");
        }
        for (stock, (subnet, ..)) in stocks.iter().zip(STOCK) {
            let is_answered = packets.iter().any(|packet| subnet.holds(packet.destination()));
            assert_eq!(is_answered, stock.server() == server, "only its server answers a client");
        }
    }
}

/// The third server joins, clients come, and the weights change.
fn grow(site: &Site, watch: &Watch<'_>, callers: (&Arc<Namespace>, &[Caller])) -> Vec<Caller> {
    let (place, first) = callers;
    watch.all_go_on("two servers", &[first]);
    join(site);
    watch.all_go_on("a third server", &[first]);
    let second = crowd(place, SECOND);
    assert!(!at(&second, 3).is_empty() && at(first, 3).is_empty(), "only new clients go there");
    site.server(2).ask("fleet weight 1 300");
    site.agree(&[1, 2, 3]);
    watch.all_go_on("another weight", &[first, &second]);
    second
}

/// As an operator adds a server: declared first, then started, then used.
fn join(site: &Site) {
    site.membership().add(3);
    site.agree(&[1, 2]);
    site.start(3);
    site.server(3).ask("fleet up 3");
    site.agree(&[1, 2, 3]);
    site.spread(&[1, 2, 3]);
}

/// As an operator takes one away: drained, withdrawn from the router, removed, stopped.
fn leave(site: &Site, watch: &Watch<'_>, first: &[Caller], second: &[Caller]) {
    site.server(1).ask("fleet drain 3 --deadline 4s");
    site.agree(&[1, 2, 3]);
    watch.all_go_on("draining", &[first, second]);
    until("the drained server holds nobody", 30, || site.server(3).held() == Some(0));
    site.spread(&[1, 2]);
    // With the next session, and not before it.
    until("its clients are with others", 30, || at(second, 3).is_empty());
    watch.all_go_on("drained and withdrawn", &[first]);
    site.membership().remove(3);
    site.agree(&[1, 2]);
    site.server(3).stop();
    watch.all_go_on("removed and stopped", &[first]);
    second.iter().for_each(nothing_is_lost);
}

/// A server dies; its router and then the others are told. Whoever it did not serve goes on.
fn die(site: &Site, watch: &Watch<'_>, stocks: &[Stock<'_>], crowds: [&[Caller]; 2]) {
    let callers = || crowds.iter().copied().flatten();
    let homes: Vec<_> = callers().map(|caller| (caller, caller.server().unwrap())).collect();
    let killed = Instant::now();
    site.server(2).kill();
    site.spread(&[1, 3]);
    site.server(1).ask("fleet down 2");
    site.agree(&[1, 3]);
    let told = Instant::now();
    let orphans = homes.iter().filter(|(_, home)| *home == 2).map(|(caller, _)| *caller);
    return_of_ids(watch, &orphans.collect::<Vec<_>>(), (killed, told));
    let others: Vec<_> = stocks.iter().filter(|stock| stock.server() != 2).collect();
    assert!(!others.is_empty() && others.len() < stocks.len(), "some of each");
    go_on(others.iter().flat_map(|stock| &stock.streams));
    return_of_stock(watch, stocks, killed);
    for (caller, home) in homes.iter().filter(|(_, home)| *home != 2) {
        // What the router gave to the dead server is lost, whosever it was.
        assert_eq!((caller.server(), caller.lost_since(told)), (Some(*home), 0), "not concerned");
    }
}

/// Those with ids are called as soon as they say anything.
fn return_of_ids(watch: &Watch<'_>, callers: &[&Caller], (killed, told): (Instant, Instant)) {
    let back = || {
        let back: Option<Vec<_>> = callers.iter().map(|caller| caller.left(2, killed)).collect();
        back?.into_iter().max()
    };
    until("all clients with ids are back", 60, || back().is_some());
    let (last, known) = (back().unwrap() - killed, told - killed);
    let count = callers.len();
    watch.say(&format!(
        "{count} with ids are back {last:?} after the death, of which others knew after {known:?}"
    ));
    assert!(last < known + BACK);
}

/// Without an id a client notices by its own timers (whitepaper 6.5).
fn return_of_stock(watch: &Watch<'_>, stocks: &[Stock<'_>], killed: Instant) {
    until("all clients are back", 60, || stocks.iter().all(Stock::is_served));
    watch.say(&format!("all without ids are back {:?} after the death", killed.elapsed()));
    for stock in stocks {
        go_on(&stock.open());
    }
}

#[test]
fn with_a_fleet_no_session_and_no_flow_breaks_while_servers_come_and_go() {
    let Some(_machine) = begin() else { return };
    let swarm = Swarm::new(&keys(SERVER));
    let site = Site::new(&keys(SERVER), Some(keys(FLEET)), 3, &peers(&swarm));
    site.membership().found(&[1, 2]);
    (1..=2).for_each(|server| site.start(server));
    site.agree(&[1, 2]);
    site.spread(&[1, 2]);
    let swarms_place = Swarm::place(&site);
    let run = swarm.start(&swarms_place);
    let places = STOCK.map(|(subnet, ..)| Stock::place(&site, subnet));
    let stocks = stock_clients(&places);
    let callers_place = Arc::new(site.place(CALLERS));
    let first = crowd(&callers_place, FIRST);
    let watch = Watch::new(&stocks);
    let second = movement::during(&site.router, &stocks.iter().collect::<Vec<_>>(), || {
        let second = grow(&site, &watch, (&callers_place, &first));
        is_carried_as_rfc_8086_says(&site, &stocks, || {
            watch.all_go_on("captured", &[&first, &second]);
        });
        leave(&site, &watch, &first, &second);
        join(&site);
        watch.all_go_on("joined again", &[&first]);
        second
    });
    let initiations: Vec<_> = stocks.iter().map(Stock::initiations).collect();
    println!("stock clients have begun {initiations:?} sessions");
    assert!(initiations.iter().all(|&count| count > 3), "each of them some");
    let (code, report) = run.end();
    if code != Some(0) {
        site.tell_losses(&[1, 2, 3]);
    }
    assert_eq!((code, number(&report, "/sums/missing")), (Some(0), 0), "{report}");
    let [began, answered] =
        ["sent", "received"].map(|way| number(&report, &format!("/tally/handshakes_{way}")));
    assert!(began == answered && began > 2 * CLIENTS, "each new session at once: {report}");

    let run = swarm.start(&swarms_place);
    run.flows();
    die(&site, &watch, &stocks, [&first, &second]);
    let (code, report) = run.end();
    let lost = number(&report, "/sums/missing");
    assert!(code == Some(3) && lost < swarm::RATE * 4, "what the dead server had: {report}");
    drop((first, second));
    for server in [1, 3] {
        site.server(server).stop();
    }
}
