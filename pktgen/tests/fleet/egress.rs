//! Streams that leave by the servers of a fleet: what is known of them stands in the table of one server, so their client has
//! to stay there whatever becomes of the fleet, and they end with that server alone.

use std::time::{Duration, Instant};

use super::outside::Outside;
use super::router::{ANYCAST_V4, ANYCAST_V6, Subnet};
use super::sequence::{Change, Sequence};
use super::site::{Site, peer};
use super::stock::Stock;
use super::traveller::{Traveller, all_are_reset, all_go_on};
use super::{FLEET, SERVER, begin, keys, movement};
use crate::lab::namespace::Namespace;
use crate::lab::until;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Who travels: subnet, whom it calls, inner host, and whether it shows an id.
const TRAVELLERS: [(Subnet, &str, u8, bool); 5] = [
    (Subnet(101), ANYCAST_V4, 2, false),
    (Subnet(102), ANYCAST_V6, 3, false),
    (Subnet(103), ANYCAST_V4, 20, true),
    (Subnet(104), ANYCAST_V4, 21, true),
    (Subnet(105), ANYCAST_V4, 22, true),
];

const fn id(host: u8) -> [u8; 3] {
    [0x77, 0x05, host]
}

fn peers() -> String {
    let each = TRAVELLERS.map(|(_, _, host, shows)| {
        peer(&keys(host), host, shows.then(|| STANDARD.encode(id(host))).as_deref())
    });
    each.concat()
}

fn connect(places: &[Namespace]) -> Vec<Stock<'_>> {
    let each = places.iter().zip(TRAVELLERS).map(|(place, (subnet, server, host, shows))| {
        let id = shows.then(|| id(host));
        Stock::connect_as(id, (place, subnet), (&keys(host), host), (&keys(SERVER), server))
    });
    each.collect()
}

/// Which changes may come next.
type Wanted = fn(Change) -> bool;

const fn kills(change: Change) -> bool {
    matches!(change, Change::Kill(_))
}

