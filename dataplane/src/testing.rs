//! A whole server in memory: devices that are queues, a clock that stands still until it is told, packets of
//! every kind, and clients that speak WireGuard. For tests, benches and the packet generator.
//!
//! Nothing here is on the packet's way of a real server. What a test breaks stops it at once, so functions
//! of this module panic where the dataplane itself would count a drop.

pub mod client;
pub mod control;
pub mod fleet;
pub mod internet;
pub mod memory;
pub mod packets;
pub mod roll;
pub mod rules;
pub mod scene;
pub mod server;
pub mod site;
pub mod transit;
pub mod via;

use std::time::Duration;

use wireguard::time::Instant;

/// The Unix time at [`Instant::ZERO`] of every server and client here.
pub const UNIX: Duration = Duration::from_secs(1_700_000_000);

/// When servers here start; some time after zero, so that stamps have a past.
pub const START: Instant = Instant(1_000_000_000_000);

/// The Unix time at a moment of the virtual clock.
pub fn unix(now: Instant) -> Duration {
    UNIX + now.since(Instant::ZERO)
}
