//! Tunnels that lose, die, come back and flap, in virtual time from a seed.

mod scene;

use proptest::prelude::*;

use super::*;
use scene::{GOOD, SECOND, START, Scene, TENANT, Way, tunnel};

/// The seconds out of so many that a tunnel with so much loss spends up, degraded and down, and how often its flows move.
fn seconds_with(lost: u64, (interval, seconds): (Duration, u32), seed: u64) -> ([u32; 3], usize) {
    let ways = [Way { lost, ..GOOD }, GOOD];
    let mut scene = Scene::of(&[tunnel(1, interval), tunnel(2, interval)], &ways, seed);
    let mut spent = [0; 3];
    for second in 1..=seconds {
        scene.run_until(SECOND * second);
        let states = [State::Up, State::Degraded, State::Down];
        spent[states.iter().position(|state| *state == scene.state(1)).unwrap()] += 1;
    }
    (spent, scene.groups.len() - 1)
}

#[test]
fn a_tunnel_stands_as_much_as_it_loses() {
    for (time, seeds) in [((SECOND, 7200), 3), ((SECOND / 10, 1800), 1)] {
        for (seed, lost) in (1..=seeds)
            .flat_map(|seed| [0, 500, 10_000, 300_000, 1_000_000].map(|lost| (seed, lost)))
        {
            let ([up, degraded, down], moves) = seconds_with(lost, time, seed);
            let what = format!(
                "seed {seed}, each {:?}, {lost} lost of a million: up {up} s, degraded {degraded} s, \
                 down {down} s, {moves} moves",
                time.0
            );
            println!("{what}");
            match lost {
                0 => assert_eq!((up, moves), (time.1, 0), "{what}"),
                500 => assert!(down == 0 && up * 100 >= time.1 * 99, "{what}"),
                10_000 => assert!(down == 0 && degraded >= time.1 / 3 && moves <= 16, "{what}"),
                300_000 => assert!(up < 60 && degraded > 0 && down > 0 && moves <= 3, "{what}"),
                _ => assert!(up <= 3 && degraded == 0 && moves == 1, "{what}"),
            }
        }
    }
}

/// How long after the death of the other end flows have moved.
fn moved_after(round_trip_ms: u64, death: Duration) -> Duration {
    let dying = Way { round_trip: Duration::from_millis(round_trip_ms), ..GOOD };
    let mut scene = Scene::new(&[dying, GOOD], SECOND);
    scene.run_until(death);
    assert!(scene.state(1) == State::Up && scene.share(1) > 100);
    scene.ways[0].lives = |_| false;
    scene.coming.retain(|Reverse((_, number, ..))| *number == 2);
    scene.run_until(death + SECOND * 10);
    assert_eq!((scene.state(1), scene.share(1), scene.groups.len()), (State::Down, 0, 2));
    scene.groups[1].0.since(START + death)
}

#[test]
fn flows_leave_a_dead_end_within_three_seconds_whenever_it_dies_and_however_far_it_is() {
    for round_trip_ms in [1, 50, 160, 200, 300, 500, 700] {
        let deaths = (0..40).map(|part| SECOND * 10 + SECOND * part / 40);
        let longest = deaths.map(|death| moved_after(round_trip_ms, death)).max().unwrap();
        println!("round trip {round_trip_ms} ms: moved after {longest:?} at most");
        assert!(longest < SECOND * 3, "{longest:?} with {round_trip_ms} ms");
    }
}

#[test]
fn flows_come_back_after_half_a_minute_of_good_probes_and_to_where_they_were() {
    let dead_for_a_minute = |at| at < SECOND * 60 || at >= SECOND * 120;
    let mut scene = Scene::new(&[Way { lives: dead_for_a_minute, ..GOOD }, GOOD], SECOND);
    scene.run_until(SECOND * 148);
    assert_eq!((scene.state(1), scene.groups.len()), (State::Degraded, 2));
    scene.run_until(SECOND * 152);
    assert_eq!((scene.state(1), scene.groups.len()), (State::Up, 3));
    assert_eq!(scene.groups[2].1, scene.groups[0].1);
    let Standing { sent, answered, since, round_trip, .. } = scene.standing(1);
    assert!(since.since(START) > SECOND * 148 && round_trip == Some(GOOD.round_trip));
    assert!((60..70).contains(&(sent - answered)), "{sent} sent, {answered} answered");
}

