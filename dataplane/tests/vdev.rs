//! Real DPDK virtual devices, a real kernel and real peers around the dataplane as a process. Needs root.
//!
//! Each test builds its own namespaces (see `lab`), so they run side by side, and each ends with a clean stop that
//! accounts for every packet.
#![cfg(feature = "dpdk")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "real peers and a real kernel are waited for by a real clock, their output read by threads"
)]

#[cfg(test)]
#[allow(dead_code, reason = "others use the rest")]
mod lab;

use std::sync::atomic::{AtomicBool, Ordering};

use lab::boringtun::BoringTun;
use lab::dataplane::{Config, Dataplane, Peer, Port};
use lab::icmp::{BOTH, Family};
use lab::keys::Keys;
use lab::namespace::{Namespace, cable};
use lab::process::Process;
use lab::site::{SERVER_V4, SERVER_V6, Site};
use lab::traffic::{answers, ping, transfer};
use lab::until;
use lab::wireguard_go::WireguardGo;
use rustix::process::Signal;

const MEGABYTES: usize = 1_000_000;
const AF_PACKET: &str = "net_af_packet0,iface=outer";

#[test]
fn af_packet_carries_wireguard_go_over_both_outer_protocols() {
    let site = Site::new();
    let dataplane = Dataplane::start(&site.server, &site.config(AF_PACKET));
    site.serves();
    let counters = dataplane.stop();
    assert!(counters["received"] > 1000 && counters["delivered"] > 1000, "{counters:?}");
}

#[test]
fn tap_carries_wireguard_go_over_both_outer_protocols() {
    let site = Site::without_cable();
    let dataplane = Dataplane::start(&site.server, &site.config("net_tap0,iface=outer"));
    // The kernel's end of the tap is the cable: the client gets it as its own interface.
    site.server.run(&format!("ip link set outer netns {}", site.client.pid()));
    site.client.run("ip link set outer down name eth0");
    site.address();
    site.serves();
    dataplane.stop();
}

#[test]
fn af_xdp_carries_wireguard_go_over_both_outer_protocols() {
    let site = Site::new();
    if !site.server.attempt("grep -q ^XDP /proc/net/protocols").0 {
        println!("skipped: this kernel has no AF_XDP sockets");
        return;
    }
    let device = "net_af_xdp0,iface=outer";
    let dataplane = Dataplane::start(&site.server, &site.config(device));
    site.serves();
    dataplane.stop();
}

#[test]
fn memif_carries_wireguard_go_over_both_outer_protocols() {
    let site = Site::new();
    let memif = "socket=/run/lab/memif.sock,socket-abstract=no,id=0";
    let device = format!("net_memif0,role=server,{memif}");
    let dataplane = Dataplane::start(&site.server, &site.config(&device));
    // DPDK's own forwarder is the patch between the shared memory and the cable; its first core only waits.
    let mut patch = site.server.command("dpdk-testpmd");
    patch
        .args(["-l", "0,1", "--no-huge", "-m", "128", "--no-pci", "--no-shconf"])
        .arg(format!("--vdev=net_memif0,role=client,{memif}"))
        .args(["--vdev=net_af_packet0,iface=outer", "--", "--forward-mode=io", "--auto-start"])
        .arg("--total-num-mbufs=8192")
        // It ends when its standard input does.
        .stdin(std::process::Stdio::piped());
    let mut patch = Process::start("testpmd", patch);
    // It writes to a pipe in blocks, so only traffic tells when it forwards.
    let client = site.client(SERVER_V4);
    until("the patch forwards", 40, || answers(&site.client, "10.7.0.1"));
    client.stop();
    site.serves();
    patch.stop(Signal::INT);
    dataplane.stop();
}

#[test]
fn boringtun_initiates_and_every_echo_returns_unchanged() {
    let site = Site::new();
    let dataplane = Dataplane::start(&site.server, &site.config(AF_PACKET));
    for (local, server) in [("192.0.2.2:40001", SERVER_V4), ("[2001:db8::2]:40001", SERVER_V6)] {
        let me = (&site.client_keys, 2);
        let mut peer = BoringTun::new(&site.client, me, local, (&site.server_keys, server));
        peer.connect();
        for family in BOTH {
            peer.echo(family, 1, 40);
        }
    }
    dataplane.stop();
}

