//! The same five machines, in the ways that a connection can go through them.

use connect::Decision;

use super::host::{Host, Service};
use super::pop::{CONNECT_PORT, Pop};
use super::tcp::{MS, Speaks};
use super::{
    CLIENT_IP, EXIT_IP, INGRESS_IP, Link, Net, Node, ORIGIN_IP, RELAY_IP, Random, hop, ip, limits,
    to_target,
};

/// How the client's connection goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
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
    /// Through a relay, first in the SYN, then behind it.
    BorneThenPlain,
    /// And the other way round.
    PlainThenBorne,
}

impl Way {
    const fn has_relay(self) -> bool {
        !matches!(self, Self::Proxy | Self::Plain | Self::Borne)
    }
}

pub(crate) const WAYS: [Way; 7] = [
    Way::Proxy,
    Way::Plain,
    Way::Borne,
    Way::BorneRelay,
    Way::PlainRelay,
    Way::BorneThenPlain,
    Way::PlainThenBorne,
];

pub(crate) fn net(way: Way, seed: u64, origin: Service) -> Net {
    let mut random = Random(seed | 1);
    // Numbers of every third run wrap soon.
    let bound = if seed.is_multiple_of(3) { 3000 } else { 1 << 32 };
    let mut iss = || u32::MAX - u32::try_from(random.below(bound)).unwrap();
    let mut net = Net::new(seed);
    let mut add = |address: &str, node: Node| {
        net.nodes.insert(ip(address), node);
    };
    add(CLIENT_IP, Node::Host(Host::new(CLIENT_IP, Speaks::default(), iss())));
    let host = Host::new(ORIGIN_IP, Speaks::default(), iss()).serving(80, origin);
    add(ORIGIN_IP, Node::Host(host));
    let mut ingress = Pop::new(ip(INGRESS_IP), limits(), Box::new(to_target));
    let is_borne = matches!(way, Way::Borne | Way::BorneRelay | Way::BorneThenPlain);
    let goes_borne = matches!(way, Way::BorneRelay | Way::PlainThenBorne);
    let first = if way.has_relay() { RELAY_IP } else { EXIT_IP };
    ingress.routes = vec![hop(first, is_borne)];
    add(INGRESS_IP, Node::Pop(ingress.into()));
    if first == RELAY_IP {
        let admit = move |_: &connect::head::Request<'_>| Decision::Relay(hop(EXIT_IP, goes_borne));
        add(RELAY_IP, Node::Pop(Pop::new(ip(RELAY_IP), limits(), Box::new(admit)).into()));
    }
    if way == Way::Proxy {
        let answer = b"HTTP/1.1 200 Connection established\r\nVia: proxy\r\n\r\n".to_vec();
        let service = Service::Proxy(vec![answer]);
        let host = Host::new(EXIT_IP, Speaks::default(), iss()).serving(CONNECT_PORT, service);
        add(EXIT_IP, Node::Host(host));
    } else {
        let exit = Pop::new(ip(EXIT_IP), limits(), Box::new(to_target));
        add(EXIT_IP, Node::Pop(exit.into()));
    }
    net
}

/// Octets from a seed.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed | 1);
    (0..len).map(|_| u8::try_from(random.below(256)).unwrap()).collect()
}

/// Lets every link lose, reorder and repeat so many of a thousand.
pub(crate) fn spoil(net: &mut Net, loss: u64, reorder: u64, duplicate: u64) {
    let all = [CLIENT_IP, INGRESS_IP, RELAY_IP, EXIT_IP, ORIGIN_IP];
    for from in all {
        for to in all {
            let link = Link { delay: 5 * MS, loss, reorder, duplicate };
            net.links.insert((ip(from), ip(to)), link);
        }
    }
}

/// What a set-up of one machine sees, without a network: the client's SYN is taken, and the rest is up to the test.
pub(crate) fn ingress(routes: &[connect::NextHop]) -> Pop {
    let mut pop = Pop::new(ip(INGRESS_IP), limits(), Box::new(to_target));
    pop.routes = routes.to_vec();
    pop
}

/// An exit by itself.
pub(crate) fn exit() -> Pop {
    Pop::new(ip(EXIT_IP), limits(), Box::new(to_target))
}
