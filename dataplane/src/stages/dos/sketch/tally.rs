//! The keeper's half: the sheets of all workers together, and who is heavy by them.
//!
//! Rows are sorted and counted, so the figures follow from the samples alone and no choice of addresses makes the work
//! longer. Every packet counts for one source, one destination and at most one pattern.

use std::ops::{AddAssign, Range};

use ipnet::IpNet;
use shm::message::Heavy;

use super::{Sample, Sheet, patterns};
use crate::limits::{HEAVIES_MAX, HEAVY_ROWS_MIN, ROUND_LEN_MIN, SAMPLES, TALLY_ROWS_MAX};
use crate::packet::Address;

/// Weights are packets per second in units of 2^-12: 4 billion packets of 65,535 octets a second still fit 64 bits, and so
/// does one packet in a minute.
const FRACTION_BITS: u32 = 12;

/// What something weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Packets per second.
    pub packets: u64,
    /// Octets per second.
    pub octets: u64,
    /// Of the packets, those that were dropped.
    pub dropped: u64,
}

/// Something that is heavy, and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hitter {
    /// What. Of a network it is what its members count for that are not told of by themselves.
    pub what: Heavy,
    /// What it weighs.
    pub rate: Rate,
    /// How many samples the rate comes from: its standard error is the rate divided by their root.
    pub samples: u32,
}

/// The heaviest of each kind, each list in order and at most [`HEAVIES_MAX`] long (of sources, for each length of prefix).
#[derive(Debug, Default)]
pub struct Heavies {
    /// [`Heavy::Source`].
    pub sources: Vec<Hitter>,
    /// [`Heavy::Destination`].
    pub destinations: Vec<Hitter>,
    /// [`Heavy::Pattern`].
    pub patterns: Vec<Hitter>,
}

impl Heavies {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Hitter> {
        self.sources.iter().chain(&self.destinations).chain(&self.patterns)
    }
}

/// A row of some worker's sheet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) sample: Sample,
    /// The rate that the row stands for: workers see more or less of the packets.
    pub(super) weight: u64,
    /// It counts for a source by now.
    pub(super) claimed: bool,
}

/// A sum over rows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    pub(super) samples: u32,
    pub(super) packets: u64,
    octets: u64,
    dropped: u64,
}

impl AddAssign<&Row> for Sum {
    fn add_assign(&mut self, row: &Row) {
        let octets = row.weight.saturating_mul(row.sample.len.into());
        let dropped = if row.sample.dropped { row.weight } else { 0 };
        self.samples = self.samples.saturating_add(1);
        self.packets = self.packets.saturating_add(row.weight);
        self.octets = self.octets.saturating_add(octets);
        self.dropped = self.dropped.saturating_add(dropped);
    }
}

impl Sum {
    pub(super) fn of<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Self {
        rows.into_iter().fold(Self::default(), |mut sum, row| {
            sum += row;
            sum
        })
    }

    pub(super) const fn is_heavy(&self) -> bool {
        self.samples >= HEAVY_ROWS_MIN
    }

    pub(super) const fn hitter(&self, what: Heavy) -> Hitter {
        let rate = Rate {
            packets: self.packets >> FRACTION_BITS,
            octets: self.octets >> FRACTION_BITS,
            dropped: self.dropped >> FRACTION_BITS,
        };
        Hitter { what, rate, samples: self.samples }
    }
}

/// Lengths of prefixes by which sources are summed up.
#[derive(Clone, Copy)]
struct Level {
    v4: Option<u8>,
    v6: u8,
}

/// Addresses, a site's network, a provider's assignment. An IPv4 site has one address.
const LEVELS: [Level; 3] =
    [Level { v4: Some(32), v6: 128 }, Level { v4: None, v6: 64 }, Level { v4: Some(24), v6: 48 }];

impl Level {
    /// The family of an address and the bits of the network that it is in; without such networks, of the address.
    fn masked(self, address: Address) -> (bool, u128) {
        let is_v4 = address.is_v4();
        let host_bits = if is_v4 { 32 - self.v4.unwrap_or(32) } else { 128 - self.v6 };
        (is_v4, address.bits() >> host_bits)
    }

    fn net(self, address: Address) -> Option<IpNet> {
        let len = if address.is_v4() { self.v4? } else { self.v6 };
        IpNet::new(address.into(), len).ok().map(|net| net.trunc())
    }
}

/// The network of these rows and what of it is not told of by its members, when that is heavy. A network of which one member
/// has all of that is none: that member was left out for being too light.
fn unclaimed(run: &[Row], level: Level, finer: Option<Level>) -> Option<(IpNet, Sum)> {
    let rows = || run.iter().filter(|row| !row.claimed);
    let sum = Sum::of(rows());
    let (first, last) = (rows().next()?.sample.source, rows().next_back()?.sample.source);
    let is_one = finer.is_some_and(|finer| finer.masked(first) == finer.masked(last));
    level.net(first).filter(|_| sum.is_heavy() && !is_one).map(|net| (net, sum))
}

