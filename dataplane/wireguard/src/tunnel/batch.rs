//! The tunnel's data path in two halves, for callers that gather the packets of many tunnels into
//! one batch of the AEAD: ask each tunnel for key and counter, seal or open all, tell each tunnel.

use super::{Event, Refused, Tunnel, Turn};
use crate::aead::{Key, TAG_LEN};
use crate::message::{ClientId, DATA, DATA_LEN_MIN, DataHeader};
use crate::session;
use crate::time::Instant;
use crate::timers::Rearm;
use core::net::SocketAddr;
use rand_core::CryptoRng;
use zerocopy::FromBytes;

/// What seals and addresses one packet.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// Seals the padded inner packet under the header's counter.
    pub key: &'a Key,
    /// Goes before the text.
    pub header: DataHeader,
    /// The destination of the datagram.
    pub to: SocketAddr,
    /// Whether [`Tunnel::deadline`] may be nearer than before.
    pub rearm: Rearm,
}

/// What opens one packet.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// Opens the text under the counter.
    pub key: &'a Key,
    /// The packet's counter.
    pub counter: u64,
    /// To be given to [`Tunnel::opened`] when the tag was right.
    pub ticket: Ticket,
}

/// A packet that awaits its verdict.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    slot: u32,
    index: u32,
    len: usize,
    counter: u64,
    client_id: ClientId,
}

impl Ticket {
    /// Octets of plaintext, padding included.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it is a keepalive.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<const WORDS: usize> Tunnel<WORDS> {
    /// A counter and a key for one packet with data, which counts as sent. A renewal of the
    /// session that falls due by it shows in [`Tunnel::deadline`]. On [`Refused::Session`] use
    /// [`Tunnel::send`], which stages the packet and starts a handshake.
    pub fn outgoing(&mut self, now: Instant) -> Result<Outgoing<'_>, Refused> {
        // The counter comes first: without a session nothing was sent.
        let Outgoing { header, to, .. } = self.reserve(now)?;
        let mut rearm = self.timers.sent_data(now);
        if self.rekey_due(now) {
            rearm = self.timers.request(now);
        }
        let vacant = Refused::Session(session::Refused::Vacant);
        let key = self.slot(self.ring.current()).ok_or(vacant)?.send_key();
        Ok(Outgoing { key, header, to, rearm })
    }

    /// Takes the next counter of the current session.
    #[inline]
    pub(super) fn reserve(&mut self, now: Instant) -> Result<Outgoing<'_>, Refused> {
        let vacant = Refused::Session(session::Refused::Vacant);
        let to = self.endpoint.ok_or(Refused::NoEndpoint)?;
        let slot = self.ring.current().ok_or(vacant)?;
        let session = self.sessions.get_mut(slot as usize).ok_or(vacant)?;
        let counter = session.reserve(now).map_err(Refused::Session)?;
        let header = DataHeader::new(self.client_id, session.remote_index(), counter);
        Ok(Outgoing { key: session.send_key(), header, to, rearm: Rearm::No })
    }

    /// The key for a data message, if it is worth opening.
    pub fn incoming(&self, datagram: &[u8], now: Instant) -> Result<Incoming<'_>, Refused> {
        let (header, sealed) =
            DataHeader::ref_from_prefix(datagram).map_err(|_| Refused::Malformed)?;
        if datagram.len() < DATA_LEN_MIN || header.kind != DATA {
            return Err(Refused::Malformed);
        }
        let (index, counter) = (header.receiver_index.get(), header.counter.get());
        let (slot, session) = (0_u32..)
            .zip(&self.sessions)
            .find(|(_, session)| session.is_live() && session.local_index() == index)
            .ok_or(Refused::UnknownIndex)?;
        session.receivable(counter, now).map_err(Refused::Session)?;
        let len = sealed.len() - TAG_LEN;
        let ticket = Ticket { slot, index, len, counter, client_id: header.client_id };
        Ok(Incoming { key: session.receive_key(), counter, ticket })
    }

    /// The tag was right: marks the counter, follows the peer to `source`, keeps the timers. True
    /// when the packet proved a session that may now send: then call [`Tunnel::release`].
    pub fn opened(
        &mut self,
        ticket: Ticket,
        source: SocketAddr,
        now: Instant,
    ) -> Result<bool, Refused> {
        let session = self
            .sessions
            .get_mut(ticket.slot as usize)
            .filter(|session| session.is_live() && session.local_index() == ticket.index)
            .ok_or(Refused::UnknownIndex)?;
        session.commit(ticket.counter).map_err(Refused::Session)?;
        let late = session.wants_rekey_after_receive(now);
        self.heard(source, ticket.client_id);
        if ticket.is_empty() {
            self.timers.received_any(now);
        } else {
            let _: Rearm = self.timers.received_data(now);
        }
        let (promoted, retired) = self.ring.received_on(ticket.slot);
        self.retire(retired, None);
        if promoted {
            self.timers.confirmed();
        }
        if late {
            let _: Rearm = self.timers.wish(now);
        }
        Ok(promoted)
    }

    /// Sends what was staged for a session.
    pub fn release<R: CryptoRng>(
        &mut self,
        turn: &mut Turn<'_, R>,
        emit: &mut impl FnMut(Event<'_>),
    ) {
        self.flush(turn, emit);
    }
}
