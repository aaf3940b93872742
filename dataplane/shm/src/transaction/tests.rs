//! Transactions: each reason to refuse one is provoked, and nothing of a refused one comes out.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use wireguard::message::ClientId;
use wireguard::secret::Secret;

use super::*;
use crate::limits::PAST_MAX;
use crate::memory::private;
use crate::message::{
    COMMAND_WORDS, Command, Fleet, Instruction, Matter, Member, MemberState, Mode, Past, Peer,
    PublicKey, Reach, Rule, SynGuard, Tenant,
};
use crate::ring::{Consumer, Corrupt, Geometry, Producer};

type Words = Arc<[AtomicU64]>;
type Raw = Producer<Words, COMMAND_WORDS>;

const ITEMS_MAX: usize = 8;

fn sides(slots: u32) -> (Words, Raw, Reader<Words>) {
    let geometry = Geometry::new(slots).unwrap();
    let memory = private(geometry.words());
    let producer = Producer::attach(memory.clone(), geometry).unwrap();
    let consumer = Consumer::attach(memory.clone(), geometry).unwrap();
    (memory, producer, Reader::new(consumer, ITEMS_MAX))
}

fn route(number: u32) -> Item {
    Item::Route { prefix: format!("10.0.{number}.0/24").parse().unwrap(), next_hop: number }
}

fn peer(prefixes: usize) -> Item {
    Item::Peer(Box::new(Peer {
        public_key: PublicKey([7; 32]),
        preshared_key: Secret::new([9; 32]),
        client_id: ClientId::ZERO,
        endpoint: None,
        persistent_keepalive: None,
        allowed_ips: vec!["10.0.0.1/32".parse().unwrap(); prefixes],
    }))
}

/// A fleet of five members, which take two messages, and a past generation that takes two more.
fn fleet(generation: u16) -> Item {
    let member =
        |server| Member { server, weight: 1, state: MemberState::Active, v4: None, v6: None };
    let past = Past { generation: 1, weights: (0..42).map(|server| (server, 1)).collect() };
    Item::Fleet(Box::new(Fleet {
        generation,
        members: (0..5).map(member).collect(),
        past: vec![past],
    }))
}

fn words(item: &Item) -> Vec<[u64; COMMAND_WORDS]> {
    let mut messages = Vec::new();
    item.encode(&mut messages).unwrap();
    messages
}

/// What a sequence of messages leads to: applied numbers and refusals.
fn outcomes(messages: &[[u64; COMMAND_WORDS]]) -> (Vec<u64>, Vec<Refusal>) {
    let (_, mut producer, mut reader) = sides(64);
    assert_eq!(producer.push_batch(messages), Ok(messages.len()));
    drain(&mut reader)
}

fn drain(reader: &mut Reader<Words>) -> (Vec<u64>, Vec<Refusal>) {
    let (mut applied, mut refused) = (Vec::new(), Vec::new());
    while let Some(received) = reader.poll(64) {
        match received {
            Received::Transaction(transaction) => applied.push(transaction.id),
            Received::Refused(refusal) => refused.push(refusal),
            Received::Survey(_) => {}
            Received::Corrupt(corrupt) => panic!("{corrupt}"),
        }
    }
    let counted: u64 = refused.iter().map(|_| 1).sum();
    assert_eq!(reader.refusals().total(), counted, "each refusal is counted");
    for refusal in &refused {
        assert!(reader.refusals().count(refusal.reason) > 0);
    }
    (applied, refused)
}

fn refused(id: u64, reason: Reason, item: u64) -> (Vec<u64>, Vec<Refusal>) {
    (Vec::new(), vec![Refusal { id, reason, item, malformed: None }])
}

fn digest(id: u64, items: &[Item]) -> u64 {
    let mut digest = digest::Digest::new(id, Scope::Delta);
    items.iter().flat_map(words).for_each(|message| digest.add(&message));
    digest.value()
}

#[test]
fn a_transaction_comes_whole() {
    let (_, producer, mut reader) = sides(64);
    let mut writer = Writer::new(producer);
    writer.begin(5, Scope::Snapshot).unwrap();
    assert_eq!(writer.begin(6, Scope::Snapshot), Err(WriteError::Open));
    for item in [route(1), peer(20), Item::NextHopRemove(4)] {
        writer.item(&item).unwrap();
    }
    assert!(reader.poll(64).is_none(), "not before it is committed");
    writer.commit().unwrap();
    let Some(Received::Transaction(transaction)) = reader.poll(64) else { panic!() };
    assert_eq!((transaction.id, transaction.scope, transaction.count), (5, Scope::Snapshot, 6));
    assert_eq!(transaction.items, [route(1), peer(20), Item::NextHopRemove(4)]);
    assert_eq!(writer.commit(), Err(WriteError::NotOpen));
    assert_eq!(writer.item(&route(1)), Err(WriteError::NotOpen));
    assert_eq!(writer.abort(), Err(WriteError::NotOpen));
}

