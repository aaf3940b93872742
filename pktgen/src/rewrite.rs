//! Changes to frames of a capture, so that they fit the place where they are replayed: link addresses, tag, IP
//! addresses and ports. Every checksum follows, those of packets that ICMP errors quote as well.
//!
//! A checksum is mended by the difference (RFC 1624), so what was right stays right, and what was wrong on purpose stays
//! wrong. [`Checksums::Fresh`] computes it anew instead, for captures taken where the device was to fill it in.

mod packet;

use std::net::IpAddr;

use wire::ethernet::{self, Mac};
use wire::{ipv4, ipv6};

use crate::link::Range;

/// The link addresses of replayed frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Station {
    /// Ours.
    pub source: Mac,
    /// The next hop of IPv4, and of all that is no IP.
    pub to_v4: Mac,
    /// The next hop of IPv6.
    pub to_v6: Mac,
}

/// What becomes of 802.1Q tags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tag {
    /// They stay.
    #[default]
    Keep,
    /// This one, whatever was there.
    Set(u16),
    /// None.
    Remove,
}

/// How upper checksums follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checksums {
    /// By the difference: wrong ones stay wrong.
    #[default]
    Mend,
    /// Anew, where the whole packet is there.
    Fresh,
}

/// A change of addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Which: number n of these becomes number n from `to` on. None: all become `to`.
    pub from: Option<Range>,
    /// The first new one.
    pub to: IpAddr,
}

impl Move {
    /// Reads `10.0.0.0+256 -> 192.0.2.0`, or an address alone that all become.
    pub fn parse(text: &str) -> Option<Self> {
        let Some((from, to)) = text.split_once("->") else {
            return Some(Self { from: None, to: text.trim().parse().ok()? });
        };
        let (from, to) = (Range::parse(from)?, to.trim().parse::<IpAddr>().ok()?);
        (from.first.is_ipv4() == to.is_ipv4()).then_some(Self { from: Some(from), to })
    }

    fn of(&self, address: IpAddr) -> Option<IpAddr> {
        if address.is_ipv4() != self.to.is_ipv4() {
            return None;
        }
        let Some(from) = self.from else { return Some(self.to) };
        let number = from.position(address)?;
        Some(Range { first: self.to, count: from.count }.at(number))
    }
}

/// A change of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortMove {
    /// The first and how many: number n of these becomes number n from `to` on. None: all become `to`.
    pub from: Option<(u16, u16)>,
    /// The first new one.
    pub to: u16,
}

impl PortMove {
    /// Reads `1000+10 -> 2000`, or a port alone that all become.
    pub fn parse(text: &str) -> Option<Self> {
        let Some((from, to)) = text.split_once("->") else {
            return Some(Self { from: None, to: text.trim().parse().ok()? });
        };
        let (first, count) = from.split_once('+').unwrap_or((from, "1"));
        let from: (u16, u16) = (first.trim().parse().ok()?, count.trim().parse().ok()?);
        let to: u16 = to.trim().parse().ok()?;
        let last = from.1.checked_sub(1)?;
        let fits = from.0.checked_add(last).is_some() && to.checked_add(last).is_some();
        fits.then_some(Self { from: Some(from), to })
    }

    fn of(self, port: u16) -> Option<u16> {
        let Some((first, count)) = self.from else { return Some(self.to) };
        let number = port.checked_sub(first).filter(|number| *number < count)?;
        self.to.checked_add(number)
    }
}

/// Changes of one end of each packet; of each list the first that fits counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Of its address.
    pub addresses: Vec<Move>,
    /// Of its UDP or TCP port.
    pub ports: Vec<PortMove>,
}

impl Side {
    fn address(&self, address: IpAddr) -> IpAddr {
        self.addresses.iter().find_map(|moved| moved.of(address)).unwrap_or(address)
    }

    fn port(&self, port: u16) -> u16 {
        self.ports.iter().find_map(|moved| moved.of(port)).unwrap_or(port)
    }
}

/// Everything that changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Link addresses, unless they stay. A destination that is a group stays in any case.
    pub station: Option<Station>,
    /// Tags.
    pub tag: Tag,
    /// The sender.
    pub source: Side,
    /// The receiver.
    pub destination: Side,
    /// How checksums follow.
    pub checksums: Checksums,
}

/// Tags that are passed; what has more is left as it is.
const TAGS_MAX: usize = 4;

impl Rewrite {
    /// Changes a frame. One that is broken changes as far as it can be read. `is_filled`: its end was not captured and
    /// is zeros, so its checksums are computed anew.
    pub fn apply(&self, frame: &mut Vec<u8>, is_filled: bool) {
        let Some((ethertype, mut start)) = locate(frame) else { return };
        match self.tag {
            Tag::Keep => {}
            Tag::Remove => start = retag(frame, start, ethertype, None),
            Tag::Set(id) => start = retag(frame, start, ethertype, Some(id)),
        }
        self.readdress(frame, ethertype);
        let Some(octets) = frame.get_mut(start..) else { return };
        let fresh = is_filled || self.checksums == Checksums::Fresh;
        match ethertype {
            ipv4::ETHERTYPE => packet::v4(self, octets, fresh),
            ipv6::ETHERTYPE => packet::v6(self, octets, fresh),
            _ => {}
        }
    }

    fn readdress(&self, frame: &mut [u8], ethertype: u16) {
        let (Some(station), Some(macs)) = (self.station, frame.first_chunk_mut::<12>()) else {
            return;
        };
        let (to, from) = macs.split_at_mut(6);
        from.copy_from_slice(&station.source);
        if to.first().is_some_and(|first| first & 1 == 0) {
            let hop = if ethertype == ipv6::ETHERTYPE { station.to_v6 } else { station.to_v4 };
            to.copy_from_slice(&hop);
        }
    }
}

/// The type of what follows all tags, and where that starts.
fn locate(frame: &[u8]) -> Option<(u16, usize)> {
    let mut at = 12;
    for _ in 0..=TAGS_MAX {
        let ethertype = u16::from_be_bytes(*frame.get(at..)?.first_chunk()?);
        if !matches!(ethertype, ethernet::ETHERTYPE_VLAN | ethernet::ETHERTYPE_SERVICE_VLAN) {
            return Some((ethertype, at + 2));
        }
        at += 4;
    }
    None
}

/// Replaces all tags; gives where the payload starts now.
fn retag(frame: &mut Vec<u8>, start: usize, ethertype: u16, id: Option<u16>) -> usize {
    let [high, low] = ethertype.to_be_bytes();
    let [id_high, id_low] = (id.unwrap_or(0) & 0x0fff).to_be_bytes();
    let [tag_high, tag_low] = ethernet::ETHERTYPE_VLAN.to_be_bytes();
    let tagged = [tag_high, tag_low, id_high, id_low, high, low];
    let new = if id.is_some() { &tagged[..] } else { &tagged[4..] };
    frame.splice(12..start, new.iter().copied());
    12 + new.len()
}

#[cfg(test)]
mod tests;
