//! Data centres in messages, and what is measured of them: every fault has its name.

use super::*;
use crate::limits::MACHINES_MAX;

fn machine() -> impl Strategy<Value = Machine> {
    (any::<IpAddr>(), 1..=u16::MAX, any::<u16>()).prop_map(|(address, port, weight)| Machine {
        address,
        port,
        weight,
    })
}

pub(super) fn centre() -> impl Strategy<Value = Centre> {
    let machines = prop::collection::vec(machine(), 0..=MACHINES_MAX);
    (1_u16.., any::<bool>(), any::<u16>(), machines)
        .prop_map(|(number, is_here, relay, machines)| Centre { number, is_here, relay, machines })
}

pub(super) fn machines() -> impl Strategy<Value = Item> {
    (1_u16.., prop::collection::vec(machine(), 1..=MACHINES_MAX))
        .prop_map(|(centre, machines)| Item::Machines { centre, machines })
}

fn micros() -> impl Strategy<Value = Duration> {
    (0..u32::MAX).prop_map(|us| Duration::from_micros(us.into()))
}

fn dial() -> impl Strategy<Value = Dial> {
    let failure = one_of(DialFailure::ALL).prop_map(Err);
    (any::<(IpAddr, u16, u16)>(), prop_oneof![micros().prop_map(Ok), failure])
        .prop_map(|((to, exit, relay), answer)| Dial { to, exit, relay, answer })
}

pub(super) fn measured() -> impl Strategy<Value = Event> {
    let path = (any::<u16>(), prop::option::of(micros()), any::<u8>())
        .prop_map(|(to, rtt, lost)| Path { to, rtt, lost });
    let rtt = prop::option::of(any::<u64>().prop_map(Duration::from_micros));
    prop_oneof![
        prop::collection::vec(dial(), 1..=DIALS_PER_EVENT)
            .prop_map(|dials| Event::Dials(run(&dials))),
        (any::<u16>(), any::<IpAddr>(), rtt).prop_map(|(centre, machine, answer)| Event::Probed {
            centre,
            machine,
            answer
        }),
        (any::<u16>(), prop::collection::vec(path, 1..=PATHS_PER_EVENT))
            .prop_map(|(from, paths)| Event::Paths { from, paths: run(&paths) }),
    ]
}

#[test]
fn each_fault_of_a_centre_has_its_name() {
    let machine = Machine { address: [192, 0, 2, 1].into(), port: 7, weight: 100 };
    let centre = |machines| Centre { number: 7, is_here: false, relay: 9, machines };
    let told = words(&Item::Centre(Box::new(centre(vec![machine; 2]))));
    assert_eq!(with(told, 2, 2), Err(Malformed::Flag(2)));
    assert_eq!(with(told, 3, 9), Err(Malformed::AddressCount(9)));
    assert_eq!(with(told, 3, 1), Err(Malformed::Reserved), "a machine that is not counted");
    assert_eq!(with(told, 3, 3), Err(Malformed::Family(0)), "a machine that is none");
    assert_eq!(with(told, 4, 0), Err(Malformed::Centre));
    assert_eq!(with(told, 24, 5), Err(Malformed::Family(5)));
    assert_eq!(with(told, 25, 0), Err(Malformed::Port));
    let more = words(&Item::Machines { centre: 7, machines: vec![machine] });
    assert_eq!(with(more, 2, 1), Err(Malformed::Reserved), "what only the first says");
    assert_eq!(with(more, 6, 1), Err(Malformed::Reserved), "what only the first says");
    let gone = words(&Item::CentreRemove(7));
    assert_eq!(with(gone, 4, 0), Err(Malformed::Centre));
    assert_eq!(with(gone, 2, 1), Err(Malformed::Reserved));
    assert_eq!(with(gone, 175, 1), Err(Malformed::Reserved));
}

#[test]
fn a_centre_takes_a_message_for_eight_machines() {
    let machine = Machine { address: [192, 0, 2, 1].into(), port: 443, weight: 100 };
    let centre = |count: usize| {
        let machines = vec![machine; count];
        Item::Centre(Box::new(Centre { number: 7, is_here: true, relay: 0, machines }))
    };
    let counts = [0, 8, 9, 64].map(|count| centre(count).message_count());
    assert_eq!(counts, [Ok(1), Ok(1), Ok(2), Ok(8)]);
    let more = Item::Machines { centre: 7, machines: vec![machine; 65] };
    for item in [centre(65), more] {
        let mut messages = Vec::new();
        assert_eq!(item.encode(&mut messages), Err(TooMany::Machines(65)));
        assert_eq!(messages.len(), 0);
    }
}

#[test]
fn each_fault_of_what_is_measured_has_its_name() {
    let with = |event: Event, at: usize, octet: u8| {
        let mut words = event.encode();
        let mut octets = words[at / 8].to_ne_bytes();
        octets[at % 8] = octet;
        words[at / 8] = u64::from_ne_bytes(octets);
        Event::decode(&words)
    };
    let (to, answer) = ([192, 0, 2, 1].into(), Ok(Duration::from_micros(900)));
    let dials = Event::Dials(run(&[Dial { to, exit: 7, relay: 0, answer }; 2]));
    assert_eq!(with(dials, 2, 0), Err(Malformed::AddressCount(0)));
    assert_eq!(with(dials, 2, 5), Err(Malformed::AddressCount(5)));
    assert_eq!(with(dials, 2, 3), Err(Malformed::Family(0)), "a dial to nobody");
    assert_eq!(with(dials, 2, 1), Err(Malformed::Reserved), "one that is not counted");
    assert_eq!(with(dials, 3, 1), Err(Malformed::Reserved));
    assert_eq!(with(dials, 25, 5), Err(Malformed::Choice(5)), "no failure");
    assert_eq!(with(dials, 25, 2), Err(Malformed::Reserved), "a failure with a time");
    let probed = Event::Probed { centre: 7, machine: to, answer: Some(Duration::ZERO) };
    assert_eq!(with(probed, 4, 2), Err(Malformed::Flag(2)));
    assert_eq!(with(probed, 32, 0), Err(Malformed::Reserved), "an address without a family");
    assert_eq!(with(probed, 111, 1), Err(Malformed::Reserved));
    let lost = Event::Probed { centre: 7, machine: to, answer: None };
    assert_eq!(with(lost, 8, 1), Err(Malformed::Reserved), "a time of no answer");
    let paths = Event::Paths { from: 7, paths: run(&[Path { to: 9, rtt: None, lost: 100 }]) };
    assert_eq!(with(paths, 4, 0), Err(Malformed::AddressCount(0)));
    assert_eq!(with(paths, 4, 14), Err(Malformed::AddressCount(14)));
    assert_eq!(with(paths, 11, 1), Err(Malformed::Reserved));
    assert_eq!(with(paths, 16, 1), Err(Malformed::Reserved), "one that is not counted");
}
