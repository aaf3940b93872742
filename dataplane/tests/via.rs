//! The way to the Internet through other data centres, in memory: what control hears of it, and what keeps it alive.

#[cfg(test)]
#[path = "via/cases.rs"]
mod cases;
#[cfg(test)]
#[path = "via/dials.rs"]
mod dials;
#[cfg(test)]
#[path = "via/keepalive.rs"]
mod keepalive;
#[cfg(test)]
#[path = "via/pair.rs"]
mod pair;
#[cfg(test)]
#[path = "via/paths.rs"]
mod paths;
#[cfg(test)]
#[path = "via/refused.rs"]
mod refused;
#[cfg(test)]
#[path = "via/room.rs"]
mod room;
#[cfg(test)]
#[path = "via/through.rs"]
mod through;
#[cfg(test)]
#[path = "via/through/pieces.rs"]
mod pieces;
#[cfg(test)]
#[path = "via/through/reports.rs"]
mod reports;
#[cfg(test)]
#[path = "via/through/strangers.rs"]
mod strangers;
#[cfg(test)]
#[path = "via/through/v6.rs"]
mod v6;
#[cfg(test)]
#[path = "via/through/world.rs"]
mod world;

use std::net::{IpAddr, Ipv4Addr};

use dataplane::testing::client;
use dataplane::testing::packets::{self, Ip, Outline};
use dataplane::testing::rules::STRANGER;
use dataplane::testing::scene::Scene;
use dataplane::testing::server::Options;
use dataplane::testing::site::{CENTRE_V4, EVERY_CLIENTS, Nat, Plan};
use shm::message::{Centre, Item, Machine, NextHop};
use wire::tcp::{self, Flags, OptionField};

/// Another data centre.
const CENTRE: u16 = 7;

/// Whom clients reach straight from here; they reach [`STRANGER`] through [`CENTRE`].
const NEAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// A server with room for some flows.
#[cfg(test)]
fn plan() -> Plan {
    let nat = Nat { flows: 512, flows_per_client: 512, setups: 16 };
    Plan { nat: Some(nat), ..Plan::new(1) }
}

/// A server with one client.
#[cfg(test)]
fn stage() -> Scene {
    stage_of(&plan())
}

#[cfg(test)]
fn stage_of(plan: &Plan) -> Scene {
    let mut scene = Scene::new(plan, Options::default());
    let machine = Machine { address: CENTRE_V4.into(), port: 443, weight: 1 };
    let centre = Centre { number: CENTRE, is_here: false, relay: 0, machines: vec![machine] };
    let to = |address: Ipv4Addr, next_hop| Item::Route {
        prefix: IpAddr::from(address).into(),
        next_hop,
    };
    scene.change(vec![
        Item::Centre(Box::new(centre)),
        Item::NextHop { id: 3, hop: NextHop::Via { centre: CENTRE.into(), remote: None } },
        Item::NextHop { id: 4, hop: NextHop::Direct },
        to(STRANGER, 3),
        to(NEAR, 4),
    ]);
    scene.join(false, client::Options::default());
    scene.send(0, &Ip::new(EVERY_CLIENTS, NEAR).echo(1, b"a session"));
    scene.strays();
    scene
}

/// A segment, as its receiver reads it.
#[cfg(test)]
#[derive(Debug)]
struct Segment {
    from: (IpAddr, u16),
    to: (IpAddr, u16),
    sequence: u32,
    flags: Flags,
    len: u32,
    /// `TSval`, if there are timestamps.
    stamp: Option<u32>,
}

/// The segments among packets.
#[cfg(test)]
fn segment((outline, packet): (Outline, &[u8])) -> Option<Segment> {
    let upper = packet.get(outline.payload_offset..outline.len)?;
    let located = (outline.protocol == tcp::PROTOCOL).then(|| tcp::parse(upper).ok())??;
    Some(Segment {
        from: (outline.source, located.source_port),
        to: (outline.destination, located.destination_port),
        sequence: located.sequence_number,
        flags: located.flags,
        len: u32::try_from(upper.len() - located.payload_offset).unwrap(),
        stamp: located.options(upper).flatten().find_map(|option| match option {
            OptionField::Timestamps { value, .. } => Some(value),
            OptionField::MaximumSegmentSize(_)
            | OptionField::WindowScale(_)
            | OptionField::SackPermitted
            | OptionField::Sack(_)
            | OptionField::Other { .. } => None,
        }),
    })
}

/// What the server has sent to the network since the last look.
#[cfg(test)]
fn segments_out(scene: &mut Scene) -> Vec<Segment> {
    let strays = scene.strays();
    strays.iter().filter_map(|(_, frame)| segment(packets::packet_in(frame)?)).collect()
}

/// An answer to a segment: what it has sent is acknowledged.
#[cfg(test)]
fn answer(to: &Segment, sequence: u32, flags: Flags, payload: &[u8]) -> Vec<u8> {
    let taken = to.len + u32::from(to.flags.has(Flags::SYN)) + u32::from(to.flags.has(Flags::FIN));
    let fields = tcp::Fields {
        source_port: to.to.1,
        destination_port: to.from.1,
        sequence_number: sequence,
        acknowledgment_number: to.sequence.wrapping_add(taken),
        flags,
        window: 1000,
    };
    Ip::new(to.to.0, to.from.0).tcp(&fields, &[], payload)
}

/// A client's SYN.
#[cfg(test)]
fn syn(port: u16, to: Ipv4Addr) -> Vec<u8> {
    let fields = tcp::Fields {
        source_port: port,
        destination_port: 80,
        sequence_number: 1000,
        acknowledgment_number: 0,
        flags: Flags::SYN,
        window: 1000,
    };
    Ip::new(EVERY_CLIENTS, to).tcp(&fields, &[], &[])
}
