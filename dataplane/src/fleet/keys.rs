//! What follows from the fleet's key, which all its servers have.

use std::fmt;

use siphasher::sip::SipHasher13;
use wireguard::message::ClientId;
use wireguard::secret::Secret;

use super::sip::Sip;

/// The keys of one fleet, or of a server without one.
pub struct Keys {
    /// Of the permutation of receiver indices.
    pub permutation: [u8; 8],
    /// From which cookies' secrets follow.
    pub cookie_master: Secret,
    /// Of the owner table.
    pub table: [u8; 16],
    /// Of the row of a client id.
    pub row: [u8; 16],
    /// Of the seal of probes: whichever server an answer comes to knows it.
    pub probes: [u8; 16],
    /// Of the choice among a tenant's tunnels: servers that see them alike choose alike.
    pub tunnels: [u8; 16],
    /// Of what data centres tell each other, if they have a key.
    pub centres: Option<[u8; 16]>,
    /// Of the proof that a data centre has sent a client's packet to its exit, or an answer back.
    pub exits: Option<[u8; 16]>,
    proof: Sip,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

/// Octets of the carried packet under the proof: the IPv4 header and what follows it, or the IPv6 header and the ports.
const PROVEN_LEN: usize = 48;

impl Keys {
    /// Derives all of them; `centres` is what the data centres have in common.
    pub fn new(master: &Secret, centres: Option<&Secret>) -> Self {
        Self {
            permutation: first(&master.derive(b"millrace receiver index")),
            cookie_master: master.derive(b"millrace cookies"),
            table: first(&master.derive(b"millrace owner table")),
            row: first(&master.derive(b"millrace client id")),
            probes: first(&master.derive(b"millrace tunnel probes")),
            tunnels: first(&master.derive(b"millrace tunnel choice")),
            centres: centres.map(|key| first(&key.derive(b"millrace data centres"))),
            exits: centres.map(|key| first(&key.derive(b"millrace exits"))),
            proof: Sip::new(first(&master.derive(b"millrace forwarding"))),
        }
    }

    /// The proof that a member has passed on this packet: over the header's key, both servers, and the length and
    /// first octets of what is carried. Nobody outside can make it, whatever source address he writes; what is
    /// carried has proofs of its own.
    #[inline]
    pub fn proof(&self, key: u32, (from, to): (u8, u8), carried: &[u8]) -> u32 {
        let len = u16::try_from(carried.len()).unwrap_or(u16::MAX);
        let [l0, l1] = len.to_le_bytes();
        let [k0, k1, k2, k3] = key.to_le_bytes();
        let head = u64::from_le_bytes([k0, k1, k2, k3, l0, l1, from, to]);
        let [one, two, three, four, five, six] = beginning(carried);
        let hash = self.proof.hash_words([head, one, two, three, four, five, six]);
        #[expect(clippy::cast_possible_truncation, reason = "half of the hash is what travels")]
        let proof = hash as u32;
        proof
    }
}

/// The first octets of a carried packet as words, and zeros for those that it does not have.
#[inline]
pub(crate) fn beginning(carried: &[u8]) -> [u64; PROVEN_LEN / 8] {
    carried.first_chunk().map_or_else(|| padded(carried), words)
}

#[inline]
fn words(octets: &[u8; PROVEN_LEN]) -> [u64; PROVEN_LEN / 8] {
    let mut words = [0; PROVEN_LEN / 8];
    let (eights, _) = octets.as_chunks();
    for (word, eight) in words.iter_mut().zip(eights) {
        *word = u64::from_le_bytes(*eight);
    }
    words
}

/// What there is of an inner packet of a few octets.
#[cold]
fn padded(shown: &[u8]) -> [u64; PROVEN_LEN / 8] {
    let mut octets = [0; PROVEN_LEN];
    for (place, octet) in octets.iter_mut().zip(shown) {
        *place = *octet;
    }
    words(&octets)
}

/// The first octets of a secret, at most all 32.
fn first<const N: usize>(secret: &Secret) -> [u8; N] {
    const { assert!(N <= 32, "a secret has 32 octets") };
    secret.octets().first_chunk().copied().unwrap_or([0; N])
}

/// The id of a peer whose client was given none: it follows from its public key, so that every server finds the same.
pub fn id_of_key(public: &[u8; 32]) -> ClientId {
    let [a, b, c, ..] = SipHasher13::new().hash(public).to_le_bytes();
    // Zeros mean that there is none.
    if [a, b, c] == [0; 3] { ClientId([1, 0, 0]) } else { ClientId([a, b, c]) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_keys_of_a_fleet_are_alike_and_none_is_that_of_another_fleet() {
        let of = |octet| {
            let keys = Keys::new(&Secret::new([octet; 32]), None);
            let proof = keys.proof(1, (2, 3), &[4; 60]);
            let short = [keys.table, keys.row, keys.probes, keys.tunnels];
            (keys.permutation, short, *keys.cookie_master.octets(), proof)
        };
        let (ours, others) = (of(1), of(2));
        let all: HashSet<_> = ours.1.iter().chain(&others.1).collect();
        assert_eq!(all.len(), 8);
        assert!(ours.0 != others.0);
        assert!(ours.2 != others.2 && ours.3 != others.3);
        assert_eq!(ours, of(1));
    }

    #[test]
    fn a_proof_holds_for_one_header_two_servers_and_one_packet() {
        let keys = Keys::new(&Secret::new([7; 32]), None);
        let packet = [9; 60];
        let proof = keys.proof(1, (2, 3), &packet);
        assert_ne!(proof, keys.proof(0, (2, 3), &packet));
        assert_ne!(proof, keys.proof(1, (3, 2), &packet));
        assert_ne!(proof, keys.proof(1, (2, 3), &packet[..59]));
        for at in 0..PROVEN_LEN {
            let mut other = packet;
            other[at] ^= 1;
            assert_ne!(proof, keys.proof(1, (2, 3), &other), "octet {at}");
        }
        assert_ne!(keys.proof(1, (2, 3), &[1; 20]), keys.proof(1, (2, 3), &[2; 20]));
    }

    #[test]
    fn a_key_without_an_id_has_one_of_its_own() {
        assert_ne!(id_of_key(&[1; 32]), id_of_key(&[2; 32]));
        assert_eq!(id_of_key(&[1; 32]), id_of_key(&[1; 32]));
    }
}
