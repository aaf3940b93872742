//! What routers on the way of tunnels have said of the longest packet that passes, as one worker has heard it.

use arrayvec::ArrayVec;
use shm::limits::TUNNELS_MAX;
use wireguard::time::Instant;

use crate::limits::{BURST_LEN_MAX, PATH_MTU_TIME};

/// What was heard of one tunnel.
#[derive(Clone, Copy, Debug)]
struct Heard {
    mtu: u16,
    until: Instant,
}

/// The longest inner packets of tunnels whose way takes less than it should, each for [`PATH_MTU_TIME`] (RFC 1191 6.3). Who
/// forges such a report makes packets shorter, and no shorter than every path takes.
#[derive(Debug)]
pub struct PathMtus {
    /// By the tunnel's number.
    heard: Box<[Heard]>,
    now: Instant,
    /// Until when anything that was heard counts.
    until: Instant,
    /// What the other workers have not heard yet.
    news: ArrayVec<(u16, u16), BURST_LEN_MAX>,
}

impl Default for PathMtus {
    fn default() -> Self {
        let nothing = Heard { mtu: u16::MAX, until: Instant::ZERO };
        let heard = vec![nothing; TUNNELS_MAX + 1].into_boxed_slice();
        Self { heard, now: Instant::ZERO, until: Instant::ZERO, news: ArrayVec::new() }
    }
}

impl PathMtus {
    /// Follows the time, once per turn.
    #[inline]
    pub const fn advance(&mut self, now: Instant) {
        self.now = now;
    }

    /// The longest inner packet of a tunnel that was set up for packets of `mtu`.
    #[inline]
    pub fn of(&self, tunnel: u16, mtu: u16) -> u16 {
        if self.until <= self.now {
            return mtu;
        }
        match self.heard.get(usize::from(tunnel)) {
            Some(heard) if heard.until > self.now => heard.mtu.min(mtu),
            Some(_) | None => mtu,
        }
    }

    /// Takes a report to heart, unless a smaller size is known. True when that is something new.
    pub fn learn(&mut self, tunnel: u16, mtu: u16) -> bool {
        let until = self.now + PATH_MTU_TIME;
        let Some(heard) = self.heard.get_mut(usize::from(tunnel)) else { return false };
        let counts = heard.until > self.now;
        if counts && heard.mtu < mtu {
            return false;
        }
        let is_new = !counts || mtu < heard.mtu;
        *heard = Heard { mtu, until };
        self.until = until;
        is_new
    }

    /// Takes a router's report to heart, which other workers shall hear of when it is something new.
    pub fn report(&mut self, tunnel: u16, mtu: u16) {
        if self.learn(tunnel, mtu) {
            // Of more in one turn others hear with the next report.
            let _is_full = self.news.try_push((tunnel, mtu));
        }
    }

    /// What other workers shall hear.
    pub fn next_news(&mut self) -> Option<(u16, u16)> {
        self.news.pop()
    }

    /// Forgets a tunnel, whose number is another's from here on.
    pub fn forget(&mut self, tunnel: u16) {
        if let Some(heard) = self.heard.get_mut(usize::from(tunnel)) {
            heard.until = Instant::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_counts_for_its_time_and_for_its_tunnel() {
        let mut mtus = PathMtus::default();
        mtus.advance(Instant::ZERO);
        mtus.learn(3, 1300);
        assert_eq!((mtus.of(3, 1476), mtus.of(4, 1476), mtus.of(3, 1200)), (1300, 1476, 1200));
        mtus.advance(Instant::ZERO + PATH_MTU_TIME);
        assert_eq!(mtus.of(3, 1476), 1476);
        mtus.report(3, 1300);
        assert_eq!(mtus.next_news(), Some((3, 1300)));
        mtus.report(3, 1400);
        mtus.report(3, 1300);
        assert_eq!((mtus.of(3, 1476), mtus.next_news()), (1300, None), "nothing new");
        mtus.learn(3, 1280);
        mtus.forget(3);
        assert_eq!(mtus.of(3, 1476), 1476);
        mtus.learn(u16::MAX, 1280);
        assert_eq!(mtus.of(u16::MAX, 1476), 1476, "no such tunnel");
    }
}