#[test]
fn a_link_that_flaps_moves_its_flows_a_few_times_and_then_no_more() {
    let two = Way { lives: |at| at.as_secs() % 4 >= 2, ..GOOD };
    let ten = Way { lives: |at| at.as_secs() % 20 >= 10, ..GOOD };
    let sixty = Way { lives: |at| at.as_secs() % 120 >= 60, ..GOOD };
    let long = Way { lives: |at| at.as_secs() % 320 >= 20, ..GOOD };
    for (way, name, moves_max) in
        [(two, "2 s", 1), (ten, "10 s", 1), (sixty, "60 s", 9), (long, "300 s", 13)]
    {
        let mut scene = Scene::new(&[way, GOOD], SECOND);
        scene.run_until(SECOND * 4 * 3600);
        let moves = scene.groups.len() - 1;
        let last = scene.groups.last().unwrap().0.since(START);
        println!("flaps with {name}: {moves} moves, the last after {last:?}");
        assert!(moves <= moves_max && last < SECOND * 3600, "{name}: {moves}, last {last:?}");
    }
}

#[test]
fn two_tunnels_three_to_one_share_until_one_dies_and_the_last_is_never_taken_away() {
    let ways = [
        Way { lives: |at| at < SECOND * 100, ..GOOD },
        Way { lives: |at| at < SECOND * 200, ..GOOD },
    ];
    let tunnels = [Tunnel { weight: 3, ..tunnel(1, SECOND) }, tunnel(2, SECOND)];
    let mut scene = Scene::of(&tunnels, &ways, 1);
    assert!((180..=204).contains(&scene.share(1)), "{} slots", scene.share(1));
    let before = scene.groups[0].1;
    scene.run_until(SECOND * 150);
    assert_eq!((scene.share(1), scene.share(2)), (0, CHOICES));
    scene.run_until(SECOND * 250);
    assert_eq!((scene.state(1), scene.state(2)), (State::Down, State::Down));
    assert_eq!(scene.groups.last().unwrap().1, before, "as if both were up");
    scene.health.follow(&tunnels[1..], scene.now);
    scene.regroup();
    assert_eq!(scene.share(2), CHOICES);
    scene.health.follow(&[], scene.now);
    assert_eq!((scene.health.group(TENANT), scene.health.tenants().count()), (None, 0));
}

#[test]
fn a_longer_way_is_learned_and_no_outage() {
    let mut scene = Scene::new(&[GOOD], SECOND);
    scene.run_until(SECOND * 100);
    scene.ways[0].round_trip = Duration::from_millis(750);
    scene.run_until(SECOND * 1000);
    let Standing { state, sent, answered, round_trip, .. } = scene.standing(1);
    assert_eq!(state, State::Up);
    assert!(sent - answered <= 3, "{sent} sent, {answered} answered");
    assert!(round_trip.unwrap() > Duration::from_millis(740));
}

#[test]
fn probes_of_a_full_house_are_spread_over_the_interval() {
    let count = u16::try_from(TUNNELS_MAX).unwrap();
    let ways = vec![GOOD; TUNNELS_MAX];
    let tunnels: Vec<_> = (1..=count).map(|number| tunnel(number, SECOND)).collect();
    let mut scene = Scene::of(&tunnels, &ways, 1);
    scene.run_until(SECOND * 2);
    for step in 0..100 {
        let before = scene.probes;
        scene.run_until(SECOND * 2 + SECOND * step / 100);
        let sent = scene.probes - before;
        assert!(step == 0 || (78..=86).contains(&sent), "{sent} in 10 ms of {step}");
    }
    let Standing { sent, .. } = scene.standing(count);
    assert!((2..=3).contains(&sent));
}

#[test]
fn a_keeper_that_was_busy_takes_no_answer_for_lost_and_keeps_the_tunnels_apart() {
    let count = 1000;
    let ways = vec![GOOD; count];
    let tunnels: Vec<_> = (1..).take(count).map(|number| tunnel(number, SECOND)).collect();
    let mut scene = Scene::of(&tunnels, &ways, 1);
    for _ in 0..20 {
        scene.run_until(scene.since_start() + SECOND * 3);
        // It looks at nothing for a while; workers go on.
        scene.now = scene.now + SECOND * 7 / 2;
        scene.deliver();
        while scene.health.next_due() <= scene.now {
            let turn = scene.turn();
            turn.probes.iter().for_each(|probe| scene.send(probe));
        }
    }
    scene.run_until(scene.since_start() + SECOND * 2);
    for number in (1..).take(count) {
        let Standing { sent, answered, state, .. } = scene.standing(number);
        assert!(state == State::Up && sent - answered <= 1, "{number}: {answered} of {sent}");
    }
    let before = scene.probes;
    scene.run_until(scene.since_start() + SECOND / 10);
    assert!((95..=105).contains(&(scene.probes - before)), "{}", scene.probes - before);
}

#[test]
fn a_probe_that_nobody_could_send_says_nothing_of_its_tunnel() {
    let mut scene = Scene::new(&[GOOD], SECOND);
    scene.run_until(SECOND * 3);
    for _ in 0..100 {
        scene.now = scene.health.next_due();
        scene.deliver();
        let turn = scene.turn();
        turn.probes.iter().for_each(|probe| scene.health.withdraw(probe));
    }
    let Standing { state, sent, answered, .. } = scene.standing(1);
    assert_eq!((state, sent), (State::Up, answered));
}

