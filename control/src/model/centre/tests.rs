//! Claims about data centres, choices of exits and what Argo makes of them.

use proptest::prelude::*;
use shm::message::{Item, Scope};
use shm::transaction::Transaction;

use super::*;
use crate::argo::Led;
use crate::model::{
    Aside, Book, Change, Difference, Hop, HopNamed, Limits, RouteTo, Thing, Touched,
};
use crate::testing::Tables;

fn centre(number: u16, name: &str, machines: &[&str]) -> Centre {
    let machine = |text: &&str| Machine { address: text.parse().unwrap(), port: 443, weight: 100 };
    Centre {
        number,
        name: name.into(),
        machines: machines.iter().map(machine).collect(),
        headroom: None,
        hop: 0,
        relay: 0,
        origin: Origin::Cli,
    }
}

fn put(number: u16, name: &str) -> Change {
    Change::PutCentre(centre(number, name, &["192.0.2.7"]))
}

fn choice(list: &str) -> Change {
    Change::PutNextHop(HopNamed::of_list(&list.into(), Origin::Cli).unwrap())
}

fn route(prefix: &str, next_hop: &str) -> Change {
    let prefix = prefix.parse().unwrap();
    Change::PutRoute(RouteTo { prefix, next_hop: next_hop.into(), origin: Origin::Cli })
}

fn lead(prefix: &str, exit: u16) -> Change {
    Change::Lead([Led { prefix: prefix.parse().unwrap(), exit }].into())
}

fn apply(book: &mut Book, changes: &[Change]) -> Result<Touched, String> {
    book.apply(Origin::Cli, changes, &Limits::default()).map_err(|refused| refused.to_string())
}

fn book_of(changes: &[Change]) -> Book {
    let mut book = Book::default();
    apply(&mut book, changes).unwrap();
    book
}

/// The next hop to which a prefix leads, as the dataplane is told.
fn told(book: &Book, prefix: &str) -> Hop {
    let id = book.told_hop(book.route(&prefix.parse().unwrap()).unwrap());
    let items = Difference::between(&Book::default(), book);
    let hops = items.items().filter_map(|item| {
        let Item::NextHop { id: other, hop } = item else { return None };
        (other == id).then_some(hop)
    });
    hops.last().unwrap()
}

const VIA_7: Hop = Hop::Via { centre: 7, remote: None };

#[test]
fn a_choice_is_its_default_until_argo_leads_it_elsewhere() {
    let mut book = book_of(&[
        put(7, "fra"),
        put(9, "lhr"),
        choice("direct,fra,lhr"),
        choice("fra,lhr"),
        route("10.0.0.0/8", "direct,fra,lhr"),
        route("11.0.0.0/8", "fra,lhr"),
    ]);
    assert_eq!((told(&book, "10.0.0.0/8"), told(&book, "11.0.0.0/8")), (Hop::Direct, VIA_7));
    apply(&mut book, &[lead("10.0.0.0/8", 7), lead("11.0.0.0/8", 9)]).unwrap();
    let via_9 = Hop::Via { centre: 9, remote: None };
    assert_eq!((told(&book, "10.0.0.0/8"), told(&book, "11.0.0.0/8")), (VIA_7, via_9));
    // What is no route, and no exit of one, is passed over.
    let touched = apply(&mut book, &[lead("12.0.0.0/8", 7), lead("11.0.0.0/8", 5)]).unwrap();
    assert_eq!(touched.routes().count(), 0);
    // Fewer exits, and the one that was chosen is none of them.
    let fewer = HopNamed::of_exits("direct,fra,lhr", Box::new(["lhr".into()]), Origin::Cli);
    apply(&mut book, &[Change::PutNextHop(fewer)]).unwrap();
    assert_eq!(told(&book, "10.0.0.0/8"), via_9);
}

#[test]
fn this_data_centre_goes_straight_out() {
    let mut book =
        book_of(&[put(7, "fra"), choice("fra,direct"), route("10.0.0.0/8", "fra,direct")]);
    apply(&mut book, &[lead("10.0.0.0/8", 7)]).unwrap();
    assert_eq!(told(&book, "10.0.0.0/8"), VIA_7);
    book.set_here(Some("fra".into()));
    assert_eq!(told(&book, "10.0.0.0/8"), Hop::Direct);
}

