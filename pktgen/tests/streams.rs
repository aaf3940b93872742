//! Synthetic packets, replays and dry runs as their operator runs them: on a virtual cable against the kernel, and their
//! captures read by tcpdump. Needs root and the programs of `scripts/setup`.
#![cfg(feature = "dpdk")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at its first broken assumption"
)]

#[expect(dead_code, reason = "the other tests on devices use all of it")]
mod lab;

use std::process::Command;

use lab::namespace::{Namespace, cable};

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
        let site = Self { kernel: Namespace::new(), generator: Namespace::new() };
        cable((&site.kernel, "outer"), (&site.generator, "eth0"));
        site.generator.run("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1");
        site.kernel.run("ip addr add 192.0.2.1/24 dev outer");
        site.kernel.run("ip addr add 2001:db8::1/64 dev outer nodad");
        let limits =
            "net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_msgs_per_sec=100000 net.ipv6.icmp.ratelimit=0";
        site.kernel.run(&format!("sysctl -qw {limits}"));
        site
    }

    fn run(&self, profile: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let path = self.generator.file("profile.toml", profile);
        let mut command = self.generator.command(env!("CARGO_BIN_EXE_millrace-pktgen"));
        told(command.args(arguments).args(["--profile", &path]))
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

fn told(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.code(), text)
}

fn report(text: &str) -> serde_json::Value {
    let line = text.lines().find(|line| line.starts_with("{\"report\"")).unwrap_or("{}");
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    value.get("report").cloned().unwrap_or_else(|| panic!("no report: {text}"))
}

fn number(report: &serde_json::Value, path: &str) -> u64 {
    let found = report.pointer(path).and_then(serde_json::Value::as_u64);
    found.unwrap_or_else(|| panic!("{path}: {report}"))
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
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace-pktgen"));
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
