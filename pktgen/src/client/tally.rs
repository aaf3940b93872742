//! What the swarm has done and met, each frame in exactly one count.

use serde::Serialize;
use wireguard::message::{self, Kind};
use wireguard::tunnel::Refused;

/// Datagrams that a client refused, by the protocol's reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Refusals {
    /// No message of the protocol.
    pub malformed: u64,
    /// A wrong mac1.
    pub mac: u64,
    /// A handshake message or cookie that proves nothing, or is late.
    pub invalid: u64,
    /// No session with this receiver index, or no member.
    pub unknown_index: u64,
    /// A counter that was seen, is too old, or a session that is too old.
    pub session: u64,
    /// A wrong tag.
    pub tag: u64,
    /// No whole IP packet inside.
    pub inner: u64,
}

impl Refusals {
    /// Counts one.
    pub(super) fn count(&mut self, refused: Refused) {
        let place = match refused {
            Refused::Malformed | Refused::TooLong => &mut self.malformed,
            Refused::Mac => &mut self.mac,
            Refused::Invalid
            | Refused::Stale
            | Refused::TooOften
            | Refused::NoCookie
            | Refused::NoEndpoint => &mut self.invalid,
            Refused::UnknownIndex => &mut self.unknown_index,
            Refused::Session(_) => &mut self.session,
            Refused::Tag => &mut self.tag,
            Refused::Inner => &mut self.inner,
        };
        *place += 1;
    }

    /// All of them.
    pub const fn total(&self) -> u64 {
        self.malformed
            + self.mac
            + self.invalid
            + self.unknown_index
            + self.session
            + self.tag
            + self.inner
    }
}

/// The counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Packets of the plan whose time came: sent, unsent for a named reason, or owed.
    pub planned: u64,
    /// Due, but the generator did not get to them.
    pub owed: u64,
    /// Due, but the client had no session.
    pub without_session: u64,
    /// Due, but the device took no more.
    pub without_room: u64,
    /// Frames given to the device.
    pub frames_sent: u64,
    /// Of them data messages of the plan.
    pub data_sent: u64,
    /// Answers of the responder.
    pub answers_sent: u64,
    /// Initiations, responses and cookies.
    pub handshakes_sent: u64,
    /// Keepalives.
    pub keepalives_sent: u64,
    /// Questions and answers about link addresses.
    pub neighbour: u64,
    /// Frames beside the plan's that the device or the link did not take.
    pub frames_unsent: u64,
    /// Frames that came.
    pub frames_received: u64,
    /// Of them data with a trailer of ours.
    pub data_received: u64,
    /// Inner packets that asked the responder for an answer.
    pub requests_received: u64,
    /// Inner packets of others.
    pub other_inner: u64,
    /// Inner packets for somebody else's inner address: the server's mistake.
    pub misdelivered: u64,
    /// Keepalives.
    pub keepalives_received: u64,
    /// Handshake messages and cookies that were taken.
    pub handshakes_received: u64,
    /// Of them cookie replies.
    pub cookies_received: u64,
    /// Questions and answers about link addresses.
    pub neighbour_received: u64,
    /// Frames of others on the link.
    pub foreign: u64,
    /// Datagrams that the protocol refused.
    pub refused: Refusals,
    /// Beside these counts: messages that came to a place which the client had left.
    pub to_former_place: u64,
    /// Messages without the client id that the client sends.
    pub wrong_client_id: u64,
    /// Sessions that began to send.
    pub sessions: u64,
    /// Series of handshakes that nobody answered.
    pub given_up: u64,
    /// Clients that lost all keys for lack of a new session.
    pub forgotten: u64,
    /// Times that a client moved.
    pub moves: u64,
    /// Packets of the plan that were sealed before the traffic began.
    pub prepared: u64,
    /// Handshakes that were begun because the plan said so.
    pub reconnects: u64,
    /// Races between the outer families that were begun.
    pub races: u64,
    /// Races that the answer over IPv4 has won.
    pub won_v4: u64,
    /// Races that the answer over IPv6 has won.
    pub won_v6: u64,
    /// Of the handshake messages that were taken: answers to the loser of a race.
    pub late_answers: u64,
}

impl Tally {
    /// Counts a frame as given to the device, and under its kind; or as not taken.
    pub(super) fn transmit(&mut self, is_sent: bool, kind: impl FnOnce(&mut Self) -> &mut u64) {
        if is_sent {
            self.frames_sent += 1;
            *kind(self) += 1;
        } else {
            self.frames_unsent += 1;
        }
    }

    /// Counts what became of a datagram that no other count has.
    pub(super) fn judge(&mut self, verdict: Result<(), Refused>) {
        if let Err(refused) = verdict {
            self.refused.count(refused);
        }
    }

    /// Where a message that a tunnel sends is counted. Data messages of tunnels are keepalives and answers.
    pub(super) fn kind_sent(&mut self, message: &[u8]) -> &mut u64 {
        match message::kind(message) {
            Ok(Kind::Data) if message.len() == message::DATA_LEN_MIN => &mut self.keepalives_sent,
            Ok(Kind::Data) => &mut self.answers_sent,
            _ => &mut self.handshakes_sent,
        }
    }

    /// Frames and planned packets that are in no count; always zero.
    pub const fn unaccounted(&self) -> u64 {
        let planned = self.data_sent + self.without_session + self.without_room;
        let sent = self.data_sent
            + self.answers_sent
            + self.handshakes_sent
            + self.keepalives_sent
            + self.neighbour;
        let received = self.data_received
            + self.requests_received
            + self.other_inner
            + self.misdelivered
            + self.keepalives_received
            + self.handshakes_received
            + self.neighbour_received
            + self.foreign
            + self.refused.total();
        self.planned.abs_diff(planned)
            + self.frames_sent.abs_diff(sent)
            + self.frames_received.abs_diff(received)
    }
}
