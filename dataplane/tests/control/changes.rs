//! Changes that can be made.

use std::net::IpAddr;
use std::time::Duration;

use dataplane::exchange::{News, Order, PeerId, Token};
use dataplane::stages::route::NextHop;
use dataplane::testing::packets::Ip;
use dataplane::testing::server::WIRE;
use dataplane::testing::site;
use ipnet::IpNet;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use shm::message::{self, Event, Item, Scope};
use wireguard::secret::Secret;

use super::stage::{Stage, client, key, peer};

#[test]
fn a_peer_is_usable_when_it_is_in_force_and_gone_when_that_is() {
    let mut stage = Stage::new(4, 1);
    stage.join(2);
    stage.connect();
    assert!(!stage.scene.passes(0, 1), "nobody knows them");
    stage.change(&[peer(0), peer(1)]);
    // The first call went unanswered; the next one comes in five seconds.
    stage.scene.wait(Duration::from_secs(6));
    assert!(stage.scene.passes(0, 1) && stage.scene.passes(1, 0) && stage.scene.passes_local(1));
    stage.change(&[Item::PeerRemove(key(1))]);
    assert!(!stage.scene.passes(0, 1) && stage.scene.passes_local(0));
    assert!(!stage.scene.passes_local(1), "its session ended with it");
    assert_eq!(stage.scene.server.slots_free_and_live().1, 1);
    stage.change(&[peer(1)]);
    stage.scene.wait(Duration::from_secs(20));
    assert!(stage.scene.passes(1, 0), "it comes back by itself");
    stage.is_whole();
}

#[test]
fn a_snapshot_that_repeats_everything_disturbs_nobody() {
    let mut stage = Stage::new(4, 2);
    stage.join(2);
    let hop = Item::NextHop { id: 9, hop: message::NextHop::Client(key(1)) };
    let route = Item::Route { prefix: "198.18.0.0/15".parse().unwrap(), next_hop: 9 };
    let all = [peer(0), peer(1), hop, route];
    assert!(matches!(stage.tell(Scope::Snapshot, &all), Event::Applied { count: 4, .. }));
    stage.connect();
    assert!(stage.scene.passes(0, 1) && stage.scene.passes(1, 0));
    let before: Vec<_> = stage.scene.clients.iter().map(|client| client.tally).collect();
    for _ in 0..3 {
        assert!(matches!(stage.tell(Scope::Snapshot, &all), Event::Applied { .. }));
        assert!(stage.scene.passes(0, 1) && stage.scene.passes(1, 0));
    }
    let after: Vec<_> = stage.scene.clients.iter().map(|client| client.tally).collect();
    assert_eq!(before, after, "no session began or ended");
    assert!(matches!(stage.tell(Scope::Snapshot, &[]), Event::Applied { .. }));
    assert_eq!(stage.scene.server.slots_free_and_live().1, 0, "who is not named goes");
    stage.is_whole();
}

#[test]
fn addresses_change_hands_within_one_transaction() {
    let mut stage = Stage::new(4, 1);
    stage.join(2);
    stage.change(&[peer(0), peer(1)]);
    stage.connect();
    assert!(stage.scene.passes(0, 1));
    let with_address_of = |who: u32, whose: u32| {
        let mut peer = client(who).clone();
        peer.allowed_ips.clone_from(&client(whose).allowed_ips);
        Item::Peer(Box::new(peer))
    };
    stage.change(&[with_address_of(0, 1), with_address_of(1, 0)]);
    let wrong = Ip::new(site::inner_v4(0), site::inner_v4(1)).echo(1, b"");
    let before = stage.scene.server.totals();
    stage.scene.send(0, &wrong);
    let reason = dataplane::fate::DropReason::WireguardSource;
    let after = stage.scene.server.totals();
    assert_eq!(after.dropped(reason) - before.dropped(reason), 1, "what was proven counts no more");
    let right = Ip::new(site::inner_v4(1), site::inner_v4(0)).echo(1, b"");
    stage.scene.send(0, &right);
    assert!(stage.scene.clients[1].inbox.pop().is_some());
    stage.is_whole();
}

