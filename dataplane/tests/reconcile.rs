//! Dataplane and control as two processes on a real device, either of which is killed, misled or told otherwise, while
//! clients that nobody here wrote go on. Needs root.
#![cfg(feature = "dpdk")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "real peers and a real kernel are waited for by a real clock, their output read by threads"
)]

#[cfg(test)]
#[allow(dead_code, reason = "others use the rest")]
mod lab;

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use lab::control::{Control, declare};
use lab::dataplane::Dataplane;
use lab::keys::Keys;
use lab::namespace::Namespace;
use lab::site::{SERVER_V4, Site};
use lab::steady::Steady;
use lab::traffic::{answers, ping};
use lab::until;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const AF_PACKET: &str = "net_af_packet0,iface=outer";

/// A declared peer that never calls.
fn absent(host: u64) -> String {
    format!(
        "[[peer]]\nname = \"absent-{host}\"\npublic_key = \"{}\"\nallowed_ips = [\"10.9.{}.{}/32\"]\n",
        Keys::new().public_text(),
        host / 256,
        host % 256
    )
}

/// Waits until the dataplane itself counts so many peers.
fn knows(control: &Control, server: &Namespace, peers: usize) {
    until(&format!("the dataplane knows {peers} peers"), 30, || {
        let counters = control.ask(server, "counters");
        let count = counters.lines().find_map(|line| line.trim().strip_prefix("peers "));
        count.is_some_and(|count| count.trim() == peers.to_string())
    });
}

#[test]
fn traffic_goes_on_while_control_is_killed_at_any_moment_and_the_next_one_reconciles() {
    let site = Site::new();
    let config = site.config(AF_PACKET);
    let mut dataplane = Dataplane::start(&site.server, &config);
    let client = site.client(SERVER_V4);
    ping(&site.client, "10.7.0.1", 5);
    let steady = Steady::start(&site.client, "10.7.0.1");
    let seed = 7;
    let mut dice = ChaCha20Rng::seed_from_u64(seed);
    let mut control = dataplane.control.take().unwrap();
    for round in 0..12 {
        let others = 1 + dice.next_u64() % 400;
        let declared: String = (0..others).map(absent).collect();
        declare(&site.server, &(config.declared() + &declared));
        // Sometimes before it has read anything, sometimes in the middle, sometimes when all is done.
        std::thread::sleep(Duration::from_millis(dice.next_u64() % 250));
        control.kill();
        assert!(answers(&site.client, "10.7.0.1"), "seed {seed}, round {round}: without a control");
        control = Control::again(&site.server, "/run/lab/control.toml");
        if round % 3 == 2 {
            let others = usize::try_from(others).unwrap();
            knows(&control, &site.server, 1 + others);
        }
    }
    declare(&site.server, &config.declared());
    knows(&control, &site.server, 1);
    let (sent, answered) = steady.end();
    assert_eq!(sent, answered, "seed {seed}: not one is lost");
    assert_eq!(client.initiations_sent(), 1, "the session went on");
    client.stop();
    control.stop();
    dataplane.stop();
}

#[test]
fn a_dataplane_that_was_killed_is_fed_again_and_its_client_comes_back() {
    let site = Site::new();
    let config = site.config(AF_PACKET);
    let mut dataplane = Dataplane::start(&site.server, &config);
    let control = dataplane.control.take().unwrap();
    let kept = Keys::new();
    control.ask(
        &site.server,
        &format!("peer add {} --name kept --allowed-ips 10.9.0.1/32", kept.public_text()),
    );
    let _client = site.client(SERVER_V4);
    ping(&site.client, "10.7.0.1", 5);
    for _ in 0..2 {
        dataplane.kill();
        dataplane = Dataplane::alone(&site.server, &config.text());
        knows(&control, &site.server, 2);
        until("the client comes back by itself", 60, || answers(&site.client, "10.7.0.1"));
    }
    control.stop();
    dataplane.stop();
}

#[test]
fn wireguards_own_tools_show_and_change_what_the_dataplane_does() {
    let site = Site::new();
    let dataplane = Dataplane::start(&site.server, &site.config(AF_PACKET));
    let wg = |words: &str| site.server.run(&format!("wg {words}"));
    let client = site.client(SERVER_V4);
    ping(&site.client, "10.7.0.1", 5);
    let key = site.client_keys.public_text();
    let shown = wg("show millrace0");
    assert!(shown.contains(&key) && shown.contains("latest handshake:"), "{shown}");
    assert!(shown.contains(&site.server_keys.public_text()), "{shown}");
    let transfer = wg("show millrace0 transfer");
    let counts: Vec<u64> =
        transfer.split_whitespace().skip(1).map(|count| count.parse().unwrap()).collect();
    // Five pings of 128 octets sealed, and the handshake.
    assert!(counts.iter().all(|count| (700..4000).contains(count)), "{transfer}");
    assert!(wg("show millrace0 endpoints").contains("192.0.2.2:"));
    client.stop();

    let second = Keys::new();
    wg(&format!(
        "set millrace0 peer {} allowed-ips 10.7.0.3/32,fd00:7::3/128",
        second.public_text()
    ));
    let client = lab::wireguard_go::WireguardGo::start(&site.client, "wg1", &second, 3);
    client.peer(&site.server_keys, Some(SERVER_V4));
    ping(&site.client, "10.7.0.1", 5);
    let config = wg("showconf millrace0");
    assert!(config.contains(&second.public_text()) && config.contains("10.7.0.3/32"), "{config}");
    wg(&format!("set millrace0 peer {} remove", second.public_text()));
    assert!(!answers(&site.client, "10.7.0.1"), "it ended with its removal");
    client.stop();
    dataplane.stop();
}

#[test]
fn garbage_in_shared_memory_harms_no_packet_and_a_new_control_mends_it() {
    let site = Site::new();
    let config = site.config(AF_PACKET);
    let mut dataplane = Dataplane::start(&site.server, &config);
    let mut control = dataplane.control.take().unwrap();
    let _client = site.client(SERVER_V4);
    ping(&site.client, "10.7.0.1", 5);
    let steady = Steady::start(&site.client, "10.7.0.1");
    let mut dice = ChaCha20Rng::seed_from_u64(3);
    for round in 0..6 {
        for ring in ["commands", "events"] {
            // Each namespace has shared memory of its own.
            let root = format!("/proc/{}/root", site.server.pid());
            let path = format!("{root}/dev/shm/millrace-{}/{ring}", dataplane.instance);
            let file = OpenOptions::new().write(true).open(path).unwrap();
            let len = file.metadata().unwrap().len();
            for _ in 0..200 {
                // Behind the header, whose owner is alive and checks it.
                let words = if dice.next_u64().is_multiple_of(2) { 64 } else { len / 8 - 512 };
                let at = 4096.min(len / 2) + 8 * (dice.next_u64() % words);
                file.write_all_at(&dice.next_u64().to_ne_bytes(), at.min(len - 8)).unwrap();
            }
        }
        assert!(answers(&site.client, "10.7.0.1"), "round {round}");
        control.kill();
        control = Control::again(&site.server, "/run/lab/control.toml");
        knows(&control, &site.server, 1);
        control.ask(&site.server, &format!("peer add {} --name extra", Keys::new().public_text()));
        knows(&control, &site.server, 2);
        control.ask(&site.server, "peer remove extra");
    }
    let (sent, answered) = steady.end();
    assert_eq!(sent, answered, "not one is lost");
    control.stop();
    dataplane.stop();
}