/// Makes one change after the other while clients move; whoever had a server that was killed begins again, and all others
/// go on with what they have. Gives how many have begun again.
fn travel(
    sequence: &mut Sequence<'_>,
    travellers: &mut [Traveller<'_>],
    changes: &[Wanted],
) -> usize {
    let (mut done, mut begun_again) = (Vec::new(), 0);
    for wanted in changes {
        let begin = Instant::now();
        let change = sequence.next(wanted);
        done.push(change);
        let about = format!("{done:?}");
        let killed = if let Change::Kill(server) = change { server } else { 0 };
        let (orphans, others): (Vec<_>, Vec<_>) =
            travellers.iter_mut().partition(|traveller| traveller.server() == killed);
        let longest = all_go_on(others.iter().map(|other| &**other), &about);
        all_are_reset(&orphans.iter().map(|orphan| &**orphan).collect::<Vec<_>>(), &about);
        begun_again += orphans.len();
        println!(
            "{change:?}: {} have lost their server, the others' longest round took {longest:?}; {:.1?}",
            orphans.len(),
            begin.elapsed()
        );
        orphans.into_iter().for_each(Traveller::begin_again);
    }
    begun_again
}

/// Servers, their outside, and places for clients.
struct Stage {
    site: Site,
    outside: Outside,
    places: [Namespace; TRAVELLERS.len()],
}

impl Stage {
    fn new() -> Self {
        let site = Site::new(&keys(SERVER), Some(keys(FLEET)), 3, &peers());
        let outside = Outside::new(&site);
        let places = TRAVELLERS.map(|(subnet, ..)| Stock::place(&site, subnet));
        Self { site, outside, places }
    }

    /// What a counter says at all members and the other data centre together.
    fn count(&self, sequence: &Sequence<'_>, name: &str) -> u64 {
        sequence.count(name) + self.outside.counter(name)
    }
}

/// Clients that move, and these changes; gives how many clients have lost their server.
fn run(seed: u64, changes: &[Wanted]) -> usize {
    println!("seed {seed}");
    let stage = Stage::new();
    let mut sequence = Sequence::found(&stage.site, seed);
    let stocks = connect(&stage.places);
    let mut travellers: Vec<_> = stocks.iter().map(Traveller::begin).collect();
    let homes: Vec<_> = travellers.iter().map(Traveller::server).collect();
    println!("at the servers {homes:?}");
    let stocks_that_move: Vec<_> = stocks.iter().collect();
    let begun_again = movement::during(&stage.site.router, &stocks_that_move, || {
        travel(&mut sequence, &mut travellers, changes)
    });
    drop(travellers);
    drop(stocks);
    until("nothing is being opened", 30, || stage.count(&sequence, "connects_opening") == 0);
    sequence.stop();
    stage.outside.stop();
    begun_again
}

#[test]
fn no_stream_out_of_a_fleet_breaks_but_those_of_a_server_that_was_killed() {
    let Some(_machine) = begin() else { return };
    let mut changes: Vec<Wanted> = vec![|change| !kills(change); 6];
    changes.push(kills);
    let begun_again = run(1, &changes);
    assert!(begun_again > 0 && begun_again < TRAVELLERS.len(), "some of each: {begun_again}");
}

/// Sequences of minutes: `cargo test -p pktgen --features dpdk --test fleet -- --ignored`, with `MILLRACE_SEED` to see one again.
#[test]
#[ignore = "it takes minutes: scripts/test --slow"]
fn no_stream_out_of_a_fleet_breaks_in_many_sequences_of_changes() {
    let Some(_machine) = begin() else { return };
    let wanted = std::env::var("MILLRACE_SEED").map(|seed| seed.parse().unwrap());
    let seeds = wanted.map_or(100..106, |seed: u64| seed..seed + 1);
    for seed in seeds {
        run(seed, &[(|_| true) as Wanted; 20]);
    }
}

fn has_closed_all(place: &Namespace) -> bool {
    place.run("ss -Htn state connected exclude time-wait").is_empty()
}

/// Longer than a session lives (whitepaper 6.1), so that nothing but its flows holds a client at its server.
const SLEEP: Duration = Duration::from_secs(200);
/// Longer than any flow that is over, or a datagram's.
const FORGOTTEN: u64 = 330;

#[test]
#[ignore = "it takes minutes: scripts/test --slow"]
fn clients_that_slept_find_their_streams_where_they_were_and_nothing_is_left_of_them_in_the_end() {
    let Some(_machine) = begin() else { return };
    let stage = Stage::new();
    let mut sequence = Sequence::found(&stage.site, 7);
    let stocks = connect(&stage.places);
    let travellers: Vec<_> = stocks.iter().map(Traveller::begin).collect();
    all_go_on(&travellers, "awake");
    for stock in &stocks {
        stock.sleep(true);
    }
    let asleep = Instant::now();
    let changes: [Wanted; 6] = [
        |change| matches!(change, Change::Join(_)),
        |change| matches!(change, Change::Drain(1)),
        |change| matches!(change, Change::Drain(2)),
        |change| matches!(change, Change::Respread(1)),
        |change| matches!(change, Change::Weight(..)),
        |change| matches!(change, Change::Respread(2)),
    ];
    for wanted in changes {
        println!("asleep: {:?}", sequence.next(wanted));
    }
    std::thread::sleep(SLEEP.saturating_sub(asleep.elapsed()));
    for stock in &stocks {
        stock.sleep(false);
    }
    all_go_on(&travellers, "awake again");
    drop(travellers);
    // Without a tunnel they could not say that they end.
    until("all connections are closed", 30, || stage.places.iter().all(has_closed_all));
    drop(stocks);
    until("no flow is left", FORGOTTEN, || stage.count(&sequence, "flows") == 0);
    assert_eq!(stage.count(&sequence, "connects_opening"), 0);
    for server in [1, 2] {
        until("a drained server holds nobody", 30, || stage.site.server(server).held() == Some(0));
    }
    sequence.stop();
    stage.outside.stop();
}
