//! Servers behind a router that spreads one anycast address over them by the hash of addresses and ports: dataplanes and
//! controls as processes, clients of three kinds that move all the time. Needs root and the programs of `scripts/setup`.
#![cfg(feature = "dpdk")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at its first broken assumption"
)]

mod lab;

#[cfg(test)]
#[path = "fleet/caller.rs"]
mod caller;
#[cfg(test)]
#[path = "fleet/directory.rs"]
mod directory;
#[cfg(test)]
#[path = "fleet/membership.rs"]
mod membership;
#[cfg(test)]
#[path = "fleet/wire.rs"]
mod wire;
#[cfg(test)]
#[path = "fleet/movement.rs"]
mod movement;
#[cfg(test)]
#[path = "fleet/router.rs"]
mod router;
#[cfg(test)]
#[path = "fleet/site.rs"]
mod site;
#[cfg(test)]
#[path = "fleet/stock.rs"]
mod stock;
#[cfg(test)]
#[path = "fleet/stream.rs"]
mod stream;

use std::sync::Arc;
use std::time::{Duration, Instant};

use lab::generator::{command, end, number, report, told};
use lab::keys::Keys;
use lab::namespace::Namespace;
use lab::process::Process;
use lab::until;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use caller::{Caller, Way};
use router::{ANYCAST_V4, ANYCAST_V6, Subnet};
use rustix::process::Signal;
use site::{Site, peer};
use stock::Stock;
use stream::Stream;

const SWARM: Subnet = Subnet(100);
const CLIENTS: u32 = 60;

/// The generator's clients: they move at random, and each echoes what another sends.
fn swarm(keys: &Keys) -> String {
    let [v4, v6] = SWARM.gateways();
    let server = keys.public_text();
    format!(
        "seed = 8\n[device]\nname = \"net_af_packet0,iface=eth0,framecnt=2048\"\nsleep = true\n\
         [server]\npublic_key = \"{server}\"\nendpoints = [\"{ANYCAST_V4}\", \"{ANYCAST_V6}\"]\n\
         gateways = [\"{v4}\", \"{v6}\"]\n\
         [clients]\ncount = {CLIENTS}\naddresses = [\"{}+40\", \"{}+40\"]\n\
         inner = [\"10.8.0.1\", \"fd00:8::1\"]\nconnects_per_sec = 100\nclient_id = 70000\n\
         [roam]\nkind = \"port\"\nmean_secs = 4\n\
         [traffic]\nkind = \"echo\"\nto = \"clients\"\nsizes = [100, 600, 1400]\nrate = \"400pps\"\n\
         [run]\nconnect_secs = 60\ndrain_secs = 2\nsecs = 600\nloss_allowed = 0.0\n",
        SWARM.v4(10),
        SWARM.v6(10),
    )
}

/// The generator's clients as sections for control.
fn swarms_peers(profile: &str) -> String {
    let anywhere = Namespace::new();
    let (code, text) = told(&mut command(&anywhere, profile, &["peers"]));
    assert_eq!(code, Some(0), "{text}");
    text
}

/// Waits until each of these streams has carried as much again.
fn go_on(streams: &[Stream]) {
    let before: Vec<u64> = streams.iter().map(Stream::octets).collect();
    until("every stream goes on", 30, || {
        streams.iter().zip(&before).all(|(stream, before)| {
            assert_eq!(stream.end(), None, "a stream of server {}", stream.server);
            stream.octets() > before + 20_000
        })
    });
}

/// Whether anything comes back within a second and a half.
fn went_on(streams: &[Stream]) -> bool {
    let octets = || streams.iter().map(Stream::octets).sum::<u64>();
    let (before, begin) = (octets(), Instant::now());
    while octets() == before && begin.elapsed() < Duration::from_millis(1500) {
        std::thread::sleep(Duration::from_millis(10));
    }
    octets() > before
}

#[test]
fn without_a_fleet_a_client_that_changes_its_port_loses_its_session_and_its_flows() {
    let (keys, own) = (Keys::new(), Keys::new());
    let profile = swarm(&keys);
    let peers = swarms_peers(&profile) + &peer(&own, 2, None);
    let site = Site::new(&keys, None, 2, &peers);
    (1..=2).for_each(|number| site.start(number));
    site.spread(&[1, 2]);

    let swarms_place = site.generators_place(SWARM);
    let run = Process::start("pktgen", command(&swarms_place, &profile, &["client", "--json"]));
    let place = Stock::place(&site, Subnet(101));
    let client = Stock::connect(&place, Subnet(101), (&own, 2), (&keys, ANYCAST_V4));
    go_on(&client.streams);
    until("its packets land on the other server", 30, || {
        client.rebind();
        !went_on(&client.streams)
    });
    // It shakes hands anew by its timers (whitepaper 6.5), with a server that knows nothing of these connections.
    until("the flows of a client that has changed its port break", 60, || {
        client.streams.iter().any(|stream| stream.end().is_some())
    });
    let ends: Vec<_> = client.streams.iter().filter_map(Stream::end).collect();
    assert!(ends.iter().all(|end| end.contains("reset")), "{ends:?}");

    run.signal(Signal::INT);
    let (_, text) = end(run, 60);
    let report = report(&text);
    let lost = number(&report, "/sums/missing");
    println!("without a fleet {lost} of {} packets are lost", number(&report, "/sums/sent"));
    assert!(lost > number(&report, "/sums/sent") / 4, "{report}");
    assert!(number(&report, "/tally/sessions") > u64::from(CLIENTS), "{report}");
    site.servers.iter().for_each(site::Server::stop);
}

