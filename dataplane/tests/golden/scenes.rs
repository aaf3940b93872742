//! The scenes from which the golden cases are written.

#[path = "nat.rs"]
pub(crate) mod nat;
#[path = "transit.rs"]
pub(crate) mod transit;

use std::net::IpAddr;
use std::time::Duration;

use dataplane::fate::DropReason;
use dataplane::limits::FLOWS_WARM_UP;
use dataplane::testing::client;
use dataplane::testing::packets::{self, Ip, frame};
use dataplane::testing::rules;
use dataplane::testing::scene::Scene;
use dataplane::testing::server::{LOCAL, Options, PORT_KERNEL, WIRE};
use dataplane::testing::site::{self, Plan};
use wire::ecn::Ecn;
use wire::tcp::Flags;
use wireguard::message::ClientId;

use super::case::{self, Case, SEED, keep_busy};

/// Data in echo requests, so that a person sees it in a capture.
const DATA: &[u8] = b"a golden packet";
const A_MOMENT: Duration = Duration::from_millis(10);

/// What a scene needs beside its plan.
struct Stage {
    scene: Scene,
    config: String,
}

impl Stage {
    fn new(plan: &Plan) -> Self {
        let options = Options { seed: SEED, ..Options::default() };
        Self { scene: Scene::new(plan, options), config: plan.text() }
    }

    /// So many clients with sessions; odd ones over IPv6.
    fn with_clients(count: usize) -> Self {
        let mut stage = Self::new(&Plan::new(count.max(2)));
        for number in 0..count {
            stage.scene.join(number % 2 == 1, client::Options::default());
            stage.scene.send(number, &[]);
        }
        stage.later();
        stage
    }

    fn later(&mut self) {
        self.scene.wait(A_MOMENT);
    }

    fn end(self, name: &str, about: &str) -> Case {
        Case::of(name, about, (&self.scene, self.config), false)
    }
}

pub(crate) fn all() -> Vec<Case> {
    let mut cases = vec![neighbours(), vlan(), cookie(), client_id(), kernel()];
    for is_v6 in [false, true] {
        cases.extend([handshake(is_v6), opened(is_v6), sealed(is_v6), too_big(is_v6)]);
        cases.extend([expired(is_v6), unreachable(is_v6), forwarded(is_v6), congestion(is_v6)]);
    }
    cases.extend([keepalive(), arp(), initiator()]);
    cases.extend(DROPPED.map(|(reason, about)| dropped(reason, about)));
    cases.extend([false, true].map(challenged));
    cases.extend(transit::all());
    cases.extend(nat::all());
    cases
}

fn named(name: &str, is_v6: bool) -> String {
    format!("{name}_{}", if is_v6 { "v6" } else { "v4" })
}

/// From client `number` to `to`, in one family.
fn inner(number: u32, to: IpAddr) -> Ip {
    Ip::new(site::inner(number, to), to)
}

fn local(is_v6: bool) -> IpAddr {
    if is_v6 { site::LOCAL_V6.into() } else { site::LOCAL_V4.into() }
}

fn nowhere(is_v6: bool) -> IpAddr {
    if is_v6 { [0x2001, 0xdb8, 0xdead, 0, 0, 0, 0, 1].into() } else { [203, 0, 113, 1].into() }
}

/// What the filter drops, each with the rule for it.
const DROPPED: [(DropReason, &str); 13] = [
    (DropReason::DosFragment, "A first fragment that ends within the TCP header."),
    (DropReason::DosTransport, "A TCP header of 19 octets."),
    (DropReason::DosFlags, "SYN and FIN in one segment."),
    (DropReason::DosLand, "A datagram from the address that it goes to."),
    (DropReason::DosBogon, "A datagram from 10.9.8.7, where bogons are not let in."),
    (DropReason::DosReflection, "A datagram from port 53, where reflectors are not let in."),
    (DropReason::DosBlocked, "A datagram from a source on a block list."),
    (DropReason::DosSignature, "A datagram that a signature matches."),
    (DropReason::DosSourceLimit, "The second datagram of a source that may send one."),
    (DropReason::DosSyn, "The first SYN of a source to a tenant that wants to see it twice."),
    (DropReason::DosState, "A segment of no connection to a tenant that lets none of those pass."),
    (DropReason::DosDestinationLimit, "The second datagram to a destination that may get one."),
    (DropReason::DosBudget, "The second datagram where there may be one."),
];

