//! Claims about cookies.

use std::net::IpAddr;

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use wire::tcp::Flags;

use super::super::tests::{ends, packet, read};
use super::*;

const UNIX: Duration = Duration::from_secs(1_700_000_000);

fn cookies(master: u8) -> Cookies {
    Cookies::new(&Secret::new([master; 32]), UNIX)
}

fn syn((client, server): (IpAddr, IpAddr), isn: u32) -> Segment {
    read(&packet((client, 4660), (server, 443), (Flags::SYN, isn, 0), &[]))
}

/// The segment that acknowledges a cookie.
fn ack((client, server): (IpAddr, IpAddr), isn: u32, cookie: u32) -> Segment {
    let numbers = (Flags::ACK, isn.wrapping_add(1), cookie.wrapping_add(1));
    read(&packet((client, 4660), (server, 443), numbers, &[]))
}

const OFFER: Offer = Offer { mss: 1460, window_scale: Some(7), sack: true, timestamps: true };

fn family() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    (0_usize..2).prop_map(|which| ends()[which])
}

proptest! {
    #[test]
    fn what_was_offered_comes_back_with_the_acknowledgment(
        ends in family(),
        isn: u32,
        mss: u16,
        shift in prop::option::of(0_u8..=14),
        sack: bool,
        timestamps: bool,
        late in 0_u64..64_000,
    ) {
        let unix = UNIX + Duration::from_millis(late);
        let mut ours = cookies(1);
        ours.advance(unix);
        let offer = Offer { mss, window_scale: shift, sack, timestamps };
        let cookie = ours.make(&syn(ends, isn), offer);
        let echo = timestamps.then_some(cookie.timestamp);
        let found = ours.check(&ack(ends, isn, cookie.sequence_number), echo);
        prop_assert_eq!(found, Some(cookie.offer));
        prop_assert!(cookie.offer.mss <= mss.max(64));
        if timestamps {
            prop_assert_eq!((cookie.offer.window_scale, cookie.offer.sack), (shift, sack));
        } else {
            prop_assert_eq!((cookie.offer.window_scale, cookie.offer.sack), (None, false));
        }
        let behind = ours.clock().wrapping_sub(cookie.timestamp);
        prop_assert!(behind < 64, "{behind} ms behind the clock, and never before it");
    }

    #[test]
    fn a_cookie_is_of_both_ends_and_the_number_that_it_answers(
        ends in family(), isn: u32, bit in 0_u32..32, changed in 0_u32..5,
    ) {
        let ours = cookies(1);
        let cookie = ours.make(&syn(ends, isn), OFFER).sequence_number;
        let mut forged = ack(ends, isn, cookie);
        prop_assert!(ours.check(&forged, None).is_some());
        match changed {
            0 => forged.tcp.acknowledgment_number ^= 1 << bit,
            1 => forged.tcp.sequence_number ^= 1 << bit,
            2 => forged.tcp.source_port ^= 1 << (bit % 16),
            3 => forged.tcp.destination_port ^= 1 << (bit % 16),
            _ => std::mem::swap(&mut forged.source, &mut forged.destination),
        }
        prop_assert_eq!(ours.check(&forged, None), None);
    }
}

#[test]
fn rounds_the_segment_size_down_to_what_a_cookie_can_say() {
    let ours = cookies(1);
    let kept = |mss| ours.make(&syn(ends()[0], 1), Offer { mss, ..OFFER }).offer.mss;
    let cases = [(536, 536), (535, 64), (1219, 536), (1452, 1440), (1460, 1460), (9000, 1460)];
    for (mss, want) in cases {
        assert_eq!(kept(mss), want, "{mss}");
    }
}

#[test]
fn guesses_are_refused() {
    let ours = cookies(1);
    let seed = 20;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for ends in ends() {
        let mut guess = ack(ends, 1, 2);
        // A cookie stands 24 times in 2^32 numbers: one hit in so many tries has a chance of 1 in 1,400, and the seed has none.
        for _ in 0..1 << 17 {
            guess.tcp.acknowledgment_number = random.next_u32();
            assert_eq!(ours.check(&guess, None), None, "seed {seed}: {guess:?}");
            guess.tcp.sequence_number = random.next_u32();
            assert!(!ours.answers_challenge(&guess), "seed {seed}: {guess:?}");
        }
    }
}

#[test]
fn just_so_many_numbers_are_cookies_as_the_documentation_says() {
    // All numbers with one proof: a slot that is not taken has no key, whatever step and proof say.
    let ours = cookies(1);
    let segment = ack(ends()[0], 1, 0);
    let taken: Vec<u32> =
        (0..4).filter(|slot| ours.proof(*slot, &segment, 1, 0).is_some()).collect();
    assert_eq!(taken.len() * STEPS.len(), 24);
}