/// Pings from the server's kernel while the peer in this thread takes its turns.
fn is_reached_from_server(site: &Site, peer: &mut BoringTun, address: &'static str) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            ping(&site.server, address, 10);
            done.store(true, Ordering::Release);
        });
        until("ten pings from the server are answered", 30, || {
            peer.turn();
            done.load(Ordering::Acquire)
        });
    });
}

#[test]
fn initiates_to_boringtun_as_soon_as_the_peer_is_kept_alive() {
    let site = Site::new();
    let mut config = site.config(AF_PACKET);
    config.peers = vec![Peer::new(&site.client_keys, 2).at("192.0.2.2:40001").kept_alive(1)];
    let me = (&site.client_keys, 2);
    let server = (&site.server_keys, SERVER_V4);
    let mut peer = BoringTun::new(&site.client, me, "192.0.2.2:40001", server);
    let dataplane = Dataplane::start(&site.server, &config);
    until("boringtun is called", 20, || {
        peer.turn();
        peer.is_connected()
    });
    is_reached_from_server(&site, &mut peer, "10.7.0.2");
    is_reached_from_server(&site, &mut peer, "fd00:7::2");
    peer.echo(Family::V4, 1, 10);
    dataplane.stop();
}

#[test]
fn initiates_to_wireguard_go_as_soon_as_the_peer_is_kept_alive() {
    let site = Site::new();
    let client = WireguardGo::start(&site.client, "wg0", &site.client_keys, 2);
    client.set("listen-port 40001");
    client.peer(&site.server_keys, None);
    let mut config = site.config(AF_PACKET);
    config.peers = vec![Peer::new(&site.client_keys, 2).at("[2001:db8::2]:40001").kept_alive(1)];
    let dataplane = Dataplane::start(&site.server, &config);
    until("wireguard-go is called", 20, || client.handshake_at() > 0);
    assert!(client.initiations_received() > 0, "the dataplane made the first move");
    ping(&site.server, "10.7.0.2", 5);
    ping(&site.client, "fd00:7::1", 5);
    dataplane.stop();
}

#[test]
fn a_packet_for_a_silent_peer_starts_the_handshake_and_arrives() {
    let site = Site::new();
    let client = WireguardGo::start(&site.client, "wg0", &site.client_keys, 2);
    client.set("listen-port 40001");
    client.peer(&site.server_keys, None);
    let mut config = site.config(AF_PACKET);
    config.peers = vec![Peer::new(&site.client_keys, 2).at("192.0.2.2:40001")];
    let dataplane = Dataplane::start(&site.server, &config);
    assert_eq!(client.handshake_at(), 0, "nobody has called yet");
    ping(&site.server, "10.7.0.2", 1);
    assert_eq!(client.initiations_sent(), 0, "the dataplane made the first move");
    dataplane.stop();
}

#[test]
fn follows_a_client_that_changes_address_port_and_protocol() {
    let site = Site::new();
    let dataplane = Dataplane::start(&site.server, &site.config(AF_PACKET));
    let client = site.client(SERVER_V4);
    ping(&site.client, "10.7.0.1", 3);
    let handshake_at = client.handshake_at();

    site.client.run("ip addr add 192.0.2.77/24 dev eth0");
    site.client.run("ip addr del 192.0.2.2/24 dev eth0");
    site.client.run("ip addr replace 192.0.2.77/24 dev eth0");
    client.set("listen-port 40077");
    ping(&site.client, "10.7.0.1", 3);
    ping(&site.server, "10.7.0.2", 3);

    client.peer(&site.server_keys, Some(SERVER_V6));
    ping(&site.client, "fd00:7::1", 3);
    ping(&site.server, "fd00:7::2", 3);
    assert_eq!(
        client.handshake_at(),
        handshake_at,
        "the session lives on, without a new handshake"
    );
    dataplane.stop();
}

#[test]
fn takes_a_client_back_that_has_restarted() {
    let site = Site::new();
    let dataplane = Dataplane::start(&site.server, &site.config(AF_PACKET));
    for _ in 0..3 {
        let client = site.client(SERVER_V4);
        ping(&site.client, "10.7.0.1", 3);
        assert!(client.handshake_at() > 0, "a session of its own");
        client.stop();
    }
    dataplane.stop();
}