fn dropped(reason: DropReason, about: &str) -> Case {
    let mut stage = Stage::new(&Plan::new(1));
    stage.scene.change(case::rules(reason.name()));
    if reason == DropReason::DosState {
        stage.scene.wait(FLOWS_WARM_UP);
    }
    for _ in 0..=u8::from(rules::is_limit(reason)) {
        stage.scene.arrive(&rules::packet(reason));
    }
    stage.end(reason.name(), about).under(reason.name())
}

fn challenged(is_v6: bool) -> Case {
    let mut stage = Stage::new(&Plan::new(1));
    stage.scene.change(case::rules("cookie_reset"));
    let (source, target): (IpAddr, IpAddr) = if is_v6 {
        (site::outer_v6(5).ip(), rules::PROTECTED_V6.into())
    } else {
        (rules::STRANGER.into(), rules::PROTECTED.into())
    };
    let syn = rules::segment(Ip::new(source, target), Flags::SYN);
    stage.scene.arrive(&syn);
    let about =
        "A SYN to a guarded tenant is answered with an acknowledgment that its client resets.";
    stage.end(&named("syn_challenged", is_v6), about).under("cookie_reset")
}

fn arp() -> Case {
    let plan = Plan::new(1);
    let mut scene = Scene::bare(&plan, Options { seed: SEED, ..Options::default() });
    scene.put(WIRE, &packets::arp_request((site::GATEWAY, site::GATEWAY_V4), site::SERVER_V4));
    scene.settle();
    Stage { scene, config: plan.text() }
        .end("arp_answered", "An ARP request for our address is answered.")
}

fn neighbours() -> Case {
    let plan = Plan::new(1);
    let mut scene = Scene::bare(&plan, Options { seed: SEED, ..Options::default() });
    scene.put(WIRE, &packets::solicitation((site::GATEWAY, site::GATEWAY_V6), site::SERVER_V6));
    scene.settle();
    let about = "A neighbour solicitation for our address is answered.";
    Stage { scene, config: plan.text() }.end("solicitation_answered", about)
}

fn vlan() -> Case {
    let plan = Plan { vlan: Some(7), ..Plan::new(1) };
    let mut stage = Stage {
        scene: Scene::bare(&plan, Options { seed: SEED, ..Options::default() }),
        config: plan.text(),
    };
    let us = site::port_link(0);
    let packet = Ip::new(site::GATEWAY_V4, site::SERVER_V4).echo(1, DATA);
    stage.scene.put(WIRE, &frame(us, site::GATEWAY, Some(7), &packet));
    stage.scene.settle();
    stage.scene.put(WIRE, &frame(us, site::GATEWAY, Some(8), &packet));
    stage.scene.settle();
    let reply = Ip::new(site::SERVER_V4, site::GATEWAY_V4).echo(1, DATA);
    stage.scene.put(PORT_KERNEL, &frame(site::GATEWAY, us, None, &reply));
    stage.scene.settle();
    let about =
        "Our tag is taken off for the kernel and put on what it sends; another tag is refused.";
    stage.end("vlan", about)
}

fn handshake(is_v6: bool) -> Case {
    let mut stage = Stage::new(&Plan::new(1));
    stage.scene.join(is_v6, client::Options::default());
    stage.scene.send(0, &[]);
    let about = "An initiation is answered with a response; the client confirms with a keepalive.";
    stage.end(&named("handshake", is_v6), about)
}

fn initiator() -> Case {
    let mut plan = Plan::new(1);
    plan.peers[0].endpoint = Some(site::outer_v4(0));
    let mut stage = Stage::new(&plan);
    stage.scene.join(false, client::Options::default());
    let packet = Ip::new(site::LOCAL_V4, site::inner_v4(0)).echo(1, DATA);
    stage.scene.put(LOCAL, &packets::from_local(&packet));
    stage.scene.settle();
    let about = "A packet to a client without session waits while we initiate, and leaves with the response.";
    stage.end("initiation_sent", about)
}

fn opened(is_v6: bool) -> Case {
    let mut stage = Stage::with_clients(1);
    stage.scene.send(0, &inner(0, local(is_v6)).echo(1, DATA));
    let about =
        "A sealed packet to a local address is opened and goes to the kernel, hops as they were.";
    stage.end(&named("opened_to_local", is_v6), about)
}

fn sealed(is_v6: bool) -> Case {
    let mut stage = Stage::with_clients(2);
    let client = site::inner(u32::from(is_v6), local(is_v6));
    stage.scene.put(LOCAL, &packets::from_local(&Ip::new(local(is_v6), client).echo(1, DATA)));
    stage.scene.settle();
    let about =
        "A packet of the kernel's to a client is sealed and leaves for the client's endpoint.";
    stage.end(&named("sealed_from_local", is_v6), about)
}

