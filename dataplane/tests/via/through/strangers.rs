//! What comes to the port between data centres from who is none, or from the wrong one.

use std::net::{IpAddr, Ipv4Addr};

use dataplane::fate::DropReason;
use dataplane::testing::packets::Ip;
use dataplane::testing::rules::STRANGER;
use dataplane::testing::site::{CENTRE_V4, EVERY_CLIENTS, OUTSIDE_V4};
use dataplane::testing::transit::mend;
use dataplane::testing::via::sealed;

use crate::world::{ASKED, ASKS, OTHER_V4, World, answer, inside, question};

fn ends(from: Ipv4Addr, to: Ipv4Addr) -> (IpAddr, IpAddr) {
    (from.into(), to.into())
}

#[test]
fn nobody_who_is_no_data_centre_has_packets_sent_or_delivered() {
    let mut world = World::new(2, 1);
    let from = world.asks(0);
    world.arrives(&answer(from));
    let (over, back) = (world.crossed[0].clone(), world.crossed[1].clone());
    world.got(0);
    let before = world.totals();
    for (is_here, packet) in [(false, &over), (true, &back)] {
        // Whoever does not know the key changes nothing of a packet, nor gives it another sender or receiver.
        for at in 40..packet.len().min(88) {
            let mut forged = packet.clone();
            forged[at] ^= 1;
            world.put(is_here, &forged);
        }
        let mut other = packet.clone();
        other[12..16].copy_from_slice(&STRANGER.octets());
        mend(&mut other);
        world.put(is_here, &other);
    }
    assert!(world.cross().is_empty() && world.got(0).is_empty());
    let lost = |place: usize, reason| {
        world.totals()[place].dropped(reason) - before[place].dropped(reason)
    };
    for place in [0, 1] {
        let header = lost(place, DropReason::EgressViaHeader);
        let all = header
            + lost(place, DropReason::EgressViaSource)
            + lost(place, DropReason::EgressNatUnknown);
        let sent = [&back, &over][place].len().min(88) - 40 + 1;
        assert_eq!(all, sent as u64, "{}", world.totals()[place]);
    }
    world.put(false, &over);
    assert_eq!(world.cross().len(), 1, "as it was it is taken");
    world.end();
}

/// What the wrong machine of ours sends, or the right one about what it has nothing to do with.
#[test]
fn an_answer_is_let_in_from_the_exit_that_was_asked_and_to_what_has_asked_alone() {
    let mut world = World::new(2, 2);
    world.asks(0);
    let (asked, _) = inside(&world.crossed[0]);
    let packet = |port| Ip::new(STRANGER, EVERY_CLIENTS).udp(ASKED, port, b"an answer");
    let other = asked.handle ^ 2;
    let wrong = [
        sealed(ends(OTHER_V4, OUTSIDE_V4), (true, asked.handle), &packet(ASKS)),
        sealed(ends(CENTRE_V4, OUTSIDE_V4), (true, asked.handle), &packet(ASKS + 1)),
        sealed(ends(CENTRE_V4, OUTSIDE_V4), (true, other), &packet(ASKS)),
        sealed(
            ends(CENTRE_V4, OUTSIDE_V4),
            (true, asked.handle),
            &Ip::new(STRANGER, STRANGER).udp(ASKED, ASKS, b"?"),
        ),
        sealed(
            ends(CENTRE_V4, OUTSIDE_V4),
            (true, asked.handle),
            &Ip::new(STRANGER, EVERY_CLIENTS).echo(1, b"?"),
        ),
    ];
    for packet in &wrong {
        world.put(true, packet);
    }
    let [here, _] = world.totals();
    assert_eq!(here.dropped(DropReason::EgressViaUnknown), wrong.len() as u64, "{here}");
    assert!(world.got(0).is_empty() && world.got(1).is_empty());
    let right = sealed(ends(CENTRE_V4, OUTSIDE_V4), (true, asked.handle), &packet(ASKS));
    world.put(true, &right);
    assert_eq!(world.got(0).len(), 1);
    world.end();
}

/// Whether a machine that is let in gets at another's clients: its own packets are of another guest, and find no answer of theirs.
#[test]
fn guests_of_one_data_centre_are_none_of_anothers() {
    let mut world = World::new(2, 1);
    let from = world.asks(0);
    let (header, _) = inside(&world.crossed[0]);
    let mine = sealed(ends(OUTSIDE_V4, CENTRE_V4), (false, header.handle ^ 1), &question());
    world.put(false, &mine);
    let left = world.cross();
    assert_eq!(left.len(), 1);
    assert_ne!(
        crate::world::udp_of(&left[0]).0,
        from,
        "the same address and port, and another client"
    );
    assert_eq!(world.totals()[1].guests, 2);
    world.end();
}
