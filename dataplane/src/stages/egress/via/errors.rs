//! What the sender of a packet is told that does not go on between data centres, made in place of the packet.

use wire::{icmp, ipv4, ipv6};
use wireguard::time::Instant;

use crate::frame::Frame;
use crate::limiter::Limiter;
use crate::limits::{ICMP_ERRORS_BURST, ICMP_ERRORS_PER_SECOND};
use crate::site::Site;
use crate::stages::route::icmp::{write_v4, write_v6};

/// What is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owed {
    /// It has no hop left.
    HopLimit,
    /// It is longer than this.
    TooBig(u16),
    /// It may not go there.
    Prohibited,
}

/// The limits, one for each kind: who provokes one does not silence another.
#[derive(Debug)]
pub struct Errors {
    hop_limit: Limiter,
    too_big: Limiter,
    prohibited: Limiter,
}

impl Default for Errors {
    fn default() -> Self {
        let each = Limiter::new(ICMP_ERRORS_PER_SECOND, ICMP_ERRORS_BURST);
        Self { hop_limit: each, too_big: each, prohibited: each }
    }
}

impl Errors {
    /// Turns the packet into the error about it, from the router to its source; none when it is owed nothing now.
    pub fn turn(
        &mut self,
        frame: &mut Frame<'_>,
        owed: Owed,
        site: &Site,
        now: Instant,
    ) -> Option<()> {
        if frame.note.turned {
            return None;
        }
        if frame.note.ip.destination.is_v4() {
            self.turn_v4(frame, owed, site, now)?;
        } else {
            self.turn_v6(frame, owed, site, now)?;
        }
        frame.note.turned = true;
        Some(())
    }

    fn turn_v4(
        &mut self,
        frame: &mut Frame<'_>,
        owed: Owed,
        site: &Site,
        now: Instant,
    ) -> Option<()> {
        let error = match owed {
            Owed::HopLimit => icmp::v4::Error::TimeExceeded,
            Owed::TooBig(mtu) => icmp::v4::Error::FragmentationNeeded { mtu },
            Owed::Prohibited => icmp::v4::Error::Prohibited,
        };
        let ip = ipv4::parse_unverified(frame.data()).ok()?;
        let payload = frame.data().get(ip.payload_offset..ip.total_len())?;
        let may = icmp::v4::may_answer(&ip, payload, false) && self.take(owed, now);
        may.then(|| write_v4(frame, error, site.router4, ip.source))?
    }

    fn turn_v6(
        &mut self,
        frame: &mut Frame<'_>,
        owed: Owed,
        site: &Site,
        now: Instant,
    ) -> Option<()> {
        let error = match owed {
            Owed::HopLimit => icmp::v6::Error::TimeExceeded,
            Owed::TooBig(mtu) => icmp::v6::Error::PacketTooBig { mtu: mtu.into() },
            Owed::Prohibited => icmp::v6::Error::Prohibited,
        };
        let ip = ipv6::parse(frame.data()).ok()?;
        let payload = frame.data().get(ip.payload_offset..ip.total_len())?;
        let may = !site.router6.is_unspecified()
            && icmp::v6::may_answer(error, &ip, payload, false)
            && self.take(owed, now);
        may.then(|| write_v6(frame, error, site.router6, ip.source))?
    }

    fn take(&mut self, owed: Owed, now: Instant) -> bool {
        match owed {
            Owed::HopLimit => self.hop_limit.take(now),
            Owed::TooBig(_) => self.too_big.take(now),
            Owed::Prohibited => self.prohibited.take(now),
        }
    }
}