/// The sheets of one round.
#[derive(Debug)]
pub struct Tally {
    rows: Vec<Row>,
    /// Of so many rows of a sheet one is taken.
    step: usize,
}

impl Tally {
    /// With room for so many full sheets, or for a part of each that makes [`TALLY_ROWS_MAX`] together: however many
    /// workers there are, the keeper has other things to do.
    pub fn new(sheets: usize) -> Self {
        let rows = sheets.max(1) * SAMPLES;
        let step = rows.div_ceil(TALLY_ROWS_MAX);
        Self { rows: Vec::with_capacity(rows / step), step }
    }

    /// Takes in what a worker has seen.
    pub fn add(&mut self, sheet: &Sheet) {
        let weight = weight(sheet, self.step);
        let samples = sheet.rows().iter().step_by(self.step).flatten();
        self.rows.extend(samples.map(|sample| Row { sample: *sample, weight, claimed: false }));
    }

    /// Who is heavy by the sheets of this round; then the next one begins.
    pub fn finish(&mut self) -> Heavies {
        let total = Sum::of(&self.rows);
        let sources = self.sources(&total);
        let (destinations, patterns) = self.destinations(&total);
        self.rows.clear();
        Heavies { sources, destinations, patterns }
    }

    fn sources(&mut self, total: &Sum) -> Vec<Hitter> {
        self.rows.sort_unstable_by_key(|row| row.sample.source.bits());
        let mut hitters = Vec::new();
        let mut finer = None;
        for level in LEVELS {
            let mut found: Vec<_> = runs(&self.rows, |row| level.masked(row.sample.source))
                .filter_map(|range| {
                    let (net, sum) = unclaimed(self.rows.get(range.clone())?, level, finer)?;
                    Some((range, net, sum))
                })
                .collect();
            keep_heaviest(&mut found, |(_, _, sum)| *sum, total);
            for (range, net, sum) in found {
                for row in self.rows.get_mut(range).unwrap_or_default() {
                    row.claimed = true;
                }
                hitters.push(sum.hitter(Heavy::Source(net)));
            }
            finer = Some(level);
        }
        hitters
    }

    fn destinations(&mut self, total: &Sum) -> (Vec<Hitter>, Vec<Hitter>) {
        let destination = |row: &Row| (row.sample.tenant, row.sample.destination.bits());
        self.rows.sort_unstable_by_key(|row| (destination(row), row.sample.protocol));
        let mut found: Vec<(Range<usize>, Sum)> = runs(&self.rows, destination)
            .map(|range| (range.clone(), Sum::of(self.rows.get(range).unwrap_or_default())))
            .filter(|(_, sum)| sum.is_heavy())
            .collect();
        keep_heaviest(&mut found, |(_, sum)| *sum, total);

        let (mut destinations, mut patterns) = (Vec::new(), Vec::new());
        for (range, sum) in found {
            let run = self.rows.get(range).unwrap_or_default();
            if let Some(Row { sample, .. }) = run.first() {
                let address = sample.destination.into();
                let what = Heavy::Destination { address, tenant: sample.tenant };
                destinations.push(sum.hitter(what));
            }
            for alike in run.chunk_by(|one, next| one.sample.protocol == next.sample.protocol) {
                patterns::find(alike, &mut patterns);
            }
        }
        keep_heaviest(&mut patterns, |(_, sum)| *sum, total);
        let patterns =
            patterns.into_iter().map(|(pattern, sum)| sum.hitter(Heavy::Pattern(pattern)));
        (destinations, patterns.collect())
    }
}

/// The rate that each row of a sheet stands for, when one of `step` is taken.
fn weight(sheet: &Sheet, step: usize) -> u64 {
    let rows = sheet.rows().len().div_ceil(step).max(1);
    let elapsed = sheet.elapsed().max(ROUND_LEN_MIN).as_nanos();
    let packets = u128::from(sheet.seen()) << FRACTION_BITS;
    let rate = packets * 1_000_000_000 / (elapsed * rows as u128);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// Ranges of neighbouring rows with the same key.
fn runs<'a, K: PartialEq>(
    rows: &'a [Row],
    key: impl Fn(&Row) -> K + 'a,
) -> impl Iterator<Item = Range<usize>> + 'a {
    rows.chunk_by(move |one, next| key(one) == key(next)).scan(0, |start, run| {
        let range = *start..*start + run.len();
        *start = range.end;
        Some(range)
    })
}

/// Sorts by the greater share, of all packets or of all octets, and cuts what is over.
pub(super) fn keep_heaviest<T>(found: &mut Vec<T>, sum: impl Fn(&T) -> Sum, total: &Sum) {
    let share = |part: u64, whole: u64| (u128::from(part) << 32) / u128::from(whole.max(1));
    found.sort_by_cached_key(|one| {
        let sum = sum(one);
        let greater = share(sum.packets, total.packets).max(share(sum.octets, total.octets));
        std::cmp::Reverse(greater)
    });
    found.truncate(HEAVIES_MAX);
}
