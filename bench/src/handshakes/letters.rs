//! The initiations that are judged and answered.

use dataplane::testing::site;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use wireguard::cookie::Checker;
use wireguard::message::{INITIATION, INITIATION_LEN};
use wireguard::noise::{Identity, PeerKeys, initiate};
use wireguard::secret::Secret;
use wireguard::time::Tai64n;
use zerocopy::IntoBytes;

use crate::Failure;

/// An initiation.
pub(crate) type Letter = [u8; INITIATION_LEN];

/// Where the first MAC begins, and the second.
pub(super) const MAC1_AT: usize = 116;
const MAC2_AT: usize = 132;

/// Damages the first MAC.
pub(crate) fn spoil_mac1(letter: &mut Letter) {
    if let Some(octet) = letter.get_mut(MAC1_AT) {
        *octet ^= 1;
    }
}

/// Takes the second MAC out.
pub(super) fn take_mac2(letter: &mut Letter) {
    if let Some(mac2) = letter.get_mut(MAC2_AT..) {
        mac2.fill(0);
    }
}

/// Random octets behind a right first MAC.
pub(crate) fn garbage(random: &mut ChaCha8Rng) -> Letter {
    let mut letter = [0; INITIATION_LEN];
    random.fill_bytes(&mut letter);
    if let Some(head) = letter.first_chunk_mut() {
        *head = [INITIATION, 0, 0, 0];
    }
    Checker::new(&site::server_public()).put_mac1(&mut letter);
    letter
}

/// Who writes good ones.
pub(super) struct Writer {
    identity: Identity,
    server: PeerKeys,
}

impl Writer {
    pub(super) fn new(number: u32) -> Result<Self, Failure> {
        let identity = Identity::new(site::secret(number));
        let server = PeerKeys::new(&identity, site::server_public(), Secret::zero())
            .map_err(|_| "the server's key is bad")?;
        Ok(Self { identity, server })
    }

    /// One with a label of this second.
    pub(super) fn write(&self, second: u64, random: &mut ChaCha8Rng) -> Result<Letter, Failure> {
        let mut ephemeral = Secret::zero();
        random.fill_bytes(ephemeral.octets_mut());
        let stamp = Tai64n::new(second, 0);
        let (mut message, _) =
            initiate(&self.identity, &self.server, random.next_u32(), stamp, ephemeral)
                .map_err(|_| "no initiation can be made")?;
        self.server.checker().put_mac1(message.as_mut_bytes());
        let mut letter = [0; INITIATION_LEN];
        letter.copy_from_slice(message.as_bytes());
        Ok(letter)
    }
}
