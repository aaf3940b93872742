//! The network between clients and servers: a router that spreads what comes to the address of all, and paths with
//! delays of their own.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

use super::dice::Dice;
use super::plan::{Path, Scenario};

/// From a client to the fleet, or back, with the spread between clients.
const CLIENT_DELAY: Duration = Duration::from_millis(5);
const CLIENT_SPREAD: usize = 35;

/// Any of `0..count`, always the same for the same thing.
pub(crate) fn spread(thing: &impl Hash, count: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    thing.hash(&mut hasher);
    usize::try_from(hasher.finish() % count as u64).unwrap()
}

/// Equal-cost paths as the simplest routers choose them: the flow's hash modulo the count of servers, so that
/// every change of the set moves nearly every flow.
#[derive(Debug, Default)]
pub(crate) struct Router {
    servers: Vec<u8>,
    changes: u64,
}

impl Router {
    pub(crate) fn announce(&mut self, server: u8) {
        self.servers.push(server);
        self.changes += 1;
    }

    pub(crate) fn withdraw(&mut self, server: u8) {
        self.servers.retain(|other| *other != server);
        self.changes += 1;
    }

    /// The server that gets this flow now.
    pub(crate) fn choose(&self, from: SocketAddr, to: SocketAddr) -> Option<u8> {
        let count = self.servers.len();
        (count > 0).then(|| self.servers[spread(&(from, to, self.changes), count)])
    }
}

/// How long a datagram takes between a client and any server.
pub(crate) fn client_delay(client: usize) -> Duration {
    CLIENT_DELAY + Duration::from_millis(spread(&client, CLIENT_SPREAD) as u64)
}

/// How long a packet takes between two servers; none when it is lost.
pub(crate) fn server_delay(
    scenario: &Scenario,
    ends: (u8, u8),
    dice: &mut Dice,
) -> Option<Duration> {
    let Path { loss, delay: (least, most), spread: late } = scenario.path;
    let range = usize::try_from(most.saturating_sub(least).as_millis()).unwrap() + 1;
    let own = spread(&(scenario.seed, ends.0.min(ends.1), ends.0.max(ends.1)), range);
    let late = dice.duration(Duration::ZERO, late);
    (!dice.permille(loss)).then(|| least + Duration::from_millis(own as u64) + late)
}