#[test]
fn where_all_places_are_taken_one_may_take_anothers() {
    let mut stage = Stage::new(2, 1);
    stage.change(&[peer(0), peer(1)]);
    for round in 0..6 {
        let (going, coming) = (round % 3, (round + 2) % 3);
        stage.change(&[peer(coming), Item::PeerRemove(key(going))]);
    }
    let outcome = stage.tell(Scope::Delta, &[peer(5)]);
    assert!(matches!(outcome, Event::Refused { .. }), "{outcome:?}");
}

#[test]
fn a_preshared_key_holds_from_the_next_handshake_on() {
    let mut stage = Stage::new(2, 1);
    stage.join(1);
    stage.change(&[peer(0)]);
    assert!(stage.scene.passes_local(0));
    let mut changed = client(0).clone();
    changed.preshared_key = Secret::new([7; 32]);
    stage.change(&[Item::Peer(Box::new(changed))]);
    assert!(stage.scene.passes_local(0), "the session goes on");
    let sessions = stage.scene.clients[0].tally.sessions;
    stage.scene.wait(Duration::from_mins(5));
    stage.scene.send(0, &Ip::new(site::inner_v4(0), site::LOCAL_V4).echo(1, b""));
    stage.scene.wait(Duration::from_secs(30));
    assert_eq!(
        stage.scene.clients[0].tally.sessions, sessions,
        "and no other begins without the key"
    );
    stage.change(&[peer(0)]);
    stage.scene.wait(Duration::from_secs(30));
    assert!(stage.scene.passes_local(0));
}

#[test]
fn late_news_of_one_that_is_gone_are_not_told_of_who_has_its_number_now() {
    let mut stage = Stage::new(1, 1);
    stage.join(2);
    stage.change(&[peer(0)]);
    stage.connect();
    stage.scene.clients[0].address = site::outer_v4(77);
    let frames = stage.scene.withhold(0, &Ip::new(site::inner_v4(0), site::LOCAL_V4).echo(1, b""));
    // So much is told before that the keeper hears of the move only when the next one is there.
    let nobody = PeerId { number: 9, incarnation: 1 };
    for _ in 0..5000 {
        assert!(stage.scene.server.exchange.tell(News::Expired(nobody, stage.scene.now)));
    }
    stage.scene.put(WIRE, &frames[0]);
    stage.change(&[Item::PeerRemove(key(0))]);
    stage.change(&[peer(1)]);
    let now = stage.scene.now;
    assert!(stage.scene.server.exchange.news_waiting() > 0);
    while stage.scene.server.exchange.news_waiting() > 0 {
        stage.scene.server.turn(now);
    }
    let events = stage.control.hear();
    assert!(events.is_empty(), "{events:?}");
}

#[test]
fn a_worker_takes_few_peers_between_two_bursts() {
    let mut stage = Stage::new(4, 1);
    let token = Token::default();
    let server = &mut stage.scene.server;
    for _ in 0..3 {
        assert!(server.exchange.order(0, Order::Peers(Box::default(), Token::clone(&token))));
    }
    for left in (0..3).rev() {
        server.workers[0].turn(stage.scene.now);
        assert_eq!(Token::strong_count(&token), 1 + left);
    }
}