#[test]
fn a_client_finds_its_way_back_after_the_dataplane_restarted() {
    let site = Site::new();
    let dataplane = Dataplane::start(&site.server, &site.config(AF_PACKET));
    let client = site.client(SERVER_V4);
    ping(&site.client, "10.7.0.1", 3);
    dataplane.stop();
    let dataplane = Dataplane::start(&site.server, &site.config(AF_PACKET));
    // The client notices by itself: it renews a session that has been silent for 15 seconds (whitepaper 6.2, 6.5).
    until("the client is back", 40, || answers(&site.client, "10.7.0.1"));
    assert!(client.initiations_sent() >= 2, "with a new session");
    dataplane.stop();
}

#[test]
fn goes_on_after_the_link_was_down() {
    let site = Site::new();
    let dataplane = Dataplane::start(&site.server, &site.config(AF_PACKET));
    let _client = site.client(SERVER_V4);
    for namespace_and_end in [(&site.server, "outer"), (&site.client, "eth0")] {
        ping(&site.client, "10.7.0.1", 3);
        let (namespace, end) = namespace_and_end;
        namespace.run(&format!("ip link set {end} down"));
        assert!(!answers(&site.client, "10.7.0.1"), "the cable is cut");
        namespace.run(&format!("ip link set {end} up"));
        until("traffic flows again", 20, || answers(&site.client, "10.7.0.1"));
    }
    dataplane.stop();
}

#[test]
fn forwards_between_two_clients_on_two_ports() {
    let site = Site::new();
    let (other, other_keys) = (Namespace::new(), Keys::new());
    cable((&site.server, "outer2"), (&other, "eth0"));
    site.server.run("sysctl -qw net.ipv6.conf.outer2.disable_ipv6=1");
    other.run("ip addr add 198.51.100.2/24 dev eth0");
    let mut config = site.config(AF_PACKET);
    config.ports.push(Port {
        name: "lan",
        device: "net_af_packet1,iface=outer2".to_owned(),
        net: "198.51.100",
        prefix: "2001:db8:1:",
        kernel: None,
    });
    config.peers.push(Peer::new(&other_keys, 3));
    let dataplane = Dataplane::start(&site.server, &config);
    let _client = site.client(SERVER_V6);
    let second = WireguardGo::start(&other, "wg0", &other_keys, 3);
    second.peer(&site.server_keys, Some("198.51.100.1:51820"));
    ping(&site.client, "10.7.0.1", 1);
    ping(&other, "10.7.0.2", 5);
    ping(&site.client, "fd00:7::3", 5);
    transfer(&site.client, &other, "10.7.0.3", 2 * MEGABYTES);
    dataplane.stop();
}

#[test]
fn leaves_what_it_does_not_serve_to_the_kernel() {
    let site = Site::new();
    let mut config = site.config(AF_PACKET);
    config.ports[0].kernel = Some("wan0");
    let dataplane = Dataplane::start(&site.server, &config);
    site.server.run("ip addr add 192.0.2.1/24 dev wan0");
    site.server.run("ip addr add 2001:db8::1/64 dev wan0 nodad");
    site.server.run("ip link set wan0 up");
    let _client = site.client(SERVER_V4);
    ping(&site.client, "192.0.2.1", 5);
    ping(&site.client, "2001:db8::1", 5);
    transfer(&site.client, &site.server, "192.0.2.1", MEGABYTES);
    // What the kernel serves does not disturb what the dataplane serves.
    ping(&site.client, "10.7.0.1", 5);
    dataplane.stop();
}

#[test]
fn two_workers_serve_four_clients() {
    let site = Site::new();
    let mut config = site.config("net_af_packet0,iface=outer,qpairs=2");
    config.workers = vec![0, 1];
    let keys: Vec<Keys> = (0..4).map(|_| Keys::new()).collect();
    config.peers = keys.iter().zip(2..).map(|(keys, host)| Peer::new(keys, host)).collect();
    let dataplane = Dataplane::start(&site.server, &config);
    let mut peers: Vec<BoringTun> = keys
        .iter()
        .zip(2..)
        .map(|(keys, host)| {
            let local = format!("192.0.2.2:4000{host}");
            BoringTun::new(&site.client, (keys, host), &local, (&site.server_keys, SERVER_V4))
        })
        .collect();
    peers.iter_mut().for_each(BoringTun::connect);
    for peer in &mut peers {
        peer.echo(Family::V4, 1, 20);
        peer.echo(Family::V6, 1, 20);
    }
    dataplane.stop();
}

