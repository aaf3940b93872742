//! Connections that this machine's own kernel terminates, behind an interface of its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dataplane::fate::DropReason;
use dataplane::site::ROUTER;
use dataplane::testing::client;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::rules::STRANGER;
use dataplane::testing::scene::Scene;
use dataplane::testing::server::Place;
use dataplane::testing::site::{self, EVERY_CLIENTS, GATEWAY_V4, KERNEL, Plan, SERVER_V4};
use shm::message::{Centre, Item, Machine, NextHop};
use wire::tcp::{Fields, Flags};

use super::{CENTRE, NEAR, Segment, answer, pair, plan, segment, syn};

/// Both ends of the interface.
const OURS: Ipv4Addr = Ipv4Addr::new(100, 64, 77, 1);
const KERNELS: Ipv4Addr = Ipv4Addr::new(100, 64, 77, 2);
const OURS_V6: Ipv6Addr = Ipv6Addr::new(0xfd64, 0, 0, 0, 0, 0, 0, 1);
const KERNELS_V6: Ipv6Addr = Ipv6Addr::new(0xfd64, 0, 0, 0, 0, 0, 0, 2);
/// Somebody on the Internet whom no port leads to.
const STRANGER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 9);

const PORT: u16 = 3001;
const PLACE: Place = Place::Wire { port: 1, worker: 0 };
const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);
const OPEN: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

fn to(address: IpAddr, next_hop: u32) -> Item {
    Item::Route { prefix: address.into(), next_hop }
}

/// A server that knows the kernel behind the interface, and that many clients; connections to strangers go there.
fn stage(clients: usize) -> Scene {
    let gateways = vec![GATEWAY_V4.into()];
    let text = Plan { peers: Plan::new(clients).peers, gateways, ..plan() }.text();
    let section = format!(
        "[terminate]\ninterface = \"terminate0\"\naddresses = [\"{OURS}/24\", \"{OURS_V6}/64\"]\n"
    );
    let mut scene = pair::scene(&(text + &section), GATEWAY_V4, SERVER_V4);
    scene.put(PLACE, &packets::arp_request((KERNEL, KERNELS), OURS));
    scene.put(PLACE, &packets::solicitation((KERNEL, KERNELS_V6), OURS_V6));
    let machine = |address| Machine { address, port: PORT, weight: 1 };
    let machines = vec![machine(KERNELS.into()), machine(KERNELS_V6.into())];
    scene.change(vec![
        Item::Centre(Box::new(Centre { number: CENTRE, is_here: false, relay: 0, machines })),
        Item::NextHop { id: 3, hop: NextHop::Via { centre: CENTRE.into(), remote: None } },
        Item::NextHop { id: 4, hop: NextHop::Direct },
        to(STRANGER.into(), 3),
        to(STRANGER_V6.into(), 3),
        to(NEAR.into(), 4),
        to(KERNELS.into(), 4),
    ]);
    for client in 0..clients {
        scene.join(false, client::Options::default());
        scene.send(client, &Ip::new(EVERY_CLIENTS, NEAR).echo(1, b"a session"));
    }
    scene.strays();
    scene
}

/// What the server has sent to the kernel since the last look; there is nothing else.
fn to_kernel(scene: &mut Scene) -> Vec<Segment> {
    let strays = scene.strays();
    assert!(strays.iter().all(|(place, _)| *place == PLACE), "{strays:?}");
    strays.iter().filter_map(|(_, frame)| segment(packets::packet_in(frame)?)).collect()
}

/// What a client has got since the last look.
fn got(scene: &mut Scene, client: usize) -> Vec<Segment> {
    let packets = std::mem::take(&mut scene.clients[client].inbox);
    let read = |packet: &Vec<u8>| segment((packets::outline(packet)?, packet.as_slice()));
    packets.iter().filter_map(read).collect()
}

fn from_kernel(scene: &mut Scene, packet: &[u8]) {
    scene.put(PLACE, &packets::frame(ROUTER, KERNEL, None, packet));
    scene.settle();
}

fn one(segments: Vec<Segment>) -> Segment {
    let [segment] = <[Segment; 1]>::try_from(segments).unwrap();
    segment
}

/// The kernel takes the connection and says this to the request; gives the SYN and the request.
fn accept(scene: &mut Scene, says: &[u8]) -> (Segment, Segment) {
    let dialled = to_kernel(scene).into_iter().filter(|segment| segment.flags.has(Flags::SYN));
    let dial = one(dialled.collect());
    assert_eq!((dial.flags, dial.len), (Flags::SYN, 0), "nobody's proxy takes payload in a SYN");
    from_kernel(scene, &answer(&dial, 5000, SYN_ACK, &[]));
    let request = one(to_kernel(scene));
    from_kernel(scene, &answer(&request, 5001, Flags::ACK, says));
    (dial, request)
}

