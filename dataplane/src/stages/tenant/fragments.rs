//! Virtual reassembly: the fragments of a datagram wait until all of them are there, so that rules can judge it by the ports
//! that only the first one has. No octets are joined; who waits is written down here, the packets are in the worker's
//! [`Held`](crate::held::Held).

mod lists;
mod piece;
mod ranges;

pub use piece::{First, Name, Piece, Upper};

use std::collections::VecDeque;

use wire::ipv6;
use wireguard::time::Instant;

use crate::fate::DropReason;
use crate::limits::{
    BURST_LEN_MAX, FRAGMENTS_DATAGRAMS, FRAGMENTS_FINISHED_TIME, FRAGMENTS_HELD_MAX,
    FRAGMENTS_PIECES_MAX, FRAGMENTS_TENANT_SHARE, FRAGMENTS_TIME, TIMERS_PER_TURN,
};
use crate::packet::Address;
use crate::table::Table;

use lists::{List, Lists};
use ranges::{Added, Ranges};

/// Octets of a datagram at most: of IPv4 all, of IPv6 those behind the fixed header.
const LEN_MAX: usize = 65_535;

/// The pieces of a datagram are released in one burst.
const _: () = assert!(FRAGMENTS_PIECES_MAX <= BURST_LEN_MAX);

/// A datagram that is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Where it comes from.
    pub source: Address,
    /// Where it goes.
    pub destination: Address,
    /// The tenant that its first piece was taken for.
    pub tenant: u16,
    /// What its upper header says.
    pub upper: Upper,
    /// DSCP and ECN of its first fragment.
    pub tos: u8,
    /// Octets from the IP header on; 65,535 also for the few more that IPv6 can have.
    pub len: u16,
    /// How many packets wait under its id.
    pub pieces: u16,
}

/// What becomes of a datagram, and so of all its pieces: it can be judged, or is lost for this reason.
pub type End = Result<Datagram, DropReason>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Pieces are missing.
    Open,
    /// All are there, and nobody was told.
    Complete,
    /// It will never be complete; what still comes of it is lost for the same reason.
    Spoiled(DropReason),
    /// It has gone on.
    Finished,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    name: Name,
    /// The row's number, with a count of the datagrams that had it before.
    id: u32,
    tenant: u16,
    state: State,
    until: Instant,
    first: Option<First>,
    ranges: Ranges,
    /// Pieces that wait.
    held: u16,
}

/// What one tenant has of the room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    datagrams: u16,
    pieces: u16,
}

/// The datagrams of one worker that are not complete. Its memory is taken once; a flood fills it and then finds no room, but
/// pushes nothing out.
#[derive(Debug)]
pub struct Fragments {
    index: Table<Name, u16>,
    rows: Box<[Row]>,
    lists: Lists,
    shares: Table<u32, Share>,
    /// Pieces that wait, of all datagrams.
    held: u16,
    /// Rows that were completed or spoiled, and of which the worker has not heard yet.
    ended: VecDeque<u16>,
}

impl Fragments {
    /// No datagrams; the seed is a secret.
    pub fn new(seed: u64) -> Self {
        let name = Name {
            source: Address::UNSPECIFIED,
            destination: Address::UNSPECIFIED,
            identification: 0,
            protocol: 0,
        };
        let row = |number: u16| Row {
            name,
            id: number.into(),
            tenant: 0,
            state: State::Finished,
            until: Instant::ZERO,
            first: None,
            ranges: Ranges::NONE,
            held: 0,
        };
        Self {
            index: Table::new(FRAGMENTS_DATAGRAMS.into(), seed),
            rows: (0..FRAGMENTS_DATAGRAMS).map(row).collect(),
            lists: Lists::new(FRAGMENTS_DATAGRAMS),
            shares: Table::new(FRAGMENTS_DATAGRAMS.into(), seed),
            held: 0,
            ended: VecDeque::with_capacity(FRAGMENTS_DATAGRAMS.into()),
        }
    }

