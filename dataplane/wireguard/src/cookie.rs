//! `mac1`, `mac2` and cookies (whitepaper 5.3, 5.4.4, 5.4.7): proof of address under load.
//!
//! All of it wants messages whose reserved octets are zero, see
//! [`crate::message::take_client_id`].

use crate::hash::{hash, kdf1, mac};
use crate::limits::COOKIE_TIME;
use crate::message::{COOKIE_REPLY, ClientId, CookieReply, MACS_LEN};
use crate::noise::Invalid;
use crate::secret::Secret;
use crate::time::Instant;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305};
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use subtle::ConstantTimeEq;

const LABEL_MAC1: &[u8] = b"mac1----";
const LABEL_COOKIE: &[u8] = b"cookie--";
const MAC_LEN: usize = 16;

/// The MAC keys that follow from a public key. For our own key it checks what comes to us and
/// makes cookies; for a peer's key it stamps what goes there and opens its cookies.
#[derive(Clone)]
pub struct Checker {
    mac1: Secret,
    cookie: Secret,
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Checker(..)")
    }
}

/// The three parts of an initiation or a response: what `mac1` covers, `mac1`, `mac2`.
fn parts(message: &[u8]) -> Option<(&[u8], &[u8; MAC_LEN], &[u8; MAC_LEN])> {
    let (rest, mac2) = message.split_last_chunk()?;
    let (body, mac1) = rest.split_last_chunk()?;
    Some((body, mac1, mac2))
}

impl Checker {
    /// The keys of the messages to the holder of `public`.
    pub fn new(public: &[u8; 32]) -> Self {
        Self {
            mac1: Secret::new(hash(&[LABEL_MAC1, public])),
            cookie: Secret::new(hash(&[LABEL_COOKIE, public])),
        }
    }

    /// Whether `mac1` of an initiation or a response is right: its sender knows the public key.
    pub fn mac1_valid(&self, message: &[u8]) -> bool {
        parts(message)
            .is_some_and(|(body, mac1, _)| mac(self.mac1.octets(), &[body]).ct_eq(mac1).into())
    }

    /// Writes `mac1`. Shorter messages than two MACs stay as they are.
    pub fn put_mac1(&self, message: &mut [u8]) {
        let Some(end) = message.len().checked_sub(MACS_LEN) else { return };
        let (body, macs) = message.split_at_mut(end);
        if let Some(place) = macs.first_chunk_mut() {
            *place = mac(self.mac1.octets(), &[body]);
        }
    }

    /// Whether `mac2` is right under a cookie of the present or the previous epoch for `source`:
    /// its sender receives at that address and port.
    pub fn mac2_valid(&self, message: &[u8], secrets: &Secrets, source: SocketAddr) -> bool {
        let Some((body, mac1, mac2)) = parts(message) else { return false };
        secrets
            .each()
            .iter()
            .any(|secret| mac(cookie(secret, source).octets(), &[body, mac1]).ct_eq(mac2).into())
    }

    /// The cookie for `source`, sealed for the sender of `message` (5.4.7). `message` is an
    /// initiation or a response, both name their sender's index in octets 4..8; `nonce` is fresh
    /// and random.
    pub fn reply(
        &self,
        message: &[u8],
        secrets: &Secrets,
        source: SocketAddr,
        nonce: [u8; 24],
    ) -> Result<CookieReply, Invalid> {
        let (_, mac1, _) = parts(message).ok_or(Invalid)?;
        let sender_index = message.get(4..8).and_then(<[u8]>::first_chunk).ok_or(Invalid)?;
        let mut sealed = [0; 32];
        let (text, tag) = sealed.split_at_mut(MAC_LEN);
        text.copy_from_slice(cookie(secrets.current(), source).octets());
        let made = XChaCha20Poly1305::new(self.cookie.octets().into())
            .encrypt_inout_detached(&nonce.into(), mac1, text.into())
            .map_err(|_| Invalid)?;
        tag.copy_from_slice(&made);
        Ok(CookieReply {
            kind: COOKIE_REPLY,
            client_id: ClientId::ZERO,
            receiver_index: u32::from_le_bytes(*sender_index).into(),
            nonce,
            encrypted_cookie: sealed,
        })
    }
}

/// The cookie of an address and port under a secret.
fn cookie(secret: &Secret, source: SocketAddr) -> Secret<MAC_LEN> {
    let port = source.port().to_be_bytes();
    Secret::new(match source.ip() {
        IpAddr::V4(ip) => mac(secret.octets(), &[&ip.octets(), &port]),
        IpAddr::V6(ip) => mac(secret.octets(), &[&ip.octets(), &port]),
    })
}

