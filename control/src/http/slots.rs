//! Who may hold how many connections: so many in all, and so many from one place.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Connections at once. Each costs two descriptors at most and some 40 KiB with TLS.
const CONNECTIONS_MAX: u32 = 1024;

/// Connections at once from one IPv4 address or IPv6 /64: enough for the devices behind one router, and so that a
/// single one cannot take all.
const CONNECTIONS_PER_SOURCE_MAX: u32 = 64;

/// The part of an address that one customer has: all of IPv4, the first 64 bits of IPv6. As one number each.
pub fn prefix(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => Ipv6Addr::to_bits(address.to_ipv6_mapped()),
        IpAddr::V6(address) => address.to_bits() & !u128::from(u64::MAX),
    }
}

#[derive(Debug, Default)]
struct Held {
    total: u32,
    /// No more entries than connections.
    by_source: HashMap<u128, u32>,
}

/// The slots of a listener.
#[derive(Debug, Default)]
pub(super) struct Slots(Mutex<Held>);

/// A connection's slot, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    prefix: u128,
}

impl Slots {
    /// A slot for a connection from there; none when all that it may have are taken.
    pub(super) fn take(slots: &Arc<Self>, from: IpAddr) -> Option<Slot> {
        let prefix = prefix(from);
        let mut held = slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.total >= CONNECTIONS_MAX {
            return None;
        }
        let count = held.by_source.entry(prefix).or_default();
        if *count >= CONNECTIONS_PER_SOURCE_MAX {
            return None;
        }
        *count += 1;
        held.total += 1;
        Some(Slot { slots: Arc::clone(slots), prefix })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut held = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.total -= 1;
        if let Some(count) = held.by_source.get_mut(&self.prefix) {
            *count -= 1;
            if *count == 0 {
                held.by_source.remove(&self.prefix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_cannot_take_all_and_slots_come_back() {
        let slots = Arc::new(Slots::default());
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let same: IpAddr = "2001:db8::ffff:0:0:2".parse().unwrap();
        let other: IpAddr = "192.0.2.1".parse().unwrap();
        let mut held: Vec<Slot> = std::iter::from_fn(|| Slots::take(&slots, one)).collect();
        assert_eq!(held.len(), CONNECTIONS_PER_SOURCE_MAX as usize);
        assert!(Slots::take(&slots, same).is_none());
        let others = Slots::take(&slots, other).unwrap();
        held.pop();
        held.push(Slots::take(&slots, same).unwrap());
        drop((held, others));
        let held = slots.0.lock().unwrap();
        assert_eq!((held.total, held.by_source.len()), (0, 0));
    }

    #[test]
    fn many_sources_take_no_more_than_there_are() {
        let slots = Arc::new(Slots::default());
        let from = |number: u32| IpAddr::V4(std::net::Ipv4Addr::from_bits(number));
        let held: Vec<Slot> = (0..5000).filter_map(|n| Slots::take(&slots, from(n))).collect();
        assert_eq!(held.len(), CONNECTIONS_MAX as usize);
    }
}
