//! Claims about what detection makes of rounds.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;
use shm::message::Pattern;

use super::*;
use crate::dos::Sighting;
use crate::model::dos::{HOLD, SynGuard};
use crate::model::{Limits, Tenant};

const ALLOWED: u64 = 1000;

fn book(mode: Mode) -> Book {
    let detect = Detect {
        mode: Mode::Enforce,
        source_packets: Some(ALLOWED),
        source_octets: None,
        destination_packets: Some(ALLOWED),
        pattern_packets: Some(ALLOWED),
        hold: HOLD,
        origin: Origin::Cli,
    };
    let tenant = Tenant {
        name: "customer".into(),
        id: 0,
        mode,
        syn: SynGuard::Off,
        syn_above: 0,
        flows: false,
        out_of_state: 0,
        prefixes: ["203.0.113.0/24".parse().unwrap()].into(),
        tunnels: Box::default(),
        firewall: None,
        origin: Origin::Cli,
    };
    let mut book = Book::default();
    let changes = [Change::PutDetect(Some(detect)), Change::PutTenant(tenant)];
    book.apply(Origin::Cli, &changes, &Limits::default()).unwrap();
    book
}

fn source(number: u32, packets: u64) -> Sighting {
    let address = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
    Sighting { packets, octets: 0, dropped: 0, what: Heavy::Source(address.into()) }
}

fn round(sightings: Vec<Sighting>) -> Round {
    Round { sightings, ..Round::default() }
}

struct Scene {
    book: Book,
    detection: Detection,
    speaking: HashSet<IpNet>,
    /// What was said, by what and rule.
    said: Vec<(What, String)>,
    last: Vec<Happened>,
}

impl Scene {
    fn new(book: Book) -> Self {
        let (detection, speaking) = (Detection::default(), HashSet::new());
        Self { book, detection, speaking, said: Vec::new(), last: Vec::new() }
    }

    fn see(&mut self, now: u64, sightings: Vec<Sighting>) {
        let speaking = |prefixes: &HashSet<IpNet>| {
            let is_in = |prefix: &&IpNet| self.speaking.iter().any(|one| prefix.contains(one));
            prefixes.iter().filter(is_in).copied().collect()
        };
        let program = Instruction { code: 6, jt: 0, jf: 0, k: 1 };
        let compile = |_: &str| Ok(vec![program]);
        let around = Surroundings { speaking: &speaking, compile: &compile };
        let plan = self.detection.plan(&round(sightings), &self.book, now, &around);
        let changes: Vec<Change> =
            plan.acts.iter().flat_map(|(changes, _)| changes.iter().cloned()).collect();
        self.book.apply(Origin::Detection, &changes, &Limits::default()).unwrap();
        self.last = plan.acts.into_iter().map(|(_, happened)| happened).chain(plan.told).collect();
        self.said.extend(self.last.iter().map(|one| (one.what, one.rule.clone())));
    }

    /// What is seen in two rounds in a row.
    fn see_twice(&mut self, now: u64, sightings: &[Sighting]) {
        self.see(now, sightings.to_vec());
        self.see(now, sightings.to_vec());
    }

    fn expire(&mut self, now: u64) {
        let ids: Vec<u32> = self.book.expired(now).map(|rule| rule.id).collect();
        let changes: Vec<Change> =
            ids.into_iter().map(|id| Change::ExpireRule { id, now }).collect();
        self.book.apply(Origin::Detection, &changes, &Limits::default()).unwrap();
    }

    fn automatic(&self) -> Vec<String> {
        self.book.rules_after(0).map(|rule| rule.name.to_string()).collect()
    }

    /// The names of rules of a network and of what is in it.
    fn automatic_in(&self, net: IpNet) -> Vec<String> {
        let prefix = |rule: &Rule| Some(rule.prefixes()?.as_slice()[0]);
        let rules = self.book.rules_after(0);
        let rules = rules.filter(|rule| prefix(rule).is_some_and(|prefix| net.contains(&prefix)));
        rules.map(|rule| rule.name.to_string()).collect()
    }
}

