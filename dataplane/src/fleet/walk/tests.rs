//! Whoever holds an id gets its packets; walks end, whatever views and passages there are.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use shm::message::{Fleet, Member, MemberState, Past};
use wireguard::secret::Secret;

use super::*;
use crate::config::Config;
use crate::fleet::{Keys, Tables};
use crate::site::Site;

const SERVERS: u8 = 8;

fn address(server: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, server + 1)
}

fn site(server: u8) -> Site {
    let text = format!(
        "private_key = \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"\nlisten_port = 51820\n\
         workers = [0]\n[[port]]\nname = \"wan\"\ndevice = \"memory0\"\naddresses = [\"{}/24\"]",
        address(server)
    );
    let config = Config::parse(&text, Path::new("test.toml")).unwrap();
    Site::new(&config, &[[2, 0, 0, 0, 0, server]], None)
}

/// Memberships one after the other: the weight of each server, 0 for one that takes nothing new.
type History = Vec<[u16; SERVERS as usize]>;

fn pairs(weights: &[u16]) -> Vec<(u8, u16)> {
    (0..).zip(weights.iter().copied()).filter(|(_, weight)| *weight > 0).collect()
}

/// The fleet after the first `len` memberships.
fn told(history: &[[u16; SERVERS as usize]]) -> Fleet {
    let (last, before) = history.split_last().unwrap();
    let member = |(server, weight): (u8, &u16)| Member {
        server,
        weight: *weight,
        state: if *weight > 0 {
            MemberState::Active
        } else {
            MemberState::Draining { deadline: None }
        },
        v4: Some(address(server)),
        v6: None,
    };
    let generation = |at: usize| u16::try_from(at).unwrap() + 1;
    let past = before.iter().enumerate().rev();
    Fleet {
        generation: generation(before.len()),
        members: (0..).zip(last).map(member).collect(),
        past: past
            .map(|(at, weights)| Past { generation: generation(at), weights: pairs(weights) })
            .collect(),
    }
}

struct World {
    views: Vec<View>,
}

impl World {
    /// Each server has the view after so many of the memberships.
    fn new(history: &History, known: &[usize]) -> Self {
        let keys = Arc::new(Keys::new(&Secret::new([9; 32]), None));
        let mut tables = Tables::default();
        let view = |(server, len): (u8, &usize)| {
            let told = told(&history[..*len]);
            tables.view(&told, (server, 1500), &keys, &site(server)).unwrap()
        };
        Self { views: (0..).zip(known).map(view).collect() }
    }

    /// Walks from where a packet lands until somebody takes it; gives who, and how many servers have sent it on.
    fn walk(&self, id: ClientId, landing: u8, holder: Option<u8>) -> (u8, usize) {
        let (mut at, mut came) = (landing, None);
        for steps in 0..10_000 {
            let held = || holder == Some(at);
            match self.views[usize::from(at)].walk(id, came, held) {
                Verdict::Mine => return (at, steps),
                Verdict::To(passage) => {
                    assert_ne!(passage.server, at, "nobody sends anything to itself");
                    came = Some(Passage { server: at, ..passage });
                    at = passage.server;
                }
                other @ (Verdict::Untold | Verdict::Lost(_)) => panic!("{other:?}"),
            }
        }
        panic!("it walks for ever");
    }
}

fn history() -> impl Strategy<Value = History> {
    let weights = prop::array::uniform8(prop_oneof![2 => Just(0_u16), 5 => 1..200_u16])
        .prop_filter("somebody takes new clients", |weights| weights.iter().any(|w| *w > 0));
    prop::collection::vec(weights, 1..7)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn who_holds_an_id_gets_its_packets_however_much_views_differ(
        history in history(), ages in prop::array::uniform8(0_usize..3), ids: [[u8; 3]; 20], landing in 0..SERVERS, then: prop::sample::Index,
    ) {
        let known: Vec<usize> = ages.iter().map(|age| history.len().saturating_sub(*age).max(1)).collect();
        let common = *known.iter().min().unwrap();
        let world = World::new(&history, &known);
        let past = World::new(&history, &vec![then.index(common) + 1; usize::from(SERVERS)]);
        for id in ids.map(ClientId) {
            let holder = past.views[0].owner(past.views[0].row(id));
            let (taken_by, _) = world.walk(id, landing, Some(holder));
            prop_assert_eq!(taken_by, holder);
        }
    }

    #[test]
    fn what_nobody_holds_is_the_owners_and_comes_there_in_few_steps(
        history in history(), ids: [[u8; 3]; 20], landing in 0..SERVERS,
    ) {
        let world = World::new(&history, &vec![history.len(); usize::from(SERVERS)]);
        for id in ids.map(ClientId) {
            let view = &world.views[0];
            let (taken_by, steps) = world.walk(id, landing, None);
            prop_assert_eq!(taken_by, view.owner(view.row(id)));
            prop_assert!(steps <= 1 + 2 * view.before(view.row(id)).count());
        }
    }

    #[test]
    fn no_passage_whatever_makes_a_loop(
        history in history(), id: [u8; 3], key: u32, landing in 0..SERVERS, sender in 0..SERVERS,
    ) {
        let world = World::new(&history, &vec![history.len(); usize::from(SERVERS)]);
        let header = Header::from_key(key, 0);
        let (mut at, mut came) = (landing, Passage::of(sender, &header));
        for _ in 0..100 {
            let Verdict::To(passage) = world.views[usize::from(at)].walk(ClientId(id), Some(came), || false) else { return Ok(()) };
            came = Passage { server: at, ..passage };
            at = passage.server;
        }
        prop_assert!(false, "it walks for ever: {:?}", came);
    }
}

#[test]
fn a_view_that_is_nowhere_near_ours_and_too_many_hops_are_named() {
    let world = World::new(&vec![[1; 8], [2; 8]], &[2; 8]);
    let far = Passage { generation: 20_000, step: Step::Ask, ..Passage::direct(1) };
    let verdict = world.views[0].walk(ClientId([1, 2, 3]), Some(far), || true);
    assert_eq!(verdict, Verdict::Lost(DropReason::SteerGeneration));
    let tired = Passage { generation: 1, step: Step::First, hops: 15, ..Passage::direct(1) };
    let verdict = world.views[0].walk(ClientId([1, 2, 3]), Some(tired), || false);
    assert_eq!(verdict, Verdict::Lost(DropReason::SteerHops));
}
