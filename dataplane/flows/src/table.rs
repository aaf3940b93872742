//! The table: lines of flows, the indices that lead to them, and the look-up of a burst.

use core::fmt;
use core::net::IpAddr;
use core::ops::RangeInclusive;

use crate::clients::Clients;
use crate::config::{Config, Limits, Spans, Wrong};
use crate::fragments::Fragments;
use crate::hash::Words;
use crate::index::Index;
use crate::line::{Cold, End, Line, NONE, USED, V6, addresses_at};
use crate::ports::Ports;
use crate::prefetch::{prefetch, touch};
use crate::query::{Kind, Outline, Query, Realm, hash};
use crate::refusal::Refusal;
use crate::time::Instant;

/// A flow's number. It is good until the flow ends, and then another's: who keeps it longer than for a burst has to know the flow
/// by its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowId(pub(crate) u32);

impl FlowId {
    /// The number, below the table's capacity.
    #[inline]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// The flows of one worker.
pub struct Flows {
    pub(crate) lines: Box<[Line]>,
    pub(crate) cold: Box<[Cold]>,
    /// Two entries for each flow: its number and side.
    pub(crate) ends: Index,
    /// The first flow of each mapping, by the client's address and port.
    pub(crate) mappings: Index,
    pub(crate) clients: Clients,
    pub(crate) ports: Ports,
    pub(crate) fragments: Fragments,
    pub(crate) words: Words,
    pub(crate) spans: Spans,
    pub(crate) limits: Limits,
    /// The first of the lines that were used and are not.
    pub(crate) unused: u32,
    /// Lines from here on were never used.
    pub(crate) fresh: u32,
    /// Lines in use.
    pub(crate) count: u32,
    /// The identifications that are this worker's at its egress addresses, and which one is next.
    pub(crate) identifications: RangeInclusive<u16>,
    pub(crate) identification: u16,
    /// The line that is swept next, and since when lines are owed.
    pub(crate) swept: u32,
    pub(crate) swept_at: Option<Instant>,
}

impl fmt::Debug for Flows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = f.debug_struct("Flows");
        table.field("capacity", &self.lines.len()).field("count", &self.count);
        table.finish_non_exhaustive()
    }
}

/// Of an entry: that packets need the cold line, too, so that it is fetched with the other one.
pub(crate) const WIDE: u32 = 1 << 1;

/// An entry of the index of ends, of a flow that needs one line.
#[inline]
pub(crate) const fn entry_of(slot: u32, end: End) -> u32 {
    slot << 2 | end as u32
}

#[inline]
pub(crate) const fn split(entry: u32) -> (u32, End) {
    (entry >> 2, if entry & 1 == 0 { End::Near } else { End::Far })
}

/// So many times the same, each touched: no packet waits until there is memory.
pub(crate) fn filled<T: Copy>(count: usize, value: T) -> Box<[T]> {
    let mut table = Vec::with_capacity(count);
    table.resize(count, value);
    table.into_boxed_slice()
}

/// Lines of so many flows are near enough for a burst to wait until all of its own are there, which takes less than to meet each on
/// its way: with 10,000 to 100,000 a tenth to a sixth of a whole turn. With more they arrive while other packets are worked on.
const NEAR_MAX: u32 = 1 << 17;

impl Flows {
    /// A table, with all memory that it will ever need.
    pub fn new(config: &Config<'_>) -> Result<Self, Wrong> {
        config.check()?;
        let count = config.flows as usize;
        Ok(Self {
            lines: filled(count, Line::UNUSED),
            cold: filled(count, Cold::UNUSED),
            ends: Index::new(count * 2),
            mappings: Index::new(count),
            clients: Clients::new(config.clients),
            ports: Ports::new(config.addresses, &config.ports),
            fragments: Fragments::new(config.fragments),
            words: Words::new(config.seed),
            spans: Spans::from(&config.timeouts),
            limits: config.limits,
            unused: NONE,
            fresh: 0,
            count: 0,
            identifications: config.ports.clone(),
            identification: *config.ports.start(),
            swept: 0,
            swept_at: None,
        })
    }

    /// Adds egress addresses that no client is given: ports at them are had by [`Flows::lease_at`].
    pub fn reserve(&mut self, addresses: &[IpAddr]) {
        for address in addresses {
            self.ports.reserve(*address);
        }
    }

    /// Flows in the table, also those that are over and not swept yet.
    pub const fn len(&self) -> u32 {
        self.count
    }

    /// Whether there is no flow.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Octets of memory.
    pub fn octets(&self) -> usize {
        size_of_val(&*self.lines)
            + size_of_val(&*self.cold)
            + self.ends.octets()
            + self.mappings.octets()
            + self.clients.octets()
            + self.ports.octets()
            + self.fragments.octets()
    }