#[test]
fn what_clients_send_to_our_own_addresses_makes_no_rule() {
    let mut scene = Scene::new(book(Mode::Enforce));
    let destination = "192.0.2.1".parse().unwrap();
    let pattern = |source_port| Pattern {
        tenant: None,
        destination,
        protocol: 17,
        source_port,
        destination_port: Some(51820),
        len: Some(96),
        tcp_flags: None,
    };
    let seen = |what| Sighting { packets: 5 * ALLOWED, octets: 7, dropped: 3, what };
    let heavy = [
        Heavy::Destination { address: destination, tenant: None },
        Heavy::Pattern(pattern(None)),
        Heavy::Pattern(pattern(Some(40_000))),
        Heavy::Pattern(pattern(Some(443))),
    ];
    scene.see_twice(100, &heavy.map(seen));
    assert_eq!(scene.automatic(), Vec::<String>::new());
}

#[test]
fn each_kind_of_offender_becomes_a_rule_in_the_second_round_in_a_row() {
    let mut scene = Scene::new(book(Mode::Enforce));
    let tenant = Some(scene.book.tenant_named("customer").unwrap().id);
    let address = "203.0.113.9".parse().unwrap();
    let pattern = Pattern {
        tenant,
        destination: address,
        protocol: 17,
        source_port: Some(53),
        destination_port: None,
        len: Some(512),
        tcp_flags: None,
    };
    let seen = |what| Sighting { packets: 5 * ALLOWED, octets: 7, dropped: 3, what };
    let v6: IpNet = "2001:db8:1:2::/64".parse().unwrap();
    let heavy = vec![
        source(7, ALLOWED),
        source(8, ALLOWED - 1),
        seen(Heavy::Source(v6)),
        seen(Heavy::Destination { address, tenant }),
        seen(Heavy::Pattern(pattern)),
    ];
    scene.see(99, heavy.clone());
    scene.see(99, vec![source(9, ALLOWED)]);
    scene.see(100, heavy.clone());
    scene.detection.interrupt();
    scene.see(100, heavy.clone());
    assert_eq!((scene.automatic(), scene.said.len()), (vec![], 0));
    scene.see(100, heavy);
    let mut names = scene.automatic();
    names.sort();
    assert_eq!(
        names,
        [
            "auto-destination-customer",
            "auto-pattern-203.0.113.9-udp-from-53-len-512",
            "auto-source-10.0.0.7",
            "auto-source-2001:db8:1:2::/64",
        ]
    );
    for rule in scene.book.rules_after(0) {
        assert_eq!((rule.expires, rule.mode), (Some(100 + HOLD), Mode::Enforce), "{rule:?}");
    }
    let rule = scene.book.rule_named("auto-pattern-203.0.113.9-udp-from-53-len-512").unwrap();
    let Matter::Signature { expression, .. } = &rule.matter else { panic!() };
    assert_eq!(&**expression, "dst host 203.0.113.9 and udp and src port 53 and ip[2:2] = 512");
    let rule = scene.book.rule_named("auto-destination-customer").unwrap();
    let Matter::Limit(limit) = rule.matter else { panic!() };
    assert_eq!((limit.per_second, rule.reach.text()), (ALLOWED, "customer"));
    let made = &scene.last[0];
    assert_eq!((made.packets, made.dropped, made.by.as_str()), (Some(5000), Some(3), "detection"));
}

#[test]
fn nothing_is_made_of_a_source_from_which_a_client_speaks_or_that_is_allowed() {
    let mut scene = Scene::new(book(Mode::Enforce));
    let allowed: Prefixes = vec!["10.0.0.0/29".parse().unwrap()].into();
    let list = Rule {
        name: "friends".into(),
        id: 0,
        mode: Mode::Enforce,
        reach: Reach::All,
        expires: None,
        matter: Matter::List(ListKind::Allow, allowed),
        origin: Origin::Cli,
    };
    scene.book.apply(Origin::Cli, &[Change::AddRule(list)], &Limits::default()).unwrap();
    scene.speaking.insert("10.0.0.9/32".parse().unwrap());
    for now in 100..100 + HOLD {
        scene.see(now, vec![source(7, 9 * ALLOWED), source(9, 9 * ALLOWED)]);
    }
    assert_eq!(scene.automatic(), ["friends"]);
    // Once for each.
    let names: Vec<&str> = scene.said.iter().map(|(_, rule)| rule.as_str()).collect();
    assert_eq!(names, ["auto-source-10.0.0.7", "auto-source-10.0.0.9"]);
    assert!(scene.said.iter().all(|(what, _)| *what == What::NotEnforced));
    // A rule goes when a client comes to speak from there.
    scene.see_twice(200, &[source(30, ALLOWED)]);
    scene.speaking.insert("10.0.0.30/32".parse().unwrap());
    scene.see(201, vec![source(30, ALLOWED)]);
    assert_eq!(scene.automatic(), ["friends"]);
    assert_eq!(scene.last[0].what, What::Removed);
}

