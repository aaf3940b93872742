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

    /// Takes to heart what another worker was told, unless a smaller size is known.
    pub fn learn(&mut self, tunnel: u16, mtu: u16) {
        let until = self.now + PATH_MTU_TIME;
        let Some(heard) = self.heard.get_mut(usize::from(tunnel)) else { return };
        if heard.until > self.now && heard.mtu < mtu {
            return;
        }
        *heard = Heard { mtu, until };
        self.until = until;
    }

    fn is_news(&self, tunnel: u16, mtu: u16) -> bool {
        let heard = self.heard.get(usize::from(tunnel));
        heard.is_some_and(|heard| heard.until <= self.now || mtu < heard.mtu)
    }

    /// Takes a router's report to heart, which other workers shall hear of when it is something new.
    pub fn report(&mut self, tunnel: u16, mtu: u16) {
        // Of more in one turn nobody hears before the next report. What is no news counts no longer than it did: others, who
        // have heard of it later, must not forget it sooner than who would tell them again.
        if !self.news.is_full() && self.is_news(tunnel, mtu) {
            self.learn(tunnel, mtu);
            self.news.push((tunnel, mtu));
        }
    }

    /// What other workers shall hear.
    pub fn next_news(&mut self) -> Option<(u16, u16)> {
        self.news.pop()
    }

    /// Forgets a tunnel: its number is another's from here on, or others were not told, and shall be with the next report.
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
        mtus.report(3, 1280);
        assert_eq!(mtus.next_news(), None);
        mtus.forget(3);
        assert_eq!(mtus.of(3, 1476), 1476);
        mtus.learn(u16::MAX, 1280);
        mtus.report(u16::MAX, 1280);
        assert_eq!(mtus.of(u16::MAX, 1476), 1476, "no such tunnel");
    }

    #[test]
    fn who_was_told_of_a_size_does_not_forget_it_before_who_told_it() {
        let (mut one, mut other) = (PathMtus::default(), PathMtus::default());
        one.report(3, 1300);
        let later = Instant::ZERO + PATH_MTU_TIME / 2;
        one.advance(later);
        other.advance(later);
        let (tunnel, mtu) = one.next_news().unwrap();
        other.learn(tunnel, mtu);
        // The other's packets are still on their way; who has told it hears nothing new.
        one.report(3, 1300);
        let then = Instant::ZERO + PATH_MTU_TIME;
        one.advance(then);
        other.advance(then);
        assert_eq!((one.of(3, 1476), other.of(3, 1476)), (1476, 1300));
        one.report(3, 1300);
        assert_eq!(one.next_news(), Some((3, 1300)), "it is told again");
    }

    #[test]
    fn a_report_for_which_there_is_no_room_among_the_news_is_news_the_next_time() {
        let mut mtus = PathMtus::default();
        let last = u16::try_from(BURST_LEN_MAX).unwrap();
        (0..=last).for_each(|tunnel| mtus.report(tunnel, 1300));
        assert_eq!(mtus.of(last, 1476), 1476);
        while mtus.next_news().is_some() {}
        mtus.report(last, 1300);
        assert_eq!((mtus.of(last, 1476), mtus.next_news()), (1300, Some((last, 1300))));
    }
}
