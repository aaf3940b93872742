//! What cannot be provoked from outside: a session that has sent nearly 2^64 messages, and tables that are
//! large.

use std::time::Duration;

use wire::ipv4;
use wireguard::aead::{self, Key};
use wireguard::limits::REJECT_AFTER_MESSAGES;
use wireguard::message::ClientId;
use wireguard::noise::Keys;
use wireguard::secret::Secret;
use wireguard::session::{Indices, Role};
use wireguard::time::Instant;

use super::sessions::Setup;
use super::*;
use crate::burst::Burst;
use crate::config::Config;
use crate::exchange::{Install, PeerId, Survey};
use crate::frame::{Endpoint, Frame, Kind, Note};
use crate::keeper::Start;
use crate::limits::{DATA_ROOM, HEADROOM, PREFETCH_FROM};
use crate::pipeline::State;
use crate::site::Site;
use crate::stages::route::NextHop;
use crate::testing::site::{LOCAL_V4, Plan, inner_v4, outer_v4, server};
use crate::testing::{packets, roll};

/// A worker's state with a session for each of so many peers, begun by us, which sends. Both ways have one
/// key, so that what it seals it opens.
fn state(peers: usize, now: Instant) -> State {
    let site = |config: &Config| Site::new(config, &[[2, 0, 0, 0, 0, 1]], Some([2, 0, 0, 0, 0, 2]));
    let start = Start { seed: [1; 32], now, unix: Duration::from_secs(1_700_000_000) };
    let (_, mut keeper) = roll::keeper(&Plan::new(peers).text(), site, start);
    let mut state = keeper.state(0);
    for number in 0..u32::try_from(peers).unwrap() {
        let [.., high, low] = number.to_be_bytes();
        let key =
            || Key::new(Secret::new(std::array::from_fn(|at| if at == 0 { high } else { low })));
        let remote = outer_v4(number);
        let install = Install {
            peer: number,
            slot: keeper.exchange().take_slot(0, 0).unwrap(),
            indices: Indices { local: 1, remote: number },
            role: Role::Initiator,
            keys: Keys { send: key(), receive: key() },
            reply: None,
            endpoint: Endpoint::new(remote, server(remote.ip()).ip(), 0),
            client_id: ClientId::ZERO,
        };
        assert!(state.sessions.install(install, now).is_none());
    }
    state
}

/// The fate of an inner packet for the peer, and the counter that it was given.
fn sealed(state: &mut State, now: Instant) -> (Fate, u64) {
    let mut buffer = vec![0; HEADROOM + DATA_ROOM];
    let mut note = Note::own(Kind::Inner, Endpoint::NONE, NextHop::Client(0));
    let fate = {
        let mut burst = Burst::default();
        burst.push(Frame::new(&mut buffer, HEADROOM, 64, &mut note));
        seal(&mut burst, &mut state.sessions, &state.site, (&state.counters, now), aead::seal);
        burst.finish().first().unwrap().fate
    };
    (fate, note.counter)
}

#[test]
fn seals_up_to_the_last_message_and_not_one_more() {
    let now = Instant(1_000_000_000);
    let mut state = state(1, now);
    assert_eq!(sealed(&mut state, now), (Fate::Undecided, 0));
    let slot = state.sessions.sending(0, now).unwrap();
    state.sessions.session_mut(slot).unwrap().skip(REJECT_AFTER_MESSAGES - 2);
    assert_eq!(sealed(&mut state, now), (Fate::Undecided, REJECT_AFTER_MESSAGES - 1));
    assert_eq!(sealed(&mut state, now).0, Fate::Drop(DropReason::SealExhausted));
    assert_eq!(sealed(&mut state, now).0, Fate::Drop(DropReason::SealExhausted), "it stays so");
}

const OUTER_LEN: usize = ipv4::HEADER_LEN + wire::udp::HEADER_LEN;

/// What has become of a packet: its fate and its octets.
type End = (Fate, Vec<u8>);