/// The source in 10.0.0.0/24 without a rule, in a scene whose rules are all taken.
const FREE: u32 = 200;

/// All rules are taken, by four /24 but for [`FREE`], and one elsewhere.
fn full_scene() -> Scene {
    let mut scene = Scene::new(book(Mode::Enforce));
    let most = u32::try_from(AUTOMATIC_MAX).unwrap();
    let heavy = (0..=most).filter(|number| *number != FREE);
    let heavy: Vec<Sighting> = heavy.map(|number| source(number, 2 * ALLOWED)).collect();
    scene.see_twice(100, &heavy);
    assert_eq!(scene.automatic().len(), AUTOMATIC_MAX);
    scene
}

#[test]
fn a_tenant_in_monitor_mode_is_told_apart() {
    let mut scene = Scene::new(book(Mode::Monitor));
    let tenant = Some(scene.book.tenant_named("customer").unwrap().id);
    let what = Heavy::Destination { address: "203.0.113.9".parse().unwrap(), tenant };
    scene.see_twice(100, &[Sighting { packets: ALLOWED, octets: 0, dropped: 0, what }]);
    assert!(scene.last[0].why.contains("not enforced, for tenant customer"), "{:?}", scene.last);
}

#[test]
fn a_network_of_light_sources_begins_no_rule_and_prolongs_that_of_heavy_ones() {
    let mut scene = Scene::new(book(Mode::Enforce));
    let nets = ["10.0.0.0/24", "2001:db8:1::/48"].map(|net| net.parse::<IpNet>().unwrap());
    let seen = nets.map(|net| Sighting {
        packets: 100 * ALLOWED,
        octets: 0,
        dropped: 0,
        what: Heavy::Source(net),
    });
    for now in 100..110 {
        scene.see(now, seen.to_vec());
    }
    assert_eq!((scene.automatic(), scene.said.len()), (vec![], 0));
    let rule = nets.map(|net| {
        Change::PutRule(Rule {
            name: source_name(net).into(),
            id: 0,
            mode: Mode::Enforce,
            reach: Reach::All,
            expires: Some(120),
            matter: Matter::List(ListKind::Block, vec![net].into()),
            origin: Origin::Detection,
        })
    });
    scene.book.apply(Origin::Detection, &rule, &Limits::default()).unwrap();
    scene.see(110, seen.to_vec());
    for rule in scene.book.rules_after(0) {
        assert_eq!(rule.expires, Some(110 + HOLD), "{rule:?}");
    }
}

#[test]
fn too_many_sources_become_one_neighbourhood_or_are_told() {
    let mut scene = Scene::new(book(Mode::Enforce));
    let most = u32::try_from(AUTOMATIC_MAX).unwrap();
    let heavy: Vec<Sighting> = (0..most).map(|number| source(number, 2 * ALLOWED)).collect();
    scene.see_twice(100, &heavy);
    assert_eq!(scene.automatic().len(), AUTOMATIC_MAX);
    // Four /24 are full of rules: another one of the first of them widens it.
    scene.see_twice(101, &[source(1, 5 * ALLOWED), source(most + 70_000, 3 * ALLOWED)]);
    assert_eq!(scene.automatic().len(), AUTOMATIC_MAX);
    assert_eq!(scene.last.last().unwrap().what, What::NotEnforced);
    let net: IpNet = "10.0.7.0/24".parse().unwrap();
    let near: Vec<Sighting> = (0x700..0x705).map(|number| source(number, ALLOWED)).collect();
    // None of these has neighbours yet, so there is no room for it.
    scene.see_twice(102, &near);
    assert!(scene.book.rule_named(&source_name(net)).is_none());
    let first: IpNet = "10.0.0.0/24".parse().unwrap();
    let gone = Change::RemoveRule("auto-source-10.0.0.200".into());
    let spare = Change::PutRule(Rule {
        name: "auto-source-192.0.2.1".into(),
        matter: Matter::List(ListKind::Block, vec!["192.0.2.1/32".parse().unwrap()].into()),
        ..Rule::clone(scene.book.rule_named("auto-source-10.0.0.1").unwrap())
    });
    scene.book.apply(Origin::Detection, &[gone, spare], &Limits::default()).unwrap();
    scene.see_twice(103, &[source(200, ALLOWED)]);
    assert!(scene.book.rule_named(&source_name(first)).is_some(), "{:?}", scene.last);
    assert_eq!(scene.automatic().len(), AUTOMATIC_MAX - 255 + 1);
    // What is in it makes no rule any more.
    scene.see_twice(104, &[source(201, 9 * ALLOWED)]);
    assert!(scene.last.is_empty(), "{:?}", scene.last);
}