#[test]
fn a_cookie_lasts_one_to_two_slots() {
    let mut ours = cookies(1);
    let start = Duration::from_secs(UNIX.as_secs() / 64 * 64);
    for made in [0, 1, 63] {
        ours.advance(start + Duration::from_secs(made));
        let cookie = ours.make(&syn(ends()[0], 1), OFFER);
        let answer = ack(ends()[0], 1, cookie.sequence_number);
        for age in 0..300 {
            ours.advance(start + Duration::from_secs(made + age));
            let taken = ours.check(&answer, Some(cookie.timestamp)).is_some();
            assert_eq!(taken, made + age < 128, "made at {made}, {age} old");
        }
    }
}

#[test]
fn servers_of_a_fleet_take_each_others_cookies_and_no_others() {
    let (ours, mut member, stranger) = (cookies(1), cookies(1), cookies(2));
    for ends in ends() {
        let cookie = ours.make(&syn(ends, 9), OFFER).sequence_number;
        let answer = ack(ends, 9, cookie);
        assert_eq!(member.check(&answer, None).map(|offer| offer.mss), Some(1460));
        assert_eq!(stranger.check(&answer, None), None);
        let mut reset = answer;
        reset.tcp.sequence_number = ours.challenge(&syn(ends, 9));
        assert!(member.answers_challenge(&reset) && !stranger.answers_challenge(&reset));
        // A clock may be a slot behind or ahead.
        for seconds in [UNIX.as_secs() - 64, UNIX.as_secs() + 64] {
            member.advance(Duration::from_secs(seconds));
            assert!(member.check(&answer, None).is_some() && member.answers_challenge(&reset));
        }
        member.advance(UNIX);
    }
}

#[test]
fn survives_a_clock_that_jumps_and_takes_what_is_of_its_time() {
    let mut ours = cookies(1);
    let cookie = ours.make(&syn(ends()[0], 1), OFFER);
    let answer = ack(ends()[0], 1, cookie.sequence_number);
    for jump in
        [Duration::ZERO, Duration::from_secs(5), Duration::from_secs(1 << 40), Duration::MAX]
    {
        ours.advance(jump);
        assert_eq!(ours.check(&answer, None), None, "{jump:?}");
        let now = ours.make(&syn(ends()[0], 1), OFFER);
        let fresh = ack(ends()[0], 1, now.sequence_number);
        assert!(ours.check(&fresh, Some(now.timestamp)).is_some(), "{jump:?}");
    }
    ours.advance(UNIX);
    assert!(ours.check(&answer, Some(cookie.timestamp)).is_some());
}

#[test]
fn a_timestamp_of_another_time_is_none_of_ours() {
    let ours = cookies(1);
    let cookie = ours.make(&syn(ends()[0], 1), OFFER);
    let answer = ack(ends()[0], 1, cookie.sequence_number);
    for far in [1 << 20, 1 << 30, 1 << 31] {
        for other in [cookie.timestamp.wrapping_add(far), cookie.timestamp.wrapping_sub(far)] {
            assert_eq!(ours.check(&answer, Some(other)), None, "{far}");
        }
    }
}

#[test]
fn a_challenge_is_no_cookie_and_a_cookie_no_challenge() {
    let ours = cookies(1);
    for isn in 0..2_000 {
        let asked = syn(ends()[0], isn);
        let challenge = ours.challenge(&asked);
        assert_eq!(ours.check(&ack(ends()[0], isn, challenge), None), None, "{isn}");
        let mut reset = asked;
        reset.tcp.sequence_number = ours.make(&asked, OFFER).sequence_number;
        assert!(!ours.answers_challenge(&reset), "{isn}");
    }
}

#[test]
fn reads_the_options_up_to_the_first_that_is_broken() {
    let read = |octets: &[u8]| Offer::read(Options::of(octets), true);
    let none = Offer { mss: 536, window_scale: None, sack: false, timestamps: false };
    assert_eq!(read(&[]), (none, 0));
    assert_eq!(Offer::read(Options::of(&[]), false).0.mss, 1220);
    assert_eq!(read(&[2, 4, 5, 180, 3, 3, 20]).0.window_scale, Some(14), "RFC 7323 2.3");
    let (offer, timestamp) = read(&[4, 2, 8, 10, 0, 0, 1, 2, 9, 9, 9, 9, 2, 9, 1, 1]);
    assert_eq!((offer, timestamp), (Offer { sack: true, timestamps: true, ..none }, 258));
}

#[test]
fn keys_are_not_printed() {
    assert_eq!(format!("{:?}", cookies(1)), "Cookies(..)");
}