#[test]
fn an_endpoint_that_is_told_is_where_we_call() {
    let mut stage = Stage::new(2, 1);
    stage.join(1);
    let mut at = client(0).clone();
    at.endpoint = Some(site::outer_v4(0));
    stage.change(&[Item::Peer(Box::new(at.clone()))]);
    let back = Ip::new(site::LOCAL_V4, site::inner_v4(0)).echo(1, b"first");
    stage
        .scene
        .put(dataplane::testing::server::LOCAL, &dataplane::testing::packets::from_local(&back));
    stage.scene.settle();
    assert_eq!(stage.scene.clients[0].inbox.pop(), Some(back));
    let events = stage.control.hear();
    let endpoint = site::outer_v4(0);
    let is_it = |event: &Event| matches!(event, Event::Handshake { public_key, endpoint: from, .. } if *public_key == key(0) && *from == endpoint);
    assert_eq!(events.iter().filter(|event| is_it(event)).count(), 1, "{events:?}");
    // Where the client has gone meanwhile counts more than what is only repeated.
    stage.scene.clients[0].address = site::outer_v4(77);
    assert!(stage.scene.passes_local(0));
    let events = stage.control.hear();
    let moved = |event: &Event| matches!(event, Event::EndpointMoved { endpoint, .. } if *endpoint == site::outer_v4(77));
    assert_eq!(events.iter().filter(|event| moved(event)).count(), 1, "{events:?}");
    at.persistent_keepalive = Some(Duration::from_secs(9));
    stage.change(&[Item::Peer(Box::new(at))]);
    assert!(stage.scene.passes_local(0));
    stage.scene.wait(Duration::from_secs(10));
    stage.is_whole();
}

/// What a server should know, said simply.
#[derive(Clone, Default)]
struct Naive {
    peers: Vec<u32>,
    hops: Vec<(u32, Option<u32>)>,
    routes: Vec<(IpNet, u32)>,
}

/// Peers that may come and go, and those that always stay.
const COMING: u32 = 12;
const STAYING: u32 = 2;

impl Naive {
    fn lookup(&self, address: IpAddr) -> Lead {
        for number in &self.peers {
            if client(*number).allowed_ips.contains(&address.into()) {
                return Lead::To(*number);
            }
        }
        let around = self.routes.iter().filter(|(net, _)| net.contains(&address));
        let longest = around.max_by_key(|(net, _)| net.prefix_len());
        longest.map_or(Lead::Nowhere, |(_, hop)| {
            let hop = self.hops.iter().find(|(id, _)| id == hop).unwrap();
            hop.1.map_or(Lead::Rejected, Lead::To)
        })
    }

    fn items(&self) -> Vec<Item> {
        let peers = self.peers.iter().map(|number| peer(*number));
        let hops = self.hops.iter().map(|(id, to)| Item::NextHop { id: *id, hop: hop(*to) });
        let routes = self
            .routes
            .iter()
            .map(|(prefix, next_hop)| Item::Route { prefix: *prefix, next_hop: *next_hop });
        // The order within a transaction does not matter.
        routes.chain(hops).chain(peers).collect()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Lead {
    To(u32),
    Rejected,
    Nowhere,
}

fn hop(to: Option<u32>) -> message::NextHop {
    to.map_or(message::NextHop::Reject, |number| message::NextHop::Client(key(number)))
}

struct Dice(ChaCha20Rng);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.0.next_u64() % count as u64).unwrap()
    }

    fn number(&mut self) -> u32 {
        STAYING + u32::try_from(self.below(COMING as usize)).unwrap()
    }

    fn net(&mut self) -> IpNet {
        let len = u8::try_from(10 + self.below(23)).unwrap();
        let bits =
            u32::from_be_bytes([198, 18, 0, 0]) | u32::try_from(self.below(1 << 10)).unwrap();
        IpNet::new(std::net::Ipv4Addr::from_bits(bits).into(), len).unwrap().trunc()
    }

    /// A change that can be made, as items; the model follows.
    fn step(&mut self, naive: &mut Naive) -> Vec<Item> {
        match self.below(6) {
            0 => {
                let number = self.number();
                if !naive.peers.contains(&number) {
                    naive.peers.push(number);
                }
                vec![peer(number)]
            }
            1 => {
                let number = self.number();
                if !naive.peers.contains(&number) || naive.hops.contains(&(number, Some(number))) {
                    return Vec::new();
                }
                naive.peers.retain(|other| *other != number);
                vec![Item::PeerRemove(key(number))]
            }
            2 => {
                let number = self.number();
                let to = naive.peers.contains(&number).then_some(number);
                naive.hops.retain(|(id, _)| *id != number);
                naive.hops.push((number, to));
                vec![Item::NextHop { id: number, hop: hop(to) }]
            }
            3 | 4 if !naive.hops.is_empty() => {
                let (net, at) = (self.net(), self.below(naive.hops.len()));
                let id = naive.hops[at].0;
                naive.routes.retain(|(other, _)| *other != net);
                naive.routes.push((net, id));
                vec![Item::Route { prefix: net, next_hop: id }]
            }
            _ if !naive.routes.is_empty() => {
                let at = self.below(naive.routes.len());
                vec![Item::RouteRemove(naive.routes.swap_remove(at).0)]
            }
            _ => Vec::new(),
        }
    }
}

