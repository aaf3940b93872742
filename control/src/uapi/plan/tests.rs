//! Claims about what requests make of books.

use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;
use wireguard::message::ClientId;
use wireguard::secret::Secret;

use super::*;
use crate::model::{Limits, Origin, Place, RouteTo};
use crate::uapi::show;

fn key(number: u8) -> PublicKey {
    let mut key = [0x20; 32];
    key[0] = number;
    PublicKey(key)
}

fn named(number: u8) -> String {
    let digits: Vec<String> = key(number).0.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("public_key={}\n", digits.concat())
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn peer(number: u8, nets: &[&str]) -> Peer {
    Peer { allowed_ips: nets.iter().map(|text| net(text)).collect(), ..Peer::new(key(number)) }
}

fn set_of(text: &str) -> Set {
    let mut set = Set::default();
    text.lines().for_each(|line| set.line(line.as_bytes()).unwrap());
    set
}

/// What becomes of a book by a request.
fn ask(book: &mut Book, text: &str) -> Result<usize, Refused> {
    let changes = changes(set_of(text), book, None)?;
    book.apply(Origin::Uapi, &changes, &Limits::default())?;
    Ok(changes.len())
}

fn book_of(peers: &[Peer]) -> Book {
    let changes: Vec<_> = peers.iter().cloned().map(Change::AddPeer).collect();
    let mut book = Book::default();
    book.apply(Origin::Cli, &changes, &Limits::default()).unwrap();
    book
}

/// The same with the first peer declared in `peers.toml:3`.
fn book_declaring(declared: Peer, kept: &[Peer]) -> Book {
    let mut book = Book::default();
    let file = book.file("peers.toml").unwrap();
    let origin = Origin::Declared(Place { file, line: 3 });
    let change = Change::AddPeer(Peer { origin, ..declared });
    book.apply(origin, &[change], &Limits::default()).unwrap();
    let changes: Vec<_> = kept.iter().cloned().map(Change::AddPeer).collect();
    book.apply(Origin::Cli, &changes, &Limits::default()).unwrap();
    book
}

fn nets_of(book: &Book, number: u8) -> Vec<String> {
    let peer = book.peer(&key(number)).unwrap();
    peer.allowed_ips.iter().map(ToString::to_string).collect()
}

#[test]
fn an_address_moves_silently_from_a_kept_peer_to_the_one_that_is_given_it() {
    let mut book = book_of(&[peer(1, &["10.0.0.1/32", "10.0.0.9/32"]), peer(2, &[])]);
    let text = named(2) + "allowed_ip=10.0.0.9/32\n";
    assert_eq!(ask(&mut book, &text).unwrap(), 2);
    assert_eq!(nets_of(&book, 1), ["10.0.0.1/32"]);
    assert_eq!(nets_of(&book, 2), ["10.0.0.9/32"]);
    // Also within one request, where the last has it.
    let text = named(3) + "allowed_ip=10.0.0.9/32\n" + &named(1) + "allowed_ip=10.0.0.9/32\n";
    ask(&mut book, &text).unwrap();
    assert_eq!(nets_of(&book, 1), ["10.0.0.1/32", "10.0.0.9/32"]);
    assert!(nets_of(&book, 2).is_empty() && nets_of(&book, 3).is_empty());
}

#[test]
fn an_address_of_a_declared_peer_does_not_move() {
    let mut book = book_declaring(peer(1, &["10.0.0.1/32"]), &[peer(2, &[])]);
    let text = named(2) + "allowed_ip=10.0.0.1/32\n";
    let refused = ask(&mut book, &text).unwrap_err();
    assert_eq!(refused.cause, Cause::Declared);
    assert!(refused.to_string().contains("declared in peers.toml:3; change it there"), "{refused}");
    for text in [named(1) + "remove=true\n", "replace_peers=true\n".to_owned() + &named(2)] {
        assert_eq!(ask(&mut book, &text).unwrap_err().cause, Cause::Declared);
    }
    assert_eq!(nets_of(&book, 1), ["10.0.0.1/32"]);
    // Who says the same of it changes nothing.
    let same = "replace_peers=true\n".to_owned() + &named(1) + "allowed_ip=10.0.0.1/32\n";
    assert_eq!(ask(&mut book, &(same + &named(2))).unwrap(), 0);
}

#[test]
fn sections_change_only_what_they_say_and_zeros_take_a_preshared_key_away() {
    let mut before = peer(1, &["10.0.0.1/32"]);
    before.name = Some("phone".into());
    before.client_id = ClientId([1, 2, 3]);
    before.endpoint = Some("192.0.2.1:1".parse().unwrap());
    before.preshared_key = Some(Box::new(Secret::new([9; 32])));
    let mut book = book_of(std::slice::from_ref(&before));
    ask(&mut book, &(named(1) + "persistent_keepalive_interval=25\n")).unwrap();
    let wanted = Peer { persistent_keepalive: 25, ..before };
    assert!(book.peer(&key(1)).unwrap().says_the_same(&wanted));
    ask(&mut book, &(named(1) + "preshared_key=" + &"0".repeat(64) + "\n")).unwrap();
    let wanted = Peer { preshared_key: None, ..wanted };
    assert!(book.peer(&key(1)).unwrap().says_the_same(&wanted));
    // What replaces all peers keeps what `wg` has no words for, and nothing else.
    ask(&mut book, &("replace_peers=true\n".to_owned() + &named(1))).unwrap();
    let wanted = Peer { name: wanted.name, client_id: wanted.client_id, ..peer(1, &[]) };
    assert!(book.peer(&key(1)).unwrap().says_the_same(&wanted));
}

#[test]
fn prefixes_are_replaced_added_and_taken_as_the_section_says() {
    let mut book = book_of(&[peer(1, &["10.0.0.1/32", "10.0.0.2/32"]), peer(2, &["10.0.0.3/32"])]);
    ask(&mut book, &(named(1) + "allowed_ip=10.0.1.9/24\nallowed_ip=-10.0.0.1/32\n")).unwrap();
    assert_eq!(nets_of(&book, 1), ["10.0.0.2/32", "10.0.1.0/24"]);
    // What another holds is not taken from it.
    assert_eq!(ask(&mut book, &(named(1) + "allowed_ip=-10.0.0.3/32\n")).unwrap(), 0);
    ask(&mut book, &(named(1) + "replace_allowed_ips=true\nallowed_ip=10.0.0.2/32\n")).unwrap();
    assert_eq!(nets_of(&book, 1), ["10.0.0.2/32"]);
    ask(
        &mut book,
        &(named(1) + "replace_allowed_ips=true\n" + &named(2) + "allowed_ip=10.0.0.2/32"),
    )
    .unwrap();
    assert_eq!((nets_of(&book, 1).len(), nets_of(&book, 2).len()), (0, 2));
}

#[test]
fn what_is_so_already_is_no_change_in_whatever_order_it_is_said() {
    let mut book = book_of(&[peer(1, &["10.0.0.1/32", "::1/128"]), peer(2, &[])]);
    let one = named(1) + "replace_allowed_ips=true\nallowed_ip=::1/128\nallowed_ip=10.0.0.1/32\n";
    assert_eq!(ask(&mut book, &one).unwrap(), 0);
    assert_eq!(ask(&mut book, &("replace_peers=true\n".to_owned() + &one + &named(2))).unwrap(), 0);
}

#[test]
fn who_is_not_there_is_neither_removed_nor_updated_and_who_is_removed_may_come_anew() {
    let mut book = book_of(&[peer(1, &["10.0.0.1/32"])]);
    let absent =
        named(2) + "remove=true\n" + &named(3) + "update_only=true\nallowed_ip=10.0.0.1/32\n";
    assert_eq!(ask(&mut book, &absent).unwrap(), 0);
    assert_eq!(nets_of(&book, 1), ["10.0.0.1/32"]);
    let anew = named(1) + "remove=true\n" + &named(2) + "allowed_ip=10.0.0.1/32\n" + &named(1);
    ask(&mut book, &anew).unwrap();
    assert_eq!((nets_of(&book, 1).len(), nets_of(&book, 2).len()), (0, 1));
}

#[test]
fn the_servers_own_key_in_a_list_for_a_whole_mesh_means_nothing() {
    let book = Book::default();
    let changes = changes(set_of(&(named(1) + &named(2))), &book, Some(key(1))).unwrap();
    assert!(matches!(changes.as_slice(), [Change::AddPeer(peer)] if peer.public_key == key(2)));
}

#[test]
fn a_request_with_one_fault_changes_nothing() {
    let mut book = book_of(&[peer(1, &["10.0.0.1/32"])]);
    let route =
        RouteTo { prefix: net("10.9.0.0/16"), next_hop: "local".into(), origin: Origin::Cli };
    book.apply(Origin::Cli, &[Change::AddRoute(route)], &Limits::default()).unwrap();
    let mut many = String::new();
    for at in 0..=ADDRESSES_PER_PEER_MAX {
        writeln!(many, "allowed_ip=10.1.0.{at}/32").unwrap();
    }
    let cases = [
        (named(2) + "allowed_ip=10.9.0.0/16\n", Cause::Conflict),
        (named(2) + "endpoint=192.0.2.1:0\n", Cause::Invalid),
        (named(2) + &many, Cause::Full),
        (named(2) + &format!("public_key={}\n", "0".repeat(64)), Cause::Invalid),
    ];
    for (text, cause) in cases {
        let text = named(1) + "remove=true\n" + &text;
        assert_eq!(ask(&mut book, &text).unwrap_err().cause, cause, "{text}");
        assert_eq!((book.counts().peers, nets_of(&book, 1).len()), (1, 1));
    }
}

prop_compose! {
    fn any_peer()(
        number in 0..40_u8,
        preshared_key in prop::option::of(any::<[u8; 32]>()),
        endpoint in prop::option::of((any::<std::net::IpAddr>(), 1..=u16::MAX)),
        persistent_keepalive in any::<u16>(),
        allowed_ips in prop::collection::vec((any::<std::net::IpAddr>(), 0..=128_u8), 0..6),
    ) -> Peer {
        let secret = preshared_key.map(|octets| Box::new(Secret::new(octets)));
        let mut nets: Vec<IpNet> = allowed_ips.into_iter().map(|(address, len)| {
            let len = if address.is_ipv4() { len % 33 } else { len };
            IpNet::new(address, len).unwrap().trunc()
        }).filter(|net| !net.addr().is_multicast()).collect();
        nets.sort();
        nets.dedup();
        Peer {
            preshared_key: secret.filter(|key| !key.is_zero()),
            endpoint: endpoint.map(Into::into).filter(|endpoint: &std::net::SocketAddr| {
                !endpoint.ip().is_unspecified() && !endpoint.ip().is_multicast()
            }),
            persistent_keepalive,
            allowed_ips: nets.into(),
            ..Peer::new(key(number))
        }
    }
}

/// A book of those of the peers that fit into one.
fn book_of_any(peers: Vec<Peer>) -> Book {
    let mut book = Book::default();
    for peer in peers {
        // One that holds what another has is left out.
        drop(book.apply(Origin::Cli, &[Change::AddPeer(peer)], &Limits::default()));
    }
    book
}

/// What `get` says of a book, as a request.
fn as_request(book: &Book) -> String {
    let mut text = Vec::new();
    book.peers_after(None).for_each(|peer| show::peer(&mut text, peer, None));
    let text = String::from_utf8(text).unwrap();
    let is_state = |line: &&str| {
        !["last_handshake", "rx_bytes", "tx_bytes"].iter().any(|word| line.starts_with(word))
    };
    text.lines().filter(is_state).flat_map(|line| [line, "\n"]).collect()
}

fn peers_of(book: &Book) -> Vec<Arc<Peer>> {
    book.peers_after(None).cloned().collect()
}

proptest! {
    #[test]
    fn what_get_says_makes_an_equal_book_of_any_other_by_set(
        these in prop::collection::vec(any_peer(), 0..30),
        others in prop::collection::vec(any_peer(), 0..30),
    ) {
        let wanted = book_of_any(these);
        let request = as_request(&wanted);
        let mut empty = Book::default();
        ask(&mut empty, &request).unwrap();
        let mut other = book_of_any(others);
        ask(&mut other, &format!("replace_peers=true\n{request}")).unwrap();
        for book in [empty, other] {
            let (found, wanted) = (peers_of(&book), peers_of(&wanted));
            prop_assert_eq!(found.len(), wanted.len());
            for (one, other) in found.iter().zip(&wanted) {
                prop_assert!(one.says_the_same(other));
            }
        }
    }
}