#[test]
fn a_survey_is_no_part_of_the_transaction_that_it_falls_into() {
    let (_, producer, mut reader) = sides(64);
    let mut writer = Writer::new(producer);
    writer.survey(8).unwrap();
    writer.begin(5, Scope::Delta).unwrap();
    writer.item(&route(1)).unwrap();
    writer.survey(9).unwrap();
    writer.commit().unwrap();
    assert!(matches!(reader.poll(64), Some(Received::Survey(8))));
    assert!(matches!(reader.poll(64), Some(Received::Survey(9))));
    assert_eq!(drain(&mut reader), (vec![5], vec![]));
}

#[test]
fn an_empty_snapshot_is_a_transaction() {
    let (_, producer, mut reader) = sides(4);
    let mut writer = Writer::new(producer);
    writer.begin(1, Scope::Snapshot).unwrap();
    writer.commit().unwrap();
    assert_eq!(drain(&mut reader), (vec![1], vec![]));
}

#[test]
fn a_full_ring_takes_all_messages_of_an_item_or_none() {
    let (_, producer, mut reader) = sides(4);
    let mut writer = Writer::new(producer);
    writer.begin(1, Scope::Delta).unwrap();
    writer.item(&route(1)).unwrap();
    assert_eq!(writer.item(&peer(20)), Err(WriteError::Full));
    assert!(reader.poll(64).is_none());
    writer.item(&peer(20)).unwrap();
    assert_eq!(writer.commit(), Err(WriteError::Full));
    assert!(reader.poll(64).is_none());
    writer.commit().unwrap();
    assert_eq!(drain(&mut reader), (vec![1], vec![]));
}

#[test]
fn refuses_a_wrong_digest() {
    let (one, two) = (words(&route(1))[0], words(&route(2))[0]);
    let digest = digest(1, &[route(1), route(2)]);
    let commit = Command::commit(1, 2, digest);
    let begin = Command::begin(1, Scope::Delta);
    assert_eq!(outcomes(&[begin, one, two, commit]), (vec![1], vec![]));
    assert_eq!(outcomes(&[begin, two, one, commit]), refused(1, Reason::Digest, 2));
    assert_eq!(outcomes(&[begin, one, one, commit]), refused(1, Reason::Digest, 2));
    let snapshot = Command::begin(1, Scope::Snapshot);
    assert_eq!(outcomes(&[snapshot, one, two, commit]), refused(1, Reason::Digest, 2));
}

#[test]
fn refuses_a_wrong_count() {
    let one = words(&route(1))[0];
    let commit = Command::commit(1, 2, digest(1, &[route(1)]));
    let all = [Command::begin(1, Scope::Delta), one, commit];
    assert_eq!(outcomes(&all), refused(1, Reason::Count, 1));
}

#[test]
fn refuses_what_another_beginning_cuts_short_and_takes_the_other() {
    let one = words(&route(1))[0];
    let all = [
        Command::begin(1, Scope::Delta),
        one,
        Command::begin(2, Scope::Delta),
        one,
        Command::commit(2, 1, digest(2, &[route(1)])),
    ];
    let (_, refusals) = refused(1, Reason::NestedBegin, 1);
    assert_eq!(outcomes(&all), (vec![2], refusals));
}

#[test]
fn refuses_what_stands_outside_once() {
    let one = words(&route(1))[0];
    assert_eq!(outcomes(&[one, one, one]), refused(0, Reason::ItemOutside, 0));
    assert_eq!(outcomes(&[Command::commit(1, 0, 0)]), refused(0, Reason::ItemOutside, 0));
    assert_eq!(outcomes(&[Command::abort(1)]), refused(0, Reason::ItemOutside, 0));
}

#[test]
fn refuses_more_items_than_are_gathered() {
    let one = words(&route(1))[0];
    let items = [route(1), route(1), route(1), route(1), route(1), route(1), route(1), route(1)];
    let mut all = vec![Command::begin(1, Scope::Delta)];
    all.extend([one; ITEMS_MAX]);
    let whole = [all.as_slice(), &[Command::commit(1, 8, digest(1, &items))]].concat();
    assert_eq!(outcomes(&whole), (vec![1], vec![]));
    all.extend([one, one, Command::commit(1, 10, 0)]);
    assert_eq!(outcomes(&all), refused(1, Reason::TooLarge, 8));
}