#[test]
fn any_row_of_changes_leaves_what_was_told_and_disturbs_nobody() {
    for (seed, workers) in (0..12).zip([1, 2, 3].into_iter().cycle()) {
        let mut dice = Dice(ChaCha20Rng::seed_from_u64(seed));
        // Room for a few more than there can be: numbers of peers that go are free only when all is done.
        let mut stage = Stage::new(STAYING + COMING, workers);
        stage.join(STAYING as usize);
        let mut naive = Naive { peers: (0..STAYING).collect(), ..Naive::default() };
        stage.change(&naive.items());
        stage.connect();
        assert!(stage.scene.passes(0, 1) && stage.scene.passes(1, 0), "seed {seed}");
        let sessions: Vec<_> =
            stage.scene.clients.iter().map(|client| client.tally.sessions).collect();
        for round in 0..60 {
            let items: Vec<_> = (0..=dice.below(4)).flat_map(|_| dice.step(&mut naive)).collect();
            if round % 10 == 9 {
                let outcome = stage.tell(Scope::Snapshot, &naive.items());
                assert!(
                    matches!(outcome, Event::Applied { .. }),
                    "seed {seed}, round {round}: {outcome:?}"
                );
            } else {
                let outcome = stage.tell(Scope::Delta, &items);
                assert!(
                    matches!(outcome, Event::Applied { .. }),
                    "seed {seed}, round {round}: {outcome:?}, {items:?}"
                );
            }
            assert!(
                stage.scene.passes(0, 1) && stage.scene.passes(1, 0),
                "seed {seed}, round {round}"
            );
            leads_agree(&stage, &naive, &mut dice, seed);
        }
        let now: Vec<_> = stage.scene.clients.iter().map(|client| client.tally.sessions).collect();
        assert_eq!(sessions, now, "seed {seed}: no session but the first");
        stage.is_whole();
    }
}

/// Every worker's routes lead where the model says, at the borders of all prefixes and at peers.
fn leads_agree(stage: &Stage, naive: &Naive, dice: &mut Dice, seed: u64) {
    let borders = naive.routes.iter().flat_map(|(net, _)| [net.network(), net.broadcast()]);
    let peers = (0..STAYING + COMING)
        .flat_map(|number| client(number).allowed_ips.clone())
        .map(|net| net.addr());
    let random: Vec<_> = (0..10).map(|_| dice.net().addr()).collect();
    for worker in &stage.scene.server.workers {
        for address in borders.clone().chain(peers.clone()).chain(random.iter().copied()) {
            let found = match worker.state().routes.lookup(address.into()) {
                NextHop::Client(number) => {
                    let key = stage.scene.server.keeper.key_of(number).unwrap();
                    let named = (0..STAYING + COMING).find(|number| self::key(*number).0 == key);
                    Lead::To(named.unwrap())
                }
                NextHop::Reject => Lead::Rejected,
                NextHop::None
                | NextHop::Local
                | NextHop::Direct
                | NextHop::Via(_)
                | NextHop::Tunnel(_) => Lead::Nowhere,
            };
            assert_eq!(found, naive.lookup(address), "seed {seed}: {address}");
        }
    }
}
