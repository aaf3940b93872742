//! The generator as its operator runs it, on a virtual cable, against Debian's wireguard-go as server: the clients
//! are right by somebody else's measure. Needs root and the programs of `scripts/setup`.
#![cfg(feature = "dpdk")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at its first broken assumption"
)]

mod lab;

use std::time::Duration;

use lab::generator::{PROGRAM, answer_all_pings, cabled, command, end, report, serve, told};
use lab::keys::Keys;
use lab::namespace::Namespace;
use lab::process::Process;
use lab::wireguard_go::WireguardGo;

const PROFILE: &str = r#"seed = 3
[device]
name = "net_af_packet0,iface=eth0"
sleep = true
[server]
public_key = "KEY"
endpoints = ["192.0.2.1:51820", "[2001:db8::1]:51820"]
[clients]
count = 50
addresses = ["192.0.2.10+20", "2001:db8::10+20"]
inner = ["10.7.0.10", "fd00:7::10"]
preshared = true
connects_per_sec = 200
[traffic]
kind = "ping"
to = "10.7.0.1"
sizes = [64, 1420, 500]
rate = "500pps"
pattern = "poisson"
[run]
connect_secs = 20
secs = 4
loss_allowed = 0.0
"#;

/// A server's namespace with wireguard-go, and the generator's with nothing but its end of the cable.
struct Site {
    server: Namespace,
    client: Namespace,
    keys: Keys,
}

impl Site {
    fn new() -> Self {
        let (server, client) = cabled(&["192.0.2.1/24", "2001:db8::1/64"]);
        answer_all_pings(&server);
        Self { server, client, keys: Keys::new() }
    }

    fn profile(&self) -> String {
        PROFILE.replace("KEY", &self.keys.public_text())
    }

    fn serve(&self) -> WireguardGo<'_> {
        serve(&self.server, &self.keys, &self.profile())
    }

    /// Runs the profile with these arguments; the exit status and what was printed.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.generate(&[&["client", "--json"], arguments].concat())
    }

    fn generate(&self, arguments: &[&str]) -> (Option<i32>, String) {
        told(&mut command(&self.client, &self.profile(), arguments))
    }
}

/// A number of the report in what a run printed.
fn number(text: &str, path: &str) -> u64 {
    lab::generator::number(&report(text), path)
}

fn is_whole(text: &str, at_least: u64) {
    assert_eq!(number(text, "/connected"), 50, "{text}");
    assert!(number(text, "/sums/received") >= at_least, "{text}");
    for zero in ["sums/missing", "sums/strange", "tally/misdelivered", "tally/refused/tag"] {
        assert_eq!(number(text, &format!("/{zero}")), 0, "{zero}: {text}");
    }
}

#[test]
fn fifty_clients_ping_through_wireguard_go_and_lose_nothing() {
    let site = Site::new();
    let _server = site.serve();
    let (code, text) = site.run(&[]);
    assert_eq!(code, Some(0), "{text}");
    is_whole(&text, 1500);
    let handshakes = site.server.run("wg show wg0 latest-handshakes");
    let done = handshakes.lines().filter(|line| !line.ends_with("\t0")).count();
    assert_eq!(done, 50, "by the server's own account: {handshakes}");
}

#[test]
fn fifty_clients_reach_each_other_inside_over_ipv6() {
    let site = Site::new();
    let _server = site.serve();
    site.server.run("sysctl -qw net.ipv6.conf.all.forwarding=1");
    let changes = ["--set", "traffic.to=clients", "--set", "traffic.kind=echo"];
    let (code, text) = site.run(
        &[&changes[..], &["--set", "traffic.family=v6", "--set", "traffic.sizes=200"]].concat(),
    );
    assert_eq!(code, Some(0), "{text}");
    is_whole(&text, 1500);
}

#[test]
fn wireguard_go_follows_all_clients_as_they_move() {
    let site = Site::new();
    let _server = site.serve();
    for kind in ["port", "address"] {
        let kind = format!("roam.kind={kind}");
        let (code, text) = site.run(&[
            "--set",
            &kind,
            "--set",
            "roam.spread_secs=1",
            "--set",
            "roam.after_secs=1",
        ]);
        assert_eq!(code, Some(0), "{text}");
        is_whole(&text, 1500);
        assert_eq!(number(&text, "/tally/moves"), 50);
    }
}

/// The report of a run whose device is taken away while it sends.
fn cut(site: &Site, how: &str) -> (Option<i32>, String) {
    let arguments = ["client", "--json", "--secs", "60"];
    let run = Process::start("pktgen", command(&site.client, &site.profile(), &arguments));
    lab::until("traffic", 30, || run.mentions("\"interval\"") > 1);
    site.client.run(how);
    end(run, 10)
}

#[test]
fn a_device_that_vanishes_ends_the_run_with_a_sentence_and_what_was_achieved() {
    let site = Site::new();
    let _server = site.serve();
    let (code, text) = cut(&site, "ip link del eth0");
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("the interface eth0 behind the device is gone after"), "{text}");
    assert!(number(&text, "/sums/received") > 100, "{text}");
}

#[test]
fn a_rate_that_cannot_be_reached_is_said_and_never_stretched() {
    let site = Site::new();
    let _server = site.serve();
    let (code, text) = site.run(&["--rate", "20Mpps", "--secs", "0.5", "--sizes", "1400"]);
    assert!(matches!(code, Some(2 | 3)), "{text}");
    assert!(text.contains("the rate is too high"), "{text}");
    let (planned, owed) = (number(&text, "/tally/planned"), number(&text, "/tally/owed"));
    assert!((9_990_000..=10_010_000).contains(&(planned + owed)), "{text}");
}

