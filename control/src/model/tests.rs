//! Claims about the book.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use wireguard::message::ClientId;

use super::*;

fn key(number: u8) -> PublicKey {
    PublicKey([number.wrapping_add(9); 32])
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn peer(number: u8, nets: &[&str]) -> Peer {
    let allowed_ips = nets.iter().map(|text| net(text)).collect();
    Peer { allowed_ips, name: Some(format!("p{number}").into()), ..Peer::new(key(number)) }
}

fn route(prefix: &str, next_hop: &str) -> RouteTo {
    RouteTo { prefix: net(prefix), next_hop: next_hop.into(), origin: Origin::Cli }
}

fn apply(book: &mut Book, changes: &[Change]) -> Result<Touched, Refused> {
    book.apply(Origin::Cli, changes, &Limits::default())
}

fn refusal(book: &mut Book, changes: &[Change]) -> String {
    apply(book, changes).unwrap_err().to_string()
}

fn book_of(changes: &[Change]) -> Book {
    let mut book = Book::default();
    apply(&mut book, changes).unwrap();
    book
}

#[test]
fn an_address_moves_in_one_call_whichever_way_round_it_is_said() {
    for order in [[0, 1], [1, 0]] {
        let (one, two) = (peer(1, &["10.0.0.1/32"]), peer(2, &["10.0.0.2/32"]));
        let mut book = book_of(&[Change::AddPeer(one), Change::AddPeer(two)]);
        let swapped = [peer(1, &["10.0.0.2/32"]), peer(2, &["10.0.0.1/32"])];
        let changes = order.map(|at: usize| Change::PutPeer(swapped[at].clone()));
        apply(&mut book, &changes).unwrap();
        assert_eq!(book.holder(&net("10.0.0.1/32")).unwrap().public_key, key(2));
        assert_eq!(book.holder(&net("10.0.0.2/32")).unwrap().public_key, key(1));
    }
}

#[test]
fn what_somebody_else_has_is_refused_and_nothing_is_half_applied() {
    let mut held = peer(1, &["10.0.0.1/32"]);
    held.client_id = ClientId([0, 0, 1]);
    let mut book =
        book_of(&[Change::AddPeer(held), Change::AddRoute(route("192.0.2.0/24", "local"))]);
    let mut same_id = peer(2, &[]);
    same_id.client_id = ClientId([0, 0, 1]);
    let mut same_name = peer(2, &[]);
    same_name.name = Some("p1".into());
    let cases = [
        (Change::AddPeer(peer(1, &[])), "public_key: is that of p1 already"),
        (Change::AddPeer(same_name), "name: p1 is another peer's already (made with `millrace`)"),
        (Change::AddPeer(same_id), "client_id: the id of p2 is p1's already"),
        (Change::AddPeer(peer(2, &["10.0.0.1/32"])), "allowed_ips: 10.0.0.1/32 of p2 is p1's"),
        (Change::AddPeer(peer(2, &["192.0.2.0/24"])), "allowed_ips: 192.0.2.0/24 of p2 is a route"),
        (Change::AddRoute(route("10.0.0.1/32", "local")), "prefix: 10.0.0.1/32 is in allowed_ips"),
        (Change::AddRoute(route("192.0.2.0/24", "reject")), "prefix: 192.0.2.0/24 is a route"),
    ];
    for (change, expected) in cases {
        let good = Change::AddPeer(peer(7, &["10.0.0.7/32"]));
        let said = refusal(&mut book, &[good, change]);
        assert!(said.starts_with(expected), "{said}");
        assert_eq!((book.counts().peers, book.counts().routes), (1, 1));
        assert!(book.holder_of("10.0.0.7".parse::<IpAddr>().unwrap()).is_none());
    }
}

#[test]
fn what_has_no_meaning_is_refused_with_its_field() {
    let mut weak = peer(1, &[]);
    weak.public_key = PublicKey([0; 32]);
    let mut no_port = peer(1, &[]);
    no_port.endpoint = Some("192.0.2.1:0".parse().unwrap());
    let many: Vec<String> = (0..129).map(|last| format!("10.0.0.{last}/32")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let cases = [
        (weak, "public_key: is no usable key"),
        (no_port, "endpoint: 192.0.2.1:0 is nobody's"),
        (peer(1, &["10.0.0.1/24"]), "allowed_ips: 10.0.0.1/24 has bits behind its prefix; write"),
        (peer(1, &["224.0.0.0/4"]), "allowed_ips: 224.0.0.0/4 is multicast"),
        (peer(1, &["10.0.0.1/32", "10.0.0.1/32"]), "allowed_ips: 10.0.0.1/32 of p1 is there twice"),
        (peer(1, &many), "allowed_ips: 129 prefixes, and 128 are taken"),
    ];
    for (peer, expected) in cases {
        let said = refusal(&mut Book::default(), &[Change::AddPeer(peer)]);
        assert!(said.starts_with(expected), "{said}");
    }
    let limits = Limits { own: Some(key(1)), peers_max: 1 };
    let apply = |peers: &[u8]| {
        let changes: Vec<Change> =
            peers.iter().map(|number| Change::AddPeer(peer(*number, &[]))).collect();
        Book::default().apply(Origin::Cli, &changes, &limits).unwrap_err().to_string()
    };
    assert!(apply(&[1]).starts_with("public_key: is this server's own"));
    assert!(apply(&[2, 3]).starts_with("2 peers, and the dataplane takes 1"));
}

#[test]
fn peers_that_are_too_many_become_fewer_one_by_one() {
    let mut book = Book::default();
    let add = [2, 3, 4, 5].map(|number| Change::AddPeer(peer(number, &[])));
    book.apply(Origin::Cli, &add, &Limits::default()).unwrap();
    let limits = Limits { own: None, peers_max: 2 };
    let mut apply = |change: Change| book.apply(Origin::Cli, &[change], &limits);
    apply(Change::RemovePeer(key(2))).unwrap();
    let renamed = Peer { name: Some("three".into()), ..peer(3, &[]) };
    apply(Change::PutPeer(renamed)).unwrap();
    let said = apply(Change::AddPeer(peer(2, &[]))).unwrap_err().to_string();
    assert!(said.starts_with("4 peers, and the dataplane takes 2"), "{said}");
}

#[test]
fn a_next_hop_in_use_stays() {
    let hop = HopNamed::new("out", Hop::Client(key(1)), Origin::Cli);
    let mut book = Book::default();
    let said = refusal(&mut book, &[Change::AddNextHop(hop.clone())]);
    assert!(said.starts_with("peer: there is no peer"), "{said}");
    let add = [
        Change::AddPeer(peer(1, &[])),
        Change::AddNextHop(hop),
        Change::AddRoute(route("192.0.2.0/24", "out")),
    ];
    apply(&mut book, &add).unwrap();
    let remove_hop = Change::RemoveNextHop("out".into());
    let said = refusal(&mut book, std::slice::from_ref(&remove_hop));
    assert!(said.starts_with("next hop out is used by 1 routes"), "{said}");
    let said = refusal(&mut book, &[Change::RemovePeer(key(1))]);
    assert!(said.contains("is where next hop out leads"), "{said}");
    let remove_route = Change::RemoveRoute(net("192.0.2.0/24"));
    apply(&mut book, &[remove_route, remove_hop, Change::RemovePeer(key(1))]).unwrap();
    assert_eq!(book.messages(), Book::default().messages());
    let said = refusal(&mut book, &[Change::RemoveNextHop("local".into())]);
    assert!(said.contains("always there"), "{said}");
}

#[test]
fn what_is_declared_is_changed_in_its_file_alone() {
    let mut book = Book::default();
    let file = book.file("edge.toml").unwrap();
    let declared = Origin::Declared(Place { file, line: 3 });
    let mut one = peer(1, &["10.0.0.1/32"]);
    one.origin = declared;
    book.apply(declared, &[Change::AddPeer(one.clone())], &Limits::default()).unwrap();
    let said = refusal(&mut book, &[Change::RemovePeer(key(1))]);
    assert_eq!(said, "p1 is declared in edge.toml:3; change it there");
    let said = refusal(&mut book, &[Change::PutPeer(peer(1, &[]))]);
    assert_eq!(said, "p1 is declared in edge.toml:3; change it there");
    // To say the same again is no change.
    apply(&mut book, &[Change::PutPeer(peer(1, &["10.0.0.1/32"]))]).unwrap();
    assert_eq!(book.peer(&key(1)).unwrap().origin, declared);
    apply(&mut book, &[Change::AddPeer(peer(2, &[]))]).unwrap();
    let mut two = peer(2, &["10.0.0.2/32"]);
    two.origin = Origin::Declared(Place { file, line: 9 });
    let refused = book.apply(declared, &[Change::AddPeer(two)], &Limits::default()).unwrap_err();
    let said = refused.to_string();
    assert_eq!(
        said,
        "edge.toml:9: public_key: is that of p2 already (made with `millrace`); each peer has its own"
    );
}

#[test]
fn the_longest_prefix_decides() {
    let book = book_of(&[
        Change::AddPeer(peer(1, &["10.0.0.0/8", "10.1.1.1/32"])),
        Change::AddRoute(route("10.1.0.0/16", "local")),
        Change::AddRoute(route("::/0", "reject")),
    ]);
    let decided = |address: &str| match book.lookup(address.parse().unwrap()) {
        Some(Decision::Peer { prefix, .. } | Decision::Route { prefix, .. }) => prefix.to_string(),
        None => "none".to_owned(),
    };
    assert_eq!(decided("10.1.1.1"), "10.1.1.1/32");
    assert_eq!(decided("10.1.1.2"), "10.1.0.0/16");
    assert_eq!(decided("10.2.0.0"), "10.0.0.0/8");
    assert_eq!(decided("11.0.0.0"), "none");
    assert_eq!(decided("2001:db8::1"), "::/0");
}

#[test]
fn a_book_that_is_kept_stays_as_it_was() {
    let mut book = book_of(&[Change::AddPeer(peer(1, &["10.0.0.1/32"]))]);
    let kept = book.clone();
    apply(&mut book, &[Change::RemovePeer(key(1)), Change::AddPeer(peer(2, &[]))]).unwrap();
    assert!(kept.peer_named("p1").is_some() && kept.peer_named("p2").is_none());
    assert_eq!(Difference::between(&kept, &book).len(), 2);
    assert!(Arc::ptr_eq(book.peer_named("p2").unwrap(), book.peer(&key(2)).unwrap()));
}

#[test]
fn a_message_belongs_to_the_thing_that_it_is_a_part_of() {
    let many: Vec<String> = (0..20).map(|last| format!("10.0.0.{last}/32")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut book = Book::default();
    let add = [
        Change::AddPeer(peer(1, &many)),
        Change::AddPeer(peer(2, &[])),
        Change::AddRoute(route("192.0.2.0/24", "local")),
    ];
    apply(&mut book, &add).unwrap();
    let (one, two) = (Thing::Peer(key(1)), Thing::Peer(key(2)));
    let net = Thing::Route("192.0.2.0/24".parse().unwrap());
    let difference = Difference::between(&Book::default(), &book);
    // The first peer takes four messages: 4 + 7 + 7 + 2 prefixes.
    for (number, thing) in [(0, one), (3, one), (4, two), (5, net)] {
        assert_eq!(difference.thing(number), Some(thing), "{number}");
    }
    assert_eq!(difference.thing(6), None);
    // In a snapshot the next hops stand between.
    for (number, thing) in [(3, one), (4, two), (5, Thing::NextHop(REJECT)), (7, net)] {
        assert_eq!(book.thing(number), Some(thing), "{number}");
    }
}

#[test]
fn of_many_things_that_are_left_out_the_fleet_is_told_first() {
    let mut aside = Aside::default();
    for (thing, why) in [(Thing::Peer(key(1)), "one"), (Thing::Fleet, "two")] {
        aside.put(thing, Vec::new(), &why.into());
    }
    let trouble = aside.trouble(&Book::default()).unwrap();
    assert_eq!(trouble, "the fleet is left out (and 1 more): two");
}