    /// Takes a piece for a tenant and gives the id under which its packet has to wait, whether it is the last one or not: what
    /// becomes of it is told by [`next_ended`](Self::next_ended).
    ///
    /// # Errors
    /// Why the packet is lost instead; if others wait, they are told of in the same way.
    pub fn take(&mut self, piece: &Piece, tenant: u16, now: Instant) -> Result<u32, DropReason> {
        let row = match self.index.get(piece.name) {
            Some(row) if !self.is_over(row, now) => row,
            Some(row) => {
                self.free(row);
                self.begin(piece.name, tenant, now)?
            }
            None => self.begin(piece.name, tenant, now)?,
        };
        self.join(row, piece, now)
    }

    /// What has become of a datagram, under whose id nothing is to wait from now on. To be asked after each burst, when what shall
    /// wait does, until it gives none; a call looks at few rows.
    pub fn next_ended(&mut self, now: Instant) -> Option<(u32, End)> {
        if let Some(row) = self.ended.pop_front() {
            return self.tell(row, now);
        }
        for _ in 0..TIMERS_PER_TURN {
            let row = self.next_over(now)?;
            let (id, state) = self.rows.get(usize::from(row)).map(|row| (row.id, row.state))?;
            self.free(row);
            if state == State::Open {
                return Some((id, Err(DropReason::TenantFragmentLost)));
            }
        }
        None
    }

    /// How many pieces wait.
    pub const fn held(&self) -> u16 {
        self.held
    }

    /// Whether a row is one of a datagram that has gone on so long ago that the next one may have its name.
    fn is_over(&self, row: u16, now: Instant) -> bool {
        let row = self.rows.get(usize::from(row));
        row.is_some_and(|row| row.state == State::Finished && row.until <= now)
    }

    /// A row whose time is over.
    fn next_over(&self, now: Instant) -> Option<u16> {
        [List::Finished, List::Open].into_iter().find_map(|list| {
            let first = self.lists.first(list)?;
            self.rows.get(usize::from(first)).filter(|row| row.until <= now).map(|_| first)
        })
    }

    /// Begins a datagram. Nothing waits for those that have gone on, so that the oldest of them makes room.
    fn begin(&mut self, name: Name, tenant: u16, now: Instant) -> Result<u16, DropReason> {
        let full = DropReason::TenantFragmentsFull;
        let share = self.shares.get(tenant.into()).unwrap_or_default();
        if share.datagrams >= FRAGMENTS_DATAGRAMS / FRAGMENTS_TENANT_SHARE {
            return Err(full);
        }
        if self.lists.first(List::Free).is_none()
            && let Some(oldest) = self.lists.first(List::Finished)
        {
            self.free(oldest);
        }
        let number = self.lists.first(List::Free).ok_or(full)?;
        let row = self.rows.get_mut(usize::from(number)).ok_or(full)?;
        self.index.insert(name, number).map_err(|_| full)?;
        (row.name, row.tenant, row.state, row.first) = (name, tenant, State::Open, None);
        // The capacity divides 2^32, so that ids stay apart when the count begins anew.
        row.id = row.id.wrapping_add(FRAGMENTS_DATAGRAMS.into());
        (row.until, row.ranges) = (now + FRAGMENTS_TIME, Ranges::NONE);
        self.lists.append(List::Open, number);
        self.account(tenant, |share| share.datagrams += 1);
        Ok(number)
    }

    fn join(&mut self, number: u16, piece: &Piece, now: Instant) -> Result<u32, DropReason> {
        let lost = DropReason::TenantFragment;
        let row = self.rows.get_mut(usize::from(number)).ok_or(lost)?;
        match row.state {
            State::Open if row.until <= now => return Err(DropReason::TenantFragmentLost),
            State::Open => (),
            State::Complete | State::Finished => return Err(lost),
            State::Spoiled(reason) => return Err(reason),
        }
        let (id, tenant) = (row.id, row.tenant);
        match row.add(piece) {
            Added::New if row.is_too_long() => return Err(self.spoil(number, lost)),
            Added::New => (),
            Added::Twice => return Err(lost),
            Added::Impossible => return Err(self.spoil(number, lost)),
        }
        if !self.has_room(tenant) {
            return Err(self.spoil(number, DropReason::TenantFragmentsFull));
        }
        self.held += 1;
        self.account(tenant, |share| share.pieces += 1);
        let row = self.rows.get_mut(usize::from(number)).ok_or(lost)?;
        row.held += 1;
        if row.ranges.complete().is_some() {
            row.state = State::Complete;
            self.ended.push_back(number);
        }
        Ok(id)
    }

