//! The proof that a data centre of ours has sent a packet: a source address alone says nothing of a datagram's sender.

use std::fmt;

use crate::fleet::keys::beginning;
use crate::fleet::sip::Sip;
use crate::packet::Address;

/// What makes and checks proofs.
#[derive(Clone)]
pub struct Seal(Sip);

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(..)")
    }
}

impl Seal {
    /// With a key that only our data centres have.
    pub fn new(key: [u8; 16]) -> Self {
        Self(Sip::new(key))
    }

    /// Over the header's key, both ends, and the length and first octets of what is carried.
    #[inline]
    pub fn proof(&self, key: u32, (source, destination): (Address, Address), packet: &[u8]) -> u32 {
        let head = u64::from(key) | (packet.len() as u64) << 32;
        let [s0, s1] = halves(source);
        let [d0, d1] = halves(destination);
        let [one, two, three, four, five, six] = beginning(packet);
        let hash = self.0.hash_words([head, s0, s1, d0, d1, one, two, three, four, five, six]);
        #[expect(clippy::cast_possible_truncation, reason = "half of the hash is what travels")]
        let proof = hash as u32;
        proof
    }
}

#[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
fn halves(address: Address) -> [u64; 2] {
    let bits = address.bits();
    [(bits >> 64) as u64, bits as u64]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_proof_holds_for_one_key_two_ends_and_one_packet() {
        let seal = Seal::new([7; 16]);
        let [one, other] = [1, 2].map(|host| Address::from(Ipv4Addr::new(192, 0, 2, host)));
        let packet = [9; 60];
        let proof = seal.proof(1, (one, other), &packet);
        assert_eq!(proof, seal.proof(1, (one, other), &packet));
        assert_ne!(proof, seal.proof(2, (one, other), &packet));
        assert_ne!(proof, seal.proof(1, (other, one), &packet));
        assert_ne!(proof, seal.proof(1, (one, other), &packet[..59]));
        assert_ne!(proof, Seal::new([8; 16]).proof(1, (one, other), &packet));
        for at in 0..48 {
            let mut forged = packet;
            forged[at] ^= 1;
            assert_ne!(proof, seal.proof(1, (one, other), &forged), "octet {at}");
        }
    }
}
