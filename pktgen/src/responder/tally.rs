//! What the responder has met and done, each frame in exactly one count.

use serde::Serialize;

use super::gre::Refused;

/// The counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Frames that came.
    pub frames_received: u64,
    /// Of them questions and answers about link addresses.
    pub neighbour_received: u64,
    /// Frames of others on the link.
    pub foreign: u64,
    /// No whole packet, or a wrong checksum; fragments too.
    pub unreadable: u64,
    /// Echo requests and datagrams to the echo port.
    pub echoes: u64,
    /// Other datagrams with a trailer of ours.
    pub measured: u64,
    /// TCP segments.
    pub segments_received: u64,
    /// Packets that nobody here has a use for.
    pub other: u64,
    /// The server's keepalives.
    pub keepalives_received: u64,
    /// Answers to keepalives of ours.
    pub keepalive_answers_received: u64,
    /// GRE packets with a header that no specification allows, or a wrong checksum.
    pub gre_malformed: u64,
    /// GRE packets between addresses that are no tunnel.
    pub gre_unknown: u64,
    /// GRE packets with another key than their tunnel's.
    pub gre_key: u64,
    /// GRE packets without a whole IP packet inside.
    pub gre_inner: u64,
    /// GRE packets for an inner address that is not the tenant's: the server's mistake.
    pub misdelivered: u64,
    /// Frames given to the device.
    pub frames_sent: u64,
    /// Of them questions and answers about link addresses.
    pub neighbour: u64,
    /// Answers to echoes.
    pub answers_sent: u64,
    /// TCP segments.
    pub segments_sent: u64,
    /// Keepalives of ours.
    pub keepalives_sent: u64,
    /// Answers to the server's keepalives.
    pub keepalive_answers_sent: u64,
    /// Frames that the device did not take.
    pub frames_unsent: u64,
}

/// What a frame is that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Neighbour,
    Answer,
    Segment,
    Keepalive,
    KeepaliveAnswer,
}

impl Tally {
    /// Counts a frame as given to the device, and under its kind; or as not taken.
    pub(super) const fn transmit(&mut self, is_sent: bool, kind: Sent) {
        if !is_sent {
            self.frames_unsent += 1;
            return;
        }
        self.frames_sent += 1;
        *match kind {
            Sent::Neighbour => &mut self.neighbour,
            Sent::Answer => &mut self.answers_sent,
            Sent::Segment => &mut self.segments_sent,
            Sent::Keepalive => &mut self.keepalives_sent,
            Sent::KeepaliveAnswer => &mut self.keepalive_answers_sent,
        } += 1;
    }

    /// Counts a GRE packet that came through no tunnel.
    pub(super) const fn refuse(&mut self, refused: Refused) {
        *match refused {
            Refused::Malformed => &mut self.gre_malformed,
            Refused::Unknown => &mut self.gre_unknown,
            Refused::Key => &mut self.gre_key,
            Refused::Inner => &mut self.gre_inner,
        } += 1;
    }

    /// GRE packets that a tenant's router would drop.
    pub const fn gre_refused(&self) -> u64 {
        self.gre_malformed + self.gre_unknown + self.gre_key + self.gre_inner
    }

    /// Frames that are in no count; always zero.
    pub const fn unaccounted(&self) -> u64 {
        let received = self.neighbour_received
            + self.foreign
            + self.unreadable
            + self.echoes
            + self.measured
            + self.segments_received
            + self.other
            + self.keepalives_received
            + self.keepalive_answers_received
            + self.gre_refused()
            + self.misdelivered;
        let sent = self.neighbour
            + self.answers_sent
            + self.segments_sent
            + self.keepalives_sent
            + self.keepalive_answers_sent;
        self.frames_received.abs_diff(received) + self.frames_sent.abs_diff(sent)
    }
}