    /// Reads what a packet asks for into a query, whatever that was before, and begins to fetch its place in the index, so
    /// that waiting for it overlaps with the reading of other packets; `octets` begin at its IP header, which was checked.
    /// After an error the query means nothing.
    ///
    /// Errors: `Truncated`, `Protocol`, `Icmp`; of ICMP errors also `ErrorUnmatched` and `ErrorChecksum`.
    #[inline]
    pub fn ask(
        &self,
        query: &mut Query,
        octets: &[u8],
        outline: Outline,
        realm: Realm,
    ) -> Result<(), Refusal> {
        query.read(&self.words, octets, outline, realm)?;
        if query.kind == Kind::Later {
            self.fragments.ahead(query.hash);
        } else {
            self.ends.ahead(query.hash);
        }
        Ok(())
    }

    /// Fetches what a burst of queries needs: the lines of the flows that are most likely the right ones. Without this the
    /// answers are the same and come later.
    #[inline]
    pub fn find(&self, queries: &mut [Query]) {
        for query in queries.iter_mut().filter(|query| query.kind != Kind::Later) {
            let Some(entry) = self.ends.first(query.hash) else { continue };
            query.likely = entry;
            let slot = (entry >> 2) as usize;
            self.lines.get(slot).into_iter().for_each(prefetch);
            if entry & WIDE != 0 {
                self.cold.get(slot).into_iter().for_each(prefetch);
            }
        }
        if self.len() > NEAR_MAX {
            return;
        }
        for query in queries.iter().filter(|query| query.likely != NONE) {
            self.lines.get((query.likely >> 2) as usize).into_iter().for_each(touch);
        }
    }

    /// Whether an entry has the query's key.
    #[inline]
    pub(crate) fn is(&self, entry: u32, query: &Query) -> bool {
        let (slot, end) = split(entry);
        let Some(line) = self.lines.get(slot as usize) else { return false };
        if query.v6 {
            let cold = self.cold.get(slot as usize);
            return line.has(V6)
                && line.is_of(end, query)
                && cold.is_some_and(|cold| addresses_at(line, cold, end) == query.addresses);
        }
        let [a, b, c, d] = line.addresses;
        let [[source, ..], [destination, ..]] = query.addresses;
        !line.has(V6) && line.is_of(end, query) && end.of([[a, b], [c, d]]) == [source, destination]
    }

    /// Whether packets that come in by an entry have the query's addresses, if not its ports.
    pub(crate) fn has_addresses(&self, entry: u32, query: &Query) -> bool {
        let (slot, end) = split(entry);
        let parts = self.lines.get(slot as usize).zip(self.cold.get(slot as usize));
        parts.is_some_and(|(line, cold)| {
            line.has(USED)
                && line.has(V6) == query.v6
                && line.realm_at(end) == query.realm
                && line.protocol == query.protocol
                && addresses_at(line, cold, end) == query.addresses
        })
    }

    /// The entry of a query's flow.
    #[inline]
    pub(crate) fn entry(&self, query: &Query) -> Option<u32> {
        if query.likely != NONE && self.is(query.likely, query) {
            return Some(query.likely);
        }
        self.search(query)
    }

    /// The same of a query that was not looked up with its burst, or met another's tag.
    #[cold]
    fn search(&self, query: &Query) -> Option<u32> {
        self.ends.find(query.hash, |entry| self.is(entry, query))
    }

    /// The entry of a side of a flow.
    pub(crate) fn own_entry(&self, slot: u32, end: End) -> u32 {
        let line = self.lines.get(slot as usize);
        let is_wide = line.is_some_and(Line::is_wide);
        entry_of(slot, end) | if is_wide { WIDE } else { 0 }
    }

    /// The key and hash of a side of a flow.
    pub(crate) fn key_hash(&self, slot: u32, end: End) -> u64 {
        let parts = self.lines.get(slot as usize).zip(self.cold.get(slot as usize));
        let Some((line, cold)) = parts else { return 0 };
        let addresses = addresses_at(line, cold, end);
        let about = (line.realm_at(end), line.protocol, line.has(V6));
        hash(&self.words, &addresses, line.ports_at(end), about)
    }

    /// The hash by which the mapping of a flow is found: its client's address and port.
    pub(crate) fn mapping_hash(&self, line: &Line) -> u64 {
        let [source, ..] = line.addresses;
        let [port, ..] = line.ports;
        self.mapping_key_hash((line.client, line.protocol), [source, 0, 0, 0], port)
    }

    pub(crate) fn mapping_key_hash(
        &self,
        (client, protocol): (u32, u8),
        source: [u32; 4],
        port: u16,
    ) -> u64 {
        hash(&self.words, &[source, [0; 4]], [port, 0], (client, protocol, false))
    }
}
