//! Whole streams through one and two machines of ours, over links that lose, reorder and repeat.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect has failed"
)]

mod network;

use connect::Mode;
use network::host::Service;
use network::scene::{WAYS, Way, net, noise, spoil};
use network::{CLIENT_IP, EXIT_IP, INGRESS_IP, Node, ORIGIN_IP, RELAY_IP, ip};

/// Echoes so many octets and closes; everything must be as it was and nothing left.
fn echo(way: Way, seed: u64, len: usize, (loss, reorder, duplicate): (u64, u64, u64)) {
    let text = noise(len, seed);
    let mut net = net(way, seed, Service::Banner(b"220 ready\r\n".to_vec()));
    net.keeps_seen = false;
    spoil(&mut net, loss, reorder, duplicate);
    let now = net.now;
    let ends = net.host(CLIENT_IP).open((ip(ORIGIN_IP), 80).into(), now);
    net.host(CLIENT_IP).tcp(ends).send(&text);
    net.host(CLIENT_IP).tcp(ends).close();
    let is_done = net.run_to(600_000, |net| net.host(CLIENT_IP).tcp(ends).is_closed());
    let what = format!("{way:?}, seed {seed}, loss {loss}");
    let pops: Vec<_> = [INGRESS_IP, RELAY_IP, EXIT_IP]
        .into_iter()
        .filter(|address| matches!(net.nodes.get(&ip(address)), Some(Node::Pop(_))))
        .collect();
    for address in &pops {
        let pop = net.pop(address);
        assert_eq!(pop.whys(), [], "{what}, at {address}");
    }
    let tcp = net.host(CLIENT_IP).tcp(ends);
    let expected = [&b"220 ready\r\n"[..], &text].concat();
    assert!(is_done, "{what}: {} of {} octets, {:?}", tcp.received.len(), len, tcp.state);
    assert!(tcp.received == expected, "{what}: the stream differs");
    assert_eq!((tcp.impossible, tcp.oversized), (0, 0), "{what}");
    // Segments that come late are old by their timestamps as well.
    let is_orderly = reorder == 0 && duplicate == 0;
    assert!(tcp.paws_drops == 0 || !is_orderly, "{what}");
    let origin = net.host(ORIGIN_IP).accepted(80);
    assert!(origin.received == text, "{what}: the origin's stream differs");
    assert_eq!((origin.impossible, origin.oversized), (0, 0), "{what}");
    assert!(origin.paws_drops == 0 || !is_orderly, "{what}");
    net.assert_nothing_is_left();
}

#[test]
fn streams_come_through_whole_over_links_that_lose_nothing() {
    for way in WAYS {
        for seed in 1..6 {
            echo(way, seed, 200_000, (0, 0, 0));
        }
    }
}

#[test]
fn streams_come_through_whole_over_links_that_lose_one_in_a_hundred() {
    for way in WAYS {
        for seed in 1..6 {
            echo(way, seed, 200_000, (10, 0, 0));
            echo(way, seed, 200_000, (10, 20, 10));
        }
    }
}

#[test]
fn streams_come_through_whole_over_links_that_lose_one_in_ten() {
    for way in WAYS {
        for seed in 1..200 {
            echo(way, seed, 5_000, (100, 50, 50));
        }
    }
}

#[test]
fn between_our_own_machines_nothing_but_addresses_is_rewritten() {
    for (way, aligned) in [(Way::Borne, true), (Way::BorneRelay, true), (Way::Plain, false)] {
        let mut net = net(way, 3, Service::Echo);
        let now = net.now;
        let ends = net.host(CLIENT_IP).open((ip(ORIGIN_IP), 80).into(), now);
        net.run(200);
        assert!(net.host(CLIENT_IP).tcp(ends).is_open());
        for address in [INGRESS_IP, EXIT_IP] {
            let splice = net.pop(address).around.spliced[0];
            let is_exit = address == EXIT_IP;
            let is_aligned = [splice.to_far, splice.to_near] == [connect::Rewrite::default(); 2];
            assert_eq!(is_aligned, aligned || !is_exit, "{way:?} at {address}: {splice:?}");
            let mode = if aligned { Mode::Borne } else { Mode::Plain };
            assert_eq!(splice.mode, mode, "{way:?} at {address}");
        }
    }
}
