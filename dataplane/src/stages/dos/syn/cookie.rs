//! SYN cookies (RFC 4987 3.6): what a SYN offers and a proof of it stand in the sequence number and the timestamp of
//! the answer, so nothing is remembered until a client shows that it has received them.
//!
//! A cookie is [slot of time 2 | step of the segment size 3 | `SipHash-2-4` of both ends and the client's sequence
//! number 27]. Of the four slots three are taken, so a guess is right once in 2^27 tries (a blind flood of any acknowledgment
//! numbers: 24 of 2^32). Keys follow from the fleet's key and the Unix time: all its servers take each other's cookies,
//! also while a clock is a slot ahead.

use std::fmt;
use std::time::Duration;

use wire::tcp::{OptionField, Options};
use wireguard::secret::Secret;

use super::Segment;
use crate::fleet::sip::Sip;
use crate::limits::SYN_COOKIE_TIME;

/// What a client offers in its SYN, as far as an answer may keep to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Octets of payload that the client takes in one segment.
    pub mss: u16,
    /// By how many bits its windows are to be shifted, 0..=14.
    pub window_scale: Option<u8>,
    /// It understands selective acknowledgments.
    pub sack: bool,
    /// It sends timestamps.
    pub timestamps: bool,
}

/// A cookie, ready to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// The initial sequence number of the answer.
    pub sequence_number: u32,
    /// Its timestamp, for a client that sends them.
    pub timestamp: u32,
    /// What of the client's offer the cookie keeps: without timestamps neither window scale nor selective acknowledgments.
    pub offer: Offer,
}

/// The segment sizes that a cookie tells apart: the smallest, the two defaults (RFC 9293 3.7.1), and what is left of
/// 1500 octets on the usual paths. A client's is rounded down.
const STEPS: [u16; 8] = [64, 536, 1220, 1360, 1400, 1432, 1440, 1460];

/// The largest shift of a window (RFC 7323 2.3), and what stands in its place when there is none.
const SHIFT_MAX: u8 = 14;
const NO_SHIFT: u8 = 15;

/// The low bits of the timestamp: four of the shift, one of selective acknowledgments.
const OPTION_BITS: u32 = 5;
const OPTION_MASK: u32 = (1 << OPTION_BITS) - 1;
const SACK_BIT: u32 = 1 << 4;

#[expect(clippy::cast_possible_truncation, reason = "about a minute")]
const SLOT_MS: u32 = SYN_COOKIE_TIME.as_millis() as u32;

const SLOT_SHIFT: u32 = 30;
const STEP_SHIFT: u32 = 27;
const PROOF_MASK: u32 = (1 << STEP_SHIFT) - 1;
const CHALLENGE_MASK: u32 = (1 << SLOT_SHIFT) - 1;
const STEP_MASK: u32 = 0b111;
const SLOT_MASK: u64 = 0b11;
/// What a challenge has in the place of a step, so that neither passes for the other.
const CHALLENGE: u32 = 0xff;

impl Offer {
    /// Reads the options of a SYN; from the first malformed one on they are as if they were not there. The second value is
    /// the client's timestamp.
    #[inline]
    pub fn read(options: Options<'_>, is_v4: bool) -> (Self, u32) {
        let mss = if is_v4 { 536 } else { 1220 };
        let mut offer = Self { mss, window_scale: None, sack: false, timestamps: false };
        let mut timestamp = 0;
        for option in options.map_while(Result::ok) {
            match option {
                OptionField::MaximumSegmentSize(mss) => offer.mss = mss,
                OptionField::WindowScale(shift) => offer.window_scale = Some(shift.min(SHIFT_MAX)),
                OptionField::SackPermitted => offer.sack = true,
                OptionField::Timestamps { value, .. } => {
                    (offer.timestamps, timestamp) = (true, value);
                }
                OptionField::Sack(_) | OptionField::Other { .. } => {}
            }
        }
        (offer, timestamp)
    }

    /// The part of it that a cookie keeps, and the step of its segment size.
    #[inline]
    fn kept(self) -> (Self, u32) {
        let step = STEPS.iter().rposition(|size| *size <= self.mss).unwrap_or_default();
        let mss = STEPS.get(step).copied().unwrap_or_default();
        let step = u32::try_from(step).unwrap_or_default();
        if self.timestamps {
            return (Self { mss, ..self }, step);
        }
        (Self { mss, window_scale: None, sack: false, timestamps: false }, step)
    }
}

type Key = Sip<2, 4>;

/// The keys of the present time.
pub struct Cookies {
    master: Secret,
    slot: u64,
    /// By the low bits of their slot.
    keys: [Option<Key>; 4],
    clock: u32,
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookies(..)")
    }
}

impl Cookies {
    /// The keys at a Unix time; `master` is [`crate::fleet::Keys::cookie_master`].
    pub fn new(master: &Secret, unix: Duration) -> Self {
        let master = master.derive(b"millrace SYN cookies");
        let mut cookies = Self { master, slot: u64::MAX, keys: [None; 4], clock: 0 };
        cookies.advance(unix);
        cookies
    }