#[test]
fn an_abort_leaves_nothing() {
    let one = words(&route(1))[0];
    let all = [Command::begin(1, Scope::Delta), one, Command::abort(1)];
    assert_eq!(outcomes(&all), refused(1, Reason::Aborted, 1));
    let all = [Command::begin(1, Scope::Delta), one, Command::abort(2)];
    assert_eq!(outcomes(&all), refused(1, Reason::OtherTransaction, 1));
    let all = [Command::begin(1, Scope::Delta), one, Command::commit(2, 1, 0)];
    assert_eq!(outcomes(&all), refused(1, Reason::OtherTransaction, 1));
}

#[test]
fn a_malformed_item_refuses_the_whole_and_what_follows_is_passed_over() {
    let one = words(&route(1))[0];
    let mut broken = one;
    broken[COMMAND_WORDS - 1] = 1;
    let mut unknown = one;
    unknown[0] = 127;
    for (bad, reason, malformed) in [
        (broken, Reason::Malformed, Malformed::Reserved),
        (unknown, Reason::UnknownKind, Malformed::Kind(127)),
    ] {
        let begin = Command::begin(1, Scope::Delta);
        let next = Command::commit(2, 1, digest(2, &[route(1)]));
        let (applied, refusals) = outcomes(&[
            begin,
            one,
            bad,
            bad,
            one,
            Command::commit(1, 3, 0),
            Command::begin(2, Scope::Delta),
            one,
            next,
        ]);
        assert_eq!(applied, [2]);
        assert_eq!(refusals, [Refusal { id: 1, reason, item: 1, malformed: Some(malformed) }]);
    }
}

#[test]
fn continuations_stand_where_they_belong() {
    let begin = Command::begin(1, Scope::Delta);
    let messages = words(&peer(20));
    let [first, second, third, ..] = messages[..] else { panic!() };
    let stranger = {
        let Item::Peer(mut stranger) = peer(20) else { panic!() };
        stranger.public_key = PublicKey([8; 32]);
        words(&Item::Peer(stranger))[1]
    };
    let wrong = |item| refused(1, Reason::Continuation, item);
    assert_eq!(outcomes(&[begin, second]), wrong(0));
    assert_eq!(outcomes(&[begin, first, words(&route(1))[0]]), wrong(1));
    assert_eq!(outcomes(&[begin, first, stranger]), wrong(1));
    assert_eq!(outcomes(&[begin, first, Command::commit(1, 1, 0)]), wrong(1));
    assert_eq!(outcomes(&[begin, words(&route(1))[0], third]), wrong(1));
}

#[test]
fn a_fleet_comes_whole_with_what_is_around_it() {
    let (_, producer, mut reader) = sides(64);
    let mut writer = Writer::new(producer);
    writer.begin(5, Scope::Snapshot).unwrap();
    let items = [route(1), fleet(7), Item::FleetRemove];
    for item in &items {
        writer.item(item).unwrap();
    }
    writer.commit().unwrap();
    let Some(Received::Transaction(transaction)) = reader.poll(64) else { panic!() };
    assert_eq!((transaction.count, transaction.items.as_slice()), (6, items.as_slice()));
}

#[test]
fn a_fleets_continuations_stand_where_they_belong() {
    let begin = Command::begin(1, Scope::Delta);
    let messages = words(&fleet(7));
    let [first, members, past, weights] = messages[..] else { panic!() };
    let stranger = words(&fleet(8));
    let wrong = |item| refused(1, Reason::Continuation, item);
    let digest = digest(1, &[fleet(7)]);
    let whole = [begin, first, members, past, weights, Command::commit(1, 4, digest)];
    assert_eq!(outcomes(&whole), (vec![1], vec![]));
    assert_eq!(outcomes(&[begin, members]), wrong(0));
    assert_eq!(outcomes(&[begin, past]), wrong(0));
    assert_eq!(outcomes(&[begin, first, stranger[1]]), wrong(1));
    assert_eq!(outcomes(&[begin, first, stranger[2]]), wrong(1));
    assert_eq!(outcomes(&[begin, first, weights]), wrong(1), "of no generation");
    assert_eq!(outcomes(&[begin, first, past, members]), wrong(2), "members after the past");
    assert_eq!(outcomes(&[begin, first, members, words(&route(1))[0]]), wrong(2));
    assert_eq!(outcomes(&[begin, first, members, Command::commit(1, 2, 0)]), wrong(2));
    assert_eq!(outcomes(&[begin, first, words(&peer(20))[1]]), wrong(1));
    assert_eq!(outcomes(&[begin, words(&peer(20))[0], members]), wrong(1));
    let mut other = weights;
    other[0] ^= 1 << 48;
    assert_eq!(outcomes(&[begin, first, members, past, other]), wrong(3), "another generation's");
}