#[test]
fn what_cannot_be_is_refused_with_a_remedy() {
    let nine: Vec<String> = (1..=9).map(|number| format!("c{number}")).collect();
    let nine_centres = (1..=9).map(|number| put(number, &format!("c{number}")));
    let cases: Vec<(Vec<Change>, &str)> = vec![
        (vec![choice("direct,ams")], "exits: there is no centre ams; declare it, or name another"),
        (vec![choice("fra,direct,fra")], "exits: fra is there twice; keep one of them"),
        (vec![choice("fra,7")], "exits: 7 is there twice"),
        (
            nine_centres.chain([choice(&nine.join(","))]).collect(),
            "number: 7 is centre fra (made with `millrace`); number one of them anew",
        ),
        (vec![choice("a,b,c,d,e,f,g,h,i")], "exits: 9 exits, and 8 are taken; leave some out"),
        (vec![Change::PutCentre(centre(5, "ams", &[]))], "machines: centre ams has no machines"),
        (
            vec![Change::PutCentre(centre(5, "ams", &["::1", "::1"]))],
            "machines: ::1 is there twice; keep one of them",
        ),
        (
            vec![Change::PutCentre(centre(5, "ams", &["0.0.0.0"]))],
            "machines: 0.0.0.0 is no machine's address",
        ),
        (vec![put(0, "ams")], "number: number is 1 to 65535"),
        (vec![put(5, "direct")], "name: direct means something else; choose another name"),
        (vec![put(5, "12")], "name: 12 means something else"),
        (vec![put(5, "a,b")], "name: \"a,b\" is no name of a centre"),
        (vec![put(7, "ams")], "number: 7 is centre fra"),
        (
            vec![Change::RemoveCentre("fra".into())],
            "centre 7 is an exit of next hop direct,fra; remove that first",
        ),
        (vec![Change::RemoveCentre("ams".into())], "name: there is no centre ams"),
    ];
    let book = book_of(&[put(7, "fra"), choice("direct,fra")]);
    for (changes, expected) in cases {
        let said = apply(&mut book.clone(), &changes).unwrap_err();
        assert!(said.starts_with(expected), "{said}, not {expected}");
    }
    let mut weightless = centre(5, "ams", &["::1"]);
    weightless.machines[0].weight = 0;
    let said = apply(&mut book.clone(), &[Change::PutCentre(weightless)]).unwrap_err();
    assert!(said.starts_with("machines: no machine has a weight"), "{said}");
}

#[test]
fn a_centre_that_goes_is_nobodys_relay_and_its_number_may_get_another_name() {
    let mut book = book_of(&[put(7, "fra"), put(9, "lhr"), Change::Relay([(9, 7), (7, 7)].into())]);
    assert_eq!((book.centre(9).unwrap().relay, book.centre(7).unwrap().relay), (7, 0));
    let hop = book.centre(7).unwrap().hop;
    apply(&mut book, &[Change::RemoveCentre("fra".into()), put(7, "ffm")]).unwrap();
    assert_eq!((book.centre(9).unwrap().relay, book.centre(7).unwrap().hop), (7, hop));
    apply(&mut book, &[Change::RemoveCentre("ffm".into())]).unwrap();
    assert_eq!(book.centre(9).unwrap().relay, 0);
}

#[test]
fn a_centre_that_the_dataplane_refuses_is_left_out_and_its_routes_go_by_the_default() {
    let mut book = book_of(&[
        put(7, "fra"),
        choice("direct,fra"),
        route("10.0.0.0/8", "direct,fra"),
        Change::AddNextHop(HopNamed::of_exits("out", Box::new(["fra".into()]), Origin::Cli)),
        route("11.0.0.0/8", "out"),
        lead("10.0.0.0/8", 7),
    ]);
    let mut aside = Aside::default();
    aside.put(Thing::Centre(7), Vec::new(), &"no".into());
    let told = aside.without(&book);
    let mut tables = Tables::default();
    let items: Vec<Item> = Difference::between(&Book::default(), &told).items().collect();
    assert_eq!(told.messages(), items.len() as u64 + 2);
    tables.apply(Transaction { id: 1, scope: Scope::Snapshot, count: 0, items });
    assert_eq!((tables.routes.len(), tables.centres.len()), (1, 0));
    let hop = tables.routes.values().next().unwrap();
    assert_eq!(tables.next_hops.get(hop), Some(&Hop::Direct));
    // It is tried again when it is another.
    let before = book.clone();
    let other = Change::PutCentre(centre(7, "fra", &["192.0.2.8"]));
    let touched = apply(&mut book, &[other]).unwrap();
    let (after, all) = aside.after(&before, &book, &touched);
    assert_eq!((after.len(), all), (0, true));
}

