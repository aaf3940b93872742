//! Claims about owner tables: who gets how much, what a change moves, and that nobody can aim.

use super::*;
use proptest::prelude::*;

type Weights = Vec<(u8, u16)>;

const KEY: [u8; 16] = [7; 16];

fn build(weights: &[(u8, u16)]) -> Table {
    Table::build(KEY, weights).unwrap()
}

/// `count` servers of the same weight, or of five different ones.
fn fleet(count: u16, mixed: bool) -> Weights {
    let weight = |n: u16| if mixed { [100, 50, 200, 400, 75][usize::from(n % 5)] } else { 100 };
    (0..count).map(|n| (u8::try_from(n).unwrap(), weight(n))).collect()
}

/// What each server is to have of all rows.
fn shares(weights: &[(u8, u16)]) -> [f64; 256] {
    let total: f64 = weights.iter().map(|(_, weight)| f64::from(*weight)).sum();
    let mut shares = [0.0; 256];
    for (number, weight) in weights {
        shares[usize::from(*number)] = f64::from(*weight) / total;
    }
    shares
}

fn counts(table: &Table) -> [f64; 256] {
    let mut counts = [0.0; 256];
    for server in table.rows() {
        counts[usize::from(*server)] += 1.0;
    }
    counts
}

const ALL: f64 = 65_537.0;

/// The most that a server has, against its share.
fn balance(weights: &[(u8, u16)]) -> f64 {
    let has = counts(&build(weights));
    let shares = shares(weights).map(|share| share * ALL);
    let loads = has.iter().zip(shares).filter(|(_, share)| *share > 0.0);
    loads.map(|(has, share)| has / share).fold(0.0, f64::max)
}

/// The percentage of rows that a change moves between servers which neither lose nor gain by it: those that need not have
/// moved. Printed with all that move, and those that would move with any table.
fn strays(name: &str, before: &[(u8, u16)], after: &[(u8, u16)]) -> f64 {
    let (one, two) = (build(before), build(after));
    let weight = |weights: &[(u8, u16)], server: u8| {
        weights.iter().find(|(number, _)| *number == server).map_or(0, |(_, weight)| *weight)
    };
    let (mut moved, mut strays) = (0.0, 0.0);
    for (from, to) in one.rows().iter().zip(two.rows()).filter(|(from, to)| from != to) {
        let lost = weight(before, *from) > weight(after, *from);
        let gained = weight(after, *to) > weight(before, *to);
        moved += 100.0 / ALL;
        strays += if lost || gained { 0.0 } else { 100.0 / ALL };
    }
    let gains = shares(before).into_iter().zip(shares(after)).map(|(old, new)| new - old);
    let ideal: f64 = gains.filter(|gain| *gain > 0.0).sum::<f64>() * 100.0;
    let count = before.len();
    println!(
        "{count} servers, {name}: {moved:.3} % move, ideally {ideal:.3} %, strays {strays:.3} %"
    );
    strays
}

#[test]
fn every_server_has_its_share_and_at_most_one_percent_more() {
    for (count, mixed) in [(1, false), (3, true), (8, false), (16, true), (64, false)] {
        let balance = balance(&fleet(count, mixed));
        println!("{count} servers, mixed: {mixed}: max/mean {balance:.4}");
        assert!(balance <= 1.0101, "{count} servers: {balance}");
    }
}

#[test]
fn the_largest_fleet_is_balanced_too_and_loses_few_rows_with_a_server() {
    let whole = fleet(256, false);
    let balance = balance(&whole);
    println!("256 servers: max/mean {balance:.4}");
    assert!(balance <= 1.0101, "{balance}");
    assert!(strays("-1", &whole, &fleet(255, false)) < 0.4);
}

#[test]
fn a_change_moves_little_more_than_it_must() {
    for (count, mixed) in [(3, false), (8, false), (8, true), (16, true)] {
        let before = fleet(count, mixed);
        let mut without = before.clone();
        without.remove(1);
        let mut lighter = before.clone();
        lighter[1].1 /= 2;
        for (name, after) in [
            ("+1", fleet(count + 1, mixed)),
            ("+2", fleet(count + 2, mixed)),
            ("+4", fleet(count + 4, mixed)),
            ("-1", without),
            ("one at half its weight", lighter),
        ] {
            let strays = strays(name, &before, &after);
            assert!(strays < 0.4, "{count} servers, {name}: {strays} %");
        }
    }
}

#[test]
fn a_row_whose_server_stays_goes_back_when_the_change_is_undone() {
    let before = fleet(8, true);
    let mut without = before.clone();
    let gone = without.remove(3);
    let table = build(&before);
    assert_ne!(table, build(&without));
    assert!(!build(&without).rows().contains(&gone.0));
    without.push(gone);
    assert_eq!(table, build(&without));
}

#[test]
fn weights_count_only_against_each_other() {
    assert_eq!(build(&[(3, 1), (9, 2)]), build(&[(3, 10), (9, 20)]));
    assert_eq!(build(&[(3, 10), (9, 20)]), build(&[(9, 5), (3, 10), (9, 15), (4, 0)]));
    let heaviest = build(&[(0, u16::MAX), (255, 1)]);
    let counts = counts(&heaviest);
    assert!((1.0..=2.0).contains(&counts[255]), "{}", counts[255]);
}

#[test]
fn without_weight_there_is_no_table() {
    assert!(Table::build(KEY, &[]).is_none());
    assert!(Table::build(KEY, &[(1, 0), (2, 0)]).is_none());
}