fn forwarded(is_v6: bool) -> Case {
    let mut stage = Stage::with_clients(2);
    stage.scene.send(0, &inner(0, site::inner(1, local(is_v6))).echo(1, DATA));
    stage.end(&named("client_to_client", is_v6), "A packet from client to client loses one hop.")
}

fn too_big(is_v6: bool) -> Case {
    let mut stage = Stage::with_clients(1);
    let packet = Ip::new(local(is_v6), site::inner(0, local(is_v6))).echo(1, &[b'x'; 1450]);
    stage.scene.put(LOCAL, &packets::from_local(&packet));
    stage.scene.settle();
    let about =
        "A packet that does not fit the path to the client comes back as the error with its MTU.";
    stage.end(&named("too_big", is_v6), about)
}

fn expired(is_v6: bool) -> Case {
    let mut stage = Stage::with_clients(2);
    let ip = Ip { hop_limit: 1, ..inner(0, site::inner(1, local(is_v6))) };
    stage.scene.send(0, &ip.echo(1, DATA));
    let about = "A packet between clients without a hop left: its sender gets the error, sealed.";
    stage.end(&named("hop_limit", is_v6), about)
}

fn unreachable(is_v6: bool) -> Case {
    let mut stage = Stage::with_clients(1);
    stage.scene.send(0, &inner(0, nowhere(is_v6)).echo(1, DATA));
    let error = inner(0, nowhere(is_v6)).error(DATA);
    stage.scene.send(0, &error);
    let about =
        "Without a route the sender gets the error, sealed; an error is not answered with one.";
    stage.end(&named("no_route", is_v6), about)
}

fn congestion(is_v6: bool) -> Case {
    let mut stage = Stage::with_clients(1);
    let ip = Ip { tos: Ecn::Ect0.bits(), ..inner(0, local(is_v6)) };
    let sealed = stage.scene.withhold(0, &ip.echo(1, DATA)).pop().unwrap();
    let (from, to, payload) = packets::datagram_in(&sealed).unwrap();
    let marked = packets::datagram_with(from, to, Ecn::Ce.bits(), payload);
    stage.scene.put(WIRE, &marked);
    stage.scene.settle();
    let back = Ip { tos: Ecn::Ect0.bits(), ..Ip::new(local(is_v6), site::inner(0, local(is_v6))) };
    stage.scene.put(LOCAL, &packets::from_local(&back.echo(2, DATA)));
    stage.scene.settle();
    let about = "Congestion on the outer path is carried inside; the way back is marked ECT as the inner packet.";
    stage.end(&named("congestion", is_v6), about)
}

fn cookie() -> Case {
    let mut stage = Stage::new(&Plan::new(1));
    stage.scene.join(false, client::Options::default());
    keep_busy(&stage.scene.server);
    stage.scene.send(0, &[]);
    let about = "Under load an initiation without cookie is answered with one.";
    Case::of("cookie", about, (&stage.scene, stage.config), true)
}

fn client_id() -> Case {
    let mut stage = Stage::new(&Plan::new(1));
    let client_id = Some(ClientId([0xa1, 0xb2, 0xc3]));
    stage.scene.join(false, client::Options { client_id, ..client::Options::default() });
    stage.scene.send(0, &inner(0, local(false)).echo(1, DATA));
    let back = Ip::new(local(false), site::inner_v4(0)).echo(1, DATA);
    stage.scene.put(LOCAL, &packets::from_local(&back));
    stage.scene.settle();
    stage.end("client_id", "The reserved octets of the client's messages come back in ours (D5).")
}

fn keepalive() -> Case {
    let mut stage = Stage::with_clients(1);
    stage.scene.send(0, &[]);
    stage.end("keepalive", "A keepalive of the client has done its duty when it is opened.")
}

fn kernel() -> Case {
    let mut stage = Stage::new(&Plan::new(1));
    let to_us = Ip::new(site::GATEWAY_V4, site::SERVER_V4);
    let us = site::port_link(0);
    stage.scene.arrive(&to_us.udp(1000, 5000, DATA));
    let from_us = Ip::new(site::SERVER_V4, site::GATEWAY_V4);
    stage.scene.put(PORT_KERNEL, &frame(site::GATEWAY, us, None, &from_us.udp(5000, 1000, DATA)));
    stage.scene.settle();
    stage.end(
        "kernel",
        "What is not WireGuard's goes to the kernel as it came, and the kernel's answer out.",
    )
}
