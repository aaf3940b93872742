//! The book against the stupidest thing that could do the same, with random changes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::fleet::{Member, MemberState};
use super::*;
use crate::testing::Tables;
use shm::message::Scope;
use shm::transaction::Transaction;

/// A change in small numbers: which peer, next hop or route, and what of it; none removes it.
#[derive(Clone, Debug)]
#[expect(clippy::option_option, reason = "a next hop goes, is direct, or leads to a peer")]
enum Act {
    Peer(u8, Option<Vec<u8>>),
    Hop(u8, Option<Option<u8>>),
    Route(u8, Option<u8>),
    /// A generation with the weights of servers 0 to 2; 0 for none there.
    Fleet(Option<(u16, [u8; 3])>),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        (0..6_u8, prop::option::of(prop::collection::vec(0..8_u8, 0..4)))
            .prop_map(|(peer, nets)| Act::Peer(peer, nets)),
        (0..3_u8, prop::option::of(prop::option::of(0..6_u8)))
            .prop_map(|(hop, to)| Act::Hop(hop, to)),
        (0..8_u8, prop::option::of(0..4_u8)).prop_map(|(route, hop)| Act::Route(route, hop)),
        prop::option::weighted(0.9, (0..12_u16, prop::array::uniform3(0..3_u8)))
            .prop_map(Act::Fleet),
    ];
    prop::collection::vec(act, 0..5)
}

/// What there is, as numbers.
#[derive(Clone, Debug, Default, PartialEq)]
struct Naive {
    peers: BTreeMap<u8, Vec<u8>>,
    hops: BTreeMap<u8, Option<u8>>,
    routes: BTreeMap<u8, u8>,
    /// The generation and its weights, and those of generations before it, by their numbers.
    fleet: Option<(u16, [u8; 3])>,
    past: BTreeMap<u16, [u8; 3]>,
}

impl Naive {
    /// All of the acts, or none if what comes out of them cannot be.
    fn apply(&self, acts: &[Act]) -> Option<Self> {
        let mut new = self.clone();
        for act in acts {
            match act {
                Act::Peer(peer, Some(nets)) => drop(new.peers.insert(*peer, nets.clone())),
                Act::Peer(peer, None) => drop(new.peers.remove(peer)?),
                Act::Hop(hop, Some(to)) => {
                    to.is_none_or(|peer| new.peers.contains_key(&peer)).then_some(())?;
                    new.hops.insert(*hop, *to);
                }
                Act::Hop(hop, None) => {
                    new.hops.remove(hop)?;
                    let used = new.routes.values().any(|named| named == hop);
                    (!used).then_some(())?;
                }
                Act::Route(route, Some(hop)) => {
                    (*hop == 3 || new.hops.contains_key(hop)).then_some(())?;
                    new.routes.insert(*route, *hop);
                }
                Act::Route(route, None) => drop(new.routes.remove(route)?),
                Act::Fleet(None) => {
                    new.fleet.take()?;
                    new.past.clear();
                }
                Act::Fleet(Some((generation, weights))) => {
                    (*generation > 0 && *weights != [0; 3]).then_some(())?;
                    if let Some((old, before)) = new.fleet.replace((*generation, *weights)) {
                        // No number is so great here that the next would begin anew.
                        let newer = *generation > old || *generation == old && *weights == before;
                        newer.then_some(())?;
                        if *generation > old {
                            new.past.insert(old, before);
                        }
                    }
                    // Weights are remembered once, with the last generation that had them; those in force not at all.
                    let mut seen = vec![*weights];
                    let newest_first: Vec<_> =
                        std::mem::take(&mut new.past).into_iter().rev().collect();
                    for (generation, weights) in newest_first {
                        if !seen.contains(&weights) {
                            seen.push(weights);
                            new.past.insert(generation, weights);
                        }
                    }
                }
            }
        }
        new.is_sound().then_some(new)
    }

    fn is_sound(&self) -> bool {
        let mut nets: Vec<u8> = self.peers.values().flatten().copied().collect();
        nets.extend(self.routes.keys());
        let distinct: BTreeSet<u8> = nets.iter().copied().collect();
        distinct.len() == nets.len()
            && self.hops.values().flatten().all(|peer| self.peers.contains_key(peer))
    }
}

fn key_of(number: u8) -> PublicKey {
    PublicKey([number + 9; 32])
}

fn net_of(number: u8) -> IpNet {
    format!("10.0.0.{number}/32").parse().unwrap()
}

fn hop_name(number: u8) -> Arc<str> {
    if number == 3 { "local".into() } else { format!("hop{number}").into() }
}

/// Each thing once: what comes twice in one call is another question.
fn distinct(acts: Vec<Act>) -> Vec<Act> {
    let mut seen = BTreeSet::new();
    let thing = |act: &Act| match act {
        Act::Peer(peer, _) => (0, *peer),
        Act::Hop(hop, _) => (1, *hop),
        Act::Route(route, _) => (2, *route),
        Act::Fleet(_) => (3, 0),
    };
    // What names comes behind what is named, and goes before it.
    let order = |act: &Act| match act {
        Act::Route(_, None) | Act::Fleet(_) => 0,
        Act::Peer(_, Some(_)) => 1,
        Act::Hop(_, Some(_)) => 2,
        Act::Route(_, Some(_)) => 3,
        Act::Hop(_, None) => 4,
        Act::Peer(_, None) => 5,
    };
    let mut acts: Vec<Act> = acts.into_iter().filter(|act| seen.insert(thing(act))).collect();
    acts.sort_by_key(order);
    acts
}