    fn has_room(&self, tenant: u16) -> bool {
        let share = self.shares.get(tenant.into()).unwrap_or_default();
        self.held < FRAGMENTS_HELD_MAX && share.pieces < FRAGMENTS_HELD_MAX / FRAGMENTS_TENANT_SHARE
    }

    /// Gives a datagram up. Its row stays until its time is over, so that what still comes of it does not wait.
    fn spoil(&mut self, number: u16, reason: DropReason) -> DropReason {
        if let Some(row) = self.rows.get_mut(usize::from(number)) {
            row.state = State::Spoiled(reason);
            self.ended.push_back(number);
        }
        reason
    }

    /// Tells the end of a datagram, for which nothing waits from now on.
    fn tell(&mut self, number: u16, now: Instant) -> Option<(u32, End)> {
        let row = self.rows.get_mut(usize::from(number))?;
        let (id, end) = (row.id, row.end()?);
        if end.is_ok() {
            (row.state, row.until) = (State::Finished, now + FRAGMENTS_FINISHED_TIME);
            let tenant = row.tenant;
            self.lists.append(List::Finished, number);
            self.account(tenant, |share| share.datagrams -= 1);
        }
        self.let_go(number);
        Some((id, end))
    }

    /// Gives back the room of a datagram's pieces.
    fn let_go(&mut self, number: u16) {
        let Some(row) = self.rows.get_mut(usize::from(number)) else { return };
        let (tenant, pieces) = (row.tenant, std::mem::take(&mut row.held));
        if pieces > 0 {
            self.held -= pieces;
            self.account(tenant, |share| share.pieces -= pieces);
        }
    }

    fn free(&mut self, number: u16) {
        self.let_go(number);
        let Some(row) = self.rows.get_mut(usize::from(number)) else { return };
        let (name, tenant) = (row.name, row.tenant);
        if std::mem::replace(&mut row.state, State::Finished) != State::Finished {
            self.account(tenant, |share| share.datagrams -= 1);
        }
        self.index.remove(name);
        self.lists.append(List::Free, number);
    }

    fn account(&mut self, tenant: u16, change: impl FnOnce(&mut Share)) {
        let mut share = self.shares.get(tenant.into()).unwrap_or_default();
        change(&mut share);
        if share == Share::default() {
            self.shares.remove(tenant.into());
        } else {
            // Who has a share has a datagram, and there is room for as many.
            let _ = self.shares.insert(tenant.into(), share);
        }
    }
}

impl Row {
    fn add(&mut self, piece: &Piece) -> Added {
        if piece.offset == 0 {
            let Some(first) = piece.first else { return Added::Impossible };
            let known = self.first.get_or_insert(first);
            if known.upper != first.upper {
                return Added::Impossible;
            }
        }
        self.ranges.add(piece.offset, piece.len, piece.more)
    }

    /// Octets of the datagram, when all are there.
    fn len(&self) -> Option<usize> {
        let header_len = usize::from(self.first?.header_len);
        self.ranges.complete().map(|len| header_len + usize::from(len))
    }

    fn is_too_long(&self) -> bool {
        let apart = if self.name.destination.is_v4() { 0 } else { ipv6::HEADER_LEN };
        self.len().is_some_and(|len| len > LEN_MAX + apart)
    }

    fn end(&self) -> Option<End> {
        match self.state {
            State::Open | State::Finished => None,
            State::Spoiled(reason) => Some(Err(reason)),
            State::Complete => {
                let (first, len) = self.first.zip(self.len())?;
                Some(Ok(Datagram {
                    source: self.name.source,
                    destination: self.name.destination,
                    tenant: self.tenant,
                    upper: first.upper,
                    tos: first.tos,
                    len: u16::try_from(len).unwrap_or(u16::MAX),
                    pieces: self.held,
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests;
