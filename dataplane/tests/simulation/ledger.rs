//! Every inner packet that was sent, and what became of it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use dataplane::testing::packets::{self, Ip};
use dataplane::testing::site;
use wireguard::time::Instant;

/// An end of inner traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    Client(usize),
    Local,
}

#[derive(Debug)]
struct Entry {
    from: Party,
    to: Party,
    is_v6: bool,
    len: usize,
    at: Instant,
    arrived: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: BTreeMap<u64, Entry>,
    next: u64,
}

/// Octets of a payload before its filling.
const ID_LEN: usize = 8;
/// The longest filling with which the packet still fits.
pub(crate) const FILLING_MAX: usize = 1420 - 40 - 8 - ID_LEN;

/// One packet of so many may be missing when there is an excuse for it.
const SHARE_OF_MISSING: u64 = 50;

impl Ledger {
    /// A new packet between two parties.
    pub(crate) fn send(
        &mut self,
        (from, to): (Party, Party),
        (is_v6, len): (bool, usize),
        at: Instant,
    ) -> Vec<u8> {
        let id = self.next;
        self.next += 1;
        let entry = Entry { from, to, is_v6, len, at, arrived: false };
        let packet = entry.packet(id, 64);
        self.entries.insert(id, entry);
        packet
    }

    /// A packet has come to a party: it must be one that was sent to it, unharmed, and not have come before.
    pub(crate) fn arrive(&mut self, at: Party, packet: &[u8]) {
        let outline = packets::outline(packet);
        let outline =
            outline.unwrap_or_else(|| panic!("{at:?} got a broken packet: {packet:02x?}"));
        let payload = packets::udp_in(&outline, packet).map(|(_, payload)| payload);
        let id = payload.and_then(|payload| payload.first_chunk::<ID_LEN>());
        let id = id.map_or(u64::MAX, |id| u64::from_be_bytes(*id));
        let entry = self.entries.get_mut(&id);
        let entry = entry.unwrap_or_else(|| panic!("{at:?} got what nobody sent: {outline:?}"));
        let hops = if entry.from == Party::Local || at == Party::Local { 64 } else { 63 };
        assert_eq!(entry.to, at, "packet {id} went astray");
        assert_eq!(entry.packet(id, hops), packet, "packet {id} was changed");
        assert!(!entry.arrived, "packet {id} came twice");
        entry.arrived = true;
    }

    /// Packets that have not arrived.
    pub(crate) fn lost(&self) -> usize {
        self.entries.values().filter(|entry| !entry.arrived).count()
    }

    /// Closes the account of everything sent so far. What was sent from `since` on must have arrived, but for
    /// `excused` packets, and never more than a few.
    pub(crate) fn close(&mut self, since: Instant, excused: u64) {
        let sent = self.entries.iter().filter(|(_, entry)| entry.at >= since);
        let missing: Vec<_> = sent.clone().filter(|(_, entry)| !entry.arrived).collect();
        let (count, all) = (missing.len() as u64, sent.count() as u64);
        assert!(all > 0, "nothing was sent at all");
        assert!(
            count <= excused && count * SHARE_OF_MISSING <= all,
            "{count} of {all} sent over a good link since {since:?} have not arrived, {excused} excused: {:#?}",
            missing.iter().take(5).collect::<Vec<_>>()
        );
    }
}

impl Entry {
    fn packet(&self, id: u64, hop_limit: u8) -> Vec<u8> {
        let address = |party| -> IpAddr {
            match (party, self.is_v6) {
                (Party::Client(number), true) => {
                    site::inner_v6(u32::try_from(number).unwrap()).into()
                }
                (Party::Client(number), false) => {
                    site::inner_v4(u32::try_from(number).unwrap()).into()
                }
                (Party::Local, true) => site::BEHIND_V6.into(),
                (Party::Local, false) => site::BEHIND_V4.into(),
            }
        };
        let mut payload = id.to_be_bytes().to_vec();
        payload.resize(ID_LEN + self.len, id.to_le_bytes()[0] ^ 0x5a);
        Ip { hop_limit, ..Ip::new(address(self.from), address(self.to)) }.udp(1000, 2000, &payload)
    }
}
