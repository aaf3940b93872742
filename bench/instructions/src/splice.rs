//! Connections that an exit splices, from another data centre to an origin: how they are begun, and their segments.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use connect::head::{Ask, Host, Target, write_request};
use dataplane::frame::Entry;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::rules::STRANGER;
use dataplane::testing::scene::Scene;
use dataplane::testing::server::WIRE;
use dataplane::testing::site::{CENTRE_V4, CONNECT_PORT, OUTSIDE_V4, SERVER_V4};
use wire::tcp::{self, Fields, Flags};

use crate::course::{self, FRAMES};
use crate::{Failure, scenes};

const CONNECTIONS: u16 = 16;
/// The port of the first of them at the other data centre, and all of them's at the origin.
const FIRST_PORT: u16 = 2_000;
const ORIGIN_PORT: u16 = 443;
/// After this nothing of a set-up is waited for.
const YOUTH: Duration = Duration::from_secs(3);

const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);
const PUSHED: Flags = Flags(Flags::ACK.0 | Flags::PSH.0);
/// Everybody's kind of SYN.
const OPTIONS: &[u8] = &[2, 4, 5, 100, 4, 2, 1, 1, 1, 3, 3, 7];
const PAYLOAD: [u8; 100] = [0; 100];

/// What segments of one end bear.
#[derive(Clone, Copy, Default)]
struct Numbers {
    sequence: u32,
    acknowledgment: u32,
}

/// A connection that is there: the server's port towards the origin, and what both ends' segments bear.
#[derive(Clone, Copy, Default)]
struct Opened {
    ours: u16,
    near: Numbers,
    far: Numbers,
}

/// Both manners of asking, both directions.
pub(crate) fn both() -> Result<(), Failure> {
    for (manner, is_borne) in [("asked in the SYN", true), ("asked behind the SYN", false)] {
        let mut scene = scenes::server();
        let ports = FIRST_PORT..FIRST_PORT + CONNECTIONS;
        let opened = ports.map(|port| Ok((port, open(&mut scene, port, is_borne)?)));
        let opened = opened.collect::<Result<Vec<_>, Failure>>()?;
        scene.wait(YOUTH);
        scene.strays();
        let onward = |port, of: &Opened| near(port, (Flags::ACK, of.near), &PAYLOAD);
        let back = |_, of: &Opened| far(of.ours, (Flags::ACK, of.far), &PAYLOAD);
        walk(&mut scene, &format!("splice, {manner}, onward"), &opened, onward)?;
        walk(&mut scene, &format!("splice, {manner}, back"), &opened, back)?;
    }
    Ok(())
}

fn walk(
    scene: &mut Scene,
    name: &str,
    opened: &[(u16, Opened)],
    segment: impl Fn(u16, &Opened) -> Vec<u8>,
) -> Result<(), Failure> {
    let frames = opened.iter().cycle().take(FRAMES);
    let frames: Vec<_> = frames.map(|(port, of)| segment(*port, of)).collect();
    course::run(scene, (name, &["nat::undress"]), (Entry::Wire(0), &frames))
}

/// Begins a connection from this port, and plays both ends until it is there.
fn open(scene: &mut Scene, port: u16, is_borne: bool) -> Result<Opened, Failure> {
    let request = request()?;
    let mut opened = Opened::default();
    let (mut asked, mut there) = (is_borne, false);
    let payload = if is_borne { &request[..] } else { &[] };
    scene.put(WIRE, &near(port, (Flags::SYN, Numbers::default()), payload));
    for _ in 0..4 {
        scene.settle();
        for (_, frame) in scene.strays() {
            let Some(segment) = Segment::of(&frame) else { continue };
            let is_syn = segment.flags.has(Flags::SYN);
            let taken = Numbers { sequence: segment.acknowledgment, acknowledgment: segment.end };
            if segment.to == IpAddr::from(STRANGER) && is_syn {
                opened.ours = segment.from_port;
                let numbers = Numbers { sequence: 0x5555_0000, ..taken };
                opened.far = Numbers { sequence: 0x5555_0001, ..taken };
                scene.put(WIRE, &far(opened.ours, (SYN_ACK, numbers), &[]));
            } else if segment.to == IpAddr::from(CENTRE_V4) && is_syn && !asked {
                asked = true;
                scene.put(WIRE, &near(port, (PUSHED, taken), &request));
            } else if segment.to == IpAddr::from(CENTRE_V4) && (is_syn || segment.has_payload) {
                there = true;
                opened.near = taken;
                scene.put(WIRE, &near(port, (Flags::ACK, taken), &[]));
            }
        }
    }
    if there && opened.ours != 0 {
        Ok(opened)
    } else {
        Err("a connection did not come about".into())
    }
}

fn request() -> Result<Vec<u8>, Failure> {
    let target = Target { host: Host::Address(STRANGER.into()), port: ORIGIN_PORT };
    let ask = Ask { target, keepalive_secs: 15, hops: Some(1), site: None };
    let mut octets = vec![0; 256];
    let len = write_request(&mut octets, &ask).map_err(|_| "a request has no room")?;
    octets.truncate(len);
    Ok(octets)
}

/// A segment of the other data centre's.
fn near(port: u16, bears: (Flags, Numbers), payload: &[u8]) -> Vec<u8> {
    frame([(CENTRE_V4, port), (SERVER_V4, CONNECT_PORT)], bears, payload)
}

/// A segment of the origin's, to this port of the server's.
fn far(ours: u16, bears: (Flags, Numbers), payload: &[u8]) -> Vec<u8> {
    frame([(STRANGER, ORIGIN_PORT), (OUTSIDE_V4, ours)], bears, payload)
}

fn frame(
    [from, to]: [(Ipv4Addr, u16); 2],
    (flags, numbers): (Flags, Numbers),
    payload: &[u8],
) -> Vec<u8> {
    let fields = Fields {
        source_port: from.1,
        destination_port: to.1,
        sequence_number: numbers.sequence,
        acknowledgment_number: numbers.acknowledgment,
        flags,
        window: 500,
    };
    let options = if flags.has(Flags::SYN) { OPTIONS } else { &[] };
    packets::from_gateway(&Ip::new(from.0, to.0).tcp(&fields, options, payload))
}

/// A segment that has come out.
struct Segment {
    from_port: u16,
    to: IpAddr,
    flags: Flags,
    acknowledgment: u32,
    /// The number behind it.
    end: u32,
    has_payload: bool,
}

impl Segment {
    fn of(frame: &[u8]) -> Option<Self> {
        let (outline, packet) = packets::packet_in(frame)?;
        let segment = packet.get(outline.payload_offset..outline.len)?;
        let located = (outline.protocol == tcp::PROTOCOL).then(|| tcp::parse(segment).ok())??;
        let payload = segment.get(located.payload_offset..)?.len();
        let syn = u32::from(located.flags.has(Flags::SYN));
        Some(Self {
            from_port: located.source_port,
            to: outline.destination,
            flags: located.flags,
            acknowledgment: located.acknowledgment_number,
            end: located.sequence_number.wrapping_add(u32::try_from(payload).ok()? + syn),
            has_payload: payload > 0,
        })
    }
}
