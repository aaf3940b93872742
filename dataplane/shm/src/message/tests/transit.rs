//! Tunnels and texts of rules in messages, and what is told of them: every fault has its name.

use super::*;

#[test]
fn each_fault_of_a_tunnel_has_its_name() {
    let (local, remote) = ("192.0.2.1".parse().unwrap(), "198.51.100.7".parse().unwrap());
    let interval = Duration::from_millis(300);
    let tunnel = |key, probe| {
        words(&Item::Tunnel(Box::new(Tunnel {
            id: 7,
            tenant: 3,
            local,
            remote,
            key,
            checksum: true,
            mtu: 1476,
            dont_fragment: DontFragment::Honour,
            priority: 0,
            weight: 256,
            probe,
        })))
    };
    let probe = Probe { style: ProbeStyle::Request, local, remote, interval };
    let probed = tunnel(Some(9), Some(probe));
    assert_eq!(with(probed, 2, 3), Err(Malformed::Choice(3)), "no way with what is too long");
    assert_eq!(with(probed, 3, 3), Err(Malformed::Choice(3)), "no style");
    assert_eq!(with(probed, 3, 0), Err(Malformed::Reserved), "a probe that is none");
    assert_eq!(with(probed, 17, 0), Err(Malformed::Interval(44)));
    assert_eq!(with(probed, 18, 1), Err(Malformed::Interval(65836)));
    assert_eq!(with(probed, 21, 0), Err(Malformed::Mtu(196)));
    assert_eq!(with(probed, 21, 37), Err(Malformed::Mtu(9668)));
    assert_eq!(with(probed, 25, 0), Err(Malformed::Weight(0)));
    assert_eq!(with(probed, 24, 1), Err(Malformed::Weight(257)));
    assert_eq!(with(probed, 26, 0), Err(Malformed::Reserved), "a key that is none");
    assert_eq!(with(probed, 26, 2), Err(Malformed::Flag(2)));
    assert_eq!(with(probed, 27, 2), Err(Malformed::Flag(2)));
    assert_eq!(with(probed, 44, 6), Err(Malformed::Families));
    assert_eq!(with(probed, 61, 5), Err(Malformed::Family(5)));
    assert_eq!(with(probed, 78, 6), Err(Malformed::Families), "inside");
    assert_eq!(with(probed, 95, 0), Err(Malformed::Reserved), "an address that is none");
    assert_eq!(with(probed, 175, 1), Err(Malformed::Reserved));
    let plain = tunnel(None, None);
    assert_eq!(with(plain, 3, 1), Err(Malformed::Family(0)), "a probe without addresses");
    assert_eq!(with(plain, 12, 1), Err(Malformed::Reserved), "a key without its flag");
    assert_eq!(with(plain, 17, 1), Err(Malformed::Reserved), "an interval of nothing");
    assert_eq!(with(words(&Item::TunnelRemove(7)), 2, 1), Err(Malformed::Reserved));
    assert_eq!(with(words(&Item::TunnelRemove(7)), 175, 1), Err(Malformed::Reserved));
}

#[test]
fn each_fault_of_a_text_of_rules_has_its_name() {
    let text = words(&Item::RulesetText { tenant: 7, text: (*b"policy drop").into() });
    assert_eq!(with(text, 2, 0), Err(Malformed::TextLen(0)));
    assert_eq!(with(text, 2, 169), Err(Malformed::TextLen(169)));
    assert_eq!(with(text, 2, 10), Err(Malformed::Reserved), "an octet that is not counted");
    assert_eq!(with(text, 3, 1), Err(Malformed::Reserved));
    assert_eq!(with(text, 175, 1), Err(Malformed::Reserved));
    assert_eq!(with(words(&Item::Ruleset(7)), 2, 1), Err(Malformed::Reserved));
    assert_eq!(with(words(&Item::Ruleset(7)), 8, 1), Err(Malformed::Reserved));
}

#[test]
fn each_fault_of_what_is_told_of_tunnels_has_its_name() {
    let (state, zero) = (TunnelState::Up, Duration::ZERO);
    let told = Event::Tunnel { id: 7, state, rtt: zero, sent: 2, answered: 1, since: zero };
    let with = |event: Event, at: usize, octet: u8| {
        let mut words = event.encode();
        let mut octets = words[at / 8].to_ne_bytes();
        octets[at % 8] = octet;
        words[at / 8] = u64::from_ne_bytes(octets);
        Event::decode(&words)
    };
    assert_eq!(with(told, 2, 0), Err(Malformed::Choice(0)), "no state");
    assert_eq!(with(told, 2, 5), Err(Malformed::Choice(5)), "no state");
    assert_eq!(with(told, 3, 1), Err(Malformed::Reserved));
    assert_eq!(with(told, 111, 1), Err(Malformed::Reserved));
    let count = Event::TunnelCount { id: 7, sent: [1, 2], received: [3, 4] };
    assert_eq!(with(count, 3, 1), Err(Malformed::Reserved));
    assert_eq!(with(count, 111, 1), Err(Malformed::Reserved));
    let count =
        Event::TenantCount { tenant: 7, rule: ALL_RULES, packets: 1, octets: 2, dropped: 3 };
    assert_eq!(with(count, 12, 1), Err(Malformed::Reserved));
    assert_eq!(with(count, 111, 1), Err(Malformed::Reserved));
}

#[test]
fn a_piece_of_rules_takes_few_messages_and_nothing_takes_none() {
    let piece = |len| Item::RulesetText { tenant: 1, text: vec![b'#'; len].into() };
    assert_eq!(piece(0).message_count(), Ok(0));
    assert_eq!(piece(168).message_count(), Ok(1));
    assert_eq!(piece(169).message_count(), Ok(2));
    assert_eq!(piece(RULESET_TEXT_PER_ITEM_MAX).message_count(), Ok(391));
    let mut messages = Vec::new();
    let refused = piece(RULESET_TEXT_PER_ITEM_MAX + 1).encode(&mut messages);
    let error = TooMany::Text(RULESET_TEXT_PER_ITEM_MAX + 1);
    assert_eq!((refused, messages.len()), (Err(error), 0));
}
