//! The desk against a dataplane of real shared memory that answers, refuses, stalls, ends and comes back.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

use std::time::{Duration, Instant};

use control::desk::{Desk, Notice};
use control::keep::Keep;
use control::model::fleet::{Member, MemberState};
use control::model::{
    Book, Cause, Centre, Change, Declaration, Fleet, Hop, HopNamed, Limits, Machine, Origin, Peer,
    Place as Line, PublicKey, RouteTo, Thing,
};
use control::testing::{FakeDataplane, place_beneath};
use shm::Place;
use shm::attach::Sizes;
use shm::message::Event;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

fn key(number: u32) -> PublicKey {
    let mut octets = [7; 32];
    octets[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_be_bytes());
    PublicKey(octets)
}

fn peer(number: u32) -> Peer {
    let allowed_ips = [ipnet::IpNet::from(std::net::IpAddr::from(number.to_be_bytes()))].into();
    Peer { allowed_ips, ..Peer::new(key(number)) }
}

fn add(number: u32) -> Change {
    Change::AddPeer(peer(0x0a00_0000 + number))
}

struct Scene {
    root: TempDir,
    place: Place,
}

impl Scene {
    fn new() -> Self {
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        let place = place_beneath(root.path()).unwrap();
        Self { root, place }
    }

    fn desk(&self) -> Desk {
        Desk::open(self.place.clone(), self.keep()).unwrap()
    }

