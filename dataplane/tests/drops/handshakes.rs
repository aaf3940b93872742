//! Handshake messages that prove nothing, come again, or come too often.
#![expect(clippy::wildcard_enum_match_arm, reason = "the root of the test sorts the reasons")]

use dataplane::counters::Totals;
use dataplane::exchange::Job;
use dataplane::fate::DropReason as Why;
use dataplane::limits::{STRANGER_BURST, UNDER_LOAD_HOLD};
use dataplane::stages::dos::Sender;
use dataplane::testing::client::{Client, Options};
use dataplane::testing::packets;
use dataplane::testing::scene::Scene;
use dataplane::testing::server::WIRE;
use dataplane::testing::{site, unix};
use wireguard::cookie::{Checker, Jar};
use wireguard::message::{CookieReply, RESPONSE};
use wireguard::noise::{Identity, PeerKeys, initiate};
use wireguard::secret::Secret;
use wireguard::time::Tai64n;
use zerocopy::{FromBytes, IntoBytes};

use super::SILENT;

const STRANGER: u32 = 99;
const RESPONSE_LEN: usize = 92;

pub(super) fn provoke(reason: Why, scene: &mut Scene) -> Totals {
    let mut before = scene.server.totals();
    match reason {
        Why::DosMessage => put(scene, b"no message"),
        Why::DosMac1 => {
            let mut message = initiation(scene, SILENT);
            message[120] ^= 1;
            put(scene, &message);
        }
        Why::DosHandshakeLimit => {
            let mut jar = cookie(scene);
            for _ in 0..STRANGER_BURST {
                let message = stamped(scene, &mut jar);
                put(scene, &message);
            }
            before = scene.server.totals();
            let message = stamped(scene, &mut jar);
            put(scene, &message);
            scene.wait(UNDER_LOAD_HOLD);
        }
        Why::DosHandshakeBudget => {
            let mut jar = cookie(scene);
            let message = stamped(scene, &mut jar);
            crowd(scene);
            put(scene, &message);
            scene.wait(UNDER_LOAD_HOLD);
        }
        Why::HandshakeInvalid => {
            let mut message = initiation(scene, SILENT);
            message[60] ^= 1;
            Checker::new(&site::server_public()).put_mac1(&mut message);
            put(scene, &message);
        }
        Why::HandshakeUnknownPeer => {
            let message = initiation(scene, STRANGER);
            put(scene, &message);
        }
        Why::HandshakeReplay => {
            let message = initiation(scene, SILENT);
            put(scene, &message);
            put(scene, &message);
        }
        Why::HandshakeFlood => {
            // A second's worth, and the one that opens the account.
            for second in 0..51 {
                put(scene, &initiation_at(scene, second));
            }
            before = scene.server.totals();
            put(scene, &initiation_at(scene, 51));
        }
        Why::HandshakeUnexpected => {
            let mut message = [0x11; RESPONSE_LEN];
            message[..4].copy_from_slice(&[RESPONSE, 0, 0, 0]);
            Checker::new(&site::server_public()).put_mac1(&mut message);
            put(scene, &message);
        }
        other => panic!("{other:?} is provoked elsewhere"),
    }
    before
}

fn put(scene: &mut Scene, message: &[u8]) {
    scene.put(
        WIRE,
        &packets::datagram(site::outer_v4(9), site::server(site::SERVER_V4.into()), message),
    );
    scene.settle();
}

/// Fills the ring of strangers.
fn crowd(scene: &Scene) {
    while scene.server.exchange.submit_of(Sender::Newcomer, 0, Job::Abandon(SILENT)) {}
}

/// What a stranger gets who asks in a crowd.
fn cookie(scene: &mut Scene) -> Jar {
    let mut jar = Jar::new();
    let message = stamped(scene, &mut jar);
    crowd(scene);
    scene.strays();
    put(scene, &message);
    let strays = scene.strays();
    let reply = strays
        .iter()
        .find_map(|(_, octets)| CookieReply::read_from_bytes(packets::datagram_in(octets)?.2).ok());
    jar.receive(&Checker::new(&site::server_public()), &reply.unwrap(), scene.now).unwrap();
    jar
}

/// A stranger's message with the cookie that there is.
fn stamped(scene: &Scene, jar: &mut Jar) -> Vec<u8> {
    let mut message = initiation(scene, STRANGER);
    jar.stamp(&Checker::new(&site::server_public()), &mut message, scene.now);
    message
}

/// The first message of a client that nobody hears of otherwise.
pub(super) fn initiation(scene: &Scene, number: u32) -> Vec<u8> {
    let mut client = Client::new(number, site::outer_v4(9), Options::default(), scene.now);
    client.send(&[], scene.now).unwrap();
    client.outbox.pop().unwrap().1
}

/// One that claims to be made `second` seconds later, so that each is newer than the last.
fn initiation_at(scene: &Scene, second: u64) -> Vec<u8> {
    let identity = Identity::new(site::secret(SILENT));
    let keys = PeerKeys::new(&identity, site::server_public(), Secret::zero()).unwrap();
    let stamp = Tai64n::new(unix(scene.now).as_secs() + second, 0);
    let ephemeral = Secret::new([7; 32]);
    let (mut message, _) = initiate(&identity, &keys, 1, stamp, ephemeral).unwrap();
    keys.checker().put_mac1(message.as_mut_bytes());
    message.as_bytes().to_vec()
}
