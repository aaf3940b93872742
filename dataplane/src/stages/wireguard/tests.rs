//! What cannot be provoked from outside: a session that has sent nearly 2^64 messages.

use std::path::Path;
use std::time::Duration;

use wireguard::aead::Key;
use wireguard::limits::REJECT_AFTER_MESSAGES;
use wireguard::noise::Keys;
use wireguard::secret::Secret;
use wireguard::session::{Indices, Role};

use super::*;
use crate::config::Config;
use crate::exchange::Install;
use crate::frame::{Endpoint, Note};
use crate::keeper::{Keeper, Start};
use crate::limits::{DATA_ROOM, HEADROOM};
use crate::testing::site::{Plan, outer_v4, server};

/// A worker's state with one session, begun by us, which sends.
fn state(now: Instant) -> crate::pipeline::State {
    let config = Config::parse(&Plan::new(1).text(), Path::new("test.toml")).unwrap();
    let site = Site::new(&config, &[[2, 0, 0, 0, 0, 1]], Some([2, 0, 0, 0, 0, 2]));
    let start = Start { seed: [1; 32], now, unix: Duration::from_secs(1_700_000_000) };
    let mut keeper = Keeper::new(&config, site, start).unwrap();
    let mut state = keeper.state(0);
    let slot = keeper.exchange().take_slot(0, 0).unwrap();
    let key = |octet| Key::new(Secret::new([octet; 32]));
    let remote = outer_v4(0);
    let install = Install {
        peer: 0,
        slot,
        indices: Indices { local: 1, remote: 2 },
        role: Role::Initiator,
        keys: Keys { send: key(1), receive: key(2) },
        reply: None,
        endpoint: Endpoint::new(remote, server(remote.ip()).ip(), 0),
        client_id: ClientId::ZERO,
    };
    assert!(state.sessions.install(install, now).is_none());
    state
}

/// The fate of an inner packet for the peer, and the counter that it was given.
fn sealed(state: &mut crate::pipeline::State, now: Instant) -> (Fate, u64) {
    let mut buffer = vec![0; HEADROOM + DATA_ROOM];
    let mut note = Note::own(Kind::Inner, Endpoint::NONE, NextHop::Client(0));
    let fate = {
        let mut burst = Burst::default();
        burst.push(Frame::new(&mut buffer, HEADROOM, 64, &mut note));
        seal(&mut burst, &mut state.sessions, &state.site, &state.counters, now);
        burst.finish().first().unwrap().fate
    };
    (fate, note.counter)
}

#[test]
fn seals_up_to_the_last_message_and_not_one_more() {
    let now = Instant(1_000_000_000);
    let mut state = state(now);
    assert_eq!(sealed(&mut state, now), (Fate::Undecided, 0));
    let slot = state.sessions.sending(0, now).unwrap();
    state.sessions.session_mut(slot).unwrap().skip(REJECT_AFTER_MESSAGES - 2);
    assert_eq!(sealed(&mut state, now), (Fate::Undecided, REJECT_AFTER_MESSAGES - 1));
    assert_eq!(sealed(&mut state, now).0, Fate::Drop(DropReason::SealExhausted));
    assert_eq!(sealed(&mut state, now).0, Fate::Drop(DropReason::SealExhausted), "it stays so");
}
