//! Whole streams through one and two machines of ours, over links that lose, reorder and repeat.

mod network;

use connect::{Decision, Mode};
use network::host::{Host, Service};
use network::pop::{CONNECT_PORT, Pop};
use network::tcp::{MS, Speaks};
use network::{
    CLIENT_IP, EXIT_IP, INGRESS_IP, Link, Net, Node, ORIGIN_IP, RELAY_IP, Random, hop, ip,
    to_target,
};

/// How the client's connection goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// To a proxy that terminates.
    Proxy,
    /// To an exit of ours, the request behind the SYN.
    Plain,
    /// The request in the SYN.
    Borne,
    /// Through a relay, in the SYN both times.
    BorneRelay,
    /// Through a relay, behind the SYN both times.
    PlainRelay,
}

const WAYS: [Way; 5] = [Way::Proxy, Way::Plain, Way::Borne, Way::BorneRelay, Way::PlainRelay];

fn net(way: Way, seed: u64, origin: Service) -> Net {
    let mut random = Random(seed | 1);
    let mut iss = || u32::try_from(random.below(1 << 32)).unwrap();
    let mut net = Net::new(seed);
    let mut add = |address: &str, node: Node| {
        net.nodes.insert(ip(address), node);
    };
    add(CLIENT_IP, Node::Host(Host::new(CLIENT_IP, Speaks::default(), iss())));
    let host = Host::new(ORIGIN_IP, Speaks::default(), iss()).serving(80, origin);
    add(ORIGIN_IP, Node::Host(host));
    let mut ingress = Pop::new(ip(INGRESS_IP), limits(), Box::new(to_target));
    let is_borne = matches!(way, Way::Borne | Way::BorneRelay);
    let first = if matches!(way, Way::BorneRelay | Way::PlainRelay) { RELAY_IP } else { EXIT_IP };
    ingress.routes = vec![hop(first, is_borne)];
    add(INGRESS_IP, Node::Pop(ingress));
    if first == RELAY_IP {
        let admit = move |_: &connect::head::Request<'_>| Decision::Relay(hop(EXIT_IP, is_borne));
        add(RELAY_IP, Node::Pop(Pop::new(ip(RELAY_IP), limits(), Box::new(admit))));
    }
    if way == Way::Proxy {
        let answer = b"HTTP/1.1 200 Connection established\r\nVia: proxy\r\n\r\n".to_vec();
        let service = Service::Proxy(vec![answer]);
        let host = Host::new(EXIT_IP, Speaks::default(), iss()).serving(CONNECT_PORT, service);
        add(EXIT_IP, Node::Host(host));
    } else {
        let exit = Pop::new(ip(EXIT_IP), limits(), Box::new(to_target));
        add(EXIT_IP, Node::Pop(exit));
    }
    net
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed | 1);
    (0..len).map(|_| u8::try_from(random.below(256)).unwrap()).collect()
}

fn spoil(net: &mut Net, loss: u64, reorder: u64, duplicate: u64) {
    let all = [CLIENT_IP, INGRESS_IP, RELAY_IP, EXIT_IP, ORIGIN_IP];
    for from in all {
        for to in all {
            let link = Link { delay: 5 * MS, loss, reorder, duplicate };
            net.links.insert((ip(from), ip(to)), link);
        }
    }
}

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
        for seed in 1..40 {
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
            let is_aligned = splice.to_far.is_aligned() && splice.to_near.is_aligned();
            assert_eq!(is_aligned, aligned || !is_exit, "{way:?} at {address}: {splice:?}");
            let mode = if aligned { Mode::Borne } else { Mode::Plain };
            assert_eq!(splice.mode, mode, "{way:?} at {address}");
        }
    }
}