#[test]
fn a_fleet_cannot_grow_without_end() {
    let messages = words(&fleet(7));
    let [first, members, past, _] = messages[..] else { panic!() };
    let mut weights = messages[3];
    // All but the last message of the fleet say that more follows.
    weights[0] |= 1 << 16;
    for (before, again, at) in [
        (vec![first], members, 253),
        (vec![first, members], past, PAST_MAX as u64 + 2),
        (vec![first, members, past], weights, 218),
    ] {
        let mut collector = Collector::new(usize::MAX);
        assert!(matches!(collector.take(&Command::begin(1, Scope::Delta)), Step::Gathered));
        for message in &before {
            assert!(matches!(collector.take(message), Step::Gathered));
        }
        let refusal = (0..300).find_map(|_| match collector.take(&again) {
            Step::Refused(refusal) => Some(refusal),
            Step::Gathered | Step::Complete(_) | Step::Survey(_) => None,
        });
        let expected = Refusal { id: 1, reason: Reason::TooManyMembers, item: at, malformed: None };
        assert_eq!(refusal, Some(expected));
    }
}

/// A tenant whose prefixes take three messages.
fn tenant(id: u32) -> Item {
    Item::Tenant(Box::new(Tenant {
        id,
        mode: Mode::Enforce,
        syn: SynGuard::Off,
        syn_above: 0,
        flows: false,
        out_of_state: 0,
        prefixes: vec!["10.0.0.1/32".parse().unwrap(); 26],
    }))
}

/// A signature whose instructions take three messages.
fn signature(id: u32) -> Item {
    let matter = Matter::Signature(vec![Instruction { code: 6, jt: 0, jf: 0, k: 1 }; 58]);
    let (mode, reach) = (Mode::Monitor, Reach::All);
    Item::Rule(Box::new(Rule { id, mode, reach, expires: None, matter }))
}

#[test]
fn continuations_of_tenants_and_rules_stand_where_they_belong() {
    for item in [tenant, signature] {
        let begin = Command::begin(1, Scope::Delta);
        let [first, second, third] = words(&item(7))[..] else { panic!() };
        let whole = Command::commit(1, 3, digest(1, &[item(7)]));
        assert_eq!(outcomes(&[begin, first, second, third, whole]), (vec![1], vec![]));
        let wrong = |at| refused(1, Reason::Continuation, at);
        assert_eq!(outcomes(&[begin, second]), wrong(0));
        assert_eq!(outcomes(&[begin, first, words(&item(8))[1]]), wrong(1));
        assert_eq!(outcomes(&[begin, first, words(&route(1))[0]]), wrong(1));
        assert_eq!(outcomes(&[begin, first, second, Command::commit(1, 2, 0)]), wrong(2));
        assert_eq!(outcomes(&[begin, first, second, third, third]), wrong(3), "it has ended");
        assert_eq!(outcomes(&[begin, words(&peer(20))[0], second]), wrong(1));
    }
    let begin = Command::begin(1, Scope::Delta);
    let crossed = [begin, words(&tenant(7))[0], words(&signature(7))[1]];
    assert_eq!(outcomes(&crossed), refused(1, Reason::Continuation, 1));
    let crossed = [begin, words(&signature(7))[0], words(&tenant(7))[1]];
    assert_eq!(outcomes(&crossed), refused(1, Reason::Continuation, 1));
}

#[test]
fn a_tenant_or_a_signature_cannot_grow_without_end() {
    for (item, reason, at) in
        [(tenant(7), Reason::TooManyAddresses, 113), (signature(7), Reason::ProgramTooLong, 12)]
    {
        let mut collector = Collector::new(usize::MAX);
        let messages = words(&item);
        assert!(matches!(collector.take(&Command::begin(1, Scope::Delta)), Step::Gathered));
        assert!(matches!(collector.take(&messages[0]), Step::Gathered));
        let refusal = (0..200).find_map(|_| match collector.take(&messages[1]) {
            Step::Refused(refusal) => Some(refusal),
            Step::Gathered | Step::Complete(_) | Step::Survey(_) => None,
        });
        let expected = Refusal { id: 1, reason, item: at, malformed: None };
        assert_eq!(refusal, Some(expected));
    }
}

