//! How far data centres are from each other, and what control hears of it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use dataplane::fate::DropReason;
use dataplane::testing::control::Control;
use dataplane::testing::rules::STRANGER;
use dataplane::testing::scene::Scene;
use dataplane::testing::site::{CENTRE_V4, CONNECT_PORT, GATEWAY_V4, GATEWAY_V6, Plan, SERVER_V4};
use shm::message::{Centre, Event, Item, Machine, Path};

use super::pair::{Pair, scene};
use super::{CENTRE, plan, syn};

const SECOND: Duration = Duration::from_secs(1);
/// The number of the data centre that asks, and of one that is not there.
const HERE: u16 = 3;
const NOBODY: u16 = 9;

fn centre(number: u16, is_here: bool, address: std::net::Ipv4Addr) -> Item {
    let machine = Machine { address: address.into(), port: CONNECT_PORT, weight: 1 };
    Item::Centre(Box::new(Centre { number, is_here, relay: 0, machines: vec![machine] }))
}

/// Two data centres that know each other, and who hears of the first.
fn known() -> (Pair, Control) {
    let mut pair = Pair::new();
    let mut control = attach(&mut pair.here);
    pair.here.change(vec![centre(CENTRE, false, CENTRE_V4), centre(HERE, true, SERVER_V4)]);
    pair.there.change(vec![centre(CENTRE, true, CENTRE_V4)]);
    control.hear();
    (pair, control)
}

fn attach(scene: &mut Scene) -> Control {
    let regions = scene.server.open_border();
    scene.settle();
    regions.attach()
}

/// The answers to probes that control has heard of since the last look.
fn heard(control: &mut Control) -> Vec<Option<Duration>> {
    let mut answers = Vec::new();
    for event in control.hear() {
        if let Event::Probed { centre, machine, answer } = event {
            assert_eq!((centre, machine), (CENTRE, CENTRE_V4.into()));
            answers.push(answer);
        }
    }
    answers
}

#[test]
fn control_hears_how_far_another_data_centre_is_once_a_second() {
    let (mut pair, mut control) = known();
    let mut answers = Vec::new();
    for _ in 0..100 {
        pair.wait(Duration::from_millis(100));
        let asked = pair.sent(true);
        pair.wait(Duration::from_millis(20));
        for packet in &asked {
            pair.there.arrive(packet);
        }
        let back = pair.sent(false);
        assert_eq!(back.len(), asked.len());
        pair.wait(Duration::from_millis(30));
        for (packet, asked) in back.iter().zip(&asked) {
            assert_eq!(packet.len(), asked.len(), "nobody gains by asking in another's name");
            pair.here.arrive(packet);
            pair.here.arrive(packet);
        }
        pair.here.settle();
        answers.extend(heard(&mut control));
    }
    assert!((14..=16).contains(&answers.len()), "{answers:?}");
    // A worker of a real server asks at once; here it turns when the test looks.
    let (least, most) = (Duration::from_millis(50), Duration::from_millis(200));
    let is_right = |time: &Option<Duration>| time.is_some_and(|time| time >= least && time <= most);
    assert!(answers.iter().all(is_right), "{answers:?}");
    assert_eq!(pair.here.server.totals().unaccounted(), 0);
    assert_eq!(pair.there.server.totals().unaccounted(), 0);
}

/// Case 2: the first wait for a data centre is three times the way there and back, and not a second.
#[test]
fn a_lost_syn_to_a_data_centre_is_sent_again_within_the_paths_time() {
    let (mut pair, mut control) = known();
    let mut times = Vec::new();
    for _ in 0..30 {
        pair.wait(Duration::from_millis(100));
        let asked = pair.sent(true);
        pair.wait(Duration::from_millis(20));
        for packet in &asked {
            pair.there.arrive(packet);
        }
        for packet in pair.sent(false) {
            pair.here.arrive(&packet);
        }
        pair.here.settle();
        times.extend(heard(&mut control).into_iter().flatten());
    }
    let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    pair.here.send(0, &syn(1, STRANGER));
    pair.sent(true);
    let mut waited = Duration::ZERO;
    while pair.sent(true).is_empty() {
        pair.wait(Duration::from_millis(5));
        waited += Duration::from_millis(5);
        assert!(waited < SECOND, "as if nothing were known of the way");
    }
    let slack = Duration::from_millis(15);
    assert!(waited >= *least * 3 && waited <= *most * 3 + slack, "{waited:?}, {times:?}");
}

#[test]
fn what_is_not_answered_within_a_second_is_lost() {
    let (mut pair, mut control) = known();
    pair.wait(SECOND * 5);
    let answers = heard(&mut control);
    assert_eq!(answers, [None; 4], "the last one may still come");
    let late = pair.sent(true).pop().unwrap();
    pair.there.arrive(&late);
    let late = pair.sent(false).pop().unwrap();
    pair.wait(SECOND * 2);
    heard(&mut control);
    pair.here.arrive(&late);
    pair.here.settle();
    assert_eq!(heard(&mut control), [], "too late");
}

