//! Very many peers and a routing table as large as the Internet's are told to a dataplane whose clients go on meanwhile,
//! as packet by packet is counted by the generator. Needs root and the programs of `scripts/setup`.
//!
//! `MILLRACE_LOAD=PEERS` makes it as large as one likes; `scripts/load` does that.
#![cfg(feature = "dpdk")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at its first broken assumption"
)]

mod lab;

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dataplane::testing::internet;
use lab::dataplane::{Dataplane, instance};
use lab::generator::{cabled, command, end, number, report, told};
use lab::keys::Keys;
use lab::namespace::Namespace;
use lab::process::Process;
use rustix::process::Signal;

/// Rings that ride out a machine that is busy with other things.
const DEVICE: &str = "net_af_packet0,framecnt=4096";

const CLIENTS: u32 = 50;

/// How many peers, and of how many prefixes one is taken: few of both unless asked for more.
fn asked_for() -> (u32, usize) {
    match std::env::var("MILLRACE_LOAD") {
        Ok(asked) => {
            let peers = asked.parse();
            (peers.unwrap_or_else(|_| panic!("MILLRACE_LOAD is a number of peers")), 1)
        }
        Err(_) => (3000, 10),
    }
}

/// Peers that never call.
fn absent(count: u32) -> String {
    let mut text = String::new();
    for number in 0..count {
        let mut key = [0x6b; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        let (v4, v6) = (
            Ipv4Addr::from_bits(0x6440_0000 + number),
            Ipv6Addr::from_bits(0xfd09 << 112 | u128::from(number)),
        );
        let key = STANDARD.encode(key);
        writeln!(
            text,
            "[[peer]]\npublic_key = \"{key}\"\nallowed_ips = [\"{v4}/32\", \"{v6}/128\"]"
        )
        .unwrap();
    }
    text
}

/// The Internet's prefixes, or as many invented ones where the database is not installed.
fn routes(one_of: usize) -> (usize, String) {
    let prefixes = internet::read(Path::new(internet::DATABASE)).map_or_else(
        |error| {
            println!("skipped: the real table: {error}; scripts/setup installs libloc-database");
            (0..100_000_u32)
                .map(|at| {
                    ipnet::Ipv4Net::new(Ipv4Addr::from_bits(0x0b00_0000 + (at << 8)), 24)
                        .unwrap()
                        .into()
                })
                .collect::<Vec<ipnet::IpNet>>()
        },
        |all| all.into_iter().map(|(net, _)| net).step_by(one_of).collect(),
    );
    let mut text = String::new();
    for net in &prefixes {
        writeln!(text, "{net} reject").unwrap();
    }
    (prefixes.len(), text)
}

fn profile(keys: &Keys) -> String {
    format!(
        "seed = 6\n[device]\nname = \"{DEVICE},iface=eth0\"\nsleep = true\n\
         [server]\npublic_key = \"{}\"\nendpoints = [\"192.0.2.1:51820\"]\n\
         [clients]\ncount = {CLIENTS}\naddresses = [\"192.0.2.10+50\"]\n\
         inner = [\"10.8.0.1\", \"fd00:8::1\"]\nconnects_per_sec = 250\n\
         [traffic]\nkind = \"echo\"\nto = \"clients\"\nsizes = [100, 1400]\nrate = \"1kpps\"\n\
         [run]\nconnect_secs = 60\ndrain_secs = 2\nsecs = 1200\nloss_allowed = 0.0\n",
        keys.public_text()
    )
}

fn config(keys: &Keys, peers: u32) -> String {
    format!(
        "instance = \"{}\"\nprivate_key = \"{}\"\nlisten_port = 51820\nworkers = [0]\nhandshake_threads = 1\n\
         idle = \"sleep\"\ncapacity.peers = {}\n[memory]\nhugepages = false\nmegabytes = 128\n\
         [local]\ninterface = \"inner0\"\naddresses = [\"10.7.0.1\", \"fd00:7::1\"]\n\
         [[port]]\nname = \"wan\"\ndevice = \"{DEVICE},iface=outer\"\naddresses = [\"192.0.2.1/24\"]\n",
        instance(),
        keys.secret_text(),
        peers + CLIENTS
    )
}

/// The value of a counter that the dataplane shows control.
fn shown(dataplane: &Dataplane, server: &Namespace, name: &str) -> u64 {
    let counters = dataplane.control.as_ref().unwrap().ask(server, "counters");
    let found = counters.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(' '));
    found.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// Memory of a process in MiB.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[test]
fn no_packet_is_lost_while_a_great_many_peers_and_a_whole_table_come_and_go() {
    let (peers, one_of) = asked_for();
    let (server, client) = cabled(&[]);
    server.run("sysctl -qw net.ipv6.conf.outer.disable_ipv6=1");
    let keys = Keys::new();
    let profile = profile(&keys);
    let (code, clients) = told(&mut command(&client, &profile, &["peers"]));
    assert_eq!(code, Some(0), "{clients}");
    let dataplane = Dataplane::start_text(&server, &config(&keys, peers), &clients);
    let before = resident(dataplane.pid());
    let run = Process::start("pktgen", command(&client, &profile, &["client", "--json"]));
    lab::until("traffic flows", 60, || shown(&dataplane, &server, "opened") > 2000);

    let (count, table) = routes(one_of);
    server.file("declared/routes.txt", &table);
    server.file("declared/peers.next", &(absent(peers) + "[[table]]\nfile = \"routes.txt\"\n"));
    let began = Instant::now();
    server.run("mv /run/lab/declared/peers.next /run/lab/declared/peers.toml");
    let all = u64::from(peers + CLIENTS);
    lab::until("all of it is in force", 900, || {
        assert_eq!(shown(&dataplane, &server, "transactions_refused"), 0);
        shown(&dataplane, &server, "peers") == all
            && shown(&dataplane, &server, "routes") >= count as u64
    });
    let took = began.elapsed();
    let after = resident(dataplane.pid());
    println!("{peers} peers and {count} routes: {took:?}, dataplane {before} to {after} MiB");
    let opened = shown(&dataplane, &server, "opened");
    lab::until("traffic flows on", 60, || shown(&dataplane, &server, "opened") > opened + 1000);
    server.run("rm /run/lab/declared/peers.toml");
    lab::until("all of it is gone", 900, || {
        shown(&dataplane, &server, "peers") == u64::from(CLIENTS)
    });

    run.signal(Signal::INT);
    let (code, text) = end(run, 60);
    let report = report(&text);
    assert_eq!(number(&report, "/sums/missing"), 0, "{text}");
    assert!(code.is_some() && number(&report, "/sums/received") > 2000, "{text}");
    dataplane.stop();
}
