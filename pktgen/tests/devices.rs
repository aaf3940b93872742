//! The generator on other devices than a packet socket: a tap into the kernel, shared memory into the dataplane, capture files.
//! Needs root and the programs of `scripts/setup`.
#![cfg(feature = "dpdk")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at its first broken assumption"
)]

mod lab;

use std::path::Path;

use lab::dataplane::{Dataplane, instance};
use lab::generator::{answer_all_pings, command, end, number, report, serve};
use lab::keys::Keys;
use lab::namespace::Namespace;
use lab::process::Process;
use pktgen::client::peer_text;
use pktgen::profile::Profile;

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
    Process::start("pktgen", command(namespace, profile, &["client", "--json"]))
}

/// Waits for the end of a run that has to be good, with every packet back.
fn is_whole(run: Process) {
    let (code, text) = end(run, 30);
    assert_eq!(code, Some(0), "{text}");
    let report = report(&text);
    assert_eq!(number(&report, "/connected"), 20, "{text}");
    assert_eq!(number(&report, "/sums/missing"), 0, "{text}");
    assert!(number(&report, "/sums/received") >= 799, "{text}");
}

#[test]
fn a_tap_reaches_a_server_of_the_kernel_it_ends_in() {
    let (namespace, server) = (Namespace::new(), Keys::new());
    let text = profile("net_tap0,iface=tap0", &server);
    let _go = serve(&namespace, &server, &text);
    answer_all_pings(&namespace);
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
        "instance = \"{}\"\nprivate_key = \"{}\"\nlisten_port = 51820\nworkers = [0]\nhandshake_threads = 1\n\
         idle = \"sleep\"\n[memory]\nhugepages = false\nmegabytes = 128\n\
         [local]\ninterface = \"inner0\"\naddresses = [\"10.7.0.1\", \"fd00:7::1\"]\n\
         [[port]]\nname = \"wan\"\ndevice = \"net_memif0,role=server,{MEMIF}\"\n\
         addresses = [\"192.0.2.1/24\"]\n",
        instance(),
        server.secret_text()
    );
    let dataplane = Dataplane::start_text(&namespace, &config, &peers);
    answer_all_pings(&namespace);
    // The clients are beyond the interface, not on its link.
    is_whole(start(&namespace, &text));
    dataplane.stop();
}

#[test]
fn a_capture_file_takes_every_frame_and_gives_them_all_back() {
    let namespace = Namespace::new();
    let synth = |device: &str| {
        let text = format!(
            "[device]\nname = \"{device}\"\nsleep = true\n\
             [[synth]]\nsource = \"192.0.2.1+9\"\ndestination = \"198.51.100.1\"\nlink = \"02:00:00:00:00:09\"\n\
             sizes = [60, 1500]\nrate = \"1kpps\"\nmeasure = false\n[run]\nsecs = 0.5\n"
        );
        let run = command(&namespace, &text, &["synth", "--json"]);
        let (code, text) = end(Process::start("pktgen", run), 30);
        assert_eq!(code, Some(0), "{text}");
        report(&text)
    };
    let sent = number(&synth("net_pcap0,tx_pcap=/run/lab/one.pcap"), "/streams/0/tally/sent");
    assert!((500..=501).contains(&sent), "{sent}");
    let listed = namespace.run("tcpdump -nr /run/lab/one.pcap");
    assert_eq!(listed.lines().filter(|line| line.contains("198.51.100.1.7")).count() as u64, sent);
    let both = synth("net_pcap0,rx_pcap=/run/lab/one.pcap,tx_pcap=/run/lab/two.pcap");
    assert_eq!(number(&both, "/frames/received"), sent);
}
