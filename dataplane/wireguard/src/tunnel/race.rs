//! A second handshake beside the pending one, to another address of the same peer: what a client with two families
//! does when it connects (the idea of RFC 8305). The first answer decides where the peer is.
//!
//! A responder keeps one unproven session, that of the newest initiation. So a late answer to the newer initiation is
//! taken: the session of the older one may be gone at the peer. A late answer to the older one is refused.

use core::net::SocketAddr;
use rand_core::CryptoRng;
use zerocopy::IntoBytes;

use super::{Event, Tunnel, Turn};
use crate::cookie::Jar;
use crate::message::{CookieReply, put_client_id};
use crate::noise::Pending;
use crate::time::Instant;

/// The second handshake, and the cookie of its address.
#[derive(Debug)]
pub(super) struct Rival {
    pending: Option<Pending>,
    jar: Jar,
}

impl<const WORDS: usize> Tunnel<WORDS> {
    /// Starts a handshake now, on a session that still serves; later if the last one began less than
    /// [`REKEY_TIMEOUT`](crate::limits::REKEY_TIMEOUT) ago.
    pub fn renew<R: CryptoRng>(
        &mut self,
        turn: &mut Turn<'_, R>,
        emit: &mut impl FnMut(Event<'_>),
    ) {
        if self.timers.demand(turn.now) {
            self.initiate(turn, emit);
        }
    }

    /// Sends a second initiation, to `to`, beside the one that is pending; without one it does nothing. It is not
    /// repeated: what follows after 5 s goes to [`Tunnel::endpoint`] alone. Within 17 ms of the first it may bear the
    /// same label (see [`Tai64n`](crate::time::Tai64n)); then the peer answers only the one that reaches it first.
    pub fn race<R: CryptoRng>(
        &mut self,
        to: SocketAddr,
        turn: &mut Turn<'_, R>,
        emit: &mut impl FnMut(Event<'_>),
    ) {
        if self.pending.is_none() {
            return;
        }
        let Some((mut message, pending)) = self.initiation(turn) else { return };
        let rival =
            self.rival.get_or_insert_with(|| Box::new(Rival { pending: None, jar: Jar::new() }));
        rival.pending = Some(pending);
        let octets = message.as_mut_bytes();
        rival.jar.stamp(self.peer.checker(), octets, turn.now);
        put_client_id(octets, self.client_id);
        emit(Event::Transmit { octets, to });
    }

    /// The second handshake, if it expects its answer under this index.
    pub(super) fn rival_pending(&self, index: u32) -> Option<&Pending> {
        let pending = self.rival.as_ref()?.pending.as_ref();
        pending.filter(|pending| pending.local_index() == index)
    }

    /// Ends the handshake that was answered under this index, and the first one in any case. Whether the answer says
    /// where the peer is: one that comes after another does not.
    pub(super) fn decides(&mut self, index: u32) -> bool {
        let first = self.pending.take();
        let Some(rival) = self.rival.as_mut() else { return true };
        if rival.pending.take_if(|pending| pending.local_index() == index).is_none() {
            return true;
        }
        if first.is_some() {
            // Cookies are bound to an address.
            core::mem::swap(&mut self.jar, &mut rival.jar);
        }
        first.is_some()
    }

    pub(super) fn withdraw_rival(&mut self) {
        if let Some(rival) = &mut self.rival {
            rival.pending = None;
        }
    }

    pub(super) fn receive_rival_cookie(&mut self, reply: &CookieReply, now: Instant) -> Option<()> {
        self.rival.as_mut()?.jar.receive(self.peer.checker(), reply, now).ok()
    }
}