#[test]
fn nobody_without_the_key_asks_or_answers() {
    let (mut pair, mut control) = known();
    pair.wait(SECOND * 2);
    let asked = pair.sent(true).pop().unwrap();
    let dropped = |scene: &Scene| scene.server.totals().dropped(DropReason::EgressConnectSource);
    for at in 28..asked.len() {
        let mut forged = asked.clone();
        forged[at] ^= 1;
        pair.there.arrive(&forged);
        assert!(pair.sent(false).is_empty(), "octet {at}");
    }
    assert_eq!(dropped(&pair.there), asked.len() as u64 - 28);
    pair.there.arrive(&asked);
    let answer = pair.sent(false).pop().unwrap();
    heard(&mut control);
    for at in 28..answer.len() {
        let mut forged = answer.clone();
        forged[at] ^= 1;
        pair.here.arrive(&forged);
    }
    pair.here.settle();
    assert_eq!(heard(&mut control), []);
    assert_eq!(dropped(&pair.here), answer.len() as u64 - 28);
    pair.here.arrive(&answer);
    pair.here.settle();
    assert_eq!(heard(&mut control).len(), 1);
}

#[test]
fn a_data_centre_tells_how_it_sees_others() {
    let (mut pair, mut control) = known();
    let _its_control = attach(&mut pair.there);
    // Nobody answers at this address, which is one that may ask.
    pair.there.change(vec![centre(CENTRE, true, CENTRE_V4), centre(NOBODY, false, SERVER_V4)]);
    let mut told = Vec::new();
    for _ in 0..60 {
        pair.wait(Duration::from_millis(100));
        for packet in pair.sent(true) {
            pair.there.arrive(&packet);
        }
        // Its own questions get lost: only answers come through.
        for packet in pair.sent(false).iter().filter(|packet| packet.get(29) == Some(&2)) {
            pair.here.arrive(packet);
        }
        pair.here.settle();
        told.extend(control.hear().into_iter().filter_map(|event| {
            if let Event::Paths { from, paths } = event { Some((from, paths[0])) } else { None }
        }));
    }
    let (from, Some(Path { to, rtt, lost })) = told.pop().unwrap() else { panic!("no path") };
    assert_eq!((from, to, rtt), (CENTRE, NOBODY, None));
    assert!(lost >= 3, "{lost}");
}

/// More rows than an answer holds, and others that ask in between: here each question comes twice, and one answer is lost.
#[test]
fn a_data_centre_tells_each_that_asks_how_it_sees_all_others() {
    let (mut pair, mut control) = known();
    let _its_control = attach(&mut pair.there);
    let others = (20..40).map(|number| centre(number, false, SERVER_V4));
    pair.there.change([centre(CENTRE, true, CENTRE_V4)].into_iter().chain(others).collect());
    let mut told = BTreeSet::new();
    for _ in 0..120 {
        pair.wait(Duration::from_millis(100));
        for packet in pair.sent(true) {
            pair.there.arrive(&packet);
            pair.there.arrive(&packet);
        }
        let sent = pair.sent(false);
        let answers = sent.iter().filter(|packet| packet.get(29) == Some(&2));
        for packet in answers.step_by(2) {
            pair.here.arrive(packet);
        }
        pair.here.settle();
        for event in control.hear() {
            if let Event::Paths { paths, .. } = event {
                told.extend(paths.iter().flatten().map(|path| path.to));
            }
        }
    }
    assert_eq!(told, (20..40).collect());
}

#[test]
fn who_cannot_be_asked_is_not_down() {
    let whole = Plan::text(&plan());
    let keyless: Vec<&str> = whole.lines().filter(|line| !line.starts_with("key = ")).collect();
    let far = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 7);
    let lets_in = |to: &str| whole.replace("from = [", &format!("from = [\"{to}\", "));
    let pathless = lets_in(&format!("{far}/128")).replace(&format!(", \"{GATEWAY_V6}\""), "");
    assert_ne!(pathless, lets_in(&format!("{far}/128")));
    let without_key = (keyless.join("\n"), IpAddr::from(CENTRE_V4));
    for (text, address) in [without_key, (pathless, far.into())] {
        let mut scene = scene(&text, GATEWAY_V4, SERVER_V4);
        let mut control = attach(&mut scene);
        let machine = Machine { address, port: CONNECT_PORT, weight: 1 };
        let (number, machines) = (CENTRE, vec![machine]);
        let centre = Centre { number, is_here: false, relay: 0, machines };
        scene.change(vec![Item::Centre(Box::new(centre))]);
        scene.wait(SECOND * 5);
        let told = control.hear();
        assert!(!told.iter().any(|event| matches!(event, Event::Probed { .. })), "{told:?}");
        assert!(scene.strays().is_empty());
    }
}
