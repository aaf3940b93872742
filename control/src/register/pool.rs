//! Client ids and inner addresses for those who register.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::numbers::Numbers;
use super::shuffle::Shuffle;
use crate::model::Book;

/// How many client ids there are, with the one that means none.
const IDS: usize = 1 << 24;

/// What a client is given.
#[derive(Clone, Copy)]
pub(super) struct Given {
    /// Its client id, 24 bits, not zero.
    pub(super) client_id: u32,
    /// Its inner IPv4 address.
    pub(super) ipv4: Ipv4Addr,
    /// Its inner IPv6 address, which ends with the client id.
    pub(super) ipv6: Ipv6Addr,
}

/// What there is to give.
#[derive(Debug)]
pub(super) struct Pool {
    ipv4: Ipv4Net,
    ipv6: Ipv6Net,
    /// The places of client ids in the order of `shuffle`.
    ids: Numbers,
    shuffle: Shuffle,
    /// Offsets in the IPv4 pool.
    addresses: Numbers,
}

impl Pool {
    /// Everything is free. The key decides in which order client ids are given.
    pub(super) fn new(ipv4: Ipv4Net, ipv6: Ipv6Net, key: &[u8; 16]) -> Self {
        let len = 1_usize << (32 - ipv4.prefix_len().max(8));
        let shuffle = Shuffle::new(key);
        let (mut ids, mut addresses) = (Numbers::new(IDS), Numbers::new(len));
        ids.take(shuffle.place(0) as usize);
        // Clients take the first for the network and the last for a broadcast.
        addresses.take(0);
        addresses.take(len - 1);
        Self { ipv4, ipv6, ids, shuffle, addresses }
    }

    /// Gives what nobody has, neither here nor in the book; none when there is no more.
    pub(super) fn give(&mut self, book: &Book) -> Option<Given> {
        let Self { shuffle, ipv4, ipv6, .. } = self;
        let id_of = |place: usize| u32::try_from(place).map_or(0, |place| shuffle.id(place));
        let place = self.ids.take_next(|place| {
            let id = id_of(place);
            let [_, octets @ ..] = id.to_be_bytes();
            let held = book.peer_with_client_id(octets).is_some()
                || holder(book, ipv6_of(*ipv6, id).into(), ipv6.prefix_len()).is_some();
            held.then_some(place + 1)
        })?;
        let client_id = id_of(place);
        let address = self.addresses.take_next(|offset| {
            let held = holder(book, address_at(*ipv4, offset).into(), ipv4.prefix_len())?;
            // Not one by one through somebody's whole prefix.
            Some(offset_of(*ipv4, held.broadcast()).unwrap_or(offset) + 1)
        });
        let Some(offset) = address else {
            self.ids.give_back(place);
            return None;
        };
        Some(Given {
            client_id,
            ipv4: address_at(self.ipv4, offset),
            ipv6: ipv6_of(self.ipv6, client_id),
        })
    }

    /// Marks as taken what was given before a restart, as far as it is of this pool. False when the client id is
    /// taken twice.
    pub(super) fn take(&mut self, client_id: u32, ipv4: Ipv4Addr) -> bool {
        if let Some(offset) = offset_of(self.ipv4, ipv4.into()) {
            self.addresses.take(offset);
        }
        self.ids.take(self.shuffle.place(client_id) as usize)
    }

    /// Takes back what was given.
    pub(super) fn give_back(&mut self, client_id: u32, ipv4: Ipv4Addr) {
        self.ids.give_back(self.shuffle.place(client_id) as usize);
        if let Some(offset) = offset_of(self.ipv4, ipv4.into()) {
            self.addresses.give_back(offset);
        }
    }
}

