//! Synthetic packets, replays and dry runs as their operator runs them: on a virtual cable against the kernel, and their
//! captures read by tcpdump. Needs root and the programs of `scripts/setup`.
#![cfg(feature = "dpdk")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at its first broken assumption"
)]

mod lab;

use std::process::Command;
use std::time::Duration;

use lab::generator::{PROGRAM, answer_all_pings, cabled, command, end, number, report, told};
use lab::namespace::Namespace;
use lab::process::Process;
use rustix::process::Signal;

const PROFILE: &str = r#"seed = 3
[device]
name = "net_af_packet0,iface=eth0"
sleep = true
addresses = ["192.0.2.10+40", "2001:db8::10+40"]
gateways = ["192.0.2.1", "2001:db8::1"]
[run]
secs = 2
loss_allowed = 0.0
"#;

const PINGS: &str = r#"
[[synth]]
name = "pings"
protocol = "icmp"
source = "192.0.2.10+40"
destination = "192.0.2.1"
sizes = [60, 333, 1500]
rate = "1kpps"
[[synth]]
name = "pings6"
protocol = "icmp"
source = "2001:db8::10+40 random"
destination = "2001:db8::1"
source_port = "1..65535 random"
sizes = 400
rate = "500pps"
pattern = "poisson"
[[synth]]
name = "away"
protocol = "tcp"
source = "198.51.100.0+256 random"
destination = "203.0.113.0+256 random"
destination_port = "1..1023"
sizes = "imix"
rate = "300pps"
measure = false
"#;

/// The kernel's namespace, and the generator's with nothing but its end of the cable.
struct Site {
    kernel: Namespace,
    generator: Namespace,
}

impl Site {
    fn new() -> Self {
        let (kernel, generator) = cabled(&["192.0.2.1/24", "2001:db8::1/64"]);
        answer_all_pings(&kernel);
        Self { kernel, generator }
    }

    fn run(&self, profile: &str, arguments: &[&str]) -> (Option<i32>, String) {
        told(&mut command(&self.generator, profile, arguments))
    }

    /// Echo requests that the kernel has taken, checksums and all.
    fn echoes(&self) -> u64 {
        let text = self.kernel.run("cat /proc/net/snmp");
        let mut rows = text.lines().filter(|line| line.starts_with("Icmp:"));
        let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
        let column = names.split_whitespace().position(|name| name == "InEchos").unwrap();
        values.split_whitespace().nth(column).unwrap().parse().unwrap()
    }
}

#[test]
fn the_kernel_answers_synthetic_pings_and_each_comes_back_once() {
    let site = Site::new();
    let (code, text) = site.run(&format!("{PROFILE}{PINGS}"), &["client", "--json"]);
    assert_eq!(code, Some(0), "{text}");
    let report = report(&text);
    for (stream, at_least) in [(0, 1200), (1, 800)] {
        let of = |path: &str| number(&report, &format!("/streams/{stream}/{path}"));
        assert!(of("sums/received") >= at_least, "{text}");
        assert_eq!(
            (of("sums/missing"), of("sums/duplicates"), of("sums/strange")),
            (0, 0, 0),
            "{text}"
        );
        assert!(of("latency/p50_ns") > 0);
    }
    assert_eq!(number(&report, "/streams/2/tally/returned"), 0);
    assert!(number(&report, "/streams/2/tally/sent") >= 550, "{text}");
    assert!(
        text.contains("\"name\":\"pings\",\"returned_pps\""),
        "in the intervals by name: {text}"
    );
}

#[test]
fn a_replay_with_other_addresses_is_answered_to_the_last_packet() {
    let site = Site::new();
    let file = site.generator.file("pings.pcap", "");
    // Recorded elsewhere: 10.0.0.x asks 10.9.9.9.
    let elsewhere =
        PINGS.replace("192.0.2.10+40", "10.0.0.0+40").replace("192.0.2.1\"", "10.9.9.9\"");
    let only_v4 = elsewhere.split("[[synth]]").nth(1).unwrap();
    let profile = format!("{PROFILE}[[synth]]{only_v4}");
    let (code, text) = site.run(&profile, &["synth", "--dry-run=500", "--pcap", &file]);
    assert_eq!(code, Some(0), "{text}");
    let before = site.echoes();
    let changes =
        ["--source", "10.0.0.0+40 -> 192.0.2.10", "--destination", "192.0.2.1", "--loops", "3"];
    let (code, text) =
        site.run(PROFILE, &[&["replay", &file, "--json", "--pace", "2"], &changes[..]].concat());
    assert_eq!(code, Some(0), "{text}");
    let report = report(&text);
    assert_eq!(number(&report, "/streams/0/tally/sent"), 1500, "{text}");
    assert_eq!(site.echoes() - before, 1500, "{text}");
    // Three times half a second at twice the pace; the run ends with the replay, not after run.secs.
    let secs = report.pointer("/traffic_secs").and_then(serde_json::Value::as_f64).unwrap();
    assert!((0.7..1.5).contains(&secs), "{text}");
}

