//! What other data centres send: packets of their clients for this server, and what comes back from their exits.
#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "tests build packets that fit")]

use std::net::IpAddr;

use wire::exit::{self, Header};
use wire::udp;
use wireguard::secret::Secret;

use super::packets::Ip;
use super::site::CENTRES_KEY;
use crate::fleet::Keys;
use crate::stages::egress::via::Seal;

/// A packet in GRE in UDP, as a data centre of ours sends it from one address to another.
pub fn sealed(ends: (IpAddr, IpAddr), (back, handle): (bool, u32), packet: &[u8]) -> Vec<u8> {
    let keys = Keys::new(&Secret::zero(), Some(&Secret::new(CENTRES_KEY)));
    let seal = Seal::new(keys.exits.expect("data centres have a key"));
    let header = Header { back, handle, proof: 0 };
    let proof = seal.proof(header.key(), (ends.0.into(), ends.1.into()), packet);
    let mut datagram = vec![0; exit::HEADER_LEN];
    datagram.extend(packet);
    exit::emit(&mut datagram, 50_000, &Header { proof, ..header }).expect("it fits");
    Ip::new(ends.0, ends.1).packet(udp::PROTOCOL, &datagram)
}
