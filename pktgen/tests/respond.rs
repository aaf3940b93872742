//! The responder as its operator runs it, on a virtual cable, against programs nobody here wrote: ping, curl, and
//! GRE by a raw socket, with tcpdump as the judge of what is on the wire. Needs root and the programs of
//! `scripts/setup`.
#![cfg(feature = "dpdk")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at its first broken assumption"
)]

mod lab;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use lab::generator::{PROGRAM, cabled, command, end, report, serve, told};
use lab::keys::Keys;
use lab::namespace::Namespace;
use lab::process::Process;
use rustix::process::Signal;
use serde_json::Value;

const PROFILE: &str = r#"seed = 3
[device]
name = "net_af_packet0,iface=eth0,framecnt=4096"
sleep = true
[responder]
addresses = ["198.51.100.10+16", "2001:db8:f::10+16"]
ports = [80]
connections_max = 200
[[responder.gre]]
local = "198.51.100.2"
remote = "198.51.100.1"
key = 7
checksum = true
sequence = true
inner = ["203.0.113.0+16"]
keepalive_secs = 0.2
[run]
secs = 0
"#;

/// Python's raw socket as the tenant's server: a ping with key and number goes in, the answer's octets come out.
const PING: &str = r#"
import socket, struct, sys
def sum16(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return 0xffff - total
echo = struct.pack("!BBHHH", 8, 0, 0, 77, 5) + b"x" * 100
echo = echo[:2] + struct.pack("!H", sum16(echo)) + echo[4:]
head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(echo), 9, 0, 64, 1, 0,
    socket.inet_aton("192.0.2.77"), socket.inet_aton("203.0.113.5"))
head = head[:10] + struct.pack("!H", sum16(head)) + head[12:]
gre = struct.pack("!HHII", 0x3000, 0x0800, 7, 41) + head + echo
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 47)
s.settimeout(5)
s.bind(("198.51.100.1", 0))
s.sendto(gre, ("198.51.100.2", 0))
while True:
    got = s.recv(2000)[20:]
    flags, proto, check, _, key, number = struct.unpack("!HHHHII", got[:16])
    assert (flags, proto, key) == (0xb000, 0x0800, 7), got.hex()
    assert sum16(got) == 0, "checksum"
    inner = got[16:]
    if inner[9] == 1: break
assert inner[12:20] == socket.inet_aton("203.0.113.5") + socket.inet_aton("192.0.2.77")
assert inner[20] == 0 and inner[24:] == echo[4:], inner.hex()
print("answered with number", number)
"#;

/// Python as a router that knows keepalives: forwards what is inside those that come, and asks for itself.
const KEEPALIVES: &str = r#"
import socket, struct
def sum16(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return 0xffff - total
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 47)
s.settimeout(5)
s.bind(("198.51.100.1", 0))
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
back = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 9, 0, 64, 47, 0,
    socket.inet_aton("198.51.100.2"), socket.inet_aton("198.51.100.1"))
back = back[:10] + struct.pack("!H", sum16(back)) + back[12:] + struct.pack("!HHI", 0x2000, 0, 7)
ours = struct.pack("!HHI", 0x2000, 0x0800, 7) + back
theirs = returned = 0
while theirs < 5 or returned < 5:
    if returned < 5: s.sendto(ours, ("198.51.100.2", 0))
    got = s.recv(2000)[20:]
    flags, proto = struct.unpack("!HH", got[:4])
    if proto == 0:
        assert got == struct.pack("!HHI", 0x2000, 0, 7), got.hex()
        returned += 1
    else:
        raw.sendto(got[16:], ("198.51.100.1", 0))
        theirs += 1
print("both ways")
"#;

/// A neighbour's namespace with an ordinary kernel, and the responder's with nothing but its end of the cable.
struct Site {
    neighbour: Namespace,
    own: Namespace,
}

impl Site {
    fn new() -> Self {
        let (neighbour, own) = cabled(&["198.51.100.1/24", "2001:db8:f::1/64"]);
        // Keepalives that carry their answer look like packets from oneself.
        neighbour.run("sysctl -qw net.ipv4.conf.all.accept_local=1");
        Self { neighbour, own }
    }

    fn respond(&self, profile: &str) -> Process {
        let run = Process::start("pktgen", command(&self.own, profile, &["respond", "--json"]));
        lab::until("the responder runs", 20, || run.mentions("{\"responder\"") > 0);
        run
    }
}

/// Ends a responder as its operator does: the exit status and the report.
fn stop(run: Process) -> (Option<i32>, Value) {
    run.signal(Signal::INT);
    let (code, text) = end(run, 20);
    (code, report(&text))
}

fn number(report: &Value, path: &str) -> u64 {
    lab::generator::number(report, &format!("/responder/{path}"))
}

#[test]
fn ping_reaches_every_host_in_both_families() {
    let site = Site::new();
    let running = site.respond(PROFILE);
    for (option, host) in
        [("-4", "198.51.100.10"), ("-4", "198.51.100.25"), ("-6", "2001:db8:f::1f")]
    {
        let said = site.neighbour.run(&format!("ping {option} -c 5 -i 0.1 -s 1400 -W 5 {host}"));
        assert!(said.contains(" 0% packet loss"), "{said}");
    }
    let (_, report) = stop(running);
    assert_eq!(number(&report, "tally/echoes"), 15);
}