#[test]
fn a_replay_at_a_rate_says_when_the_run_ends_before_it() {
    let site = Site::new();
    let file = site.generator.file("pings.pcap", "");
    let profile = format!("{PROFILE}{PINGS}");
    site.run(&profile, &["synth", "--dry-run=1000", "--pcap", &file]);
    let (code, text) =
        site.run(PROFILE, &["replay", &file, "--rate", "1kpps", "--json", "--secs", "1"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("frames of the capture were not due yet"), "{text}");
    let sent = number(&report(&text), "/streams/0/tally/sent");
    assert!((950..=1001).contains(&sent), "{text}");
}

#[test]
fn a_gateway_that_nobody_has_is_named() {
    let site = Site::new();
    let profile = format!("{PROFILE}{PINGS}").replace("[\"192.0.2.1\"", "[\"192.0.2.99\"");
    let (code, text) = site.run(&profile, &["synth", "--set", "run.connect_secs=0.5"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("nobody on the link says where 192.0.2.99"), "{text}");
}

#[test]
fn a_broken_capture_is_named_with_its_place() {
    let site = Site::new();
    let file = site.generator.file("broken.pcap", "this is no capture");
    let (code, text) = site.run(PROFILE, &["replay", &file]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("broken.pcap: file header, offset 0:"), "{text}");
}

#[test]
fn tcpdump_finds_every_checksum_of_a_dry_run_right() {
    if Command::new("tcpdump").arg("--version").output().is_err() {
        println!("skipped: tcpdump is not installed; scripts/setup installs it");
        return;
    }
    let folder = std::env::temp_dir().join(format!("pktgen-dry-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (profile, file) = (folder.join("profile.toml"), folder.join("dry.pcap"));
    // No such device: none is opened.
    std::fs::write(&profile, format!("{PROFILE}{PINGS}").replace("eth0", "nothing")).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["client", "--dry-run=50", "--pcap"]).arg(&file).arg("--profile").arg(&profile);
    let (code, text) = told(&mut command);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("ICMPv6 echo request") && text.contains("[syn]"), "{text}");
    let (code, read) = told(Command::new("tcpdump").args(["-vvnr"]).arg(&file));
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(code, Some(0), "{read}");
    assert_eq!(read.matches("echo request").count(), 100, "{read}");
    assert_eq!(read.matches("(correct)").count(), 50, "TCP checksums: {read}");
    for wrong in ["bad cksum", "incorrect", "wrong icmp", "bad icmp6", "truncated"] {
        assert!(!read.contains(wrong), "{wrong}: {read}");
    }
}

/// Clients that call where a kernel answers ARP and nobody a handshake.
const CALLERS: &str = r#"
[server]
public_key = "CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
endpoints = ["192.0.2.1:51820"]
[clients]
count = 5
addresses = ["192.0.2.100+5"]
inner = ["10.7.0.10"]
"#;

#[test]
fn an_attack_without_the_session_that_it_needs_is_said_in_a_report_of_what_ran() {
    let site = Site::new();
    let profile = format!("{PROFILE}connect_secs = 0.5\n{CALLERS}{PINGS}");
    let arguments = ["client", "--json", "--attack", "route_none=1kpps"];
    let (code, text) = site.run(&profile, &arguments);
    assert_eq!(code, Some(2), "{text}");
    let report = report(&text);
    let remarks = report.pointer("/remarks").unwrap().to_string();
    assert!(remarks.contains("attack route_none needs a client's live session"), "{text}");
    assert!(remarks.contains("nothing has answered a handshake"), "{text}");
    assert!(number(&report, "/streams/0/sums/received") > 1000, "the rest ran: {text}");
    let (code, text) = site.run(&profile, &["attack", "route_none", "--json"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(
        lab::generator::report(&text)["traffic_secs"].as_f64().unwrap() < 1.0,
        "it ends: {text}"
    );
}

#[test]
fn a_run_that_is_stopped_while_it_connects_tells_what_was_achieved() {
    let site = Site::new();
    let profile = format!("{PROFILE}connect_secs = 60\n{CALLERS}");
    let run = Process::start("pktgen", command(&site.generator, &profile, &["client", "--json"]));
    // The kernel knows the callers' station as soon as the first has asked for it.
    lab::until("a call", 20, || site.kernel.run("ip neigh show dev outer").contains("192.0.2.1"));
    run.signal(Signal::INT);
    let (code, text) = end(run, 20);
    assert_eq!(code, Some(2), "{text}");
    let report = report(&text);
    assert!(number(&report, "/tally/handshakes_sent") <= 5, "{text}");
    assert!(report["connect_secs"].as_f64().unwrap() < 30.0, "{text}");
}

#[test]
fn a_plot_that_cannot_be_written_is_said_before_the_run() {
    let site = Site::new();
    let begin = std::time::Instant::now();
    let arguments = ["synth", "--rate-svg", "/no/such/folder/rates.svg", "--secs", "60"];
    let (code, text) = site.run(&format!("{PROFILE}{PINGS}"), &arguments);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("/no/such/folder/rates.svg cannot be written"), "{text}");
    assert!(begin.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_stream_that_ends_at_the_responder_of_the_run_is_measured_there() {
    let text = r#"[device]
name = "net_ring0"
[responder]
addresses = ["198.51.100.10+4"]
[[synth]]
name = "one way"
source = "192.0.2.10"
destination = "198.51.100.10+4"
destination_port = 9
link = "LINK"
sizes = 200
rate = "5kpps"
[[synth]]
name = "pings"
protocol = "icmp"
source = "192.0.2.11"
destination = "198.51.100.11"
link = "LINK"
sizes = 100
rate = "1kpps"
[run]
secs = 1
loss_allowed = 0.0
"#;
    let site = Site::new();
    // A ring gives back what it gets; its own station is not known before, a group reaches every one.
    let (code, text) = site.run(&text.replace("LINK", "ff:ff:ff:ff:ff:ff"), &["client", "--json"]);
    assert_eq!(code, Some(0), "{text}");
    let report = report(&text);
    for (stream, at_least) in [(0, 4900), (1, 980)] {
        assert!(number(&report, &format!("/streams/{stream}/sums/received")) >= at_least, "{text}");
    }
    let measured = number(&report, "/responder/tally/measured");
    assert_eq!(measured, number(&report, "/streams/0/tally/returned"), "{text}");
    assert_eq!(number(&report, "/responder/sums/streams"), 0, "no stream of another run: {text}");
}