#[test]
fn those_that_stay_keep_how_they_stand_and_a_number_that_is_used_again_begins_anew() {
    let dead = Way { lives: |_| false, ..GOOD };
    let mut scene = Scene::new(&[dead, dead, GOOD], SECOND);
    scene.run_until(SECOND * 10);
    let unprobed = Tunnel { probing: None, ..tunnel(3, SECOND) };
    let other = Tunnel { id: 77, ..tunnel(2, SECOND) };
    let reweighed = Tunnel { weight: 7, priority: 3, ..tunnel(1, SECOND * 2) };
    scene.health.follow(&[reweighed, other, unprobed], scene.now);
    let states = [1, 2, 3].map(|number| scene.state(number));
    assert_eq!(states, [State::Down, State::Up, State::Unprobed]);
    let fresh = Standing {
        id: 77,
        state: State::Up,
        round_trip: None,
        sent: 0,
        answered: 0,
        since: scene.now,
    };
    assert_eq!(scene.standing(2), fresh);
    scene.regroup();
    assert_eq!(scene.share(1), 0);
    let before = scene.probes;
    scene.run_until(SECOND * 20);
    assert_eq!(scene.state(2), State::Down);
    assert_eq!(scene.share(3), CHOICES);
    let sent = scene.probes - before;
    assert!((17..=20).contains(&sent), "{sent}: one each 2 s, and one each second with two more");
}

#[test]
fn the_answers_to_the_tunnel_that_had_a_number_before_say_nothing_of_the_next() {
    let mut scene = Scene::new(&[GOOD], SECOND);
    scene.run_until(SECOND * 10);
    scene.ways[0].lives = |_| false;
    scene.health.follow(&[Tunnel { id: 77, ..tunnel(1, SECOND) }], scene.now);
    scene.run_until(SECOND * 20);
    let Standing { state, round_trip, answered, .. } = scene.standing(1);
    assert_eq!((state, round_trip, answered), (State::Down, None, 0));
}

#[test]
fn control_hears_of_changes_first_and_of_the_rest_each_second() {
    let dying = Way { lives: |at| at < SECOND * 30, ..GOOD };
    let mut scene = Scene::new(&[GOOD, dying, GOOD], SECOND);
    let hear = |scene: &mut Scene| -> Vec<(u32, State)> {
        std::iter::from_fn(|| scene.health.next_untold())
            .map(|standing| (standing.id, standing.state))
            .collect()
    };
    let up = |id| (id, State::Up);
    assert_eq!(hear(&mut scene), [1001, 1002, 1003].map(up));
    assert!(hear(&mut scene).is_empty());
    let mut heard = 0;
    for tenth in 1..=290 {
        scene.run_until(SECOND * tenth / 10);
        heard += hear(&mut scene).len();
    }
    assert!((3 * 28..=3 * 29).contains(&heard), "{heard} times");
    scene.run_until(SECOND * 40);
    assert_eq!(hear(&mut scene)[0], (1002, State::Down));
    scene.health.tell_all();
    assert_eq!(hear(&mut scene), [up(1001), (1002, State::Down), up(1003)]);
}

fn ways() -> impl Strategy<Value = Vec<Way>> {
    let lives: [fn(Duration) -> bool; 4] =
        [|_| true, |_| false, |at| at.as_secs() % 14 >= 7, |at| at.as_millis() % 900 >= 300];
    let way = (0..1_000_000_u64, 0..2000_u64, prop::sample::select(lives.to_vec())).prop_map(
        |(lost, round_trip_ms, lives)| Way {
            lost: lost / 2,
            round_trip: Duration::from_millis(round_trip_ms),
            lives,
        },
    );
    proptest::collection::vec(way, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_happens_flows_have_a_way_and_probes_a_limit(
        ways in ways(),
        intervals in proptest::collection::vec(100_u64..5000, 6),
        seed: u64,
    ) {
        let tunnels: Vec<_> = (1..)
            .zip(&ways)
            .zip(&intervals)
            .map(|((number, _), ms)| tunnel(number, Duration::from_millis(*ms)))
            .collect();
        let mut scene = Scene::of(&tunnels, &ways, seed);
        for second in 1..120 {
            scene.run_until(SECOND * second);
            let group = scene.health.group(TENANT).unwrap();
            let any_up = tunnels.iter().any(|tunnel| scene.state(tunnel.number) == State::Up);
            for number in group {
                prop_assert!(!any_up || scene.state(number) == State::Up);
            }
        }
        let limit: u64 = intervals.iter().map(|ms| 120_000 / ms.min(&250) + 1).sum();
        prop_assert!(scene.probes <= limit, "{} probes, {}", scene.probes, limit);
        for number in (1..).take(ways.len()) {
            let Standing { sent, answered, .. } = scene.standing(number);
            prop_assert!(answered <= sent && sent <= 1201);
        }
    }
}
