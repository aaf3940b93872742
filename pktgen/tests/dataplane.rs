//! The generator against `millrace-dataplane` in a second process, on a virtual cable: sessions that last, clients that
//! move, and every attack under the server's own counters. Needs root and the programs of `scripts/setup`.
//!
//! `MILLRACE_SWARM=CLIENTS:SECONDS` makes the run of the clients as long as one likes; `scripts/swarm` does that.
#![cfg(feature = "dpdk")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at its first broken assumption"
)]

mod lab;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use lab::dataplane::{Counters, Dataplane, instance};
use lab::generator::{cabled, command, number, report, told};
use lab::keys::Keys;
use lab::namespace::Namespace;
use pktgen::attack::{Attack, Knowledge};

/// Rings that ride out a machine that is busy with other things.
const DEVICE: &str = "net_af_packet0,framecnt=4096";

/// A dataplane that serves, and the generator's end of the cable.
struct Site {
    server: Namespace,
    client: Namespace,
    keys: Keys,
}

impl Site {
    fn new() -> Self {
        let (server, client) = cabled(&[]);
        // Both ends belong to programs.
        server.run("sysctl -qw net.ipv6.conf.outer.disable_ipv6=1");
        Self { server, client, keys: Keys::new() }
    }

    /// What every run of the generator has in common.
    fn profile(&self, clients: u32) -> String {
        format!(
            "seed = 5\n[device]\nname = \"{DEVICE},iface=eth0\"\nsleep = true\n\
             [server]\npublic_key = \"{}\"\nendpoints = [\"192.0.2.1:51820\", \"[2001:db8::1]:51820\"]\n\
             [clients]\ncount = {clients}\naddresses = [\"192.0.2.10+100\", \"2001:db8::10+100\"]\n\
             inner = [\"10.8.0.1\", \"fd00:8::1\"]\nconnects_per_sec = 250\n\
             [hostile]\nlocal = \"10.7.0.1\"\nsilent = \"10.7.0.200\"\nabsent = \"10.7.0.201\"\n\
             [run]\nconnect_secs = 120\ndrain_secs = 1\nloss_allowed = 0.0\n",
            self.keys.public_text()
        )
    }

    /// The dataplane, and a control that declares these `[[peer]]` sections.
    fn serve(&self, peers: &str) -> Dataplane {
        Dataplane::start_text(
            &self.server,
            &format!(
                "instance = \"{}\"\nprivate_key = \"{}\"\nlisten_port = 51820\nworkers = [0]\nhandshake_threads = 1\n\
                 idle = \"sleep\"\n[memory]\nhugepages = false\nmegabytes = 128\n\
                 [local]\ninterface = \"inner0\"\naddresses = [\"10.7.0.1\", \"fd00:7::1\"]\n\
                 [[port]]\nname = \"wan\"\ndevice = \"{DEVICE},iface=outer\"\n\
                 addresses = [\"192.0.2.1/24\", \"2001:db8::1/64\"]\n",
                instance(),
                self.keys.secret_text()
            ),
            peers,
        )
    }

    /// Runs the generator with a profile; the exit status and all that was printed.
    fn generate(&self, profile: &str, arguments: &[&str]) -> (Option<i32>, String) {
        told(&mut command(&self.client, profile, arguments))
    }

    fn peers(&self, profile: &str, arguments: &[&str]) -> String {
        let (code, text) = self.generate(profile, &[&["peers"], arguments].concat());
        assert_eq!(code, Some(0), "{text}");
        text
    }
}

/// Clients and seconds of traffic.
fn asked_for() -> (u32, u64) {
    let asked = std::env::var("MILLRACE_SWARM").unwrap_or_else(|_| "300:6".to_owned());
    let (clients, secs) =
        asked.split_once(':').unwrap_or_else(|| panic!("MILLRACE_SWARM is CLIENTS:SECONDS"));
    (clients.parse().unwrap(), secs.parse().unwrap())
}

/// Twice the time after which a session is renewed (whitepaper 6.2), and what the last renewals take.
const TWO_REKEYS_SECS: u64 = 250;

