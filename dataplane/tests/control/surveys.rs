//! Surveys: how all peers stand.

use std::time::Duration;

use dataplane::testing::site;
use shm::message::{Event, Item, PublicKey};

use super::stage::{Stage, key, peer};

/// The states that a survey finds, by key.
fn survey(stage: &mut Stage, id: u64) -> Vec<(PublicKey, Duration, [u64; 2])> {
    stage.control.writer.survey(id).unwrap();
    answer(stage, id)
}

/// What control hears until a survey ends.
fn answer(stage: &mut Stage, id: u64) -> Vec<(PublicKey, Duration, [u64; 2])> {
    let mut states = Vec::new();
    for _ in 0..1000 {
        let now = stage.scene.now;
        stage.scene.server.turn(now);
        for event in stage.control.hear() {
            match event {
                Event::PeerState { public_key, handshake, received, sent, .. } => {
                    states.push((public_key, handshake, [received, sent]));
                }
                Event::Surveyed { id: of } => {
                    assert_eq!(of, id);
                    return states;
                }
                Event::Lost(count) => panic!("{count} events were lost"),
                _ => {}
            }
        }
    }
    panic!("the survey did not end");
}

#[test]
fn tells_what_each_peer_has_sent_and_got() {
    let mut stage = Stage::new(4, 2);
    stage.join(2);
    stage.change(&[peer(0), peer(1), peer(2)]);
    assert!(survey(&mut stage, 1).is_empty(), "nobody was heard of yet");
    stage.scene.send(0, &[]);
    let states = survey(&mut stage, 2);
    let [(who, handshake, [received, sent])] = *states else { panic!("{states:?}") };
    // An initiation and a keepalive came, a response went.
    assert_eq!((who, received, sent), (key(0), 148 + 32, 92));
    assert_eq!(handshake, dataplane::testing::unix(stage.scene.now));
    assert!(stage.scene.passes_local(0));
    let padded = 48 + 32;
    let states = survey(&mut stage, 3);
    assert_eq!(states[0].2, [148 + 32 + padded, 92 + padded]);
    stage.change(&[Item::PeerRemove(key(0))]);
    assert!(survey(&mut stage, 4).is_empty(), "who is removed is not told");
    stage.is_whole();
}

/// A stage whose peers all have an endpoint, so that a survey tells of each.
fn crowd(peers: u32, workers: usize) -> Stage {
    let mut stage = Stage::new(peers, workers);
    for first in (0..peers).step_by(100) {
        let mut some: Vec<_> = (first..first + 100).map(site::peer).collect();
        for peer in &mut some {
            peer.endpoint = Some(site::outer_v4(0));
        }
        let items: Vec<_> = some.into_iter().map(|peer| Item::Peer(Box::new(peer))).collect();
        stage.change(&items);
    }
    stage
}

#[test]
fn loses_nobody_though_the_ring_is_smaller_than_the_number_of_peers() {
    let mut stage = crowd(3000, 3);
    let mut keys: Vec<_> = survey(&mut stage, 7).into_iter().map(|(key, ..)| key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 3000);
}

#[test]
fn one_that_nobody_hears_ends_with_its_control() {
    let mut stage = crowd(3000, 1);
    stage.control.writer.survey(1).unwrap();
    for _ in 0..100 {
        let now = stage.scene.now;
        stage.scene.server.turn(now);
    }
    stage.control = stage.regions.attach();
    assert_eq!(survey(&mut stage, 2).len(), 3000);
}

#[test]
fn what_the_last_one_was_told_is_told_to_the_next_as_well() {
    let mut stage = crowd(300, 1);
    stage.control.writer.survey(1).unwrap();
    let now = stage.scene.now;
    stage.scene.server.turn(now);
    // Its worker has the sheet for the second time when control ends, and looks at it only later.
    let keep = |stage: &mut Stage| {
        let server = &mut stage.scene.server;
        server.border.as_mut().unwrap().turn(&mut server.keeper, now);
    };
    keep(&mut stage);
    keep(&mut stage);
    let is_state = |event: &Event| matches!(event, Event::PeerState { .. });
    assert!(stage.control.hear().iter().any(is_state));
    stage.control = stage.regions.attach();
    stage.control.writer.survey(2).unwrap();
    keep(&mut stage);
    let mut keys: Vec<_> = answer(&mut stage, 2).into_iter().map(|(key, ..)| key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 300);
}
