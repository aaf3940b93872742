//! Mappings that leave elsewhere: a client's address and port keeps its exit, whatever it sends to and wherever routes lead
//! meanwhile, for what others know it by is known there alone (RFC 4787 REQ-1).

use std::time::Duration;

use flows::Query;
use wire::tcp::Flags;
use wire::{tcp, udp};
use wireguard::time::Instant;

use crate::limits::PINS_PER_TURN;
use crate::packet::Address;
use crate::table::{self, Table};

/// A client's address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    address: Address,
    handle: u32,
    port: u16,
    protocol: u8,
}

impl Key {
    /// That of a packet of a client's, or to one.
    pub fn of(handle: u32, query: &Query) -> Self {
        let (address, port) = query.client_end();
        Self { address: address.into(), handle, port, protocol: query.protocol() }
    }

    /// The client's handle.
    pub const fn handle(&self) -> u32 {
        self.handle
    }
}

impl table::Key for Key {
    fn hash(self, seed: u64) -> u64 {
        let about = u64::from(self.handle) << 24 | u64::from(self.port) << 8;
        (about | u64::from(self.protocol)).hash(self.address.bits().hash(seed))
    }
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Pin {
    /// Whose.
    pub key: Key,
    /// The machine that it leaves by.
    pub exit: Address,
    /// Until when, if its client sends nothing more.
    pub until: Instant,
}

/// Those of one worker's clients.
#[derive(Debug)]
pub struct Pins {
    rows: Box<[Option<Pin>]>,
    free: Vec<u32>,
    /// Rows from here on were never used.
    fresh: u32,
    swept: u32,
    by_key: Table<Key, u32>,
}

/// All of them are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// How long a mapping lives after its client's last packet: as its exit's (RFC 4787 REQ-5, RFC 5508 REQ-2, RFC 5382 REQ-5).
pub fn span(protocol: u8, segment: &[u8]) -> Duration {
    match protocol {
        udp::PROTOCOL => Duration::from_mins(5),
        tcp::PROTOCOL => {
            let flags = Flags(segment.get(13).copied().unwrap_or_default());
            let is_lasting =
                !(flags.has(Flags::SYN) || flags.has(Flags::FIN) || flags.has(Flags::RST));
            if is_lasting { Duration::from_mins(124) } else { Duration::from_mins(4) }
        }
        _ => Duration::from_mins(1),
    }
}

impl Pins {
    /// Room for so many.
    pub fn new(count: u32, seed: u64) -> Self {
        Self {
            rows: vec![None; count as usize].into_boxed_slice(),
            free: (0..count).rev().collect(),
            fresh: 0,
            swept: 0,
            by_key: Table::new(count as usize, seed),
        }
    }

    /// How many there are, also those that are over and not swept yet.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// A mapping that lives.
    pub fn find(&self, key: Key, now: Instant) -> Option<&Pin> {
        let row = self.by_key.get(key)?;
        self.rows.get(row as usize)?.as_ref().filter(|pin| pin.until > now)
    }

    /// The same, to have it live on when its client has sent something.
    pub fn find_mut(&mut self, key: Key, now: Instant) -> Option<&mut Pin> {
        let row = self.by_key.get(key)?;
        self.rows.get_mut(row as usize)?.as_mut().filter(|pin| pin.until > now)
    }

    /// Puts a mapping in, in the place of one that was the same client's address and port; says whether there was none.
    pub fn put(&mut self, pin: Pin) -> Result<bool, Full> {
        let before = self.by_key.get(pin.key);
        let row = match before {
            Some(row) => row,
            None => self.free.pop().ok_or(Full)?,
        };
        self.fresh = self.fresh.max(row + 1);
        if let Some(place) = self.rows.get_mut(row as usize) {
            *place = Some(pin);
        }
        // There is room for as many as there are rows.
        self.by_key.insert(pin.key, row).map_err(|table::Full| Full)?;
        Ok(before.is_none())
    }

    /// Looks at the next ones, and tells of each whether it is over, and so has ended.
    pub fn sweep(&mut self, now: Instant, mut tell: impl FnMut(&Pin, bool)) {
        for _ in 0..PINS_PER_TURN.min(self.fresh) {
            let number = self.swept;
            self.swept = if number + 1 < self.fresh { number + 1 } else { 0 };
            let Some(place) = self.rows.get_mut(number as usize) else { continue };
            match place {
                Some(pin) if pin.until <= now => {
                    tell(pin, true);
                    self.by_key.remove(pin.key);
                    *place = None;
                    self.free.push(number);
                }
                Some(pin) => tell(pin, false),
                None => {}
            }
        }
    }
}