#[test]
fn a_run_without_a_file_takes_everything_from_flags_and_leaves_its_plots() {
    let site = Site::new();
    let _server = site.serve();
    let key = site.keys.public_text();
    let [latency, rate] = ["latency", "rate"].map(|name| format!("/run/lab/{name}.svg"));
    let mut command = site.client.command(PROGRAM);
    command.args(["client", "--device", "net_af_packet0,iface=eth0", "--set", "device.sleep=true"]);
    command.args([
        "--server",
        &key,
        "--endpoint",
        "192.0.2.1:51820",
        "--addresses",
        "192.0.2.10+20",
    ]);
    command.args(["--inner", "10.7.0.10", "--clients", "25", "--seed", "3", "--kind", "ping"]);
    command.args(["--set", "clients.preshared=true", "--to", "10.7.0.1", "--sizes", "[64, 500]"]);
    command.args([
        "--rate",
        "100pps",
        "--factor",
        "3",
        "--pattern",
        "{ bursts = 4 }",
        "--secs",
        "2",
    ]);
    command.args(["--loss", "0", "--latency-svg", &latency, "--rate-svg", &rate]);
    let output = command.args(["--attack", "dos_mac1=50pps"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        text.contains("25 of 25 connected") && text.contains("attack       dos_mac1"),
        "{text}"
    );
    let sent = text
        .lines()
        .find_map(|line| line.strip_prefix("sent")?.split_whitespace().next()?.parse::<u64>().ok());
    assert!(sent.is_some_and(|sent| (597..=604).contains(&sent)), "{text}");
    for (path, words) in [(&latency, "(60"), (&rate, ">intended<")] {
        let plot = site.client.run(&format!("cat {path}"));
        assert!(plot.contains(words) && plot.contains("stroke-width"), "{plot}");
    }
}

#[test]
fn wireguard_go_takes_part_in_races_and_takes_what_was_sealed_ahead() {
    let site = Site::new();
    let _server = site.serve();
    let (code, text) =
        site.run(&["--set", "clients.families=race", "--set", "reconnect.mean_secs=6"]);
    assert_eq!(code, Some(0), "{text}");
    is_whole(&text, 1500);
    let counts = ["races", "won_v6", "won_v4"].map(|count| format!("/tally/{count}"));
    assert_eq!(counts.map(|count| number(&text, &count)), [50, 50, 0], "{text}");
    assert!(number(&text, "/tally/reconnects") > 0, "{text}");
    let (code, text) = site.run(&["--set", "traffic.aead=prepared"]);
    assert_eq!(code, Some(0), "{text}");
    is_whole(&text, 1500);
    let sent = number(&text, "/sums/sent");
    assert_eq!(number(&text, "/tally/prepared"), sent, "{text}");
}

#[test]
fn a_server_that_does_not_know_the_clients_is_named_as_the_cause() {
    let site = Site::new();
    let server = WireguardGo::start(&site.server, "wg0", &site.keys, 1);
    server.set("listen-port 51820");
    let (code, text) = site.run(&["--set", "run.connect_secs=0.5", "--set", "run.secs=0.2"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("the server knows these peers"), "{text}");
}

#[test]
fn nobody_on_the_link_is_named_as_the_cause() {
    let site = Site::new();
    site.server.run("ip link set outer down");
    let (code, text) = site.run(&["--set", "run.connect_secs=0.5", "--set", "run.secs=0.2"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("nobody on the link says where 192.0.2.1"), "{text}");
    assert_eq!(number(&text, "/connected"), 0);
}

#[test]
fn a_device_that_is_not_there_is_named() {
    let site = Site::new();
    let (code, text) = site.run(&["--set", "device.name=net_af_packet0,iface=nothing"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("there is no interface \"nothing\""), "{text}");
}

#[test]
fn an_attack_runs_alone_at_its_rate_and_leaves_the_clients_of_others_alone() {
    let site = Site::new();
    let server = site.serve();
    let (code, text) = site.generate(&[
        "attack",
        "handshake_unknown_peer",
        "--rate",
        "500pps",
        "--json",
        "--set",
        "run.secs=2",
    ]);
    assert_eq!(code, Some(0), "{text}");
    let sent = number(&text, "/attacks/0/tally/sent");
    // As many as fit into the time that it took, which is what was asked for and what the system took away in the end.
    let taken = Duration::from_secs_f64(report(&text)["traffic_secs"].as_f64().unwrap());
    let most = u64::try_from(taken.as_millis() / 2 + 1).unwrap();
    assert!((950..=most).contains(&sent) && taken < Duration::from_secs(3), "{text}");
    assert_eq!(server.initiations_received(), 0, "nobody that the server knows has called");
    let received = site.server.run("cat /sys/class/net/outer/statistics/rx_packets");
    assert!(received.trim().parse::<u64>().unwrap() >= sent, "{received}");
}

#[test]
fn good_traffic_beside_an_attack_is_counted_apart() {
    let site = Site::new();
    let _server = site.serve();
    let profile = format!("{}[[attack]]\nname = \"replay\"\nrate = \"300pps\"\n", site.profile());
    let (_, text) = told(&mut command(&site.client, &profile, &["client", "--json"]));
    is_whole(&text, 1500);
    assert!(number(&text, "/attacks/0/tally/sent") > 1000, "{text}");
    assert_eq!(number(&text, "/sums/duplicates"), 0, "nothing replayed came through: {text}");
}

#[test]
fn an_attack_that_lacks_something_says_what() {
    let site = Site::new();
    let _server = site.serve();
    for (attack, words) in [("steer_foreign_worker", "needs"), ("nonsense", "attacks` lists")] {
        let (code, text) = site.generate(&["attack", attack]);
        assert_eq!(code, Some(1), "{attack}: {text}");
        assert!(text.contains(words), "{attack}: {text}");
    }
}
