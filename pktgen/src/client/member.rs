//! One client's moving part.

use wireguard::time::Instant;
use wireguard::wheel::Wheel;

/// Words of a client's replay window: 1024 packets, so that a hundred thousand clients fit into memory.
const WINDOW_WORDS: usize = 16;

/// A client's protocol machine.
pub(super) type Tunnel = wireguard::tunnel::Tunnel<WINDOW_WORDS>;

/// One client. Its keys cost a curve operation, so it gets its tunnel when it calls for the first time.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) tunnel: Option<Box<Tunnel>>,
    /// When the wheel will fire for it.
    pub(super) wake: Instant,
}

impl Default for Member {
    fn default() -> Self {
        Self { tunnel: None, wake: Instant::NEVER }
    }
}

impl Member {
    /// Sees to it that the wheel fires by the tunnel's deadline. A deadline that has moved away is left: firing
    /// early costs less than moving with every packet.
    pub(super) fn rearm(&mut self, number: u32, wheel: &mut Wheel) {
        let deadline = self.tunnel.as_deref().and_then(Tunnel::deadline);
        if let Some(deadline) = deadline.filter(|&deadline| deadline < self.wake) {
            wheel.schedule(number, deadline);
            self.wake = deadline;
        }
    }
}