/// The prefix by which a peer or a route of this very address holds it: of the prefixes from `shortest` on, as what
/// is wider than the pool leads to the pool.
fn holder(book: &Book, address: IpAddr, shortest: u8) -> Option<IpNet> {
    let single = IpNet::from(address);
    if book.route(&single).is_some() {
        return Some(single);
    }
    let prefixes = (shortest..=single.max_prefix_len())
        .filter_map(|len| Some(IpNet::new(address, len).ok()?.trunc()));
    prefixes.into_iter().find(|prefix| book.holder(prefix).is_some())
}

fn ipv6_of(prefix: Ipv6Net, client_id: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(prefix.network().to_bits() | u128::from(client_id))
}

fn address_at(pool: Ipv4Net, offset: usize) -> Ipv4Addr {
    let offset = u32::try_from(offset).unwrap_or(0);
    Ipv4Addr::from_bits(pool.network().to_bits() | offset)
}

fn offset_of(pool: Ipv4Net, address: IpAddr) -> Option<usize> {
    let IpAddr::V4(address) = address else { return None };
    let offset = address.to_bits() ^ pool.network().to_bits();
    pool.contains(&address).then(|| usize::try_from(offset).ok())?
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use wireguard::message::ClientId;

    use super::*;
    use crate::model::{Change, Limits, Origin, Peer, PublicKey};

    fn pool(ipv4: &str) -> Pool {
        Pool::new(ipv4.parse().unwrap(), "2001:db8:1::/48".parse().unwrap(), &[5; 16])
    }

    fn declared(prefixes: &[&str], client_id: u32) -> Book {
        let [_, id @ ..] = client_id.to_be_bytes();
        let peer = Peer {
            allowed_ips: prefixes.iter().map(|text| text.parse().unwrap()).collect(),
            client_id: ClientId(id),
            ..Peer::new(PublicKey([9; 32]))
        };
        let mut book = Book::default();
        book.apply(Origin::Cli, &[Change::AddPeer(peer)], &Limits::default()).unwrap();
        book
    }

    #[test]
    fn nothing_is_given_twice_until_it_comes_back() {
        let mut pool = pool("192.0.2.0/24");
        let book = Book::default();
        let all: Vec<Given> = std::iter::from_fn(|| pool.give(&book)).collect();
        assert_eq!(all.len(), 254);
        assert_eq!(all.iter().map(|given| given.ipv4).collect::<HashSet<_>>().len(), 254);
        assert_eq!(all.iter().map(|given| given.client_id).collect::<HashSet<_>>().len(), 254);
        assert!(all.iter().all(|given| given.client_id != 0 && given.client_id < 1 << 24));
        let one = all[7];
        assert_eq!(one.ipv6.to_bits() & 0xff_ffff, one.client_id.into());
        pool.give_back(one.client_id, one.ipv4);
        let again = pool.give(&book).unwrap();
        assert_eq!(again.ipv4, one.ipv4);
        assert_ne!(again.client_id, one.client_id);
    }

    #[test]
    fn what_the_book_has_is_not_given() {
        let mut ours = pool("192.0.2.0/24");
        let next = pool("192.0.2.0/24").give(&Book::default()).unwrap();
        let book = declared(&["192.0.2.0/25", "192.0.2.128/32", "10.0.0.0/8"], next.client_id);
        let all: Vec<Given> = std::iter::from_fn(|| ours.give(&book)).collect();
        assert_eq!(all.len(), 126);
        assert!(all.iter().all(|given| given.ipv4 > Ipv4Addr::new(192, 0, 2, 128)));
        assert!(all.iter().all(|given| given.client_id != next.client_id));
        // The id is the declared peer's for the time being only.
        assert!(ours.take(next.client_id, next.ipv4));
    }

    #[test]
    fn a_prefix_that_is_held_as_a_whole_costs_one_look() {
        let mut pool = pool("100.96.0.0/12");
        let book = declared(&["100.96.0.0/13"], 0);
        assert_eq!(pool.give(&book).unwrap().ipv4, Ipv4Addr::new(100, 104, 0, 0));
        let nothing = declared(&["100.96.0.0/12", "2001:db8:1::/48"], 0);
        assert!(pool.give(&nothing).is_none());
    }
}