#[test]
fn curl_fetches_twenty_at_once_and_echoes_a_million_octets() {
    let site = Site::new();
    let running = site.respond(PROFILE);
    let fetch = "for i in $(seq 20); do curl -sS -m 60 http://198.51.100.$((10 + i % 8))/bytes/1000000 | sha256sum & done; wait";
    let output = site.neighbour.command("bash").args(["-c", fetch]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let letters: Vec<u8> = (b'a'..=b'z').cycle().take(1_000_000).collect();
    let path = site.neighbour.file("letters", std::str::from_utf8(&letters).unwrap());
    let wanted = site.neighbour.run(&format!("sha256sum {path}"));
    let (wanted, _) = wanted.split_once(' ').unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with(wanted)).count(), 20, "{text}");
    let echo = format!("-sS -m 60 --data-binary @{path} http://[2001:db8:f::12]/echo");
    let echoed = site.neighbour.run(&format!("curl {echo}"));
    assert_eq!(echoed.as_bytes(), letters);
    let twice =
        site.neighbour.run("curl -sS -v -m 9 http://198.51.100.10/ http://198.51.100.10/bytes/3");
    assert!(twice.contains("Re-using existing connection"), "{twice}");
    let (_, report) = stop(running);
    assert_eq!(number(&report, "origin/requests"), 23);
    assert_eq!(number(&report, "origin/closed"), 22, "{report}");
    assert!(number(&report, "origin/live_max") > 1, "at once: {report}");
}

#[test]
fn a_ping_through_gre_is_answered_as_a_raw_socket_and_tcpdump_understand_it() {
    let site = Site::new();
    let running = site.respond(PROFILE);
    let mut dump = site.neighbour.command("timeout");
    dump.args(["20", "tcpdump", "-i", "outer", "-n", "-v", "-l", "-c", "1", "--immediate-mode"]);
    dump.args(["proto 47 and src 198.51.100.2 and ip[45] == 1"]);
    let mut dump = dump.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(dump.stderr.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("listening"), "{first}");
    let script = site.neighbour.file("ping.py", PING);
    let said = site.neighbour.run(&format!("python3 {script}"));
    assert!(said.contains("answered with number"), "{said}");
    let mut seen = String::new();
    for line in BufReader::new(dump.stdout.take().unwrap()).lines() {
        seen.push_str(&line.unwrap());
    }
    dump.wait().unwrap();
    for words in ["GREv0", "key=0x7", "203.0.113.5 > 192.0.2.77: ICMP echo reply", "seq 5", "sum"] {
        assert!(seen.contains(words), "{words}: {seen}");
    }
    let (_, report) = stop(running);
    assert_eq!(number(&report, "tally/echoes"), 1);
    assert_eq!(number(&report, "tally/gre_key"), 0);
}

#[test]
fn keepalives_go_both_ways_with_a_router_that_only_forwards() {
    let site = Site::new();
    let running = site.respond(PROFILE);
    let script = site.neighbour.file("keepalives.py", KEEPALIVES);
    let said = site.neighbour.run(&format!("python3 {script}"));
    assert!(said.contains("both ways"), "{said}");
    let (_, report) = stop(running);
    assert!(number(&report, "tunnels/0/tally/keepalives_received") >= 5, "{report}");
}

#[test]
fn lost_keepalives_end_with_their_own_exit_code() {
    let site = Site::new();
    let running = site.respond(PROFILE);
    let (code, report) = stop(running);
    assert_eq!(code, Some(2), "{report}");
    assert!(number(&report, "tunnels/0/tally/keepalives_lost") > 0, "{report}");
}

#[test]
fn a_second_signal_ends_a_run_that_still_waits_for_what_is_on_its_way() {
    let site = Site::new();
    let running = site.respond(&format!("{PROFILE}drain_secs = 600\n"));
    let lines = running.output().len();
    running.signal(Signal::INT);
    // The interval that it ended.
    lab::until("an interval", 20, || running.output().len() > lines);
    running.signal(Signal::INT);
    let (code, text) = end(running, 20);
    // With or without a keepalive that nobody has answered by then.
    assert!(matches!(code, Some(0 | 2)), "{text}");
}

#[test]
fn a_profile_without_a_responder_is_named() {
    let site = Site::new();
    let own = &site.own;
    let path = own.file("none.toml", "[device]\nname = \"net_null0\"\n");
    let (good, text) = own.attempt(&format!("{PROGRAM} respond --profile {path}"));
    assert!(!good && text.contains("[responder]"), "{text}");
}

const CLIENTS: &str = r#"
[server]
public_key = "KEY"
endpoints = ["198.51.100.1:51820"]
[clients]
count = 10
addresses = ["198.51.100.100+20"]
inner = ["10.7.0.10"]
[traffic]
kind = "one-way"
to = "198.51.100.12"
sizes = [64, 1400]
rate = "500pps"
[run]
secs = 3
drain_secs = 1
loss_allowed = 0.0
"#;

#[test]
fn one_way_traffic_of_clients_is_measured_where_it_leaves_the_server() {
    let site = Site::new();
    let keys = Keys::new();
    site.neighbour.run("sysctl -qw net.ipv4.ip_forward=1");
    let (behind, _) = PROFILE.split_once("[run]").unwrap();
    let (behind, _) = behind.split_once("[[responder.gre]]").unwrap();
    let profile = format!("{behind}{CLIENTS}").replace("KEY", &keys.public_text());
    let _server = serve(&site.neighbour, &keys, &profile);
    let (code, text) = told(&mut command(&site.own, &profile, &["client", "--json"]));
    assert_eq!(code, Some(0), "{text}");
    let report = report(&text);
    let sums = |name: &str| report["sums"][name].as_u64().unwrap();
    assert!(sums("received") > 1400, "{text}");
    assert_eq!((sums("missing"), sums("strange")), (0, 0), "{text}");
    assert_eq!(number(&report, "tally/measured"), sums("received"), "each of them came here");
    assert!(report["latency"]["p50_ns"].as_u64().unwrap() > 0, "{text}");
}