#[test]
fn clients_keep_their_sessions_and_lose_nothing_while_all_of_them_move_within_a_second() {
    let (clients, secs) = asked_for();
    let site = Site::new();
    let mut profile = site.profile(clients);
    write!(
        profile,
        "secs = {secs}\n[traffic]\nkind = \"echo\"\nto = \"clients\"\nsizes = [100, 600, 1400]\nrate = \"1kpps\"\n\
         [roam]\nkind = \"port\"\nafter_secs = 2\nspread_secs = 1\n"
    )
    .unwrap();
    let server = site.serve(&site.peers(&profile, &[]));
    let (code, text) = site.generate(&profile, &["client", "--json"]);
    assert_eq!(code, Some(0), "{text}");
    let report = report(&text);
    println!("{clients} clients, {secs} s: {report}");
    assert_eq!(number(&report, "/connected"), u64::from(clients), "{text}");
    assert_eq!(number(&report, "/tally/moves"), u64::from(clients), "{text}");
    for zero in ["sums/missing", "sums/strange", "tally/misdelivered", "tally/owed"] {
        assert_eq!(number(&report, &format!("/{zero}")), 0, "{zero}: {text}");
    }
    let sent = number(&report, "/sums/sent");
    assert!(sent >= secs * 1000 - 1, "{text}");
    if secs >= TWO_REKEYS_SECS {
        let sessions = number(&report, "/tally/sessions");
        assert!(sessions >= 3 * u64::from(clients), "two renewals each: {sessions}");
    }
    let counters = server.stop();
    // Request and answer, each opened once and sealed once.
    assert!(counters["opened"].min(counters["sealed"]) >= 2 * sent, "{counters:?}");
}

/// How much of an attack the server counts under the attack's own name.
#[derive(Clone, Copy, PartialEq)]
enum Share {
    All,
    /// But for chance, or for what is allowed before.
    Most,
    /// The first of them only, or the last.
    Some,
    /// None in this site, and why.
    None(&'static str),
}

fn share(attack: Attack) -> Share {
    match attack.name() {
        "parse_truncated" => Share::None("the kernel sends no frame that ends within its header"),
        "steer_foreign_worker" => {
            Share::None("needs the fleet's permutation, which is the server's secret")
        }
        "egress_no_local" => Share::None("this server has an interface for inner packets"),
        "dos_land"
        | "dos_bogon"
        | "dos_reflection"
        | "dos_blocked"
        | "dos_signature"
        | "dos_source_limit"
        | "dos_syn"
        | "dos_state"
        | "dos_destination_limit"
        | "dos_budget" => Share::None("needs a tenant or a rule: see tests/dos.rs"),
        "dos_handshake_limit" => Share::None("the handshake thread is faster than this pace"),
        "hold_expired" => Share::None("what waits at this pace is more than may wait"),
        "link_table_full" => Share::None("fills only with thousands of neighbours"),
        "steer_foreign_server" | "handshake_flood" | "hold_full" => Share::Most,
        // The kernel puts fragments together before such a device sees them, so far as it can.
        "link_unresolved" | "parse_fragment" | "dos_fragment" => Share::Some,
        _ => Share::All,
    }
}

/// How many of the frames that were sent the server has to count so.
fn at_least(attack: Attack, sent: u64) -> u64 {
    match share(attack) {
        Share::All => sent,
        Share::Most => sent * 2 / 3,
        Share::Some => 1,
        Share::None(_) => 0,
    }
}

fn dropped(counters: &Counters, attack: Attack) -> u64 {
    counters.get(&format!("drop.{attack}")).copied().unwrap_or(0)
}

#[test]
fn every_attack_that_this_site_allows_is_counted_by_the_server_under_its_name() {
    let site = Site::new();
    let profile = format!("{}secs = 0.2\n", site.profile(0));
    // The hostile client is the same for all attacks from within.
    let inside = ["--set", "attack=[{ name = \"route_none\", rate = \"1pps\" }]"];
    let silent =
        "[[peer]]\nname = \"silent\"\npublic_key = \"KEY\"\nallowed_ips = [\"10.7.0.200/32\"]\n";
    let absent = "[[peer]]\nname = \"absent\"\npublic_key = \"KEY\"\nallowed_ips = [\"10.7.0.201/32\"]\n\
                  endpoint = \"192.0.2.10:9\"\n";
    let others = [silent, absent].map(|peer| peer.replace("KEY", &Keys::new().public_text()));
    let server = site.serve(&(site.peers(&profile, &inside) + &others.concat()));
    let mut failed = BTreeSet::new();
    for attack in Attack::PROVOKED {
        if let Share::None(why) = share(*attack) {
            println!("{attack}: not here: {why}");
            continue;
        }
        let before = dropped(&server.counters(), *attack);
        let drain = if attack.name() == "link_unresolved" { "4" } else { "0.1" };
        let drain = format!("run.drain_secs={drain}");
        let arguments = ["attack", attack.name(), "--json", "--set", &drain];
        let (code, text) = site.generate(&profile, &arguments);
        assert_eq!(code, Some(0), "{attack}: {text}");
        let sent = number(&report(&text), "/attacks/0/tally/sent");
        let counted = dropped(&server.counters(), *attack) - before;
        println!("{attack}: {counted} of {sent}");
        let is_inside = attack.knowledge() == Knowledge::Session;
        if sent < 190 || counted < at_least(*attack, sent) || counted > sent + u64::from(is_inside)
        {
            failed.insert(format!("{attack}: {counted} of {sent}"));
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
    server.stop();
}
