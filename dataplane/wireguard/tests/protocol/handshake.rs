//! Noise, step by step, both roles.

use crate::dice::Dice;
use wireguard::message::{Initiation, Response};
use wireguard::noise::{Identity, Invalid, Keys, PeerKeys, Pending, identify, initiate};
use wireguard::secret::Secret;
use wireguard::time::Tai64n;
use zerocopy::{FromBytes, IntoBytes};

struct Pair {
    dice: Dice,
    initiator: Identity,
    responder: Identity,
    to_responder: PeerKeys,
    to_initiator: PeerKeys,
}

fn pair(preshared: [[u8; 32]; 2]) -> Pair {
    let mut dice = Dice(7);
    let initiator = Identity::new(Secret::new(dice.secret()));
    let responder = Identity::new(Secret::new(dice.secret()));
    let keys = |mine: &Identity, its: &Identity, psk| {
        PeerKeys::new(mine, *its.public(), Secret::new(psk)).unwrap()
    };
    let to_responder = keys(&initiator, &responder, preshared[0]);
    let to_initiator = keys(&responder, &initiator, preshared[1]);
    Pair { dice, initiator, responder, to_responder, to_initiator }
}

const LABEL: Tai64n = Tai64n([9; 12]);

impl Pair {
    fn initiate(&mut self) -> (Initiation, Pending) {
        let ephemeral = Secret::new(self.dice.secret());
        initiate(&self.initiator, &self.to_responder, 11, LABEL, ephemeral).unwrap()
    }

    fn respond(&mut self, message: &Initiation) -> Result<(Response, Keys), Invalid> {
        let identified = identify(&self.responder, message)?;
        assert_eq!(identified.initiator(), self.initiator.public());
        assert_eq!(identified.remote_index(), 11);
        let admitted = identified.admit(&self.to_initiator)?;
        assert_eq!(admitted.timestamp(), LABEL);
        admitted.respond(&self.to_initiator, 22, Secret::new(self.dice.secret()))
    }

    fn complete(&self, pending: &Pending, response: &Response) -> Result<Keys, Invalid> {
        pending.complete(&self.initiator, &self.to_responder, response)
    }
}

#[test]
fn both_ends_agree_with_and_without_a_preshared_key() {
    for psk in [[0; 32], [5; 32]] {
        let mut pair = pair([psk; 2]);
        let (initiation, pending) = pair.initiate();
        assert!(pair.responder.checker().mac1_valid(initiation.as_bytes()));
        let (response, theirs) = pair.respond(&initiation).unwrap();
        assert!(pair.initiator.checker().mac1_valid(response.as_bytes()));
        assert_eq!(response.receiver_index.get(), 11);
        assert_eq!(response.sender_index.get(), 22);
        let ours = pair.complete(&pending, &response).unwrap();
        assert_eq!(ours.send, theirs.receive);
        assert_eq!(ours.receive, theirs.send);
        assert_ne!(ours.send, ours.receive);
    }
}

#[test]
fn a_wrong_preshared_key_fails_at_the_response() {
    let mut pair = pair([[5; 32], [6; 32]]);
    let (initiation, pending) = pair.initiate();
    let (response, _) = pair.respond(&initiation).unwrap();
    assert_eq!(pair.complete(&pending, &response).unwrap_err(), Invalid);
}

#[test]
fn every_octet_of_an_initiation_matters() {
    let mut pair = pair([[5; 32]; 2]);
    let (initiation, pending) = pair.initiate();
    for at in 4..148 {
        let mut spoiled = initiation.clone();
        spoiled.as_mut_bytes()[at] ^= 1;
        let mac1 = pair.responder.checker().mac1_valid(spoiled.as_bytes());
        assert_eq!(mac1, at >= 132, "octet {at}: mac1 covers all before it");
        // Past the MAC: an attacker who knows the public key makes mac1 right again.
        let proven = identify(&pair.responder, &spoiled)
            .and_then(|identified| identified.admit(&pair.to_initiator));
        match at {
            // The index is covered by mac1 alone: the response then finds no one.
            4..8 => {
                let admitted = proven.unwrap();
                let answer = admitted.respond(&pair.to_initiator, 1, Secret::new([1; 32]));
                let (response, _) = answer.unwrap();
                assert_eq!(pair.complete(&pending, &response).unwrap_err(), Invalid);
            }
            8..116 => assert_eq!(proven.unwrap_err(), Invalid, "octet {at}"),
            _ => assert!(proven.is_ok()),
        }
    }
}