/// The secrets of cookies, which change each [`COOKIE_TIME`]. They follow from a master secret
/// and the Unix time alone, so all workers and all servers of a fleet take each other's cookies.
#[derive(Debug)]
pub struct Secrets {
    master: Secret,
    epoch: u64,
    each: [Secret; 2],
}

impl Secrets {
    /// The secrets at a Unix time.
    pub fn new(master: Secret, unix: Duration) -> Self {
        let mut secrets = Self { master, epoch: u64::MAX, each: [Secret::zero(), Secret::zero()] };
        secrets.advance(unix);
        secrets
    }

    /// Follows the time; derives anew only when an epoch began. Call it once per turn.
    pub fn advance(&mut self, unix: Duration) {
        let epoch = unix.as_secs() / COOKIE_TIME.as_secs();
        if epoch != self.epoch {
            self.epoch = epoch;
            self.each = [epoch, epoch.wrapping_sub(1)].map(|epoch| self.derive(epoch));
        }
    }

    fn derive(&self, epoch: u64) -> Secret {
        kdf1(&self.master, &epoch.to_be_bytes())
    }

    /// The secret of new cookies.
    const fn current(&self) -> &Secret {
        let [current, _] = &self.each;
        current
    }

    /// The secrets of cookies that are taken.
    const fn each(&self) -> &[Secret; 2] {
        &self.each
    }
}

/// The initiator's (and responder's) memory of one peer's cookie. Zeroised on drop.
#[derive(Debug)]
pub struct Jar {
    cookie: Secret<MAC_LEN>,
    taken_at: Instant,
    last_mac1: Option<[u8; MAC_LEN]>,
}

impl Default for Jar {
    fn default() -> Self {
        Self::new()
    }
}

impl Jar {
    /// A jar without a cookie.
    pub const fn new() -> Self {
        Self { cookie: Secret::zero(), taken_at: Instant::NEVER, last_mac1: None }
    }

    /// Writes both MACs: `mac1` under `peer`'s key, `mac2` under a cookie younger than
    /// [`COOKIE_TIME`], else zeros. Remembers `mac1`, to which a cookie reply is bound.
    pub fn stamp(&mut self, peer: &Checker, message: &mut [u8], now: Instant) {
        peer.put_mac1(message);
        self.last_mac1 = parts(message).map(|(_, mac1, _)| *mac1);
        let fresh = self.taken_at.is_armed() && now < self.taken_at + COOKIE_TIME;
        if let Some((rest, mac2)) = message.split_last_chunk_mut() {
            *mac2 = if fresh { mac(self.cookie.octets(), &[rest]) } else { [0; MAC_LEN] };
        }
    }

