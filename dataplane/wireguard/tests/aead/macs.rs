//! The MACs of handshake messages: every implementation gives the library's, whatever shares the lanes, and reads no further
//! than a message.

use blake2::Blake2sMac;
use blake2::digest::consts::U16;
use blake2::digest::{FixedOutput, KeyInit, Mac};
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};
use core::net::SocketAddr;
use core::time::Duration;
use wireguard::blake2s::{Job, Keyed, macs_with};
use wireguard::cookie::{Checker, Jar, Secrets};
use wireguard::limits::COOKIE_TIME;
use wireguard::message::{INITIATION_LEN, RESPONSE_LEN};
use wireguard::secret::Secret;
use wireguard::time::Instant;

use crate::batch::{Stream, implementations};
use crate::memory::{Guarded, PAGE};

fn library(key: &[u8], message: &[u8]) -> [u8; 16] {
    let mut state = <Blake2sMac<U16> as KeyInit>::new_from_slice(key).unwrap();
    Mac::update(&mut state, message);
    state.finalize_fixed().into()
}

fn octets(stream: &mut Stream, len: usize) -> Vec<u8> {
    (0..len).map(|_| stream.next() as u8).collect()
}

/// A key of 16 or 32 octets.
fn key(stream: &mut Stream) -> (Keyed, Vec<u8>) {
    let octets = octets(stream, 32);
    if stream.below(2) == 0 {
        return (Keyed::new::<32>(octets.first_chunk().unwrap()), octets);
    }
    (Keyed::new::<16>(octets.first_chunk().unwrap()), octets[..16].to_vec())
}

#[test]
fn every_length_agrees_in_every_company() {
    let mut stream = Stream(11);
    for implementation in implementations("lengths of messages") {
        for len in 0..=300 {
            let count = 1 + len % 37;
            let keys: Vec<_> = (0..count).map(|_| key(&mut stream)).collect();
            for alike in [true, false] {
                let messages: Vec<_> = (0..count)
                    .map(|_| {
                        let len = if alike { len } else { stream.below(300) };
                        octets(&mut stream, len)
                    })
                    .collect();
                let together = keys.iter().zip(&messages);
                let mut jobs: Vec<_> = together
                    .clone()
                    .map(|((keyed, _), message)| Job::new(keyed, message))
                    .collect();
                macs_with(implementation, &mut jobs);
                for (job, ((keyed, key), message)) in jobs.iter().zip(together) {
                    let (len, expected) = (message.len(), library(key, message));
                    assert_eq!(*job.mac(), expected, "{implementation} {len} among {count}");
                    assert_eq!(keyed.mac(message), expected, "{len} alone");
                }
            }
        }
    }
}

#[test]
fn a_message_longer_than_a_datagram_agrees() {
    let mut stream = Stream(12);
    let (keyed, key) = key(&mut stream);
    let messages = [65_535, 65_536, 200_000, 64, 65].map(|len| octets(&mut stream, len));
    for implementation in implementations("long messages") {
        let mut jobs = messages.each_ref().map(|message| Job::new(&keyed, message));
        macs_with(implementation, &mut jobs);
        for (job, message) in jobs.iter().zip(&messages) {
            assert_eq!(*job.mac(), library(&key, message));
        }
    }
}

#[test]
fn no_octet_is_read_behind_a_message() {
    let mut stream = Stream(13);
    let mut mapped: Vec<Guarded> = (0..17).map(|_| Guarded::new(1)).collect();
    let (keyed, key) = key(&mut stream);
    for implementation in implementations("messages before a page's end") {
        for len in 0..=140 {
            let messages: Vec<&[u8]> = mapped
                .iter_mut()
                .map(|pages| {
                    let place = &mut pages.octets()[PAGE - len..];
                    place.copy_from_slice(&octets(&mut stream, len));
                    &*place
                })
                .collect();
            let mut jobs: Vec<_> =
                messages.iter().map(|message| Job::new(&keyed, message)).collect();
            macs_with(implementation, &mut jobs);
            for (job, message) in jobs.iter().zip(messages) {
                assert_eq!(*job.mac(), library(&key, message));
            }
        }
    }
}

#[test]
fn first_macs_of_another_implementation_of_the_protocol_are_right_and_spoiled_ones_are_not() {
    let secret = StaticSecret::from([4; 32]);
    let public = PublicKey::from(&StaticSecret::from([3; 32]));
    let checker = Checker::new(&public.to_bytes());
    let mut letters: Vec<Vec<u8>> = (0..40)
        .map(|number| {
            let mut tunnel = Tunn::new(secret.clone(), public, None, None, number, None);
            let mut place = [0; INITIATION_LEN];
            let made = tunnel.format_handshake_initiation(&mut place, false);
            assert!(matches!(made, TunnResult::WriteToNetwork(_)));
            place.to_vec()
        })
        .collect();
    for number in (0..40).step_by(3) {
        letters[number][132 - 1 - number] ^= 1;
    }
    let messages: Vec<&[u8]> = letters.iter().map(Vec::as_slice).collect();
    let mut valid = [false; 40];
    checker.mac1_valid_each(&messages, &mut valid);
    for (number, valid) in valid.into_iter().enumerate() {
        assert_eq!(valid, number % 3 != 0, "letter {number}");
        assert_eq!(valid, checker.mac1_valid(messages[number]), "letter {number}");
    }
}

#[test]
fn second_macs_are_judged_one_by_one_by_the_cookie_of_their_source() {
    let checker = Checker::new(&[5; 32]);
    let unix = Duration::from_secs(1_700_000_000);
    let mut secrets = Secrets::new(Secret::new([6; 32]), unix);
    let sources: Vec<SocketAddr> = (0..40)
        .map(|number| match number % 2 {
            0 => format!("192.0.2.{number}:{}", 4_000 + number),
            _ => format!("[2001:db8::{number}]:4000"),
        })
        .map(|text| text.parse().unwrap())
        .collect();
    let letter = |number: usize| {
        let len = if number.is_multiple_of(5) { RESPONSE_LEN } else { INITIATION_LEN };
        vec![number as u8; len]
    };
    let mut letters = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        let (mut jar, mut letter) = (Jar::new(), letter(number));
        jar.stamp(&checker, &mut letter, Instant::ZERO);
        // Half of the cookies are of the epoch before.
        secrets.advance(if number < 20 { unix } else { unix + COOKIE_TIME });
        let reply = checker.reply(&letter, &secrets, *source, [7; 24]).unwrap();
        jar.receive(&checker, &reply, Instant::ZERO).unwrap();
        jar.stamp(&checker, &mut letter, Instant::ZERO);
        letters.push(letter);
    }
    secrets.advance(unix + COOKIE_TIME);
    for number in (0..40).step_by(3) {
        let end = letters[number].len() - 1;
        letters[number][end - number] ^= 1;
    }
    // One octet more than the protocol's messages, and none at all.
    letters[1] = vec![0; INITIATION_LEN + 1];
    letters[2] = Vec::new();
    let pairs: Vec<_> = letters.iter().map(Vec::as_slice).zip(sources).collect();
    let mut valid = [true; 40];
    checker.mac2_valid_each(&pairs, &secrets, &mut valid);
    for (number, valid) in valid.into_iter().enumerate() {
        assert_eq!(valid, number % 3 != 0 && number > 2, "letter {number}");
        let (message, source) = pairs[number];
        assert_eq!(valid, checker.mac2_valid(message, &secrets, source), "letter {number}");
    }
}