    /// Follows the time; derives anew only when a slot began. Call it once per turn.
    #[expect(clippy::cast_possible_truncation, reason = "a timestamp wraps (RFC 7323 5)")]
    pub fn advance(&mut self, unix: Duration) {
        self.clock = unix.as_millis() as u32;
        let slot = unix.as_secs() / SYN_COOKIE_TIME.as_secs();
        if slot == self.slot {
            return;
        }
        self.slot = slot;
        self.keys = [None; 4];
        for slot in [slot.wrapping_sub(1), slot, slot.wrapping_add(1)] {
            let secret = self.master.derive(&slot.to_be_bytes());
            if let Some(key) = self.keys.get_mut(low_bits(slot) as usize) {
                *key = secret.octets().first_chunk().map(|key| Key::new(*key));
            }
        }
    }

    /// Milliseconds, as timestamps of connections that begin with a cookie go on counting.
    pub const fn clock(&self) -> u32 {
        self.clock
    }

    /// The cookie that answers a SYN with this offer.
    #[inline]
    pub fn make(&self, syn: &Segment, offer: Offer) -> Cookie {
        let (offer, step) = offer.kept();
        let slot = self.present();
        let proof = self.proof(slot, syn, syn.tcp.sequence_number, step).unwrap_or_default();
        Cookie {
            sequence_number: slot << SLOT_SHIFT | step << STEP_SHIFT | proof,
            timestamp: self.timestamp(offer),
            offer,
        }
    }

    /// What was offered, when a segment acknowledges a cookie of ours; `echo` is the echoed timestamp of a segment that has
    /// one. The options in it are not under the proof: whoever changes them harms his own connection. But a timestamp of
    /// another time is none of ours, which says of nearly all segments of other connections at once what they are not.
    #[inline]
    pub fn check(&self, ack: &Segment, echo: Option<u32>) -> Option<Offer> {
        if echo.is_some_and(|echo| !self.is_of_our_time(echo)) {
            return None;
        }
        let cookie = ack.tcp.acknowledgment_number.wrapping_sub(1);
        let isn = ack.tcp.sequence_number.wrapping_sub(1);
        let step = cookie >> STEP_SHIFT & STEP_MASK;
        let proof = self.proof(cookie >> SLOT_SHIFT, ack, isn, step)?;
        if cookie & PROOF_MASK != proof {
            return None;
        }
        let mss = STEPS.get(step as usize).copied()?;
        let [kept, ..] = echo.unwrap_or_default().to_le_bytes();
        let shift = kept & NO_SHIFT;
        Some(Offer {
            mss,
            window_scale: (echo.is_some() && shift <= SHIFT_MAX).then_some(shift),
            sack: u32::from(kept) & SACK_BIT != 0,
            timestamps: echo.is_some(),
        })
    }

    /// An acknowledgment number that a client can only know from our answer, and does not take (RFC 9293 3.10.7.3): it
    /// resets it under just this number and goes on asking.
    #[inline]
    pub fn challenge(&self, syn: &Segment) -> u32 {
        let slot = self.present();
        slot << SLOT_SHIFT | self.challenge_proof(slot, syn).unwrap_or_default()
    }

    /// Whether a reset answers a challenge of ours.
    #[inline]
    pub fn answers_challenge(&self, reset: &Segment) -> bool {
        let number = reset.tcp.sequence_number;
        let proof = self.challenge_proof(number >> SLOT_SHIFT, reset);
        proof == Some(number & CHALLENGE_MASK)
    }

    /// Whether a server whose keys we take could have sent this timestamp.
    #[inline]
    fn is_of_our_time(&self, timestamp: u32) -> bool {
        let ahead = self.clock.wrapping_add(2 * SLOT_MS);
        ahead.wrapping_sub(timestamp) <= 5 * SLOT_MS
    }

    #[inline]
    fn present(&self) -> u32 {
        low_bits(self.slot)
    }

    #[inline]
    fn proof(&self, slot: u32, segment: &Segment, isn: u32, step: u32) -> Option<u32> {
        Some(self.hash(slot, segment, isn, step)? & PROOF_MASK)
    }

    #[inline]
    fn challenge_proof(&self, slot: u32, segment: &Segment) -> Option<u32> {
        Some(self.hash(slot, segment, 0, CHALLENGE)? & CHALLENGE_MASK)
    }

    /// Over all that must not be exchanged; the families differ in length.
    #[inline]
    fn hash(&self, slot: u32, segment: &Segment, isn: u32, step: u32) -> Option<u32> {
        let key = (*self.keys.get(slot as usize)?)?;
        let ends = u64::from(segment.ports()) << 32 | u64::from(isn);
        let step = u64::from(step);
        let hash = if let Some(addresses) = segment.v4() {
            key.hash_words([addresses, ends, step])
        } else {
            let [one, two, three, four] = segment.v6();
            key.hash_words([one, two, three, four, ends, step])
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "half of the hash is more than is used"
        )]
        let hash = hash as u32;
        Some(hash)
    }

    /// The clock, with its last bits given to the options. It never runs ahead, so what follows it is later.
    #[inline]
    fn timestamp(&self, offer: Offer) -> u32 {
        let sack = if offer.sack { SACK_BIT } else { 0 };
        let kept = u32::from(offer.window_scale.unwrap_or(NO_SHIFT)) | sack;
        let timestamp = self.clock & !OPTION_MASK | kept;
        if kept > self.clock & OPTION_MASK {
            timestamp.wrapping_sub(1 << OPTION_BITS)
        } else {
            timestamp
        }
    }
}

const fn low_bits(slot: u64) -> u32 {
    (slot & SLOT_MASK) as u32
}

#[cfg(test)]
mod tests;
