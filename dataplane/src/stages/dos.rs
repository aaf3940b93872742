//! Stage 1, dos: what should never have come leaves here. So far the defence of the handshake (D7).

use std::time::Duration;

use rand_chacha::rand_core::Rng;
use wireguard::cookie::Secrets;
use wireguard::message::{self, CookieReply, Kind as MessageKind};
use wireguard::noise::Identity;
use wireguard::time::Instant;
use zerocopy::IntoBytes;

use crate::burst::Burst;
use crate::counters::Counters;
use crate::fate::{DropReason, Fate};
use crate::frame::{Frame, Kind};
use crate::handshake::Random;
use crate::limits::UNDER_LOAD_HOLD;

/// What a worker needs to judge handshake messages without any state of the sender's.
#[derive(Debug)]
pub struct Defence {
    secrets: Secrets,
    random: Random,
    unix_at_zero: Duration,
    under_load_until: Instant,
}

impl Defence {
    /// Cookies follow from `secrets`, so all workers and servers that share them take each other's.
    pub fn new(secrets: Secrets, unix_at_zero: Duration, random: Random) -> Self {
        Self { secrets, random, unix_at_zero, under_load_until: Instant::ZERO }
    }

    /// Follows the time and the load, once per turn.
    pub fn advance(&mut self, busy: bool, now: Instant) {
        self.secrets.advance(self.unix_at_zero + now.since(Instant::ZERO));
        if busy {
            self.under_load_until = now + UNDER_LOAD_HOLD;
        }
    }

    fn under_load(&self, now: Instant) -> bool {
        now < self.under_load_until
    }
}

/// Lets handshake messages through that prove to know our key and, under load, their own address.
pub fn admit(
    burst: &mut Burst<'_>,
    defence: &mut Defence,
    identity: &Identity,
    counters: &Counters,
    now: Instant,
) {
    burst.pass(|frame| {
        if frame.note.kind != Kind::Handshake {
            return Ok(());
        }
        let kind = message::kind(frame.data()).map_err(|_| Fate::Drop(DropReason::DosMessage))?;
        match kind {
            MessageKind::CookieReply => Err(Fate::Handshake),
            MessageKind::Initiation | MessageKind::Response => {
                if !identity.checker().mac1_valid(frame.data()) {
                    return Err(Fate::Drop(DropReason::DosMac1));
                }
                if defence.under_load(now) && !has_cookie(frame, defence, identity) {
                    counters.cookies.add(1);
                    return give_cookie(frame, defence, identity);
                }
                Err(Fate::Handshake)
            }
            MessageKind::Data => Err(Fate::Drop(DropReason::DosMessage)),
        }
    });
}

fn has_cookie(frame: &Frame<'_>, defence: &Defence, identity: &Identity) -> bool {
    let source = frame.note.endpoint.remote;
    identity.checker().mac2_valid(frame.data(), &defence.secrets, source)
}

/// Turns the message into the cookie reply to it, in place.
fn give_cookie(
    frame: &mut Frame<'_>,
    defence: &mut Defence,
    identity: &Identity,
) -> Result<(), Fate> {
    let broken = Fate::Drop(DropReason::DosMessage);
    let mut nonce = [0; 24];
    defence.random.fill_bytes(&mut nonce);
    let reply: CookieReply = identity
        .checker()
        .reply(frame.data(), &defence.secrets, frame.note.endpoint.remote, nonce)
        .map_err(|_| broken)?;
    frame.set_len(message::COOKIE_REPLY_LEN)?;
    frame.data_mut().copy_from_slice(reply.as_bytes());
    let client_id = frame.note.client_id;
    message::put_client_id(frame.data_mut(), client_id);
    frame.note.kind = Kind::Datagram;
    Ok(())
}
