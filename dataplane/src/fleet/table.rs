//! The owner table: which server takes new clients of each row. Weighted rendezvous hashing, so that a change of
//! membership moves little, with a bound on each server's rows, so that none has more than its share.
//!
//! Rows and servers choose each other by deferred acceptance (Gale and Shapley, 1962): each row asks servers in order of
//! its preference, and a server with more rows than it may have turns away those that it scores worst, which ask on. Who
//! asks first makes no difference to who ends where. Everything is integer arithmetic, so every machine builds the same.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt;

use siphasher::sip::SipHasher13;
use wireguard::message::ClientId;

use super::logarithm::minus_log2;
use super::sip::Sip;

/// Rows of a table.
pub const ROWS: usize = 65_537;

/// The row of a client id. Who has not the key cannot choose ids for a row.
#[inline]
pub fn row(key: [u8; 16], ClientId([a, b, c]): ClientId) -> usize {
    let hash = <Sip>::new(key).hash(u32::from_le_bytes([a, b, c, 0]).into(), 3);
    // The hash as a fraction of one, times the rows.
    #[expect(clippy::cast_possible_truncation, reason = "the product's top half is below ROWS")]
    let row = ((u128::from(hash) * ROWS as u128) >> 64) as usize;
    row
}

/// The owner of each row.
#[derive(Clone, PartialEq, Eq)]
pub struct Table {
    rows: Box<[u8]>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("digest", &self.digest()).finish()
    }
}

impl Table {
    /// The table of the servers with these weights, in any order; `None` when none has any weight. A server that is listed
    /// twice has both weights.
    pub fn build(key: [u8; 16], weights: &[(u8, u16)]) -> Option<Self> {
        let mut servers = servers(weights)?;
        let scores = Scores(Sip::new(key));
        for row in 0..ROWS_U32 {
            scores.settle(row, &mut servers);
        }
        let mut rows = vec![0; ROWS].into_boxed_slice();
        for server in &servers {
            for bid in &server.rows {
                if let Some(place) = rows.get_mut(bid.row as usize) {
                    *place = server.number;
                }
            }
        }
        Some(Self { rows })
    }

    /// The owner of a row that [`row`] gives.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "no row is beyond ROWS")]
    pub fn owner(&self, row: usize) -> u8 {
        self.rows[row]
    }

    /// The owners of all rows.
    pub fn rows(&self) -> &[u8] {
        &self.rows
    }

    /// A number that two tables share when they have the same owners, on whatever machine.
    pub fn digest(&self) -> u64 {
        SipHasher13::new().hash(&self.rows)
    }
}

const ROWS_U32: u32 = 65_537;
const _: () = assert!(ROWS_U32 as usize == ROWS);

/// A server while rows and servers choose.
struct Server {
    number: u8,
    weight: u64,
    /// The most rows that it may have.
    capacity: usize,
    /// Those that it has, the worst on top.
    rows: BinaryHeap<Bid>,
}

/// A row's score for a server, the less the better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Bid {
    distance: u64,
    row: u32,
}

impl Server {
    /// Takes a row and gives back the one that has no room any more, if any.
    fn take(&mut self, bid: Bid) -> Option<Bid> {
        self.rows.push(bid);
        if self.rows.len() > self.capacity { self.rows.pop() } else { None }
    }
}

/// The largest weight.
const WEIGHT_MAX: u64 = 0xffff;
/// A server may have one row more for so many that are its share, and may always fill a row of which it has a share. Less
/// makes servers more alike and moves more rows with each change.
const SLACK: u64 = 100;

/// Those with weight, in the order of their numbers, with no rows yet.
fn servers(weights: &[(u8, u16)]) -> Option<Vec<Server>> {
    let mut by_number = [0_u64; 256];
    for (number, weight) in weights {
        if let Some(sum) = by_number.get_mut(usize::from(*number)) {
            *sum = (*sum + u64::from(*weight)).min(WEIGHT_MAX);
        }
    }
    let total: u64 = by_number.iter().sum();
    if total == 0 {
        return None;
    }
    let server = |(number, weight): (u8, u64)| {
        let share = ROWS as u64 * weight;
        let capacity = (share * (SLACK + 1) / (total * SLACK)).max(share.div_ceil(total));
        let capacity = usize::try_from(capacity).unwrap_or(ROWS);
        Server { number, weight, capacity, rows: BinaryHeap::with_capacity(capacity + 1) }
    };
    let weighted = (0..=u8::MAX).zip(by_number).filter(|(_, weight)| *weight > 0);
    Some(weighted.map(server).collect())
}

/// What rows and servers think of each other.
struct Scores(Sip);

/// A server as a row sees it.
#[derive(Clone, Copy)]
struct Choice {
    /// Its place in the list of servers.
    place: usize,
    distance: u64,
    weight: u64,
}

impl Choice {
    /// The nearer by distance over weight, then the one with the lower number, comes first. Multiplied out, nothing is
    /// rounded; distances have less than 47 bits and weights 16.
    #[inline]
    fn order(&self, other: &Self) -> Ordering {
        let (one, two) = (self.distance * other.weight, other.distance * self.weight);
        one.cmp(&two).then(self.place.cmp(&other.place))
    }
}

impl Scores {
    /// Finds a server for a row, and for whatever row loses its place thereby, and so on.
    fn settle(&self, mut row: u32, servers: &mut [Server]) {
        let mut turned_away = None;
        while let Some(choice) = self.best(row, servers, turned_away.as_ref()) {
            let Some(server) = servers.get_mut(choice.place) else { return };
            let Some(out) = server.take(Bid { distance: choice.distance, row }) else { return };
            row = out.row;
            turned_away = Some(Choice { distance: out.distance, ..choice });
        }
    }

    /// What a row likes best of all that come after the server that has turned it away.
    fn best(&self, row: u32, servers: &[Server], after: Option<&Choice>) -> Option<Choice> {
        let choice = |(place, server): (usize, &Server)| Choice {
            place,
            distance: self.distance(row, server.number),
            weight: server.weight,
        };
        let choices = servers.iter().enumerate().map(choice);
        let later = |choice: &Choice| after.is_none_or(|after| choice.order(after).is_gt());
        choices.filter(later).min_by(Choice::order)
    }

    /// How far a row is from a server of weight one: exponentially distributed, which makes the chance of each server to be
    /// the nearest proportional to its weight.
    #[inline]
    fn distance(&self, row: u32, server: u8) -> u64 {
        minus_log2(self.0.hash(u64::from(row) | u64::from(server) << 32, 5))
    }
}

#[cfg(test)]
mod tests;
