//! The whole way of a packet, from every entry: any octets get a fate, stay in their buffer, and what the
//! stages know afterwards still serves the next packet. Some come from another server of the fleet, which can prove it.
#![no_main]

use dataplane::burst::Burst;
use dataplane::config::Config;
use dataplane::fate::Fate;
use dataplane::frame::{Entry, Frame, Note};
use dataplane::keeper::Start;
use dataplane::limits::{DATA_ROOM, HEADROOM, OUTBOX_PACKET_LEN};
use dataplane::pipeline::{self, State};
use dataplane::site::Site;
use dataplane::testing::{fleet, packets, roll, site, transit};
use libfuzzer_sys::fuzz_target;
use shm::message::{Centre, Item, Machine, MemberState, NextHop, Tunnel};
use std::cell::RefCell;
use std::time::Duration;
use wire::fleet::Header;
use wire::gre;
use wireguard::time::Instant;

const CONFIG: &str = r#"
private_key = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
listen_port = 51820
workers = [0, 1]
[fleet]
server = 1
key = "8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fE="
[nat]
addresses = ["192.0.2.77"]
client_address = "172.16.0.2"
flows = 64
setups = 8
untranslated = ["2001:db8:c::/48"]
prefixes = [{ inside = "fd00:7::/48", outside = "2001:db8:d::/48" }]
[connect]
port = 4443
from = ["192.0.0.0/8"]
[[port]]
name = "plain"
device = "net_null0"
addresses = ["192.0.2.1/24", "2001:db8::1/64"]
gateways = ["192.0.2.254", "2001:db8::fe"]
kernel = "wan0"
[[port]]
name = "tagged"
device = "net_null1"
addresses = ["198.51.100.1/24"]
vlan = 100
kernel = "wan1"
[local]
interface = "inner0"
addresses = ["10.7.0.1", "fd00:7::1"]
[[peer]]
public_key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
allowed_ips = ["10.7.0.2/32", "fd00:7::2/128"]
endpoint = "192.0.2.9:51820"
[[peer]]
public_key = "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="
allowed_ips = ["10.8.0.0/16", "fd00:8::/32"]
"#;

thread_local! {
    static STATE: RefCell<State> = RefCell::new(state());
}

fn state() -> State {
    let site = |config: &Config| Site::new(config, &[[2, 0, 0, 0, 0, 1]; 2], Some([2, 0, 0, 0, 0, 9]));
    let start = Start { seed: [7; 32], now: Instant::ZERO, unix: Duration::from_secs(1_700_000_000) };
    let mut keeper = roll::keeper(CONFIG, site, start).1;
    let draining = MemberState::Draining { deadline: None };
    let members = vec![
        fleet::member(fleet::SERVER, MemberState::Active),
        fleet::member(OTHER, MemberState::Active),
        fleet::member(OTHER + 1, MemberState::Down),
        fleet::member(OTHER + 2, draining),
    ];
    let mut items = vec![fleet::told(7, members)];
    items.extend(transit::tenant(
        Tunnel { probe: Some(transit::probe()), ..transit::tunnel(1) },
        "tcp dport 1-1024 counter accept\nlimit rate over 10/second counter\nicmp type 8 drop",
    ));
    items.push(Item::NextHop { id: 3, hop: NextHop::Direct });
    items.push(Item::Route { prefix: "0.0.0.0/0".parse().unwrap(), next_hop: 3 });
    // Half of the Internet is reached through another data centre.
    let machine = Machine { address: [192, 0, 2, 7].into(), port: 4443, weight: 1 };
    let (number, is_here, relay, machines) = (7, false, 0, vec![machine]);
    items.push(Item::Centre(Box::new(Centre { number, is_here, relay, machines })));
    items.push(Item::NextHop { id: 4, hop: NextHop::Via { centre: 7, remote: None } });
    items.push(Item::Route { prefix: "128.0.0.0/1".parse().unwrap(), next_hop: 4 });
    // What was told of peers before stays.
    keeper.load(roll::delta(items)).unwrap();
    keeper.state(0)
}

/// Another server.
const OTHER: u8 = 2;

/// The frame of a packet that another server has passed on under any header.
fn passed_on(octets: &[u8]) -> Vec<u8> {
    let (key, carried) = octets.split_first_chunk().unwrap_or((&[0; 4], octets));
    let header = Header::from_key(u32::from_be_bytes(*key), 0);
    let mut carried = carried.to_vec();
    // The header says the version, and its writer looks for it there.
    let version = if carried.first().is_some_and(|octet| octet & 0x80 != 0) { 0x60 } else { 0x40 };
    carried.resize(carried.len().max(1), 0);
    carried[0] = carried[0] & 0x0f | version;
    let packet = fleet::passed_on((OTHER, fleet::SERVER), &header, &carried, |_| ());
    packets::frame([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], None, &packet)
}

/// The frame of what a tenant's router sends: a GRE header and all behind it.
fn tunnelled(octets: &[u8]) -> Vec<u8> {
    let packet = packets::Ip::new(transit::ROUTER, site::SERVER_V4).packet(gre::PROTOCOL, octets);
    packets::frame([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], None, &packet)
}

const ENTRIES: [Entry; 10] = [
    Entry::Wire(0),
    Entry::Wire(1),
    Entry::Kernel(0),
    Entry::Kernel(1),
    Entry::Local,
    Entry::Client,
    Entry::Handed,
    Entry::Relay(0),
    Entry::Piece(0),
    Entry::Reply(0),
];

fuzz_target!(|octets: &[u8]| {
    let Some((&choice, packet)) = octets.split_first() else { return };
    let packet = &packet[..packet.len().min(1500)];
    let carried = match choice & 0x60 {
        0x40 => Some(passed_on(packet)),
        0x20 => Some(tunnelled(packet)),
        _ => None,
    };
    let packet = carried.as_deref().unwrap_or(packet);
    let entry = usize::from(choice & 0xf);
    let entry = ENTRIES[if entry < ENTRIES.len() { entry } else { entry & 7 }];
    let mut note = Note::new(entry);
    // Without this nearly every input would end at a checksum.
    note.verified = choice & 0x80 != 0;
    let mut buffer = vec![0; HEADROOM + DATA_ROOM];
    buffer[HEADROOM..HEADROOM + packet.len()].copy_from_slice(packet);
    let mut burst = Burst::default();
    burst.push(Frame::new(&mut buffer, HEADROOM, packet.len(), &mut note));
    STATE.with_borrow_mut(|state| {
        pipeline::walk(&mut burst, state, Instant(u64::from(choice) << 30));
        while state.neighbours.next_question().is_some() {}
        while state.neighbours.next_news().is_some() {}
        let mut octets = [0; OUTBOX_PACKET_LEN];
        while state.translator.as_mut().is_some_and(|own| own.take_packet(&mut octets).is_some()) {}
        while state.next_settled(Instant(u64::from(choice) << 30)).is_some() {}
    });
    for outcome in burst.finish() {
        assert_ne!(outcome.fate, Fate::Undecided);
        assert!(outcome.start + outcome.len <= HEADROOM + DATA_ROOM);
    }
});