#[test]
fn a_rule_that_goes_into_that_of_its_neighbourhood_is_not_made_again_in_the_same_round() {
    let mut scene = full_scene();
    // All are due to be prolonged, and the heaviest has no rule yet.
    let now = 100 + HOLD / 2;
    let mut near: Vec<Sighting> = (0..5).map(|number| source(number, ALLOWED)).collect();
    near.push(source(FREE, 9 * ALLOWED));
    scene.see(now, near.clone());
    scene.see(now, near);
    let net: IpNet = "10.0.0.0/24".parse().unwrap();
    assert_eq!(scene.automatic_in(net), [source_name(net)], "{:?}", scene.last);
}

#[test]
fn detection_that_is_off_makes_no_rule_and_says_nothing() {
    let mut scene = Scene::new(book(Mode::Enforce));
    let detect = Detect { mode: Mode::Off, ..*scene.book.detect().unwrap() };
    let change = Change::PutDetect(Some(detect));
    scene.book.apply(Origin::Cli, &[change], &Limits::default()).unwrap();
    scene.speaking.insert("10.0.0.9/32".parse().unwrap());
    scene.see_twice(100, &[source(7, 9 * ALLOWED), source(9, 9 * ALLOWED)]);
    assert_eq!((scene.automatic(), scene.said), (vec![], vec![]));
}

#[test]
fn each_flood_is_told_however_long_rules_hold_and_not_all_of_too_many() {
    let mut scene = Scene::new(book(Mode::Enforce));
    let detect = Detect { hold: 86_400, ..*scene.book.detect().unwrap() };
    let change = Change::PutDetect(Some(detect));
    scene.book.apply(Origin::Cli, &[change], &Limits::default()).unwrap();
    scene.speaking.extend((0..4200).map(|number| match source(number, 0).what {
        Heavy::Source(prefix) => prefix,
        Heavy::Destination { .. } | Heavy::Pattern(_) => panic!(),
    }));
    // One flood of more than a minute, and another one a minute later.
    for now in (100..200).chain([260]) {
        scene.see_twice(now, &[source(9, 9 * ALLOWED)]);
    }
    assert_eq!(scene.said.len(), 2, "{:?}", scene.said);
    let many: Vec<Sighting> = (0..4200).map(|number| source(number, ALLOWED)).collect();
    scene.see_twice(1000, &many);
    scene.see(1001, many);
    assert_eq!(scene.said.len(), 2 + SILENT_MAX);
}

#[test]
fn another_declared_rate_is_that_of_the_limit_at_once() {
    let mut scene = Scene::new(book(Mode::Enforce));
    let tenant = Some(scene.book.tenant_named("customer").unwrap().id);
    let what = Heavy::Destination { address: "203.0.113.9".parse().unwrap(), tenant };
    let seen = [Sighting { packets: 9 * ALLOWED, octets: 0, dropped: 0, what }];
    scene.see_twice(100, &seen);
    let mut detect = *scene.book.detect().unwrap();
    detect.destination_packets = Some(2 * ALLOWED);
    let change = Change::PutDetect(Some(detect));
    scene.book.apply(Origin::Cli, &[change], &Limits::default()).unwrap();
    scene.see_twice(100, &seen);
    let rule = scene.book.rule_named("auto-destination-customer").unwrap();
    let Matter::Limit(limit) = rule.matter else { panic!() };
    assert_eq!(limit.per_second, 2 * ALLOWED);
    let prolonged = scene.said.iter().filter(|(what, _)| *what == What::Prolonged).count();
    assert_eq!(prolonged, 1, "{:?}", scene.said);
}