/// Runs one burst of packets, each in a buffer of its own.
fn run(packets: &[(Note, Vec<u8>)], stage: impl FnOnce(&mut Burst<'_>)) -> Vec<End> {
    let mut notes: Vec<Note> = packets.iter().map(|(note, _)| *note).collect();
    let mut buffers = vec![vec![0; HEADROOM + DATA_ROOM]; packets.len()];
    let outcomes = {
        let mut burst = Burst::default();
        for (((_, octets), buffer), note) in packets.iter().zip(&mut buffers).zip(&mut notes) {
            buffer[HEADROOM..HEADROOM + octets.len()].copy_from_slice(octets);
            burst.push(Frame::new(buffer, HEADROOM, octets.len(), note));
        }
        stage(&mut burst);
        burst.finish()
    };
    let cut = |(buffer, end): (&Vec<u8>, &crate::burst::Outcome)| {
        (end.fate, buffer[end.start..end.start + end.len].to_vec())
    };
    buffers.iter().zip(&outcomes).map(cut).collect()
}

/// Seals a packet for each of the peers, opens it again, and then opens it once more or spoiled. What came out
/// each time.
fn walk(state: &mut State, peers: &[u32], now: Instant) -> [Vec<End>; 3] {
    let ready = |&number: &u32| {
        let mut note = Note::own(Kind::Inner, Endpoint::NONE, NextHop::Client(number));
        // A peer that spoofs: its packets bear its neighbour's address.
        let source = inner_v4(if number % 5 == 4 { number + 1 } else { number });
        let inner = packets::Ip::new(source, LOCAL_V4).udp(1, 2, &number.to_be_bytes());
        assert_eq!(note.ip.read(&inner), Ok(source.into()));
        (note, inner)
    };
    let packets: Vec<_> = peers.iter().map(ready).collect();
    let sealed = run(&packets, |burst| {
        seal(burst, &mut state.sessions, &state.site, (&state.counters, now), aead::seal);
    });
    let arrived = |(&number, (_, octets)): (&u32, &End)| {
        let remote = outer_v4(number);
        let endpoint = Endpoint::new(remote, server(remote.ip()).ip(), 0);
        let slot = state.sessions.sending(number, now).unwrap_or(u32::MAX);
        let note = Note { slot, ..Note::own(Kind::Sealed, endpoint, NextHop::None) };
        (note, octets[OUTER_LEN..].to_vec())
    };
    let mut arriving: Vec<_> = peers.iter().zip(&sealed).map(arrived).collect();
    let mut opened = |packets: &[_]| {
        run(packets, |burst| {
            open(burst, &mut state.sessions, &state.routes, (&state.counters, now), aead::open);
        })
    };
    let first = opened(&arriving);
    for (at, (note, octets)) in arriving.iter_mut().enumerate() {
        match at % 3 {
            0 => note.slot = u32::MAX,
            // A counter that is new, and a tag that is not of it.
            1 => octets[8] ^= 1,
            _ => {}
        }
    }
    let second = opened(&arriving);
    [sealed, first, second]
}

#[test]
fn fetching_ahead_among_many_peers_changes_no_outcome() {
    const FEW: u32 = 100;
    let now = Instant(1_000_000_000);
    let many = u32::try_from(PREFETCH_FROM).unwrap() + FEW;
    let (mut small, mut large) = (state(FEW as usize, now), state(many as usize, now));
    assert!(!small.sessions.are_many() && large.sessions.are_many());
    let all: Vec<u32> = (0..many).collect();
    for peers in all.chunks(50) {
        let ends = walk(&mut large, peers, now);
        let fates = ends.each_ref().map(|ends| ends.iter().map(|end| end.0).collect::<Vec<_>>());
        assert!(fates[0].iter().all(|fate| *fate == Fate::Undecided), "{:?}", fates[0]);
        for (at, number) in peers.iter().enumerate() {
            let spoofed = Fate::Drop(DropReason::WireguardSource);
            let first = if number % 5 == 4 { spoofed } else { Fate::Undecided };
            let second = match at % 3 {
                0 => DropReason::WireguardUnknownIndex,
                1 => DropReason::WireguardTag,
                _ => DropReason::WireguardReplay,
            };
            assert_eq!((fates[1][at], fates[2][at]), (first, Fate::Drop(second)), "{number}");
        }
        if peers[0] < FEW {
            assert_eq!(walk(&mut small, peers, now), ends, "among few: {:?}", &peers[..1]);
        }
    }
}

#[test]
fn who_takes_the_place_of_one_that_is_gone_begins_with_nothing() {
    let now = Instant(1);
    let mut state = state(1, now);
    state.sessions.remove(0);
    // What its handshake thread had made before it heard that the peer is gone.
    state.sessions.sent_message(0, 148);
    let endpoint = Endpoint::new(outer_v4(7), server(outer_v4(7).ip()).ip(), 0);
    let setup = Setup {
        id: ClientId::ZERO,
        endpoint: Some(endpoint),
        persistent: Duration::ZERO,
        incarnation: 2,
        client_id: ClientId::ZERO,
    };
    state.sessions.set(0, &setup, now);
    let mut sheet = Survey::default();
    state.sessions.survey(&mut sheet);
    let [standing] = *sheet.rows else { panic!("{sheet:?}") };
    assert_eq!(standing.peer, PeerId { number: 0, incarnation: 2 });
    assert_eq!((standing.received, standing.sent, standing.handshake_at), (0, 0, None));
    assert_eq!(standing.endpoint, Some(endpoint));
}
