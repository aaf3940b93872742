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

use std::time::{Duration, Instant};

use lab::generator::{command, end, number, report, told};
use lab::keys::Keys;
use lab::namespace::Namespace;
use lab::process::Process;
use lab::until;
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
    let mut site = Site::new(&keys, 2, &peers);
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
    site.servers.iter_mut().for_each(site::Server::stop);
}
