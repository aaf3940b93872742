//! The generator on other devices than a packet socket: a tap into the kernel, and shared memory into the dataplane.
//! Needs root and the programs of `scripts/setup`.
#![cfg(feature = "dpdk")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at its first broken assumption"
)]

mod lab;

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lab::dataplane::Dataplane;
use lab::keys::Keys;
use lab::namespace::Namespace;
use lab::process::Process;
use lab::wireguard_go::WireguardGo;
use pktgen::client::{keys, peer_text};
use pktgen::profile::Profile;
use serde_json::Value;
use wireguard::noise;

const MEMIF: &str = "socket=/run/lab/memif.sock,socket-abstract=no,id=0";

fn profile(device: &str, server: &Keys) -> String {
    format!(
        "seed = 4\n[device]\nname = \"{device}\"\nsleep = true\n\
         [server]\npublic_key = \"{}\"\nendpoints = [\"192.0.2.1:51820\"]\n\
         [clients]\ncount = 20\naddresses = [\"192.0.2.10+20\"]\ninner = [\"10.7.0.10\", \"fd00:7::10\"]\n\
         [traffic]\nkind = \"ping\"\nto = \"10.7.0.1\"\nsizes = [64, 1420]\nrate = \"400pps\"\n\
         [run]\nconnect_secs = 20\nsecs = 2\nloss_allowed = 0.0\n",
        server.public_text()
    )
}

/// The generator started in the namespace with a profile.
fn start(namespace: &Namespace, profile: &str) -> Process {
    let path = namespace.file("profile.toml", profile);
    let mut command = namespace.command(env!("CARGO_BIN_EXE_millrace-pktgen"));
    command.args(["client", "--json", "--profile", &path]);
    Process::start("pktgen", command)
}

/// Waits for the end of a run that has to be good, with every packet back.
fn is_whole(mut run: Process) {
    let mut status = None;
    lab::until("the run ends", 30, || {
        status = run.ended();
        status.is_some()
    });
    lab::until("the report", 5, || run.mentions("{\"report\"") > 0);
    let text = run.output().join("\n");
    assert_eq!(status.unwrap().code(), Some(0), "{text}");
    let last = serde_json::from_str::<Value>(text.lines().last().unwrap()).unwrap();
    let number = |path: &str| last.pointer(path).and_then(Value::as_u64);
    assert_eq!(number("/report/connected"), Some(20), "{text}");
    assert_eq!(number("/report/sums/missing"), Some(0), "{text}");
    assert!(number("/report/sums/received").is_some_and(|count| count >= 799), "{text}");
}

#[test]
fn a_tap_reaches_a_server_of_the_kernel_it_ends_in() {
    let (namespace, server) = (Namespace::new(), Keys::new());
    let text = profile("net_tap0,iface=tap0", &server);
    let go = WireguardGo::start(&namespace, "wg0", &server, 1);
    go.set("listen-port 51820");
    let plan = Profile::parse(&text, Path::new("test.toml"), &[]).unwrap().plan;
    let mut peers = String::new();
    for number in 0..plan.clients {
        let public = STANDARD.encode(noise::public(&keys(&plan, number).0));
        let inner = plan.inner(number, pktgen::client::Family::V4);
        writeln!(peers, "[Peer]\nPublicKey = {public}\nAllowedIPs = {inner}/32").unwrap();
    }
    let path = namespace.file("peers.conf", &peers);
    namespace.run(&format!("wg addconf wg0 {path}"));
    namespace.run("sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_msgs_per_sec=100000");
    let run = start(&namespace, &text);
    lab::until("the tap", 20, || namespace.attempt("ip addr add 192.0.2.1/24 dev tap0").0);
    namespace.run("ip link set tap0 up");
    is_whole(run);
}

#[test]
fn shared_memory_reaches_the_dataplane_without_a_kernel_between() {
    let (namespace, server) = (Namespace::new(), Keys::new());
    let text = profile(&format!("net_memif0,role=client,{MEMIF}"), &server);
    let plan = Profile::parse(&text, Path::new("test.toml"), &[]).unwrap().plan;
    let peers: String = (0..plan.clients).map(|number| peer_text(&plan, number)).collect();
    let config = format!(
        "private_key = \"{}\"\nlisten_port = 51820\nworkers = [0]\nhandshake_threads = 1\nidle = \"sleep\"\n\
         [memory]\nhugepages = false\nmegabytes = 128\n\
         [local]\ninterface = \"inner0\"\naddresses = [\"10.7.0.1\", \"fd00:7::1\"]\n\
         [[port]]\nname = \"wan\"\ndevice = \"net_memif0,role=server,{MEMIF}\"\n\
         addresses = [\"192.0.2.1/24\"]\n{peers}",
        server.secret_text()
    );
    let dataplane = Dataplane::start_text(&namespace, &config);
    namespace.run("sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_msgs_per_sec=100000");
    // The clients are beyond the interface, not on its link.
    is_whole(start(&namespace, &text));
    dataplane.stop();
}