#[test]
fn every_octet_of_a_response_matters_and_a_forged_one_leaves_the_handshake_usable() {
    let mut pair = pair([[5; 32]; 2]);
    let (initiation, pending) = pair.initiate();
    let (response, theirs) = pair.respond(&initiation).unwrap();
    for at in 4..92 {
        let mut spoiled = response.clone();
        spoiled.as_mut_bytes()[at] ^= 1;
        let mac1 = pair.initiator.checker().mac1_valid(spoiled.as_bytes());
        assert_eq!(mac1, at >= 76, "octet {at}");
        // The sender's index is covered by mac1 alone: data would find no session.
        if (8..60).contains(&at) {
            assert_eq!(pair.complete(&pending, &spoiled).unwrap_err(), Invalid, "octet {at}");
        }
    }
    let ours = pair.complete(&pending, &response).unwrap();
    assert_eq!(ours.send, theirs.receive);
}

#[test]
fn a_stranger_is_identified_but_not_admitted_as_another() {
    let mut pair = pair([[0; 32]; 2]);
    let stranger = Identity::new(Secret::new(pair.dice.secret()));
    let keys = PeerKeys::new(&stranger, *pair.responder.public(), Secret::zero()).unwrap();
    let made = initiate(&stranger, &keys, 1, LABEL, Secret::new(pair.dice.secret()));
    let (initiation, _) = made.unwrap();
    let identified = identify(&pair.responder, &initiation).unwrap();
    assert_eq!(identified.initiator(), stranger.public());
    assert_eq!(identified.admit(&pair.to_initiator).unwrap_err(), Invalid);
}

#[test]
fn who_lacks_the_static_secret_is_not_admitted() {
    // The attacker knows both public keys and claims the initiator's.
    let mut pair = pair([[0; 32]; 2]);
    let attacker = Identity::new(Secret::new(pair.dice.secret()));
    let keys = PeerKeys::new(&attacker, *pair.responder.public(), Secret::zero()).unwrap();
    let made = initiate(&attacker, &keys, 1, LABEL, Secret::new(pair.dice.secret()));
    let (mut initiation, _) = made.unwrap();
    let (genuine, _) = pair.initiate();
    initiation.encrypted_static = genuine.encrypted_static;
    assert!(identify(&pair.responder, &initiation).is_err());
}

#[test]
fn points_of_low_order_are_refused_everywhere() {
    let mut pair = pair([[0; 32]; 2]);
    let mut one = [0; 32];
    one[0] = 1;
    let mut p_minus_one = [0xff; 32];
    (p_minus_one[0], p_minus_one[31]) = (0xec, 0x7f);
    let (initiation, pending) = pair.initiate();
    let (response, _) = pair.respond(&initiation).unwrap();
    for point in [[0; 32], one, p_minus_one] {
        assert!(PeerKeys::new(&pair.initiator, point, Secret::zero()).is_err());
        let mut forged = initiation.clone();
        forged.ephemeral = point;
        assert_eq!(identify(&pair.responder, &forged).unwrap_err(), Invalid);
        let mut forged = response.clone();
        forged.ephemeral = point;
        assert_eq!(pair.complete(&pending, &forged).unwrap_err(), Invalid);
    }
}

#[test]
fn handshake_states_move_between_threads_and_print_no_secret() {
    fn movable<T: Send + 'static>(_: &T) {}
    let mut pair = pair([[0; 32]; 2]);
    let (initiation, pending) = pair.initiate();
    let identified = identify(&pair.responder, &initiation).unwrap();
    movable(&pending);
    movable(&identified);
    assert_eq!(format!("{pending:?}"), "Pending { local_index: 11, .. }");
    assert_eq!(format!("{identified:?}"), "Identified { remote_index: 11, .. }");
    let identity = format!("{:?}", pair.initiator);
    assert!(identity.starts_with("Identity { public: [") && identity.ends_with("], .. }"));
}

#[test]
fn messages_survive_the_wire() {
    let mut pair = pair([[0; 32]; 2]);
    let (initiation, _) = pair.initiate();
    let read = Initiation::read_from_bytes(initiation.as_bytes()).unwrap();
    assert!(pair.respond(&read).is_ok());
}