    /// The lock of a desk that has just ended falls a moment later.
    fn keep(&self) -> Keep {
        let end = Instant::now() + PATIENCE;
        loop {
            match Keep::open(&self.root.path().join("state")) {
                Ok(keep) => return keep,
                Err(error) if Instant::now() > end => panic!("{error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

async fn wait_until(mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "what was waited for did not come");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Until the dataplane has the book.
async fn in_step(desk: &Desk, dataplane: &FakeDataplane) {
    wait_until(|| {
        let tables = dataplane.tables();
        tables.snapshots > 0 && tables.agree_with(&desk.book())
    })
    .await;
    wait_until(|| desk.status().transaction == dataplane.tables().transaction).await;
}

#[tokio::test]
async fn a_dataplane_gets_a_snapshot_and_then_changes() {
    let scene = Scene::new();
    let desk = scene.desk();
    let applied = desk.change(Origin::Cli, vec![add(1)]).await.unwrap();
    assert!(applied.pending);
    let dataplane = FakeDataplane::start(&scene.place).unwrap();
    in_step(&desk, &dataplane).await;
    assert_eq!(dataplane.tables().peers.len(), 1);
    let applied = desk.change(Origin::Cli, vec![add(2)]).await.unwrap();
    // It is in force when the answer comes.
    let tables = dataplane.tables();
    assert_eq!((applied.pending, applied.transaction), (false, tables.transaction));
    assert_eq!((tables.peers.len(), tables.snapshots, tables.deltas), (2, 1, 1));
    assert_eq!(desk.status().server.unwrap().listen_port, 51820);
    assert_eq!(desk.limits().own, Some(PublicKey([0xee; 32])));
}

#[tokio::test]
async fn what_the_dataplane_refuses_is_taken_back_and_told() {
    let scene = Scene::new();
    let dataplane = FakeDataplane::start(&scene.place).unwrap();
    let desk = scene.desk();
    in_step(&desk, &dataplane).await;
    dataplane.refuse(1);
    let refused = desk.change(Origin::Cli, vec![add(1)]).await.unwrap_err();
    assert_eq!(refused.cause, Cause::Dataplane);
    let said = refused.to_string();
    assert!(said.contains("the dataplane refuses it: more than 32768 different /24"), "{said}");
    assert_eq!(desk.book().counts().peers, 0);
    desk.change(Origin::Cli, vec![add(1)]).await.unwrap();
    assert!(dataplane.tables().agree_with(&desk.book()));
}

#[tokio::test]
async fn of_many_at_once_only_those_that_are_wrong_are_refused() {
    let scene = Scene::new();
    let dataplane = FakeDataplane::start(&scene.place).unwrap();
    let desk = scene.desk();
    in_step(&desk, &dataplane).await;
    dataplane.hate(key(0x0a00_0000 + 187));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..300 {
        let desk = desk.clone();
        tasks.spawn(async move {
            // The last hundred ask for peers that are there.
            let change = add(number % 200);
            (number, desk.change(Origin::Registration, vec![change]).await)
        });
    }
    let mut made = 0;
    while let Some(done) = tasks.join_next().await {
        let (number, result) = done.unwrap();
        match result {
            Ok(_) => made += 1,
            Err(refused) if refused.cause == Cause::Dataplane => {
                // The second of the two that ask for it may come when the first is refused already.
                assert_eq!(number % 200, 187);
                let title = Book::default().title(&Thing::Peer(key(0x0a00_0000 + 187)));
                let said = format!("the dataplane refuses {title}: no port leads to");
                assert!(refused.what.starts_with(&said), "{refused}");
            }
            Err(refused) => assert_eq!(refused.cause, Cause::Conflict, "{number}"),
        }
    }
    assert_eq!(made, 199);
    let tables = dataplane.tables();
    assert!(tables.agree_with(&desk.book()) && tables.peers.len() == 199);
    assert!(tables.deltas < 100, "each change went alone: {}", tables.deltas);
}

/// A route to a next hop.
fn route(prefix: &str, next_hop: &str) -> Change {
    let (prefix, next_hop) = (prefix.parse().unwrap(), next_hop.into());
    Change::AddRoute(RouteTo { prefix, next_hop, origin: Origin::Cli })
}

fn next_hop(name: &str, hop: Hop) -> HopNamed {
    HopNamed::new(name, hop, Origin::Cli)
}

/// Another data centre, to which nothing leads from the dataplane of the tests.
fn via(centre: u32) -> Hop {
    Hop::Via { centre, remote: Some(std::net::Ipv4Addr::new(192, 0, 2, 2).into()) }
}

#[tokio::test]
async fn what_a_dataplane_does_not_take_of_the_book_is_left_out_and_the_rest_is_served() {
    let scene = Scene::new();
    let desk = scene.desk();
    let bad = key(0x0a00_0000 + 2);
    let changes = vec![
        add(1),
        add(2),
        add(3),
        Change::AddNextHop(next_hop("far", via(2))),
        Change::AddNextHop(next_hop("home", Hop::Client(bad))),
        route("203.0.113.0/24", "far"),
        route("198.51.100.0/24", "home"),
        route("192.0.2.0/24", "reject"),
    ];
    assert!(desk.change(Origin::Cli, changes).await.unwrap().pending);
    let dataplane = FakeDataplane::start(&scene.place).unwrap();
    dataplane.hate(bad);
    assert!(dataplane.wait_for(|tables| tables.snapshots == 1));
    let counts = |tables: &control::testing::Tables| {
        (tables.peers.len(), tables.next_hops.len(), tables.routes.len())
    };
    assert_eq!(counts(&dataplane.tables()), (2, 2, 1));
    let said = |what: &str| desk.status().trouble.is_some_and(|trouble| trouble.contains(what));
    wait_until(|| said("is left out (and 1 more): no port leads to")).await;
    assert_eq!(desk.status().left_out, 2);
    // Others are served meanwhile, and what leads to what is left out is left out.
    let applied =
        desk.change(Origin::Cli, vec![add(4), route("198.51.0.0/24", "far")]).await.unwrap();
    assert!(!applied.pending);
    assert_eq!((counts(&dataplane.tables()), dataplane.tables().deltas), ((3, 2, 1), 1));
    // A change of what is left out is a try of its own.
    let again = Change::PutNextHop(next_hop("far", via(2)));
    desk.change(Origin::Cli, vec![again]).await.unwrap();
    let again = vec![Change::PutNextHop(next_hop("far", via(3)))];
    let refused = desk.change(Origin::Cli, again).await.unwrap_err();
    let why = "the dataplane refuses next hop far: this dataplane has no egress";
    assert!(refused.what.starts_with(why), "{refused}");
    let mended = vec![Change::PutNextHop(next_hop("far", Hop::Direct))];
    desk.change(Origin::Cli, mended).await.unwrap();
    assert_eq!(counts(&dataplane.tables()), (3, 3, 3));
    assert!(said("is left out: no port leads to"), "{:?}", desk.status());
    let gone = [
        Change::RemoveRoute("198.51.100.0/24".parse().unwrap()),
        Change::RemoveNextHop("home".into()),
        Change::RemovePeer(bad),
    ];
    desk.change(Origin::Cli, gone.to_vec()).await.unwrap();
    assert_eq!(desk.status().trouble, None);
    assert!(dataplane.tables().agree_with(&desk.book()));
}

#[tokio::test]
async fn a_way_that_a_dataplane_does_not_serve_takes_no_other_along() {
    let scene = Scene::new();
    let desk = scene.desk();
    let machine = Machine { address: [192, 0, 2, 7].into(), port: 443, weight: 1 };
    let centre = Centre {
        number: 7,
        name: "fra".into(),
        machines: [machine].into(),
        headroom: None,
        hop: 0,
        relay: 0,
        origin: Origin::Cli,
    };
    let by_machines = HopNamed::of_exits("served", Box::new(["fra".into()]), Origin::Cli);
    let changes = vec![
        Change::PutCentre(centre),
        Change::AddNextHop(next_hop("far", via(2))),
        Change::AddNextHop(by_machines),
        route("203.0.113.0/24", "far"),
        route("198.51.100.0/24", "served"),
    ];
    assert!(desk.change(Origin::Cli, changes).await.unwrap().pending);
    let dataplane = FakeDataplane::start(&scene.place).unwrap();
    assert!(dataplane.wait_for(|tables| tables.snapshots == 1));
    let served: Vec<_> = dataplane.tables().routes.keys().map(ToString::to_string).collect();
    assert_eq!(served, ["198.51.100.0/24"]);
    wait_until(|| desk.status().left_out == 1).await;
}

#[tokio::test]
async fn a_dataplane_that_comes_back_is_fed_again() {
    let scene = Scene::new();
    let mut dataplane = FakeDataplane::start(&scene.place).unwrap();
    let desk = scene.desk();
    let mut notices = desk.subscribe();
    in_step(&desk, &dataplane).await;
    for round in 1..=5 {
        desk.change(Origin::Cli, vec![add(round)]).await.unwrap();
        drop(dataplane);
        wait_until(|| !desk.status().attached).await;
        let applied = desk.change(Origin::Cli, vec![add(100 + round)]).await.unwrap();
        assert!(applied.pending);
        dataplane = FakeDataplane::start(&scene.place).unwrap();
        in_step(&desk, &dataplane).await;
        assert_eq!(dataplane.tables().peers.len(), 2 * usize::try_from(round).unwrap());
    }
    // The first may have come before anybody listened; from then on they alternate.
    let told: Vec<Notice> = std::iter::from_fn(|| notices.try_recv().ok())
        .filter(|notice| matches!(notice, Notice::Attached | Notice::Detached))
        .skip_while(|notice| *notice == Notice::Attached)
        .collect();
    assert_eq!(told, [Notice::Detached, Notice::Attached].repeat(5));
}

#[tokio::test]
async fn a_control_that_comes_back_knows_what_was_kept_and_brings_the_dataplane_to_it() {
    let scene = Scene::new();
    let dataplane = FakeDataplane::start(&scene.place).unwrap();
    for round in 1..=4_u8 {
        let desk = scene.desk();
        in_step(&desk, &dataplane).await;
        let name = format!("out{round}");
        let hop = HopNamed::new(name.as_str(), Hop::Direct, Origin::Cli);
        let prefix = format!("203.0.{round}.0/24").parse().unwrap();
        let route = RouteTo { prefix, next_hop: name.into(), origin: Origin::Cli };
        let record = Change::Record { key: Box::new([round]), value: Some(Box::new([round])) };
        let changes =
            vec![add(round.into()), Change::AddNextHop(hop), Change::AddRoute(route), record];
        desk.change(Origin::Cli, changes).await.unwrap();
        desk.end().await;
    }
    let desk = scene.desk();
    in_step(&desk, &dataplane).await;
    let counts = desk.book().counts();
    assert_eq!((counts.peers, counts.routes, counts.next_hops), (4, 4, 6));
    assert_eq!(desk.records(&[]).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_dataplane_that_does_not_take_the_book_is_said_and_tried_again() {
    let scene = Scene::new();
    let desk = scene.desk();
    desk.change(Origin::Cli, vec![add(1)]).await.unwrap();
    let dataplane = FakeDataplane::start(&scene.place).unwrap();
    dataplane.refuse(1);
    wait_until(|| desk.status().trouble.is_some_and(|said| said.contains("does not take"))).await;
    let applied = desk.change(Origin::Cli, vec![add(2)]).await.unwrap();
    assert!(applied.pending);
    in_step(&desk, &dataplane).await;
    assert!(desk.status().trouble.is_none());
}

#[tokio::test]
async fn a_survey_tells_how_peers_stand_and_lost_events_ask_for_one() {
    let scene = Scene::new();
    let desk = scene.desk();
    assert!(!desk.survey().await);
    let dataplane = FakeDataplane::start(&scene.place).unwrap();
    in_step(&desk, &dataplane).await;
    desk.change(Origin::Cli, vec![add(1)]).await.unwrap();
    assert!(desk.survey().await);
    let live = desk.lives().of(&key(0x0a00_0001)).unwrap();
    assert_eq!((live.received, live.sent), (100, 200));
    dataplane.tell(Event::Lost(3));
    wait_until(|| dataplane.tables().surveys == 2).await;
    let at = Duration::from_secs(99);
    let endpoint = ([192, 0, 2, 7], 7).into();
    dataplane.tell(Event::Handshake { public_key: key(0x0a00_0001), endpoint, at });
    wait_until(|| desk.lives().of(&key(0x0a00_0001)).is_some_and(|live| live.handshake == at))
        .await;
    desk.change(Origin::Cli, vec![Change::RemovePeer(key(0x0a00_0001))]).await.unwrap();
    assert!(desk.lives().is_empty());
}

#[tokio::test]
async fn a_snapshot_goes_through_a_ring_that_is_much_smaller() {
    let scene = Scene::new();
    let book = book_of(20_000);
    let desk = Desk::forgetful(scene.place.clone(), book);
    let sizes = Sizes { command_slots: 64, ..Sizes::default() };
    let dataplane = FakeDataplane::start_with(&scene.place, sizes).unwrap();
    dataplane.stall(true);
    let reader = desk.clone();
    // Whoever reads is not kept waiting by it.
    let begun = Instant::now();
    assert_eq!(reader.book().counts().peers, 20_000);
    assert!(begun.elapsed() < Duration::from_secs(1));
    dataplane.stall(false);
    in_step(&desk, &dataplane).await;
}

fn book_of(peers: u32) -> Book {
    let mut book = Book::default();
    let changes: Vec<Change> = (0..peers).map(add).collect();
    book.apply(Origin::Cli, &changes, &Limits::default()).unwrap();
    book
}

#[tokio::test]
async fn a_declaration_replaces_the_one_before_and_leaves_what_was_made_at_run_time() {
    let scene = Scene::new();
    let dataplane = FakeDataplane::start(&scene.place).unwrap();
    let desk = scene.desk();
    in_step(&desk, &dataplane).await;
    let declared = |numbers: &[u32]| Declaration {
        files: vec!["edge.toml".to_owned()],
        peers: (1..)
            .zip(numbers)
            .map(|(line, number)| Peer {
                origin: Origin::Declared(Line { file: 0, line }),
                ..peer(0x0a00_0000 + number)
            })
            .collect(),
        ..Declaration::default()
    };
    desk.change(Origin::Cli, vec![add(9)]).await.unwrap();
    desk.declare(declared(&[1, 2, 3])).await.unwrap();
    desk.declare(declared(&[2, 3, 4])).await.unwrap();
    let tables = dataplane.tables();
    assert_eq!((tables.peers.len(), tables.deltas), (4, 3));
    assert!(tables.agree_with(&desk.book()));
    let refused = desk.declare(declared(&[5, 9])).await.unwrap_err().to_string();
    assert!(refused.starts_with("edge.toml:2: public_key: is that of"), "{refused}");
    let refused = desk.declare(declared(&[5, 5])).await.unwrap_err().to_string();
    assert!(refused.contains("edge.toml:2: ") && refused.contains("(edge.toml:1)"), "{refused}");
    let gone = vec![Change::RemovePeer(key(0x0a00_0002))];
    assert_eq!(desk.change(Origin::Uapi, gone).await.unwrap_err().cause, Cause::Declared);
    assert!(tables.agree_with(&desk.book()));
}

fn fleet(generation: u16, servers: &[u8]) -> Change {
    let member = |server: &u8| Member {
        server: *server,
        weight: 100,
        state: MemberState::Active,
        v4: Some([192, 0, 2, *server].into()),
        v6: None,
    };
    let members = servers.iter().map(member).collect();
    Change::PutFleet(std::sync::Arc::new(Fleet::new(generation, members, Vec::new(), Origin::Cli)))
}

#[tokio::test]
async fn a_fleet_that_a_new_dataplane_refuses_is_left_out_until_it_changes() {
    let scene = Scene::new();
    let dataplane = FakeDataplane::start(&scene.place).unwrap();
    let mut book = Book::default();
    book.apply(Origin::Cli, &[add(1), fleet(5, &[2, 3])], &Limits::default()).unwrap();
    let desk = Desk::forgetful(scene.place.clone(), book);
    wait_until(|| desk.status().left_out == 1 && dataplane.tables().peers.len() == 1).await;
    let trouble = desk.status().trouble.unwrap();
    assert!(trouble.starts_with("the fleet is left out: this server's number is not"), "{trouble}");
    // What is not told needs not be taken back, and other changes go on.
    desk.change(Origin::Cli, vec![add(2)]).await.unwrap();
    desk.change(Origin::Cli, vec![Change::RemoveFleet]).await.unwrap();
    assert_eq!((dataplane.tables().fleet, desk.status().left_out), (None, 0));
    desk.change(Origin::Cli, vec![fleet(5, &[1, 2])]).await.unwrap();
    wait_until(|| desk.status().fleet.is_some_and(|seen| seen.generation == 5)).await;
    assert!(dataplane.tables().agree_with(&desk.book()));
    // One that is refused does not take the place of the one that is there.
    let refused = desk.change(Origin::Cli, vec![fleet(6, &[2, 3])]).await.unwrap_err();
    assert_eq!(refused.cause, Cause::Dataplane);
    assert!(dataplane.tables().agree_with(&desk.book()));
    assert_eq!(dataplane.tables().fleet.unwrap().generation, 5);
}