#[test]
fn the_digest_is_of_the_rows_and_the_same_on_every_machine() {
    let weights = fleet(3, true);
    let table = build(&weights);
    assert_eq!(table.digest(), build(&weights).digest());
    assert_ne!(table.digest(), build(&fleet(3, false)).digest());
    assert_ne!(table.digest(), Table::build([8; 16], &weights).unwrap().digest());
    // As it was when it was first built: other arithmetic would let servers of two versions disagree.
    assert_eq!(table.digest(), 1_039_494_348_055_567_925);
    assert_eq!(build(&[(9, 1)]).rows(), vec![9; ROWS]);
}

/// Sum of squared deviations over expectation, for counts that should all be alike.
fn chi_square(counts: &[u32]) -> f64 {
    let sum: f64 = counts.iter().copied().map(f64::from).sum();
    let expected = sum / f64::from(u32::try_from(counts.len()).unwrap());
    counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
}

/// Whether the counts could be chance: within five standard deviations of the degrees of freedom.
fn assert_even(name: &str, counts: &[u32]) {
    let freedom = f64::from(u32::try_from(counts.len() - 1).unwrap());
    let chi_square = chi_square(counts);
    let deviations = (chi_square - freedom) / (2.0 * freedom).sqrt();
    println!("{name}: chi-square {chi_square:.0} of {freedom}, {deviations:.1} deviations");
    assert!(deviations.abs() < 5.0, "{name}: {deviations} deviations");
}

fn id(number: u32) -> ClientId {
    let [a, b, c, _] = number.to_le_bytes();
    ClientId([a, b, c])
}

fn per_row(ids: impl Iterator<Item = ClientId>) -> Vec<u32> {
    let mut counts = vec![0; ROWS];
    for id in ids {
        counts[row(KEY, id)] += 1;
    }
    counts
}

#[test]
fn ids_of_any_order_spread_evenly_over_the_rows() {
    assert_even("sequential", &per_row((1 << 20..5 << 18).map(id)));
    assert_even("every 64th", &per_row((0..1 << 18).map(|n| id(n << 6))));
    // Each of these steps has an inverse on 24 bits, so no id comes twice.
    let shuffled = |n: u32| {
        let n = n.wrapping_mul(0x009e_3779) & 0x00ff_ffff;
        id((n ^ n >> 11).wrapping_mul(0x005b_d1e9) & 0x00ff_ffff)
    };
    assert_even("shuffled", &per_row((0..1 << 18).map(shuffled)));
}

#[test]
fn who_knows_all_ids_but_not_the_key_cannot_aim_at_a_server() {
    let (ours, theirs) =
        (build(&fleet(8, false)), Table::build([8; 16], &fleet(8, false)).unwrap());
    // All ids that a table of another key would give to server 3, and those of a few rows of it.
    let aimed = |wanted: &dyn Fn(usize) -> bool| {
        let mut hit = vec![0; 8];
        for id in (0..1 << 21).map(id).filter(|id| wanted(row([8; 16], *id))) {
            hit[usize::from(ours.owner(row(KEY, id)))] += 1;
        }
        hit
    };
    let share = counts(&ours);
    for (name, hit) in [
        ("all of a server", aimed(&|row| theirs.owner(row) == 3)),
        ("a hundred rows", aimed(&|row| row < 100)),
    ] {
        let sum: f64 = hit.iter().copied().map(f64::from).sum();
        for (server, hit) in hit.iter().enumerate() {
            let expected = sum * share[server] / ALL;
            let deviations = (f64::from(*hit) - expected) / expected.sqrt();
            println!("{name}: server {server} gets {hit} of {expected:.0}");
            assert!(deviations.abs() < 5.0, "{name}: server {server}: {deviations} deviations");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn the_order_of_servers_makes_no_difference(
        weights in prop::collection::btree_map(any::<u8>(), 1_u16.., 1..8), seed: u64,
    ) {
        let weights: Weights = weights.into_iter().collect();
        let mut other = weights.clone();
        other.sort_by_key(|(number, _)| u64::from(*number).wrapping_add(seed).wrapping_mul(seed | 1));
        prop_assert_eq!(build(&weights), build(&other));
    }

    /// Against the stupid way: nobody prefers another server that prefers it to one that it has.
    #[test]
    fn no_row_and_server_would_rather_have_each_other(
        weights in prop::collection::btree_map(any::<u8>(), 1_u16.., 2..5),
    ) {
        let weights: Weights = weights.into_iter().collect();
        let table = build(&weights);
        let scores = Scores(Sip::new(KEY));
        let mut servers = servers(&weights).unwrap();
        for (row, owner) in (0..).zip(table.rows()) {
            let server = servers.iter_mut().find(|server| server.number == *owner).unwrap();
            server.rows.push(Bid { distance: scores.distance(row, *owner), row });
        }
        for (row, owner) in (0..).zip(table.rows()) {
            // Scaled by all weights, so that the division is exact.
            let product: u128 = weights.iter().map(|(_, weight)| u128::from(*weight)).product();
            let cost = |server: &Server| {
                u128::from(scores.distance(row, server.number)) * (product / u128::from(server.weight))
            };
            let own = servers.iter().find(|server| server.number == *owner).unwrap();
            for other in servers.iter().filter(|other| cost(other) < cost(own)) {
                let bid = Bid { distance: scores.distance(row, other.number), row };
                let worst = other.rows.peek().unwrap();
                prop_assert!(other.rows.len() == other.capacity && *worst < bid, "row {}", row);
            }
        }
    }
}
