//! Capacities and times of tunnels and of their health.

use std::time::Duration;

pub use shm::limits::TUNNELS_MAX;

/// Slots among which a tenant's flows are spread and its tunnels share: one is less than half a percent of the flows.
pub const CHOICES: usize = 256;

/// The shortest and the longest wait for the answer to a probe, which is three times the tunnel's round trip between them.
/// The longest is more than a satellite's way there and back, and leaves time within three seconds for an interval of one
/// second to pass before and for two retries after.
pub const PROBE_WAIT_MIN: Duration = Duration::from_millis(500);
/// See there.
pub const PROBE_WAIT_MAX: Duration = Duration::from_millis(800);

/// Time between probes after one was lost, until one is answered or the tunnel is down: so long that one short burst of
/// loss on the way takes one probe and not three.
pub const PROBE_RETRY: Duration = Duration::from_millis(250);

/// A round trip longer than this is not believed: the stamp is of another time.
pub const PROBE_AGE_MAX: Duration = Duration::from_secs(10);

/// Probes of one tunnel that wait for answers at most: those of the shortest interval within the longest wait, and room.
pub const PROBES_WAITING_MAX: usize = 16;

/// The last probes of a tunnel whose answers are told apart; more than may wait.
pub const PROBES_REMEMBERED: u32 = 32;

const _: () = assert!(PROBES_WAITING_MAX < PROBES_REMEMBERED as usize);

/// Tunnels that the keeper looks at in one turn, each with one probe at most: a small part of a worker's inbox, and two looks
/// at each of 8192 tunnels in 256 turns.
pub const PROBES_PER_TURN: usize = 64;

/// Probes lost in a row after which a tunnel is down. Where one in a thousand is lost by chance, three in a row are one in
/// a thousand million.
pub const LOST_DOWN: u32 = 3;

/// Probes answered in a row after which it is no longer down but degraded: better than nothing, no more.
pub const GOOD_DEGRADED: u32 = 3;

/// Probes answered in a row that it takes from degraded to up.
pub const GOOD_UP: u32 = 30;
/// The time that they must span at least, after the first departure from up. It doubles with each further one.
pub const CALM_TIME: Duration = Duration::from_secs(10);
/// Departures that are counted. After the last one it takes 640 seconds without a loss, which of one percent's loss there
/// hardly ever are.
pub const DEPARTURES_MAX: u32 = 7;
/// How long a tunnel must be up for one departure to be forgiven.
pub const FORGIVE_TIME: Duration = Duration::from_mins(10);

/// Over which time the loss of a tunnel that is up is taken.
pub const LOSS_TIME: Duration = Duration::from_mins(5);
/// Parts of it that are counted by themselves; the oldest is dropped whole.
pub const LOSS_PARTS: usize = 10;
/// Losses within it that make a tunnel degraded. Two would befall one that loses one probe in 2000, which is healthy, every
/// four hours; three every other day.
pub const LOSSES_DEGRADED: u32 = 3;
/// And they must be one probe in so many: at ten a second chance brings three of them in five minutes soon.
pub const LOSS_SHARE: u32 = 400;

/// How often control is told how a tunnel stands that has not changed.
pub const TUNNEL_TOLD_INTERVAL: Duration = Duration::from_secs(1);