#[test]
fn the_rule_of_a_neighbourhood_lasts_while_one_of_it_is_heavy_and_goes_when_a_client_is_there() {
    let mut scene = full_scene();
    scene.see_twice(101, &[source(FREE, 9 * ALLOWED)]);
    let net: IpNet = "10.0.0.0/24".parse().unwrap();
    assert_eq!(scene.automatic_in(net), [source_name(net)]);
    // One allowed address is not the whole of it.
    let first: Prefixes = vec!["10.0.0.0/32".parse().unwrap()].into();
    let list = Rule {
        name: "friend".into(),
        matter: Matter::List(ListKind::Allow, first),
        ..Rule::clone(scene.book.rule_named(&source_name(net)).unwrap())
    };
    scene.book.apply(Origin::Cli, &[Change::AddRule(list)], &Limits::default()).unwrap();
    let later = 101 + HOLD / 2;
    scene.see(later, vec![source(7, ALLOWED / 2), source(8, ALLOWED / 2)]);
    let said: Vec<What> = scene.last.iter().map(|one| one.what).collect();
    assert_eq!(said, [What::Prolonged], "{:?}", scene.last);
    let rule = scene.book.rule_named(&source_name(net)).unwrap();
    assert_eq!(rule.expires, Some(later + HOLD));
    assert_eq!(rule.prefixes().unwrap().as_slice(), [net]);
    // A client comes to speak from there, but not from the heavy source.
    scene.speaking.insert("10.0.0.9/32".parse().unwrap());
    scene.see(later + 1, vec![source(7, ALLOWED)]);
    assert_eq!(scene.last[0].what, What::Removed);
    assert!(scene.book.rule_named(&source_name(net)).is_none());
}

proptest! {
    #[test]
    fn rates_that_flap_make_no_rule_flap(
        rates in prop::collection::vec(prop::collection::vec(0..2 * ALLOWED, 6), 1..400),
        speaker in 0..6_u32,
    ) {
        let mut scene = Scene::new(book(Mode::Enforce));
        scene.speaking.insert(IpAddr::from((0x0a00_0000 + speaker).to_be_bytes()).into());
        let mut over = [false; 6];
        let (mut seen, mut made) = (BTreeMap::new(), BTreeMap::<u32, u64>::new());
        // Five rounds a second.
        for (number, rates) in (0_u64..).zip(&rates) {
            let now = 1000 + number / 5;
            let sightings = (0..).zip(rates).map(|(who, packets)| source(who, *packets)).collect();
            scene.see(now, sightings);
            scene.expire(now);
            for (who, rate) in (0..6_u32).zip(rates) {
                let name = format!("auto-source-10.0.0.{who}");
                let rule = scene.book.rule_named(&name);
                prop_assert!(who != speaker || rule.is_none());
                let (over, is_over) = (&mut over[who as usize], *rate >= ALLOWED);
                let was_over = std::mem::replace(over, is_over);
                if is_over && was_over && who != speaker {
                    prop_assert!(rule.is_some(), "{name} at {now}");
                }
                if is_over && rule.is_some() {
                    seen.insert(who, now);
                }
                // It holds for three quarters of the time at least, and for no more than the whole.
                if let Some(at) = seen.get(&who) {
                    prop_assert!(rule.is_some() || now >= at + HOLD * 3 / 4, "{name} at {now}");
                }
            }
        }
        for (what, rule) in &scene.said {
            let who: u32 = rule.rsplit('.').next().unwrap().parse().unwrap();
            if *what == What::Made {
                *made.entry(who).or_default() += 1;
            }
        }
        let seconds = rates.len() as u64 / 5;
        for (who, times) in made {
            prop_assert!(times <= 1 + seconds / (HOLD * 3 / 4), "{who}: {times} in {seconds} s");
        }
        // A round in which nothing needs a change makes none: prolonged with a quarter of the time gone.
        let prolonged = scene.said.iter().filter(|(what, _)| *what == What::Prolonged).count() as u64;
        prop_assert!(prolonged <= 6 * (1 + seconds / (HOLD / 4)));
    }
}