    /// Takes a cookie reply to the last stamped message. It must be answered by nothing: the
    /// cookie serves the next retransmission (6.6).
    pub fn receive(
        &mut self,
        peer: &Checker,
        reply: &CookieReply,
        now: Instant,
    ) -> Result<(), Invalid> {
        let mac1 = self.last_mac1.ok_or(Invalid)?;
        let (text, tag) = reply.encrypted_cookie.split_first_chunk::<MAC_LEN>().ok_or(Invalid)?;
        let tag = <[u8; 16]>::try_from(tag).map_err(|_| Invalid)?;
        let mut cookie = Secret::new(*text);
        XChaCha20Poly1305::new(peer.cookie.octets().into())
            .decrypt_inout_detached(
                &reply.nonce.into(),
                &mac1,
                cookie.octets_mut().as_mut_slice().into(),
                &Tag::from(tag),
            )
            .map_err(|_| Invalid)?;
        self.cookie = cookie;
        self.taken_at = now;
        // One message, one cookie: a replayed reply could otherwise keep a stale cookie alive.
        self.last_mac1 = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::RESPONSE_LEN;
    use zerocopy::IntoBytes;

    const UNIX: Duration = Duration::from_secs(1_700_000_000);

    fn source(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn stamped(checker: &Checker, jar: &mut Jar, now: Instant) -> [u8; RESPONSE_LEN] {
        let mut message = [2; RESPONSE_LEN];
        jar.stamp(checker, &mut message, now);
        message
    }

    /// A jar that took a cookie for `address` at time zero, and the checker and secrets behind it.
    fn with_cookie(address: SocketAddr) -> (Checker, Secrets, Jar) {
        let checker = Checker::new(&[5; 32]);
        let secrets = Secrets::new(Secret::new([6; 32]), UNIX);
        let mut jar = Jar::new();
        let message = stamped(&checker, &mut jar, Instant::ZERO);
        let reply = checker.reply(&message, &secrets, address, [7; 24]).unwrap();
        assert_eq!(reply.receiver_index.get(), 0x0202_0202);
        jar.receive(&checker, &reply, Instant::ZERO).unwrap();
        (checker, secrets, jar)
    }

    #[test]
    fn mac1_covers_every_octet_before_it() {
        let checker = Checker::new(&[5; 32]);
        let message = stamped(&checker, &mut Jar::new(), Instant::ZERO);
        assert!(checker.mac1_valid(&message));
        for at in 0..RESPONSE_LEN - 16 {
            let mut spoiled = message;
            spoiled[at] ^= 1;
            assert!(!checker.mac1_valid(&spoiled), "octet {at}");
        }
        assert!(!Checker::new(&[4; 32]).mac1_valid(&message));
        assert!(!checker.mac1_valid(&message[..31]));
    }

    #[test]
    fn a_cookie_proves_address_and_port() {
        let (checker, secrets, mut jar) = with_cookie(source("192.0.2.1:4000"));
        let message = stamped(&checker, &mut jar, Instant::ZERO);
        assert!(checker.mac2_valid(&message, &secrets, source("192.0.2.1:4000")));
        assert!(!checker.mac2_valid(&message, &secrets, source("192.0.2.1:4001")));
        assert!(!checker.mac2_valid(&message, &secrets, source("192.0.2.2:4000")));
        assert!(!checker.mac2_valid(&message, &secrets, source("[2001:db8::1]:4000")));
    }

    #[test]
    fn without_a_cookie_mac2_is_zero_and_invalid() {
        let checker = Checker::new(&[5; 32]);
        let secrets = Secrets::new(Secret::new([6; 32]), UNIX);
        let message = stamped(&checker, &mut Jar::new(), Instant::ZERO);
        assert_eq!(message[RESPONSE_LEN - 16..], [0; 16]);
        assert!(!checker.mac2_valid(&message, &secrets, source("192.0.2.1:4000")));
    }

    #[test]
    fn a_cookie_is_used_for_120_seconds() {
        let (checker, secrets, mut jar) = with_cookie(source("192.0.2.1:4000"));
        let late = Instant(COOKIE_TIME.as_nanos() as u64 - 1);
        let message = stamped(&checker, &mut jar, late);
        assert!(checker.mac2_valid(&message, &secrets, source("192.0.2.1:4000")));
        let message = stamped(&checker, &mut jar, Instant(late.0 + 1));
        assert_eq!(message[RESPONSE_LEN - 16..], [0; 16]);
    }

    #[test]
    fn a_cookie_outlives_one_change_of_the_secret_but_not_two() {
        let (checker, mut secrets, mut jar) = with_cookie(source("192.0.2.1:4000"));
        let message = stamped(&checker, &mut jar, Instant::ZERO);
        secrets.advance(UNIX + COOKIE_TIME);
        assert!(checker.mac2_valid(&message, &secrets, source("192.0.2.1:4000")));
        secrets.advance(UNIX + 2 * COOKIE_TIME);
        assert!(!checker.mac2_valid(&message, &secrets, source("192.0.2.1:4000")));
    }

    #[test]
    fn servers_with_one_master_take_each_others_cookies() {
        let (checker, _, mut jar) = with_cookie(source("192.0.2.1:4000"));
        let message = stamped(&checker, &mut jar, Instant::ZERO);
        let other = Secrets::new(Secret::new([6; 32]), UNIX + Duration::from_secs(30));
        assert!(checker.mac2_valid(&message, &other, source("192.0.2.1:4000")));
        let stranger = Secrets::new(Secret::new([9; 32]), UNIX);
        assert!(!checker.mac2_valid(&message, &stranger, source("192.0.2.1:4000")));
    }

    #[test]
    fn a_spoiled_or_foreign_or_repeated_reply_is_refused() {
        let checker = Checker::new(&[5; 32]);
        let secrets = Secrets::new(Secret::new([6; 32]), UNIX);
        let mut jar = Jar::new();
        let message = stamped(&checker, &mut jar, Instant::ZERO);
        let address = source("[2001:db8::1]:4000");
        let reply = checker.reply(&message, &secrets, address, [7; 24]).unwrap();
        for at in 8..64 {
            let mut spoiled = reply.clone();
            spoiled.as_mut_bytes()[at] ^= 1;
            assert_eq!(jar.receive(&checker, &spoiled, Instant::ZERO), Err(Invalid), "octet {at}");
        }
        let mut other = Jar::new();
        assert_eq!(other.receive(&checker, &reply, Instant::ZERO), Err(Invalid));
        assert_eq!(jar.receive(&checker, &reply, Instant::ZERO), Ok(()));
        assert_eq!(jar.receive(&checker, &reply, Instant::ZERO), Err(Invalid));
    }
}