/// Keys that are the same in every run, so that the same clients are at the same servers.
fn keys(of: u8) -> Keys {
    Keys::of([of; 32])
}

const SERVER: u8 = 201;
const FLEET: u8 = 202;

/// Subnets and inner hosts of the stock clients.
const STOCK: [(Subnet, u8); 3] = [(Subnet(101), 2), (Subnet(102), 3), (Subnet(103), 4)];
const CALLERS: Subnet = Subnet(110);
/// Inner hosts of the first and of the second crowd.
const FIRST: std::ops::Range<u8> = 20..32;
const SECOND: std::ops::Range<u8> = 32..44;

fn peers(profile: &str) -> String {
    let mut text = swarms_peers(profile);
    for (_, host) in STOCK {
        text += &peer(&keys(host), host, None);
    }
    for host in FIRST.chain(SECOND) {
        text += &peer(&keys(host), host, Some(&STANDARD.encode(Caller::id(host))));
    }
    text
}

/// Callers of both outer families.
fn crowd(place: &Arc<Namespace>, hosts: std::ops::Range<u8>) -> Vec<Caller> {
    let server_keys = &keys(SERVER);
    let ways = [(CALLERS.v4(1), ANYCAST_V4), (format!("[{}]", CALLERS.v6(1)), ANYCAST_V6)];
    let ways = ways.map(|(address, server)| Way { place, address, server_keys, server });
    hosts.zip(ways.iter().cycle()).map(|(host, way)| Caller::start(way, &keys(host), host)).collect()
}

/// What is asked after each change.
struct Watch<'a> {
    begin: Instant,
    stocks: &'a [Stock<'a>],
}

impl Watch<'_> {
    fn say(&self, what: &str) {
        println!("{:6.2} s: {what}", self.begin.elapsed().as_secs_f64());
    }

    /// Every stream goes on where it was, and no ping of these is lost or answered by another server than before.
    fn all_go_on(&self, what: &str, callers: &[&Caller]) {
        self.stocks.iter().for_each(|stock| go_on(&stock.streams));
        let rounds = self.stocks.iter().flat_map(|stock| &stock.streams).map(Stream::longest_round_ms);
        self.say(&format!("{what}; longest rounds of the streams {:?} ms", rounds.collect::<Vec<_>>()));
        for caller in callers {
            let servers = caller.servers();
            assert!(caller.lost() == 0 && servers.len() == 1, "{what}: {} lost, {servers:?}", caller.lost());
        }
    }
}

