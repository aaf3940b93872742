//! A server under attack while honest clients and an honest visitor of its tenant go on: dataplane and control as
//! processes, the generator's attacks, kernel sockets. Needs root and the programs of `scripts/setup`.
#![cfg(feature = "dpdk")]
#![expect(clippy::print_stdout, reason = "what was measured is for people too")]

#[cfg(test)]
mod lab;

#[cfg(test)]
#[path = "dos/site.rs"]
mod site;
#[cfg(test)]
#[path = "dos/visit.rs"]
mod visit;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lab::dataplane::Dataplane;
use lab::generator::{end, number, report, told};
use lab::process::Process;
use lab::{alone, until};
use rustix::process::Signal;
use serde_json::Value;
use site::{HEAVY, Site, VISITOR, more};
use visit::{Service, Visit};

/// Attacks that come together, and the rules for them.
struct Wave {
    rules: &'static str,
    attacks: &'static [Expected],
}

/// An attack, the share of its frames that is counted under its name, in percent, and how many may pass beside that: what
/// limits let through in both families, until a slow machine is done.
type Expected = (&'static str, u64, u64);

/// The tenant's guard and its flows; the rest is in the rules.
const TENANT: &str = "syn = \"first-drop\"\nflows = true\nout_of_state = 0";

/// After which a tenant's flows are known.
const LEARNED: Duration = Duration::from_secs(31);

const WAVES: [Wave; 4] = [
    Wave {
        rules: "[dos]\nbogon = \"enforce\"\n",
        attacks: &[
            // The kernel of the link puts some fragments together before such a device sees them.
            ("dos_fragment", 1, 0),
            ("dos_transport", 100, 0),
            ("dos_flags", 100, 0),
            ("dos_land", 100, 0),
            ("dos_bogon", 100, 0),
        ],
    },
    Wave {
        rules: "[dos]\nreflection = \"enforce\"\n\
                [[dos.signature]]\nname = \"alike\"\nmode = \"enforce\"\nmatch = \"udp and src port 4321\"\n\
                [[dos.limit]]\nname = \"pings\"\nmode = \"enforce\"\nreach = \"shop\"\nper = \"whole\"\n\
                class = \"icmp\"\npackets = 10\nburst = 10\n",
        attacks: &[
            ("dos_reflection", 100, 0),
            ("dos_signature", 100, 0),
            // A source that comes again is let in.
            ("dos_syn", 95, 0),
            ("dos_budget", 100, 60),
        ],
    },
    Wave {
        // As much at once as the honest visitor catches up with where the machine has held it up for two seconds.
        rules: "[[dos.limit]]\nname = \"source\"\nmode = \"enforce\"\nreach = \"shop\"\nper = \"source\"\n\
                class = \"udp\"\npackets = 150\nburst = 200\nv4_len = 32\n\
                [[dos.limit]]\nname = \"destination\"\nmode = \"enforce\"\nreach = \"shop\"\nper = \"destination\"\n\
                class = \"udp\"\npackets = 150\nburst = 200\n",
        attacks: &[("dos_source_limit", 100, 1300), ("dos_destination_limit", 100, 1300)],
    },
    Wave {
        rules: "[[dos.list]]\nname = \"spoofed\"\nkind = \"block\"\nmode = \"enforce\"\n\
                prefixes = [\"198.18.0.0/15\", \"2001:2::/48\"]\n",
        attacks: &[("dos_blocked", 100, 0)],
    },
];

/// Frames of each attack per second.
const RATE: &str = "1kpps";
/// Of fewer frames in a wave the shares would tell nothing.
const SENT_MIN: u64 = 200;

/// Runs attacks beside the clients, which may lose nothing; what was not counted as it should be.
fn run(site: &Site, server: &Dataplane, attacks: &[Expected]) -> BTreeSet<String> {
    let list =
        attacks.iter().map(|(name, ..)| format!("{{ name = \"{name}\", rate = \"{RATE}\" }}"));
    let change = format!("attack=[{}]", list.collect::<Vec<_>>().join(", "));
    let before = server.counters();
    let (code, text) = told(&mut site.swarm(&["--set", &change]));
    let report = report(&text);
    // Where the machine is busy with other things the generator does not reach its rates, and says so.
    assert!(matches!(code, Some(0 | 2)), "{attacks:?}: {text}");
    assert_eq!(number(&report, "/sums/missing"), 0, "{attacks:?}: {text}");
    let after = server.counters();
    let mut failed = BTreeSet::new();
    for (at, (name, share, passes)) in attacks.iter().enumerate() {
        let sent = number(&report, &format!("/attacks/{at}/tally/sent"));
        let counted = more(&after, &before, name);
        println!("{name}: {counted} of {sent}");
        let is_enough = counted > 0 && counted + passes >= sent * share / 100;
        if sent < SENT_MIN || !is_enough || counted > sent {
            failed.insert(format!("{name}: {counted} of {sent}"));
        }
    }
    failed
}

#[test]
fn every_attack_on_the_filter_is_counted_under_its_name_and_nobody_honest_loses_a_packet() {
    let _machine = alone();
    let site = Site::new();
    let server = site.serve(&site.declared(TENANT, WAVES[0].rules));
    let begun = Instant::now();
    let service = Service::start(&site.server);
    let visit = Visit::start(&site.visitor, 1, 0);
    let mut failed = BTreeSet::new();
    for (at, wave) in WAVES.iter().enumerate() {
        if at > 0 {
            site.declare(&server, &site.declared(TENANT, wave.rules));
        }
        failed.append(&mut run(&site, &server, wave.attacks));
    }
    until("the tenant's flows are known", 40, || begun.elapsed() > LEARNED);
    site.declare(&server, &site.declared(TENANT, ""));
    failed.append(&mut run(&site, &server, &[("dos_state", 95, 0)]));
    assert!(failed.is_empty(), "{failed:?}");
    let sent = visit.end();
    is_all_there(&server, &service, sent);
    server.stop();
}

/// Whether all of an honest visitor's datagrams have come.
#[cfg(test)]
fn is_all_there(server: &Dataplane, service: &Service, sent: u64) {
    let lost = || sent - service.count(VISITOR);
    let begin = Instant::now();
    while lost() > 0 && begin.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(
        lost(),
        0,
        "of {sent}, after {:?}: {:?}",
        service.gaps(VISITOR, sent),
        server.counters()
    );
}

/// From how many packets per second a source is an offender, and for how many seconds it is held off. Nobody honest here
/// sends half as many.
const DETECT: &str = "[dos.detect]\nmode = \"enforce\"\nsource_packets = 800\nhold = 4\n";

/// Datagrams of the heavy source every ten milliseconds.
const FLOOD: u64 = 20;

/// How soon a rule is made.
const SOON: u128 = 1000;

/// A number of the second visit that the first one has not used.
const AGAIN: u64 = 1 << 32;

fn is(what: &str) -> impl Fn(&Value) -> bool {
    move |entry| entry["what"] == what
}

/// Whether nothing of the flood gets through any more, and all of it is counted.
fn is_held_off(server: &Dataplane, flood: &Visit, service: &Service) {
    let mut before = u64::MAX;
    until("nothing is under way any more", 30, || {
        let passed = service.count(HEAVY);
        std::mem::replace(&mut before, passed) == passed
    });
    let (sent, before, passed) = (flood.sent(), server.counters(), service.count(HEAVY));
    until("the flood goes on", 30, || flood.sent() > sent + 1000);
    let dropped = more(&server.counters(), &before, "dos_blocked");
    assert!(dropped > 900, "{dropped} of 1000 are counted");
    assert_eq!(service.count(HEAVY), passed, "nothing gets through");
}

#[test]
fn a_heavy_source_is_held_off_within_a_second_and_let_in_again_and_the_event_log_says_so() {
    let _machine = alone();
    let site = Site::new();
    let server = site.serve(&site.declared("", DETECT));
    let service = Service::start(&site.server);
    let swarm = Process::start("pktgen", site.swarm(&["--set", "run.secs=600"]));
    until("the clients' traffic flows", 60, || swarm.mentions("\"interval\"") > 1);
    let visit = Visit::start(&site.visitor, 1, 0);

    let flood = Visit::start(&site.heavy, FLOOD, 0);
    let events = || site.events(&server, HEAVY);
    until("a rule is made", 30, || events().iter().any(is("made")));
    let made = events().into_iter().find(is("made")).unwrap();
    println!("{made}");
    let after = u128::from(made["at_ms"].as_u64().unwrap()) - flood.since.as_millis();
    println!("the rule is made {after} ms after the first packet");
    assert!(after < SOON, "{after} ms");
    assert!(made["packets"].as_u64().unwrap() >= 800, "{made}");
    is_held_off(&server, &flood, &service);
    until("the rule is prolonged", 30, || events().iter().any(is("prolonged")));
    is_held_off(&server, &flood, &service);
    println!("{} of {} came through", service.count(HEAVY), flood.end());

    until("the rule's time is over", 20, || events().iter().any(is("expired")));
    let calm = Visit::start(&site.heavy, 1, AGAIN);
    let before = service.count(HEAVY);
    until("the source is let in again", 30, || service.count(HEAVY) > before);
    calm.end();
    let story: Vec<_> = events().iter().map(|entry| entry["what"].to_string()).collect();
    println!("{story:?}");
    assert!(story.first().is_some_and(|what| what.contains("made")), "{story:?}");
    assert!(story.last().is_some_and(|what| what.contains("expired")), "{story:?}");

    let sent = visit.end();
    until("all of an honest visitor's datagrams are there", 30, || service.count(VISITOR) == sent);
    swarm.signal(Signal::INT);
    let (code, text) = end(swarm, 60);
    let report = report(&text);
    assert_eq!((code, number(&report, "/sums/missing")), (Some(0), 0), "{text}");
    server.stop();
}
