//! The defence of the handshake (D7): what is asked of a message before anybody computes for it.

use std::sync::Arc;

use rand_chacha::rand_core::Rng;
use wireguard::cookie::Secrets;
use wireguard::message::{self, ClientId, CookieReply, Kind as MessageKind};
use wireguard::time::Instant;
use zerocopy::IntoBytes;

use crate::burst::Burst;
use crate::counters::Counters;
use crate::exchange::Exchange;
use crate::fate::{DropReason, Fate};
use crate::fleet::Membership;
use crate::frame::{Frame, Kind, Note};
use crate::handshake::{Directory, Random};
use crate::limits::UNDER_LOAD_HOLD;
use crate::wall::WallClock;

/// What a worker needs to judge handshake messages without any state of the sender's.
#[derive(Debug)]
pub struct Defence {
    secrets: Secrets,
    random: Random,
    wall: Arc<WallClock>,
    directory: Arc<Directory>,
    exchange: Arc<Exchange>,
    under_load_until: Instant,
    in_fleet: bool,
}

impl Defence {
    /// Cookies follow from `secrets`, so all workers and servers that share them take each other's.
    pub fn new(
        secrets: Secrets,
        random: Random,
        wall: Arc<WallClock>,
        directory: Arc<Directory>,
        exchange: Arc<Exchange>,
    ) -> Self {
        let under_load_until = Instant::ZERO;
        let in_fleet = !matches!(directory.fleet.get().membership, Membership::Alone);
        Self { secrets, random, wall, directory, exchange, under_load_until, in_fleet }
    }

    /// Follows the time and the load, once per turn.
    pub fn advance(&mut self, busy: bool, now: Instant) {
        self.secrets.advance(self.wall.unix(now));
        if busy {
            self.under_load_until = now + UNDER_LOAD_HOLD;
        }
    }

    fn under_load(&self, now: Instant) -> bool {
        now < self.under_load_until
    }

    /// Whether a handshake thread waits for an answer under the index at this offset of the message; whether one of
    /// another server does is for that server to say.
    fn expects(&self, message: &[u8], offset: usize) -> bool {
        let Some(octets) = message.get(offset..).and_then(<[u8]>::first_chunk) else {
            return false;
        };
        let place = self.directory.permutation.place(u32::from_le_bytes(*octets));
        if place.server != u16::from(self.directory.server) {
            return self.in_fleet;
        }
        self.exchange.is_expected(usize::from(place.worker), place.slot)
    }
}

/// Where the receiver index stands in a response and in a cookie reply.
const RESPONSE_INDEX: usize = 8;
const COOKIE_REPLY_INDEX: usize = 4;

/// Lets handshake messages through that prove to know our key and, under load, their own address.
pub fn admit(burst: &mut Burst<'_>, defence: &mut Defence, counters: &Counters, now: Instant) {
    burst.pass(|frame| {
        if frame.note.kind != Kind::Handshake {
            return Ok(());
        }
        let kind = message::kind(frame.data()).map_err(|_| Fate::Drop(DropReason::DosMessage))?;
        let unexpected = Err(Fate::Drop(DropReason::HandshakeUnexpected));
        match kind {
            MessageKind::CookieReply if !defence.expects(frame.data(), COOKIE_REPLY_INDEX) => {
                unexpected
            }
            MessageKind::Response if !defence.expects(frame.data(), RESPONSE_INDEX) => unexpected,
            MessageKind::CookieReply => Ok(()),
            MessageKind::Initiation | MessageKind::Response => {
                if !defence.directory.identity.checker().mac1_valid(frame.data()) {
                    return Err(Fate::Drop(DropReason::DosMac1));
                }
                if defence.under_load(now) && !has_cookie(frame, defence) {
                    counters.cookies.add(1);
                    return give_cookie(frame, defence);
                }
                Ok(())
            }
            MessageKind::Data => Err(Fate::Drop(DropReason::DosMessage)),
        }
    });
}

fn has_cookie(frame: &Frame<'_>, defence: &Defence) -> bool {
    let source = frame.note.endpoint.remote_socket();
    defence.directory.identity.checker().mac2_valid(frame.data(), &defence.secrets, source)
}

/// Turns the message into the cookie reply to it, in place.
fn give_cookie(frame: &mut Frame<'_>, defence: &mut Defence) -> Result<(), Fate> {
    let broken = Fate::Drop(DropReason::DosMessage);
    let mut nonce = [0; 24];
    defence.random.fill_bytes(&mut nonce);
    let reply: CookieReply = defence
        .directory
        .identity
        .checker()
        .reply(frame.data(), &defence.secrets, frame.note.endpoint.remote_socket(), nonce)
        .map_err(|_| broken)?;
    frame.set_len(message::COOKIE_REPLY_LEN)?;
    frame.data_mut().copy_from_slice(reply.as_bytes());
    let client_id = shown_id(frame.note);
    message::put_client_id(frame.data_mut(), client_id);
    frame.note.kind = Kind::Datagram;
    // The source is not proven: the answer goes back to the station that sent the question, and asks for no
    // neighbour. Where another server has passed it on, the way to the client is this server's own.
    frame.note.turned = frame.note.passage.is_none();
    frame.note.passage = None;
    Ok(())
}

/// The client id that the client has shown, and shall see in answers: none when another server has put its peer's there.
pub fn shown_id(note: &Note) -> ClientId {
    if note.passage.is_some_and(|passage| passage.named) { ClientId::ZERO } else { note.client_id }
}