#[derive(Clone, Debug)]
enum Act {
    Centre(u16, Option<u8>),
    Choice(u8, u8),
    Route(u8, Option<u8>),
    Lead(u8, u16),
    Relay(u16, u16),
}

const LISTS: [&str; 4] = ["direct,c1", "c1,c2", "direct,c2,c3", "c3,direct,c1"];

impl Act {
    fn change(&self) -> Change {
        let prefix = |number: u8| format!("10.{number}.0.0/16");
        match self {
            Self::Centre(number, Some(last)) => {
                let machines = [format!("192.0.2.{last}"), format!("2001:db8::{last}")];
                let machines = machines.each_ref().map(String::as_str);
                Change::PutCentre(centre(*number, &format!("c{number}"), &machines))
            }
            Self::Centre(number, None) => Change::RemoveCentre(format!("c{number}").into()),
            Self::Choice(name, exits) => {
                let exits = LISTS[usize::from(*exits)].split(',').map(Into::into).collect();
                Change::PutNextHop(HopNamed::of_exits(
                    LISTS[usize::from(*name)],
                    exits,
                    Origin::Cli,
                ))
            }
            Self::Route(number, Some(list)) => route(&prefix(*number), LISTS[usize::from(*list)]),
            Self::Route(number, None) => Change::RemoveRoute(prefix(*number).parse().unwrap()),
            Self::Lead(number, exit) => lead(&prefix(*number), *exit),
            Self::Relay(centre, relay) => Change::Relay([(*centre, *relay)].into()),
        }
    }
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => (1..4_u16, prop::option::weighted(0.8, 1..4_u8)).prop_map(|(n, m)| Act::Centre(n, m)),
        2 => (0..4_u8, 0..4_u8).prop_map(|(name, exits)| Act::Choice(name, exits)),
        3 => (0..6_u8, prop::option::weighted(0.8, 0..4_u8)).prop_map(|(n, l)| Act::Route(n, l)),
        3 => (0..6_u8, 0..4_u16).prop_map(|(number, exit)| Act::Lead(number, exit)),
        1 => (1..4_u16, 0..4_u16).prop_map(|(centre, relay)| Act::Relay(centre, relay)),
    ]
}

proptest! {
    #[test]
    fn a_difference_brings_centres_and_exits_from_one_book_to_the_next(
        here in 0..4_u16,
        calls in prop::collection::vec(prop::collection::vec(act(), 1..4), 1..30),
    ) {
        let mut book = Book::default();
        book.set_here(Some(format!("c{here}").into()));
        let mut tables = Tables::default();
        let all = Difference::between(&Book::default(), &book);
        let local = book.next_hops().map(|hop| Item::NextHop { id: hop.id, hop: hop.hop });
        let items = local.chain(all.items()).collect();
        tables.apply(Transaction { id: 1, scope: Scope::Snapshot, count: 0, items });
        for acts in calls {
            let changes: Vec<Change> = acts.iter().map(Act::change).collect();
            let before = book.clone();
            let Ok(mut touched) = apply(&mut book, &changes) else {
                prop_assert_eq!(book.messages(), before.messages());
                continue;
            };
            touched.tidy();
            let difference = Difference::of_touched(&before, &book, &touched);
            let items: Vec<Item> = difference.items().collect();
            let messages: u64 =
                items.iter().map(|item| item.message_count().unwrap() as u64).sum();
            prop_assert_eq!((items.len(), messages), (difference.len(), difference.messages()));
            for message in 0..messages {
                prop_assert!(difference.thing(message).is_some());
            }
            prop_assert!(difference.thing(messages).is_none());
            let whole = Difference::between(&before, &book);
            prop_assert_eq!(whole.items().collect::<Vec<_>>(), items.clone());
            tables.apply(Transaction { id: 2, scope: Scope::Delta, count: 0, items });
            prop_assert!(tables.agree_with(&book), "{:?}", acts);
            let snapshot = Difference::between(&Book::default(), &book).messages();
            prop_assert_eq!(book.messages(), snapshot + 2, "local and reject are always there");
            for message in 0..book.messages() {
                prop_assert!(book.thing(message).is_some());
            }
            prop_assert!(book.thing(book.messages()).is_none());
        }
    }
}