#[test]
fn a_list_comes_as_its_messages_and_an_empty_one_not_at_all() {
    let (_, producer, mut reader) = sides(64);
    let mut writer = Writer::new(producer);
    writer.begin(5, Scope::Delta).unwrap();
    writer.item(&Item::Listed { rule: 3, prefixes: Vec::new() }).unwrap();
    let (v4, v6) = ("10.0.0.1/32".parse().unwrap(), "2001:db8::/32".parse().unwrap());
    writer.item(&Item::Listed { rule: 3, prefixes: [vec![v6], vec![v4; 34]].concat() }).unwrap();
    writer.commit().unwrap();
    let Some(Received::Transaction(transaction)) = reader.poll(64) else { panic!() };
    let listed = |prefixes| Item::Listed { rule: 3, prefixes };
    assert_eq!(transaction.items, [listed(vec![v4; 33]), listed(vec![v4]), listed(vec![v6])]);
}

#[test]
fn a_text_of_rules_comes_as_its_messages_and_an_empty_one_not_at_all() {
    let (_, producer, mut reader) = sides(64);
    let mut writer = Writer::new(producer);
    writer.begin(5, Scope::Delta).unwrap();
    let text = |text: &[u8]| Item::RulesetText { tenant: 3, text: text.into() };
    for item in [Item::Ruleset(3), text(&[]), text(&[b'#'; 169]), Item::TunnelRemove(4)] {
        writer.item(&item).unwrap();
    }
    writer.commit().unwrap();
    let Some(Received::Transaction(transaction)) = reader.poll(64) else { panic!() };
    let pieces = [text(&[b'#'; 168]), text(b"#")];
    let [first, second] = pieces;
    assert_eq!(transaction.items, [Item::Ruleset(3), first, second, Item::TunnelRemove(4)]);
    assert_eq!(transaction.count, 4);
}

#[test]
fn a_peer_cannot_grow_without_end() {
    let mut collector = Collector::new(usize::MAX);
    let messages = words(&peer(20));
    assert!(matches!(collector.take(&Command::begin(1, Scope::Delta)), Step::Gathered));
    assert!(matches!(collector.take(&messages[0]), Step::Gathered));
    let refusal = (0..100).find_map(|_| match collector.take(&messages[1]) {
        Step::Refused(refusal) => Some(refusal),
        Step::Gathered | Step::Complete(_) | Step::Survey(_) => None,
    });
    let expected = Refusal { id: 1, reason: Reason::TooManyAddresses, item: 18, malformed: None };
    assert_eq!(refusal, Some(expected));
}

#[test]
fn a_producer_that_died_in_the_middle_is_noticed_with_and_without_a_word_of_the_next() {
    for speaks in [true, false] {
        let (memory, producer, mut reader) = sides(64);
        let mut writer = Writer::new(producer);
        writer.begin(1, Scope::Delta).unwrap();
        writer.item(&route(1)).unwrap();
        drop(writer);
        assert_eq!(drain(&mut reader), (vec![], vec![]), "it may yet come");
        let producer = Producer::attach(memory, Geometry::new(64).unwrap()).unwrap();
        let mut writer = Writer::new(producer);
        if speaks {
            writer.begin(2, Scope::Delta).unwrap();
            writer.commit().unwrap();
        }
        let (applied, refusals) = drain(&mut reader);
        assert_eq!(applied, if speaks { vec![2] } else { vec![] });
        assert_eq!(refusals, refused(1, Reason::ProducerDied, 1).1);
    }
}

#[test]
fn a_corrupt_ring_is_told_once_and_forsakes_what_was_open() {
    let (memory, producer, mut reader) = sides(4);
    let mut writer = Writer::new(producer);
    writer.begin(1, Scope::Delta).unwrap();
    assert!(reader.poll(64).is_none());
    let head = crate::header::HEADER_WORDS;
    memory[head].store(99, std::sync::atomic::Ordering::Relaxed);
    let Some(Received::Refused(refusal)) = reader.poll(64) else { panic!() };
    assert_eq!((refusal.id, refusal.reason), (1, Reason::Desynchronised));
    assert!(matches!(reader.poll(64), Some(Received::Corrupt(Corrupt::Beyond))));
    assert!(reader.poll(64).is_none() && reader.poll(64).is_none());
    writer.restart();
    writer.begin(2, Scope::Delta).unwrap();
    writer.commit().unwrap();
    let Some(Received::Transaction(transaction)) = reader.poll(64) else { panic!() };
    assert_eq!(transaction.id, 2);
}

#[test]
fn every_reason_has_its_own_number_and_name() {
    let names: std::collections::HashSet<_> =
        Reason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(names.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        assert_eq!(Reason::from_code(reason.code()), Some(*reason));
    }
    assert_eq!(Reason::from_code(0), None);
}