#[test]
fn no_session_and_no_flow_breaks_while_servers_come_and_go() {
    let profile = swarm(&keys(SERVER));
    let site = Site::new(&keys(SERVER), Some(keys(FLEET)), 3, &peers(&profile));
    let begin = Instant::now();
    let start = |number| site.start(number);
    let fleet = site.membership();
    fleet.found(&[1, 2]);
    (1..=2).for_each(start);
    site.spread(&[1, 2]);
    site.agree(&[1, 2]);

    let swarms_place = site.generators_place(SWARM);
    let run = Process::start("pktgen", command(&swarms_place, &profile, &["client", "--json"]));
    let places = STOCK.map(|(subnet, _)| Stock::place(&site, subnet));
    let server_keys = keys(SERVER);
    let stocks: Vec<_> = (places.iter().zip(STOCK).zip([ANYCAST_V4, ANYCAST_V6, ANYCAST_V4]))
        .map(|((place, (subnet, host)), server)| {
            Stock::connect(place, subnet, (&keys(host), host), (&server_keys, server))
        })
        .collect();
    let callers_place = Arc::new(site.place(CALLERS));
    let first = crowd(&callers_place, FIRST);
    let watch = Watch { begin, stocks: &stocks };
    let firsts: Vec<_> = first.iter().collect();
    let at = |callers: &[Caller], server: u8| callers.iter().filter(|c| c.server() == Some(server)).count();
    watch.say(&format!("stock at {:?}", stocks.iter().map(Stock::server).collect::<Vec<_>>()));

    let second = movement::during(&site.router, &stocks, || {
        watch.all_go_on("two servers", &firsts);
        fleet.add(3);
        site.agree(&[1, 2]);
        start(3);
        site.agree(&[1, 2, 3]);
        watch.say("3 is started");
        site.server(3).ask("fleet up 3");
        site.agree(&[1, 2, 3]);
        site.spread(&[1, 2, 3]);
        watch.all_go_on("a third server", &firsts);
        let second = crowd(&callers_place, SECOND);
        until("all are answered", 10, || second.iter().all(|caller| caller.server().is_some()));
        watch.say(&format!("{} of the second crowd at 3", at(&second, 3)));
        assert!(at(&second, 3) > 0);

        site.server(2).ask("fleet weight 1 300");
        site.agree(&[1, 2, 3]);
        let both: Vec<_> = first.iter().chain(&second).collect();
        watch.all_go_on("another weight", &both);

        let captures = [1, 2, 3].map(|server| wire::Capture::start(&site.router, Subnet(server)));
        watch.all_go_on("captured", &both);
        let captured = captures.map(wire::Capture::end);
        for (server, packets) in (1..).zip(&captured) {
            let fleet: Vec<_> = packets.iter().filter(|packet| packet.is_fleet()).cloned().collect();
            let lines = wire::read_as_gre(&site.router, &fleet);
            println!("from {server}: {} packets, {} of them carried, {} lines: {:#?}", packets.len(), fleet.len(), lines.len(), lines.iter().take(4).collect::<Vec<_>>());
        }

        let drained = Instant::now();
        println!("{}", site.server(1).ask("fleet drain 3 --deadline 5s"));
        site.agree(&[1, 2, 3]);
        watch.all_go_on("draining", &both);
        until("it holds nothing", 30, || {
            let held = site.server(3).fleet()["held"].clone();
            held == 0
        });
        watch.say(&format!("drained after {:?}", drained.elapsed()));
        watch.all_go_on("drained", &both);
        let of_third: Vec<_> = second.iter().filter(|caller| caller.server() == Some(3)).collect();
        let removed = Instant::now();
        fleet.remove(3);
        site.agree(&[1, 2]);
        site.spread(&[1, 2]);
        let told = Instant::now();
        until("all are back", 20, || of_third.iter().all(|caller| caller.server() != Some(3)));
        println!("{}", site.server(3).ask("fleet list"));
        for caller in &of_third {
            println!("{:?} lost {} told {:?} back {:?}", caller.servers(), caller.lost(), told - removed, caller.pings().iter().filter_map(|ping| ping.answered).find(|a| a.at > removed && a.server != 3).unwrap().at - removed);
        }
        watch.all_go_on("removed", &firsts);
        println!("{:?}", site.server(3).dataplane().counters().into_iter().filter(|(_, v)| *v > 0).collect::<Vec<_>>());
        site.server(3).stop();
        watch.all_go_on("stopped", &firsts);
        fleet.add(3);
        start(3);
        site.server(3).ask("fleet up 3");
        site.agree(&[1, 2, 3]);
        site.spread(&[1, 2, 3]);
        watch.all_go_on("joined again", &firsts);
        second
    });
    run.signal(Signal::INT);
    let (code, text) = end(run, 60);
    println!("{code:?} {}", report(&text));

    let homes: Vec<_> = first.iter().chain(&second).map(|caller| (caller, caller.server())).collect();
    let run = Process::start("pktgen", command(&swarms_place, &profile, &["client", "--json"]));
    until("traffic", 20, || run.mentions("interval") > 2);
    let killed = Instant::now();
    site.server(2).kill();
    site.server(1).ask("fleet down 2");
    site.agree(&[1, 3]);
    site.spread(&[1, 3]);
    let told = killed.elapsed();
    until("all are back", 60, || homes.iter().all(|(caller, _)| caller.answer_after(killed + told).is_some()));
    watch.say(&format!("told after {told:?}"));
    for (caller, home) in &homes {
        println!("{home:?} {:?} lost {} back after {:?}", caller.servers(), caller.lost(), caller.answer_after(killed + told).unwrap().at - (killed + told));
    }
    for stock in &stocks {
        let server = stock.server();
        if server != 2 {
            go_on(&stock.streams);
        }
    }
    run.signal(Signal::INT);
    let (code, text) = end(run, 60);
    println!("{code:?} {}", report(&text));
    for (stock, place) in stocks.iter().zip(&places) {
        let server = stock.server();
        until("stock is back", 60, || lab::traffic::answers(place, "10.7.0.1"));
        watch.say(&format!("stock of {server} is back"));
    }
    drop((first, second));
    for server in [1, 3] {
        println!("{:?}", site.server(server).dataplane().counters().into_iter().filter(|(_, v)| *v > 0).collect::<Vec<_>>());
        site.server(server).stop();
    }
}
