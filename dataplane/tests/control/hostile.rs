//! A control that dies, lies or raves: refused, counted, told, and no worker notices.

use std::sync::atomic::Ordering;

use dataplane::limits::COUNTERS_INTERVAL;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use shm::message::{COMMAND_WORDS, Command, Event, Item, Scope};
use shm::transaction::Reason;

use super::stage::{Stage, key, peer};

fn stage() -> Stage {
    let mut stage = Stage::new(8, 2);
    stage.join(2);
    stage.change(&[peer(0), peer(1)]);
    stage.connect();
    assert!(stage.scene.passes(0, 1) && stage.scene.passes(1, 0));
    stage
}

/// The reasons for which control is told that something is refused.
fn reasons(stage: &mut Stage) -> Vec<Reason> {
    stage.scene.settle();
    let events = stage.control.hear();
    let reason = |event: &Event| match event {
        Event::Refused { reason, .. } => Some(*reason),
        _ => None,
    };
    events.iter().filter_map(reason).collect()
}

fn goes_on(stage: &mut Stage) {
    assert!(stage.scene.passes(0, 1) && stage.scene.passes(1, 0) && stage.scene.passes_local(0));
    stage.is_whole();
}

#[test]
fn one_that_dies_in_the_middle_leaves_nothing_and_the_next_one_goes_on() {
    let mut stage = stage();
    stage.control.writer.begin(50, Scope::Snapshot).unwrap();
    stage.control.writer.item(&peer(3)).unwrap();
    stage.scene.settle();
    stage.control = stage.regions.attach();
    assert_eq!(reasons(&mut stage), [Reason::ProducerDied]);
    goes_on(&mut stage);
    stage.change(&[peer(2)]);
    stage.change(&[Item::PeerRemove(key(2))]);
    goes_on(&mut stage);
}

#[test]
fn the_next_one_is_told_who_is_there_and_what_is_in_force() {
    let mut stage = stage();
    let last = stage.next_id;
    stage.control = stage.regions.attach();
    stage.scene.settle();
    let events = stage.control.hear();
    let public_key = dataplane::testing::site::server_public();
    assert!(
        matches!(events.first(), Some(Event::Server { public_key: of, listen_port: 51820, peers_max: 8 }) if of.0 == public_key)
    );
    assert!(
        matches!(events.get(1), Some(Event::Heartbeat { transaction, .. }) if *transaction == last)
    );
}

#[test]
fn wrong_digests_and_counts_and_half_transactions_change_nothing() {
    let mut stage = stage();
    let mut words = Vec::new();
    Item::PeerRemove(key(0)).encode(&mut words).unwrap();
    for (count, digest, reason) in
        [(1, 7, Reason::Digest), (2, 7, Reason::Count), (0, 0, Reason::Count)]
    {
        let messages =
            [Command::begin(60, Scope::Delta), words[0], Command::commit(60, count, digest)];
        stage.push(&messages);
        assert_eq!(reasons(&mut stage), [reason]);
        goes_on(&mut stage);
    }
    stage.push(&[words[0]]);
    assert_eq!(reasons(&mut stage), [Reason::ItemOutside]);
    stage.push(&[Command::begin(61, Scope::Snapshot), Command::begin(62, Scope::Delta)]);
    assert_eq!(reasons(&mut stage), [Reason::NestedBegin]);
    stage.push(&[Command::abort(62)]);
    assert_eq!(reasons(&mut stage), [Reason::Aborted]);
    goes_on(&mut stage);
    stage.scene.wait(COUNTERS_INTERVAL);
    let table = stage.control.counters.read().unwrap();
    assert_eq!(table.total("transactions_refused"), Some(6));
    assert_eq!(table.total("refused.digest"), Some(1));
}

#[test]
fn octets_of_any_kind_are_refused_and_no_packet_is_lost() {
    for seed in 0..40 {
        let mut dice = ChaCha20Rng::seed_from_u64(seed);
        let mut stage = stage();
        for _ in 0..30 {
            let mut messages = vec![[0; COMMAND_WORDS]; 1 + (dice.next_u64() % 8) as usize];
            for message in &mut messages {
                message.fill_with(|| dice.next_u64());
                // Some get further than their kind.
                if dice.next_u64() % 2 == 0 {
                    message[0] = dice.next_u64() % 64;
                }
            }
            stage.push(&messages);
            stage.scene.settle();
            stage.control.hear();
        }
        goes_on(&mut stage);
    }
}

#[test]
fn indices_that_run_backwards_are_told_and_a_new_control_mends_them() {
    for seed in 0..40 {
        let mut dice = ChaCha20Rng::seed_from_u64(seed);
        let mut stage = stage();
        for ring in [stage.regions.commands.clone(), stage.regions.events.clone()] {
            for _ in 0..=dice.next_u64() % 6 {
                // The words before the slots are the rings' own.
                let at = (dice.next_u64() % 256) as usize;
                ring[at].store(dice.next_u64() >> (dice.next_u64() % 64), Ordering::Relaxed);
            }
        }
        goes_on(&mut stage);
        stage.control = stage.regions.attach();
        stage.scene.settle();
        stage.control.hear();
        goes_on(&mut stage);
        stage.next_id += 1000;
        stage.change(&[peer(2), Item::PeerRemove(key(2))]);
        goes_on(&mut stage);
    }
}
