//! How often somebody has asked for the end: once ends the traffic, twice also the wait for what is on its way.

use std::sync::atomic::{AtomicU32, Ordering};

/// Counts the requests. They may come at any moment, so nothing ever takes one back.
#[derive(Debug, Default)]
pub struct Stop(AtomicU32);

impl Stop {
    /// Nobody has asked.
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Asks for the end.
    pub fn ask(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether somebody has asked.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Whether somebody has asked more than once.
    pub fn is_urged(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_request_is_told_from_the_first_whenever_it_comes() {
        let stop = Stop::new();
        assert!(!stop.is_asked() && !stop.is_urged());
        stop.ask();
        assert!(stop.is_asked() && !stop.is_urged());
        stop.ask();
        assert!(stop.is_asked() && stop.is_urged());
    }
}