#[test]
fn says_nothing_to_a_stranger_and_counts_it() {
    let site = Site::new();
    let dataplane = Dataplane::start(&site.server, &site.config(AF_PACKET));
    let server = (&site.server_keys, SERVER_V4);
    let stranger_keys = Keys::new();
    let mut stranger = BoringTun::new(&site.client, (&stranger_keys, 2), "192.0.2.2:40001", server);
    stranger.initiate();
    until("the drop is counted", 30, || dataplane.counter("drop.handshake_unknown_peer") > 0);
    stranger.turn();
    assert!(!stranger.is_connected(), "no answer for a key that nobody entered");

    // Who does not even know the server's public key fails earlier, without any curve operation.
    let blind = (&Keys::new(), SERVER_V4);
    BoringTun::new(&site.client, (&stranger_keys, 2), "192.0.2.2:40002", blind).initiate();
    until("the drop is counted", 30, || dataplane.counter("drop.dos_mac1") > 0);
    dataplane.stop();
}

#[test]
fn asks_for_large_pages_unless_told_not_to() {
    if !std::fs::exists("/sys/kernel/mm/transparent_hugepage").unwrap() {
        println!("skipped: this kernel has no transparent hugepages");
        return;
    }
    let site = Site::new();
    let path = site.server.file("dataplane.toml", &site.config(AF_PACKET).text());
    // The last is as one that gets no tunables: it was begun anew, and shall not be for ever.
    let (tunables, was_asked) = ("GLIBC_TUNABLES", "MILLRACE_LARGE_PAGES");
    for (name, value, is_asked) in
        [(tunables, "", true), (tunables, "glibc.malloc.hugetlb=0", false), (was_asked, "1", false)]
    {
        let mut command = site.server.command(env!("CARGO_BIN_EXE_millrace-dataplane"));
        command.args(["--config", &path]).env(name, value);
        let mut process = Process::start("dataplane", command);
        until("it is ready", 60, || process.mentions("ready") > 0);
        let maps = std::fs::read_to_string(format!("/proc/{}/smaps", process.pid())).unwrap();
        let heap = maps.split_once("[heap]").map(|(_, rest)| rest).unwrap();
        let flags = heap.lines().find(|line| line.starts_with("VmFlags:")).unwrap();
        assert_eq!(flags.split(' ').any(|flag| flag == "hg"), is_asked, "{flags}");
        process.stop(Signal::TERM);
    }
}

#[test]
fn stops_cleanly_in_the_middle_of_a_transfer() {
    let site = Site::new();
    let dataplane = Dataplane::start(&site.server, &site.config(AF_PACKET));
    let _client = site.client(SERVER_V4);
    ping(&site.client, "10.7.0.1", 1);
    let mut flood = site.client.command("ping");
    flood.args(["-q", "-f", "-s", "1200", "10.7.0.1"]);
    let mut flood = Process::start("ping", flood);
    until("the flood runs", 30, || dataplane.counter("delivered") > 500);
    dataplane.stop();
    flood.stop(Signal::INT);
}

#[test]
fn check_tells_a_good_configuration_from_a_bad_one() {
    let namespace = Namespace::new();
    let keys = Keys::new();
    let good = Config::new(&keys, Port::wan("net_null0"), Vec::new()).text();
    let bad = good.replace("192.0.2.1/24", "192.0.2.1/33");
    let binary = env!("CARGO_BIN_EXE_millrace-dataplane");
    for (text, wanted) in [(good, true), (bad, false)] {
        let path = namespace.file("dataplane.toml", &text);
        let (accepted, said) = namespace.attempt(&format!("{binary} --config {path} --check"));
        assert_eq!(accepted, wanted, "{said}");
        assert_eq!(
            said.contains("192.0.2.1/33"),
            !wanted,
            "the message quotes the mistake: {said}"
        );
    }
}

#[test]
fn an_aead_that_is_none_ends_the_start_and_one_that_is_wished_for_serves() {
    let site = Site::new();
    let path = site.server.file("dataplane.toml", &site.config(AF_PACKET).text());
    let mut command = site.server.command(env!("CARGO_BIN_EXE_millrace-dataplane"));
    command.args(["--config", &path]).env("MILLRACE_AEAD", "sse9");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("MILLRACE_AEAD=sse9"), "{said}");
    let mut command = site.server.command(env!("CARGO_BIN_EXE_millrace-dataplane"));
    command.args(["--config", &path]).env("MILLRACE_AEAD", "portable").env("RUST_LOG", "info");
    let mut process = Process::start("dataplane", command);
    until("it forwards with what was asked for", 60, || process.mentions("AEAD portable") == 1);
    process.stop(Signal::TERM);
}
