//! `mac1`, `mac2` and cookies (whitepaper 5.3, 5.4.4, 5.4.7): proof of address under load.
//!
//! All of it wants messages whose reserved octets are zero, see
//! [`crate::message::take_client_id`].

use crate::blake2s::{BLOCK_LEN, Job, Keyed, MAC_LEN, macs};
use crate::hash::{hash, kdf1, mac};
use crate::limits::COOKIE_TIME;
use crate::message::{COOKIE_REPLY, ClientId, CookieReply, INITIATION_LEN, MACS_LEN};
use crate::noise::Invalid;
use crate::secret::Secret;
use crate::time::Instant;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305};
use core::array;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

const LABEL_MAC1: &[u8] = b"mac1----";
const LABEL_COOKIE: &[u8] = b"cookie--";

/// Messages whose MACs are computed at a time: as many as the widest implementation has lanes.
const AT_ONCE: usize = 16;
/// Octets of the longest message that its second MAC covers.
const COVERED_LEN_MAX: usize = INITIATION_LEN - MAC_LEN;
/// Octets of an IPv6 address and a port.
const SOURCE_LEN_MAX: usize = 18;

/// The MAC keys that follow from a public key. For our own key it checks what comes to us and
/// makes cookies; for a peer's key it stamps what goes there and opens its cookies.
#[derive(Clone)]
pub struct Checker {
    mac1: Keyed,
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
            mac1: Keyed::new(Secret::new(hash(&[LABEL_MAC1, public])).octets()),
            cookie: Secret::new(hash(&[LABEL_COOKIE, public])),
        }
    }

    /// Whether `mac1` of an initiation or a response is right: its sender knows the public key.
    pub fn mac1_valid(&self, message: &[u8]) -> bool {
        parts(message).is_some_and(|(body, mac1, _)| same(&self.mac1.mac(body), mac1))
    }

    /// [`Self::mac1_valid`] of each of many messages, at a part of the cost.
    pub fn mac1_valid_each(&self, messages: &[&[u8]], valid: &mut [bool]) {
        for (messages, valid) in messages.chunks(AT_ONCE).zip(valid.chunks_mut(AT_ONCE)) {
            let split = |number: usize| messages.get(number).and_then(|message| parts(message));
            let body = |number| split(number).map_or(&[][..], |(body, ..)| body);
            let mut jobs: [_; AT_ONCE] =
                array::from_fn(|number| Job::new(&self.mac1, body(number)));
            macs(jobs.get_mut(..messages.len()).unwrap_or_default());
            for ((number, valid), job) in valid.iter_mut().enumerate().zip(&jobs) {
                *valid = split(number).is_some_and(|(_, mac1, _)| same(job.mac(), mac1));
            }
        }
    }

    /// Writes `mac1`. Shorter messages than two MACs stay as they are.
    pub fn put_mac1(&self, message: &mut [u8]) {
        let Some(end) = message.len().checked_sub(MACS_LEN) else { return };
        let (body, macs) = message.split_at_mut(end);
        if let Some(place) = macs.first_chunk_mut() {
            *place = self.mac1.mac(body);
        }
    }

    /// Whether `mac2` is right under a cookie of the present or the previous epoch for `source`:
    /// its sender receives at that address and port.
    pub fn mac2_valid(&self, message: &[u8], secrets: &Secrets, source: SocketAddr) -> bool {
        let (mut valid, letter) = ([false], [(message, source)]);
        for secret in secrets.each() {
            mac2_valid_under::<1>(secret, &letter, &mut valid);
        }
        valid == [true]
    }

    /// [`Self::mac2_valid`] of each of many messages and their sources, at a part of the cost.
    pub fn mac2_valid_each(
        &self,
        letters: &[(&[u8], SocketAddr)],
        secrets: &Secrets,
        valid: &mut [bool],
    ) {
        valid.fill(false);
        for (letters, valid) in letters.chunks(AT_ONCE).zip(valid.chunks_mut(AT_ONCE)) {
            let valid = valid.get_mut(..letters.len()).unwrap_or_default();
            for secret in secrets.each() {
                mac2_valid_under::<AT_ONCE>(secret, letters, valid);
            }
        }
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

/// Whether two MACs are the same, in constant time.
fn same(one: &[u8; MAC_LEN], other: &[u8; MAC_LEN]) -> bool {
    let difference = u128::from_ne_bytes(*one) ^ u128::from_ne_bytes(*other);
    #[expect(clippy::cast_possible_truncation, reason = "the halves are wanted")]
    let halves = difference as u64 | (difference >> 64) as u64;
    halves.ct_eq(&0).into()
}

/// A source as its cookie is computed from it, and the octets of that.
fn octets_of(source: SocketAddr) -> ([u8; SOURCE_LEN_MAX], usize) {
    let mut octets = [0; SOURCE_LEN_MAX];
    let mut len = 0;
    let mut put = |part: &[u8]| {
        for (place, octet) in octets.iter_mut().skip(len).zip(part) {
            *place = *octet;
        }
        len += part.len();
    };
    match source.ip() {
        IpAddr::V4(ip) => put(&ip.octets()),
        IpAddr::V6(ip) => put(&ip.octets()),
    }
    put(&source.port().to_be_bytes());
    (octets, len)
}

/// The cookie of an address and port under a secret.
fn cookie(secret: &Keyed, source: SocketAddr) -> Secret<MAC_LEN> {
    let (octets, len) = octets_of(source);
    Secret::new(secret.mac(octets.get(..len).unwrap_or_default()))
}

/// What a second MAC covers, behind the block of its key, which is the cookie.
struct Covered {
    octets: [u8; BLOCK_LEN + COVERED_LEN_MAX],
    len: usize,
}

impl Covered {
    const EMPTY: Self = Self { octets: [0; BLOCK_LEN + COVERED_LEN_MAX], len: 0 };

    /// Takes in a message; one that is longer than any of the protocol's stays out.
    fn fill(&mut self, cookie: &[u8; MAC_LEN], message: &[u8]) {
        let Some((covered, _)) = message.split_last_chunk::<MAC_LEN>() else { return };
        if let Some(place) = self.octets.get_mut(BLOCK_LEN..BLOCK_LEN + covered.len()) {
            place.copy_from_slice(covered);
            self.len = BLOCK_LEN + covered.len();
        }
        if let Some(place) = self.octets.first_chunk_mut() {
            *place = *cookie;
        }
    }

    fn job(&self) -> Job<'_> {
        Job::behind_key(self.octets.get(..self.len).unwrap_or_default())
    }
}