fn goes_through(scene: &mut Scene, syn: &[u8], ours: IpAddr, kernels: IpAddr) {
    scene.send(0, syn);
    let (dial, request) = accept(scene, OPEN);
    assert_eq!((dial.from.0, dial.to), (ours, (kernels, PORT)));
    assert_eq!((request.from, request.to), (dial.from, dial.to));
    let opened = one(got(scene, 0));
    assert_eq!(opened.flags, SYN_ACK);
    let asked = segment((packets::outline(syn).unwrap(), syn)).unwrap();
    assert_eq!((opened.from, opened.to), (asked.to, asked.from), "as if the stranger had answered");
    // From here on nothing but addresses is rewritten.
    scene.send(0, &answer(&opened, 1001, Flags::ACK, b"question"));
    let question = to_kernel(scene).into_iter().find(|segment| segment.len == 8).unwrap();
    assert_eq!((question.from, question.to, question.sequence), (dial.from, dial.to, 1001));
    let next = 5001 + u32::try_from(OPEN.len()).unwrap();
    from_kernel(scene, &answer(&question, next, Flags::ACK, b"reply"));
    let reply = one(got(scene, 0));
    assert_eq!((reply.from, reply.to, reply.len), (asked.to, asked.from, 5));
    assert_eq!(reply.sequence, next);
    let totals = scene.server.totals();
    let counts = (totals.connects_opened, totals.connects_terminated, totals.connects_failed);
    assert_eq!(counts, (1, 1, 0));
    assert_eq!(totals.unaccounted(), 0);
}

#[test]
fn a_connection_goes_to_the_kernel_and_back_and_counts_as_terminated() {
    goes_through(&mut stage(1), &syn(1, STRANGER), OURS.into(), KERNELS.into());
}

#[test]
fn a_connection_over_ipv6_is_terminated_where_no_port_leads_to_ipv6() {
    let fields = Fields {
        source_port: 1,
        destination_port: 80,
        sequence_number: 1000,
        acknowledgment_number: 0,
        flags: Flags::SYN,
        window: 1000,
    };
    let syn = Ip::new(site::inner_v6(0), STRANGER_V6).tcp(&fields, &[], &[]);
    goes_through(&mut stage(1), &syn, OURS_V6.into(), KERNELS_V6.into());
}

#[test]
fn clients_with_one_address_and_port_are_two_for_the_kernel() {
    let mut scene = stage(2);
    let mut ends = Vec::new();
    for client in 0..2 {
        scene.send(client, &syn(1, STRANGER));
        ends.push(accept(&mut scene, OPEN).0.from);
        assert_eq!(one(got(&mut scene, client)).flags, SYN_ACK, "to whom has asked");
    }
    assert!(ends[0] != ends[1], "{ends:?}");
}

#[test]
fn what_the_kernel_refuses_is_reset_at_the_client() {
    let mut scene = stage(1);
    scene.send(0, &syn(1, STRANGER));
    accept(&mut scene, b"HTTP/1.1 502 Bad Gateway\r\n\r\n");
    assert!(one(got(&mut scene, 0)).flags.has(Flags::RST));
    let totals = scene.server.totals();
    assert_eq!((totals.connects_failed, totals.connects_terminated), (1, 0));
    assert_eq!((totals.connects_opening, totals.unaccounted()), (0, 0));
}

#[test]
fn nobody_else_speaks_to_that_kernel_nor_it_to_anybody_else() {
    let mut scene = stage(1);
    let dropped = |scene: &Scene, reason| scene.server.totals().dropped(reason);
    // A client that knows where it is.
    scene.send(0, &syn(7, KERNELS));
    scene.send(0, &Ip::new(EVERY_CLIENTS, KERNELS).echo(1, b"?"));
    assert_eq!(to_kernel(&mut scene).len(), 0);
    assert_eq!(dropped(&scene, DropReason::RouteRejected), 0, "told by ICMP");
    assert_eq!(scene.server.totals().icmp_errors, 2);
    // The kernel, to the Internet, to a client, and to a port that nobody has.
    let out = |to: IpAddr| Ip::new(KERNELS, to).udp(1, 2, b"?");
    for to in [IpAddr::from(NEAR), site::inner_v4(0).into(), site::OUTSIDE_V4.into()] {
        from_kernel(&mut scene, &out(to));
    }
    assert_eq!(dropped(&scene, DropReason::ParseForeignAddress), 3);
    let fields = |flags| Fields {
        source_port: PORT,
        destination_port: 2000,
        sequence_number: 1,
        acknowledgment_number: 0,
        flags,
        window: 1000,
    };
    from_kernel(&mut scene, &Ip::new(KERNELS, OURS).tcp(&fields(Flags::SYN), &[], &[]));
    assert_eq!(dropped(&scene, DropReason::EgressNatUnknown), 1);
    // Who claims to be this server, or one of its clients.
    for from in [SERVER_V4, site::OUTSIDE_V4] {
        from_kernel(&mut scene, &Ip::new(from, OURS).tcp(&fields(Flags::ACK), &[], &[]));
    }
    assert_eq!(dropped(&scene, DropReason::ParseIpSource), 2);
    assert_eq!(to_kernel(&mut scene).len(), 0);
    assert_eq!(scene.server.totals().unaccounted(), 0);
}

#[test]
fn the_network_does_not_reach_connections_that_are_terminated() {
    let mut scene = stage(1);
    scene.send(0, &syn(1, STRANGER));
    let (dial, _) = accept(&mut scene, OPEN);
    got(&mut scene, 0);
    // The same segment as the kernel's, from the Internet: it is nobody's here but the port's own kernel.
    let forged = answer(&Segment { len: 0, ..dial }, 5001, Flags::ACK, b"forged");
    scene.arrive(&forged);
    assert_eq!(got(&mut scene, 0).len(), 0);
}
