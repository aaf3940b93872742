//! How one worker knows the answers to probes of tunnels: those to this server's are noted, those to another's go to it.

use std::sync::Arc;

use wireguard::time::Instant;

use super::probe::{self, Answers, Seal};
use super::tunnels::{Tunnel, Tunnels};
use crate::counters::Counters;
use crate::frame::Frame;

/// Whose probe it is that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// This server's; it is noted.
    Ours,
    /// That of another server of the fleet.
    Of(u8),
}

/// What answers are known by, and where they are noted.
#[derive(Debug)]
pub struct Probing {
    seal: Seal,
    server: u8,
    answers: Arc<Answers>,
}

impl Probing {
    /// Of server number `server`; the answers are read by the keeper.
    pub const fn new(seal: Seal, server: u8, answers: Arc<Answers>) -> Self {
        Self { seal, server, answers }
    }

    /// Looks whether what has come out of a tunnel is an answer.
    #[inline]
    pub fn judge(
        &self,
        frame: &Frame<'_>,
        (number, tunnel): (u16, &Tunnel),
        (counters, now): (&Counters, Instant),
    ) -> Option<Answered> {
        let inside = tunnel.inside.filter(|inside| inside.local() == frame.note.ip.destination)?;
        let stamp = probe::read(frame.data(), &inside, &self.seal)?;
        if stamp.tunnel != tunnel.id {
            return None;
        }
        if stamp.server != self.server {
            return Some(Answered::Of(stamp.server));
        }
        if self.answers.note(number, &stamp, now) {
            counters.probes_answered.add(1);
        }
        Some(Answered::Ours)
    }

    /// Notes what another server has passed on, if it is the answer to a probe of ours.
    #[cold]
    pub fn passed_on(
        &self,
        frame: &Frame<'_>,
        tunnels: &Tunnels,
        (counters, now): (&Counters, Instant),
    ) -> bool {
        let tunnel = probe::tunnel_of(frame.data()).and_then(|id| tunnels.with_id(id));
        tunnel.is_some_and(|tunnel| {
            self.judge(frame, tunnel, (counters, now)) == Some(Answered::Ours)
        })
    }
}