impl Drop for Covered {
    fn drop(&mut self) {
        // Of the rest all is the sender's own.
        if let Some(cookie) = self.octets.first_chunk_mut::<MAC_LEN>() {
            cookie.zeroize();
        }
    }
}

/// Marks those of up to `N` messages as valid whose `mac2` is right under the cookie that follows from the secret and
/// their source.
fn mac2_valid_under<const N: usize>(
    secret: &Keyed,
    letters: &[(&[u8], SocketAddr)],
    valid: &mut [bool],
) {
    if valid.iter().all(|valid| *valid) {
        return;
    }
    let count = letters.len().min(N);
    let sources: [_; N] = array::from_fn(|number| {
        letters.get(number).map_or(([0; SOURCE_LEN_MAX], 0), |(_, source)| octets_of(*source))
    });
    let mut cookies = sources
        .each_ref()
        .map(|(octets, len)| Job::new(secret, octets.get(..*len).unwrap_or_default()));
    macs(cookies.get_mut(..count).unwrap_or_default());
    let mut covered = [const { Covered::EMPTY }; N];
    for ((covered, cookie), (message, _)) in covered.iter_mut().zip(&mut cookies).zip(letters) {
        covered.fill(cookie.mac(), message);
        cookie.forget();
    }
    let mut jobs = covered.each_ref().map(Covered::job);
    macs(jobs.get_mut(..count).unwrap_or_default());
    for (((valid, job), covered), (message, _)) in
        valid.iter_mut().zip(&jobs).zip(&covered).zip(letters)
    {
        let is_right = parts(message).is_some_and(|(_, _, mac2)| same(job.mac(), mac2));
        *valid |= covered.len > 0 && is_right;
    }
}

/// The secrets of cookies, which change each [`COOKIE_TIME`]. They follow from a master secret
/// and the Unix time alone, so all workers and all servers of a fleet take each other's cookies.
#[derive(Debug)]
pub struct Secrets {
    master: Secret,
    epoch: u64,
    each: [Keyed; 2],
}

impl Secrets {
    /// The secrets at a Unix time.
    pub fn new(master: Secret, unix: Duration) -> Self {
        let nothing = Keyed::new(&[0; 32]);
        let mut secrets = Self { master, epoch: u64::MAX, each: [nothing.clone(), nothing] };
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

    fn derive(&self, epoch: u64) -> Keyed {
        Keyed::new(kdf1(&self.master, &epoch.to_be_bytes()).octets())
    }

    /// The secret of new cookies.
    const fn current(&self) -> &Keyed {
        let [current, _] = &self.each;
        current
    }

    /// The secrets of cookies that are taken.
    const fn each(&self) -> &[Keyed; 2] {
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
