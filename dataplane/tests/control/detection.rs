//! Detection: what is heavy on the wire, as control hears of it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use dataplane::testing::packets::{self, Ip};
use dataplane::testing::server::WIRE;
use dataplane::testing::site;
use ipnet::IpNet;
use shm::message::{Event, Heavy, Item, Matter, Mode, Pattern, Reach, Rule, SynGuard, Tenant};
use wire::tcp::{self, Flags};

use super::stage::{Stage, peer};

const SOURCE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 250);
const COUNT: u16 = 300;

/// What control hears of a second with a flood of these packets beside a few of somebody else.
fn heard(stage: &mut Stage) -> Vec<Event> {
    stage.control.hear();
    for at in 0..COUNT {
        let flood = Ip::new(SOURCE, site::SERVER_V4).udp(1000 + at, 5000, &[0; 100]);
        stage.scene.put(WIRE, &packets::from_gateway(&flood));
        if at % 100 == 0 {
            let other = Ip::new(Ipv4Addr::new(192, 0, 2, 9), site::SERVER_V4).udp(at, 6000, b"");
            stage.scene.put(WIRE, &packets::from_gateway(&other));
            stage.scene.settle();
        }
    }
    stage.scene.wait(Duration::from_secs(1));
    stage.control.hear()
}

/// Packets and dropped packets per second of what is heavy, in the only round that tells of it.
fn rates(events: &[Event], wanted: Heavy) -> (u64, u64) {
    let mut rates = events.iter().filter_map(|event| match event {
        Event::Heavy { packets, dropped, what, .. } if *what == wanted => {
            Some((*packets, *dropped))
        }
        _ => None,
    });
    let found = rates.next().expect("it is heavy");
    assert_eq!(rates.next(), None, "and then it is over");
    found
}

#[test]
fn a_flood_is_told_of_by_source_destination_and_look_within_a_second() {
    let mut stage = Stage::new(4, 2);
    stage.change(&[peer(0)]);
    let events = heard(&mut stage);
    let net = IpNet::from(IpAddr::from(SOURCE));
    let source = Heavy::Source(net);
    let (packets, dropped) = rates(&events, source);
    assert!(packets > 0 && dropped == 0, "{events:?}");
    let address = site::SERVER_V4.into();
    assert!(rates(&events, Heavy::Destination { address, tenant: None }).0 >= packets);
    let look = Pattern {
        tenant: None,
        destination: address,
        protocol: 17,
        source_port: None,
        destination_port: Some(5000),
        len: Some(128),
        tcp_flags: None,
    };
    assert_eq!(rates(&events, Heavy::Pattern(look)), (packets, 0));
    let sources =
        events.iter().filter(|event| matches!(event, Event::Heavy { what: Heavy::Source(_), .. }));
    assert_eq!(sources.count(), 1, "three packets are not heavy: {events:?}");
    assert!(events.iter().any(|event| matches!(event, Event::Swept { .. })), "{events:?}");

    let matter = Matter::Block;
    let rule = Rule { id: 1, mode: Mode::Enforce, reach: Reach::All, expires: None, matter };
    stage.change(&[Item::Rule(Box::new(rule)), Item::Listed { rule: 1, prefixes: vec![net] }]);
    let events = heard(&mut stage);
    let (packets, dropped) = rates(&events, source);
    assert!(packets > 0 && packets == dropped, "what is dropped is seen all the same: {events:?}");
    stage.is_whole();
}

#[test]
fn a_flood_of_syns_that_is_answered_shows_its_look_and_that_it_does_not_go_on() {
    let mut stage = Stage::new(4, 2);
    let target: IpAddr = "203.0.113.7".parse().unwrap();
    let tenant = Tenant {
        id: 9,
        mode: Mode::Enforce,
        syn: SynGuard::CookieReset,
        syn_above: 0,
        flows: false,
        out_of_state: 0,
        prefixes: vec![IpNet::new(target, 24).unwrap().trunc()],
    };
    stage.change(&[peer(0), Item::Tenant(Box::new(tenant))]);
    stage.control.hear();
    for at in 0..COUNT {
        let source = Ipv4Addr::from_bits(u32::from_be_bytes([100, 0, 0, 0]) + u32::from(at) * 977);
        let fields = tcp::Fields {
            source_port: 1000 + at,
            destination_port: 443,
            sequence_number: at.into(),
            acknowledgment_number: 0,
            flags: Flags::SYN,
            window: 1000,
        };
        let packet = Ip::new(source, target).tcp(&fields, &[], &[]);
        stage.scene.put(WIRE, &packets::from_gateway(&packet));
    }
    stage.scene.wait(Duration::from_secs(1));
    let events = stage.control.hear();
    let look = Pattern {
        tenant: Some(9),
        destination: target,
        protocol: 6,
        source_port: None,
        destination_port: Some(443),
        len: Some(40),
        tcp_flags: Some(Flags::SYN.0),
    };
    let (packets, dropped) = rates(&events, Heavy::Pattern(look));
    assert!(packets > 0 && packets == dropped, "{events:?}");
    stage.is_whole();
}