fn change(act: &Act) -> Change {
    let origin = Origin::Cli;
    match act {
        Act::Peer(number, Some(nets)) => {
            let allowed_ips = nets.iter().map(|net| net_of(*net)).collect();
            Change::PutPeer(Peer { allowed_ips, ..Peer::new(key_of(*number)) })
        }
        Act::Peer(number, None) => Change::RemovePeer(key_of(*number)),
        Act::Hop(number, Some(to)) => {
            let hop = to.map_or(Hop::Direct, |peer| Hop::Client(key_of(peer)));
            Change::PutNextHop(HopNamed::new(hop_name(*number), hop, origin))
        }
        Act::Hop(number, None) => Change::RemoveNextHop(hop_name(*number)),
        Act::Route(number, Some(hop)) => {
            let (prefix, next_hop) = (net_of(*number), hop_name(*hop));
            Change::PutRoute(RouteTo { prefix, next_hop, origin })
        }
        Act::Route(number, None) => Change::RemoveRoute(net_of(*number)),
        Act::Fleet(None) => Change::RemoveFleet,
        Act::Fleet(Some((generation, weights))) => {
            let members = members_of(*weights);
            Change::PutFleet(Arc::new(Fleet::new(*generation, members, Vec::new(), origin)))
        }
    }
}

/// Servers with a weight.
fn members_of(weights: [u8; 3]) -> Vec<Member> {
    let member = |(server, weight): (u8, u8)| Member {
        server,
        weight: weight.into(),
        state: MemberState::Active,
        v4: Some([192, 0, 2, server].into()),
        v6: None,
    };
    (0..).zip(weights).filter(|(_, weight)| *weight > 0).map(member).collect()
}

fn holds_fleet(book: &Book, naive: &Naive) -> bool {
    let Some((generation, weights)) = naive.fleet else { return book.fleet().is_none() };
    book.fleet().is_some_and(|fleet| {
        let past = naive.past.iter().rev();
        let known = fleet.past.iter().map(|past| (past.generation, past.weights.clone()));
        let told = |weights: &[u8; 3]| {
            members_of(*weights).iter().map(|member| (member.server, member.weight)).collect()
        };
        fleet.generation == generation
            && fleet.members == members_of(weights)
            && known.eq(past.map(|(generation, weights)| (*generation, told(weights))))
    })
}

fn holds(book: &Book, naive: &Naive) -> bool {
    let counts = book.counts();
    let peers = naive.peers.iter().all(|(peer, nets)| {
        let there = book.peer(&key_of(*peer));
        there.is_some_and(|there| there.allowed_ips.len() == nets.len())
            && nets.iter().all(|net| {
                book.holder(&net_of(*net)).is_some_and(|holder| holder.public_key == key_of(*peer))
            })
    });
    let routes = naive.routes.iter().all(|(route, hop)| {
        let there = book.route(&net_of(*route)).and_then(|route| book.next_hop(route.next_hop));
        there.is_some_and(|there| there.name == hop_name(*hop))
    });
    // Up to four members take a message, and each past generation one.
    let fleet = usize::from(naive.fleet.is_some()) + naive.past.len();
    let messages: usize = naive.peers.len() + naive.routes.len() + naive.hops.len() + 2 + fleet;
    peers
        && routes
        && holds_fleet(book, naive)
        && book.allowed_after(None).count() == naive.peers.values().map(Vec::len).sum::<usize>()
        && (counts.peers, counts.routes) == (naive.peers.len(), naive.routes.len())
        && counts.next_hops == naive.hops.len() + 2
        && book.messages() == messages as u64
}

fn told(tables: &mut Tables, scope: Scope, difference: &Difference) {
    let items = difference.items().collect();
    tables.apply(Transaction { id: 1, scope, count: 0, items });
}

proptest! {
    #[test]
    fn a_book_takes_what_can_be_and_nothing_else(calls in prop::collection::vec(acts(), 1..30)) {
        let (mut book, mut naive) = (Book::default(), Naive::default());
        for acts in calls {
            let acts = distinct(acts);
            let changes: Vec<Change> = acts.iter().map(change).collect();
            let made = book.apply(Origin::Cli, &changes, &Limits::default());
            let wanted = naive.apply(&acts);
            prop_assert_eq!(made.is_ok(), wanted.is_some(), "{:?}: {:?}", acts, made);
            naive = wanted.unwrap_or(naive);
            prop_assert!(holds(&book, &naive), "{:?}", acts);
        }
    }

    #[test]
    fn a_difference_brings_the_dataplane_from_one_book_to_the_next(
        calls in prop::collection::vec(acts(), 2..30),
    ) {
        let empty = Book::default();
        let mut book = empty.clone();
        let mut tables = Tables::default();
        let start = Difference { next_hops: book.next_hops().cloned().collect(), ..Difference::default() };
        told(&mut tables, Scope::Snapshot, &start);
        for acts in calls {
            let changes: Vec<Change> = distinct(acts).iter().map(change).collect();
            let before = book.clone();
            let Ok(touched) = book.apply(Origin::Cli, &changes, &Limits::default()) else { continue };
            let difference = Difference::of_touched(&before, &book, &touched);
            told(&mut tables, Scope::Delta, &difference);
            prop_assert!(tables.agree_with(&book));
            let all: Vec<_> = Difference::between(&before, &book).items().collect();
            prop_assert_eq!(difference.items().collect::<Vec<_>>(), all);
        }
        let mut once = Tables::default();
        told(&mut once, Scope::Snapshot, &start);
        told(&mut once, Scope::Delta, &Difference::between(&empty, &book));
        prop_assert!(once.agree_with(&book));
    }
}
