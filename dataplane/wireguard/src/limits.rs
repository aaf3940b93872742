//! Every constant of the protocol and every capacity of this crate, with its why.
#![expect(clippy::duration_suboptimal_units, reason = "the whitepaper speaks in seconds")]

use core::time::Duration;

/// An initiator starts a new handshake when it sends on a session of this age (whitepaper 6.2):
/// the window in which a stolen key reads traffic stays small.
pub const REKEY_AFTER_TIME: Duration = Duration::from_secs(120);
/// A session of this age neither sends nor receives (6.1). The 60 s past the rekey age give a
/// handshake time to succeed.
pub const REJECT_AFTER_TIME: Duration = Duration::from_secs(180);
/// Handshake attempts end after this much time without an answer (6.4).
pub const REKEY_ATTEMPT_TIME: Duration = Duration::from_secs(90);
/// The least time between two initiations to one peer (6.4).
pub const REKEY_TIMEOUT: Duration = Duration::from_secs(5);
/// Received data is answered with a keepalive after this much silence of our own (6.5).
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Retransmissions are spread over this much time, so that two peers that started at once do not
/// collide for ever (6.1).
pub const JITTER_MAX: Duration = Duration::from_millis(333);
/// Data sent without any answer for this long means that the peer lost the session (6.5): the
/// peer owed us at least its passive keepalive by then.
pub const UNANSWERED_TIMEOUT: Duration = Duration::from_secs(15);
/// An initiator that receives on a session this old starts a handshake once, so that a link that
/// only receives does not run into [`REJECT_AFTER_TIME`] (6.2).
pub const REKEY_ON_RECEIVE_TIME: Duration = Duration::from_secs(165);
/// All keys of a peer are zeroised this long after its last session began (6.3): three times
/// [`REJECT_AFTER_TIME`].
pub const FORGET_TIME: Duration = Duration::from_secs(540);
/// A session that sent this many messages is renewed (6.1), by either role.
pub const REKEY_AFTER_MESSAGES: u64 = 1 << 60;
/// No counter from here on is sent or taken (6.1): the replay window never wraps.
pub const REJECT_AFTER_MESSAGES: u64 = u64::MAX - (1 << 13);
/// A cookie lives this long at its receiver, and its secret changes this often at its maker
/// (5.4.7).
pub const COOKIE_TIME: Duration = Duration::from_secs(120);
/// Initiations taken from one peer (5.1 leaves the number open; the reference takes 50).
pub const INITIATIONS_PER_SECOND: u32 = 50;
/// Words of 64 bits of the replay window: 7296 counters are judged exactly, about what 100 Gbit/s reorder in half a
/// millisecond of small packets, and a session with all that belongs to it is 1 KiB.
pub const WINDOW_WORDS: usize = 115;
/// Inner packets that a tunnel keeps while its first handshake runs; the oldest goes first.
pub const STAGED_COUNT_MAX: usize = 16;
/// Inner packets are padded to a multiple of this (5.4.6) before they are sealed.
pub const PADDING: usize = 16;
/// The longest inner packet: what the 16-bit length field of IP can say.
pub const INNER_LEN_MAX: usize = 65_535;
