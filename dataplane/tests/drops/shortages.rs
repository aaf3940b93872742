//! Packets for which there is no room, no way or no time.
#![expect(clippy::wildcard_enum_match_arm, reason = "the root of the test sorts the reasons")]

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use dataplane::counters::Totals;
use dataplane::exchange::Job;
use dataplane::fate::DropReason as Why;
use dataplane::limits::{
    HELD_PER_KEY_MAX, HELD_TIME, JOBS_MAX, NEIGHBOUR_ATTEMPTS_MAX, NEIGHBOUR_RETRY, NEIGHBOURS_MAX,
};
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::scene::Scene;
use dataplane::testing::server::{self, LOCAL, WIRE};
use dataplane::testing::site;
use wireguard::index::Place;
use wireguard::message::COOKIE_REPLY;

use super::handshakes::initiation;
use super::{ABSENT, SILENT};

const COOKIE_REPLY_LEN: usize = 64;
/// More than any queue holds.
const ENOUGH: usize = 4096;
const MOMENT: Duration = Duration::from_millis(500);

pub(super) fn provoke(reason: Why, scene: &mut Scene) -> Totals {
    let mut before = scene.server.totals();
    match reason {
        Why::LinkNoRoute => call(scene, site::outer_v6(9), SILENT),
        Why::LinkTableFull => before = fill_neighbours(scene),
        Why::LinkUnresolved => {
            scene.neighbours = false;
            call(scene, "192.0.2.50:1000".parse().unwrap(), SILENT);
            scene.wait(NEIGHBOUR_RETRY * u32::from(NEIGHBOUR_ATTEMPTS_MAX) + MOMENT);
            scene.neighbours = true;
        }
        Why::HoldFull => {
            for _ in 0..=HELD_PER_KEY_MAX {
                local(scene, ABSENT);
            }
        }
        Why::HoldExpired => {
            local(scene, ABSENT);
            scene.wait(HELD_TIME + MOMENT);
        }
        Why::Stopped => {
            local(scene, ABSENT);
            scene.server.close();
        }
        Why::HandshakeFull => {
            while scene.server.exchange.submit(0, Job::Abandon(ABSENT)) {}
            assert_eq!(scene.server.exchange.jobs_waiting(0), JOBS_MAX);
            // An answer that somebody waits for: no other message gets so far under load.
            let (worker, slot) = (0, 200);
            let permutation = &scene.server.workers[0].state().owner.permutation;
            let index = permutation.index(Place { server: 0, worker, slot });
            let mut message = [0; COOKIE_REPLY_LEN];
            message[0] = COOKIE_REPLY;
            message[4..8].copy_from_slice(&index.to_le_bytes());
            scene.server.exchange.expect(usize::from(worker), slot, true);
            put(scene, site::outer_v4(9), &message);
            scene.server.exchange.expect(usize::from(worker), slot, false);
            // Whoever asks for a session while the server is under load has to prove his address first.
            scene.wait(Duration::from_secs(2));
        }
        Why::HandshakeNoIndex => {
            let exchange = std::sync::Arc::clone(&scene.server.exchange);
            let slots: Vec<_> = std::iter::from_fn(|| exchange.take_slot(0, 0)).collect();
            call(scene, site::outer_v4(9), SILENT);
            for slot in slots {
                exchange.free_slot(0, slot);
            }
        }
        Why::TransmitFull => limited(scene, WIRE, |scene| local(scene, 0)),
        Why::KernelFull => limited(scene, LOCAL, |scene| {
            scene.send(0, &Ip::new(site::inner_v4(0), site::LOCAL_V4).echo(1, b""));
        }),
        Why::HandOverFull => {
            scene.server.workers[1].queues_mut().inbound[0].limit(0);
            local(scene, 1);
            scene.server.workers[1].queues_mut().inbound[0].limit(ENOUGH);
        }
        other => panic!("{other:?} is provoked elsewhere"),
    }
    before
}

fn put(scene: &mut Scene, from: SocketAddr, message: &[u8]) {
    scene.put(WIRE, &packets::datagram(from, site::server(from.ip()), message));
    scene.settle();
}

/// A peer asks for a session, from somewhere.
fn call(scene: &mut Scene, from: SocketAddr, number: u32) {
    let message = initiation(scene, number);
    put(scene, from, &message);
}

/// The kernel sends a packet to a client.
fn local(scene: &mut Scene, number: u32) {
    let packet = Ip::new(site::LOCAL_V4, site::inner_v4(number)).echo(1, b"hello");
    scene.put(LOCAL, &packets::from_local(&packet));
    scene.settle();
}

/// While a queue of the world takes nothing.
fn limited(scene: &mut Scene, place: server::Place, act: impl FnOnce(&mut Scene)) {
    scene.server.end(place).limit(0);
    act(scene);
    scene.server.end(place).limit(ENOUGH);
}

/// A client that moves from host to host of the link, and is followed by the kernel's packets: each takes a row.
fn fill_neighbours(scene: &mut Scene) -> Totals {
    scene.neighbours = false;
    let host = |number: usize| {
        let base = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 1, 0, 0).to_bits();
        SocketAddr::from((Ipv6Addr::from_bits(base + number as u128), 1000))
    };
    let mut before = scene.server.totals();
    for number in 0..NEIGHBOURS_MAX {
        let keepalive = scene.withhold(0, &[]).pop().unwrap();
        let (_, _, payload) = packets::datagram_in(&keepalive).unwrap();
        put(scene, host(number), payload);
        before = scene.server.totals();
        local(scene, 0);
    }
    scene.neighbours = true;
    before
}
