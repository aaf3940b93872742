//! The outer link: our addresses on it, the way to the server, Ethernet around datagrams, and the questions of ARP
//! and neighbour discovery, both ours and those we are asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use wire::ethernet::Mac;
use wire::{arp, ethernet, icmp, ipv4, ipv6, nd, udp};
use wireguard::time::Instant;

use crate::packet;

/// Time between two questions for the same address.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// Octets in front of an outer datagram's payload at most: Ethernet with tag, IPv6, UDP.
pub const HEAD_LEN_MAX: usize = ethernet::TAGGED_HEADER_LEN + ipv6::HEADER_LEN + udp::HEADER_LEN;

/// Addresses in a row, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub first: IpAddr,
    /// How many.
    pub count: u32,
}

impl Range {
    /// Reads `192.0.2.10+40`, the first and how many; an address alone is one.
    pub fn parse(text: &str) -> Option<Self> {
        let (first, count) = text.split_once('+').unwrap_or((text, "1"));
        let range = Self { first: first.trim().parse().ok()?, count: count.trim().parse().ok()? };
        (range.count > 0).then_some(range)
    }

    /// Address number `number` of the row, which starts again at its end.
    pub fn at(&self, number: u32) -> IpAddr {
        let number = number % self.count.max(1);
        match self.first {
            IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits().wrapping_add(number)).into(),
            IpAddr::V6(first) => {
                Ipv6Addr::from_bits(first.to_bits().wrapping_add(number.into())).into()
            }
        }
    }

    /// The number of an address of the row.
    pub fn position(&self, address: IpAddr) -> Option<u32> {
        let distance = match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                address.to_bits().checked_sub(first.to_bits())?
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                u32::try_from(address.to_bits().checked_sub(first.to_bits())?).ok()?
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
        };
        (distance < self.count).then_some(distance)
    }
}

/// A neighbour that our packets go to: the server or its router.
#[derive(Clone, Copy, Debug)]
struct Hop {
    address: IpAddr,
    mac: Option<Mac>,
    asked_at: Option<Instant>,
}

/// How the link is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Our link address.
    pub mac: Mac,
    /// The 802.1Q tag of all we send; frames with another one are not for us.
    pub vlan: Option<u16>,
    /// Our addresses. Questions are asked from the first one of a family.
    pub addresses: Vec<Range>,
    /// The neighbours that packets go to, at most one per family.
    pub hops: Vec<IpAddr>,
}

/// Our end of the link.
#[derive(Debug)]
pub struct Link {
    mac: Mac,
    vlan: Option<u16>,
    addresses: Vec<Range>,
    hops: Vec<Hop>,
}

/// What a frame is to us.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrived<'a> {
    /// A datagram to one of our addresses.
    Datagram {
        /// Its sender.
        source: SocketAddr,
        /// Which of ours it is for.
        destination: SocketAddr,
        /// What it carries.
        payload: &'a [u8],
    },
    /// A question or answer about link addresses, dealt with.
    Neighbour,
    /// Anything else: not for us, broken, or of a kind that a generator has no use for.
    Foreign,
}

/// What a frame is to us, before a packet in it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened<'a> {
    /// What claims to be an IP packet, and may have padding behind it.
    Packet {
        /// Its octets.
        octets: &'a [u8],
        /// The link address that it came from.
        sender: Mac,
    },
    /// As [`Arrived::Neighbour`].
    Neighbour,
    /// As [`Arrived::Foreign`].
    Foreign,
}

impl Link {
    /// A link on which nobody is known yet.
    pub fn new(setup: Setup) -> Self {
        let hops = setup.hops.iter().map(|&address| Hop { address, mac: None, asked_at: None });
        let hops = hops.collect();
        Self { mac: setup.mac, vlan: setup.vlan, addresses: setup.addresses, hops }
    }

    /// Whether all neighbours are known that packets go to.
    pub fn is_resolved(&self) -> bool {
        self.hops.iter().all(|hop| hop.mac.is_some())
    }

    /// The neighbours that have not answered.
    pub fn unresolved(&self) -> Vec<IpAddr> {
        self.hops.iter().filter(|hop| hop.mac.is_none()).map(|hop| hop.address).collect()
    }

    /// Where packets of a family go, once it is known.
    pub fn next_hop(&self, is_ipv4: bool) -> Option<Mac> {
        self.hops.iter().find(|hop| hop.address.is_ipv4() == is_ipv4)?.mac
    }

    /// Where this neighbour is, once it is known.
    pub fn neighbour(&self, address: IpAddr) -> Option<Mac> {
        self.hops.iter().find(|hop| hop.address == address)?.mac
    }

    /// Takes all neighbours to be there, without asking.
    pub fn assume(&mut self, mac: Mac) {
        self.hops.iter_mut().for_each(|hop| hop.mac = Some(mac));
    }

    /// Asks for the neighbours that are not known, each at most four times a second.
    pub fn resolve(&mut self, now: Instant, out: &mut impl FnMut(&[u8])) {
        for index in 0..self.hops.len() {
            let Some(hop) = self.hops.get_mut(index) else { continue };
            let waits = hop.asked_at.is_some_and(|at| now.since(at) < ASK_AGAIN);
            if hop.mac.is_none() && !waits {
                hop.asked_at = Some(now);
                let target = hop.address;
                self.ask(target, out);
            }
        }
    }

    fn ask(&self, target: IpAddr, out: &mut impl FnMut(&[u8])) {
        let own = self.addresses.iter().map(|range| range.first);
        let Some(own) = own.into_iter().find(|own| own.is_ipv4() == target.is_ipv4()) else {
            return;
        };
        match (own, target) {
            (IpAddr::V4(own), IpAddr::V4(target)) => {
                let question = arp::Message::request(self.mac, own, target);
                self.send_arp(ethernet::BROADCAST, &question, out);
            }
            (IpAddr::V6(own), IpAddr::V6(target)) => {
                let group = nd::solicited_node(target);
                let question = nd::Message::solicit(target, self.mac);
                self.send_nd(nd::multicast_mac(group), (own, group), &question, out);
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {}
        }
    }

    /// Octets in front of the payload of a datagram from this address.
    pub const fn head_len(&self, source: IpAddr) -> usize {
        let ethernet = match self.vlan {
            Some(_) => ethernet::TAGGED_HEADER_LEN,
            None => ethernet::HEADER_LEN,
        };
        ethernet + packet::overhead(source)
    }

    /// Writes all headers before the payload that starts at [`Self::head_len`] of `frame`. False when the neighbour
    /// is not known, or the frame is too short or too long.
    pub fn enclose(&self, frame: &mut [u8], source: SocketAddr, to: SocketAddr) -> bool {
        let Some(mac) = self.next_hop(to.is_ipv4()) else { return false };
        let ethertype = if to.is_ipv4() { ipv4::ETHERTYPE } else { ipv6::ETHERTYPE };
        ethernet::emit(frame, mac, self.mac, self.vlan, ethertype)
            .ok()
            .and_then(|len| frame.get_mut(len..))
            .is_some_and(|packet| packet::emit_udp(packet, source, to).is_ok())
    }

    /// Reads a frame, answers if it is a question for one of our addresses, learns if it is an answer.
    pub fn receive<'a>(&mut self, frame: &'a [u8], out: &mut impl FnMut(&[u8])) -> Arrived<'a> {
        match self.open(frame, out) {
            Opened::Neighbour => Arrived::Neighbour,
            Opened::Foreign => Arrived::Foreign,
            Opened::Packet { octets, .. } => self.datagram(octets),
        }
    }

    /// The same, but leaves a packet closed, whomever it is for.
    pub fn open<'a>(&mut self, frame: &'a [u8], out: &mut impl FnMut(&[u8])) -> Opened<'a> {
        let Ok(header) = ethernet::parse(frame) else { return Opened::Foreign };
        let for_us = header.destination == self.mac || ethernet::is_multicast(header.destination);
        if !for_us || header.vlan_id != self.vlan {
            return Opened::Foreign;
        }
        let payload = frame.get(header.payload_offset..).unwrap_or_default();
        let known = match header.ethertype {
            arp::ETHERTYPE => self.receive_arp(payload, out),
            ipv6::ETHERTYPE => self.receive_nd(payload, out),
            _ => None,
        };
        match header.ethertype {
            _ if known.is_some() => Opened::Neighbour,
            ipv4::ETHERTYPE | ipv6::ETHERTYPE => {
                Opened::Packet { octets: payload, sender: header.source }
            }
            _ => Opened::Foreign,
        }
    }

    fn datagram<'a>(&self, packet: &'a [u8]) -> Arrived<'a> {
        let Some(located) = packet::read(packet) else { return Arrived::Foreign };
        let packet::Content::Udp(ports) = located.content else { return Arrived::Foreign };
        if !self.has(located.destination) {
            return Arrived::Foreign;
        }
        Arrived::Datagram {
            source: (located.source, ports.source).into(),
            destination: (located.destination, ports.destination).into(),
            payload: located.payload,
        }
    }

    fn receive_arp(&mut self, octets: &[u8], out: &mut impl FnMut(&[u8])) -> Option<()> {
        let message = arp::parse(octets).ok()?;
        self.learn(message.sender.into(), message.sender_mac);
        if message.operation == arp::Operation::Request && self.has(message.target.into()) {
            self.send_arp(message.sender_mac, &message.reply(self.mac), out);
        }
        Some(())
    }

    fn receive_nd(&mut self, packet: &[u8], out: &mut impl FnMut(&[u8])) -> Option<()> {
        let ip = ipv6::parse(packet).ok().filter(|ip| ip.protocol == icmp::v6::PROTOCOL)?;
        match nd::parse(&ip, packet.get(ip.payload_offset..ip.total_len())?).ok()? {
            nd::Message::Solicitation { target, source_link } => {
                if let Some(link) = source_link {
                    self.learn(ip.source.into(), link);
                }
                if self.has(target.into()) {
                    let (to, answer) = nd::Message::answer(ip.source, target, self.mac, false);
                    let mac = source_link.unwrap_or_else(|| nd::multicast_mac(to));
                    self.send_nd(mac, (target, to), &answer, out);
                }
            }
            nd::Message::Advertisement { target, target_link, .. } => {
                if let Some(link) = target_link {
                    self.learn(target.into(), link);
                }
            }
        }
        Some(())
    }

    fn learn(&mut self, address: IpAddr, mac: Mac) {
        if let Some(hop) = self.hops.iter_mut().find(|hop| hop.address == address) {
            hop.mac = Some(mac);
        }
    }

    /// Whether an address is ours.
    pub fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|range| range.position(address).is_some())
    }

    fn send_arp(&self, to: Mac, message: &arp::Message, out: &mut impl FnMut(&[u8])) {
        let mut frame = [0; ethernet::TAGGED_HEADER_LEN + arp::LEN];
        let Ok(head) = ethernet::emit(&mut frame, to, self.mac, self.vlan, arp::ETHERTYPE) else {
            return;
        };
        if let Some(body) = frame.get_mut(head..)
            && arp::emit(body, message).is_ok()
        {
            out(frame.get(..head + arp::LEN).unwrap_or_default());
        }
    }

    fn send_nd(
        &self,
        to: Mac,
        (source, destination): (Ipv6Addr, Ipv6Addr),
        message: &nd::Message,
        out: &mut impl FnMut(&[u8]),
    ) {
        let mut frame = [0; ethernet::TAGGED_HEADER_LEN + ipv6::HEADER_LEN + nd::LEN_MAX];
        let Ok(head) = ethernet::emit(&mut frame, to, self.mac, self.vlan, ipv6::ETHERTYPE) else {
            return;
        };
        let body = frame.get_mut(head + ipv6::HEADER_LEN..).unwrap_or_default();
        let Ok(len) = nd::emit(body, source, destination, message) else { return };
        let end = head + ipv6::HEADER_LEN + len;
        let packet = frame.get_mut(head..end).unwrap_or_default();
        let ends = (source.into(), destination.into());
        if packet::emit_ip(packet, ends, icmp::v6::PROTOCOL, nd::HOP_LIMIT).is_ok() {
            out(frame.get(..end).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Mac = [2, 0, 0, 0, 0, 1];
    const THEIRS: Mac = [2, 0, 0, 0, 0, 9];

    fn range(first: &str, count: u32) -> Range {
        Range { first: first.parse().unwrap(), count }
    }

    fn pair(vlan: Option<u16>) -> (Link, Link) {
        let link = |mac, own: [&str; 2], hops: [&str; 2]| {
            let addresses = own.iter().map(|first| range(first, 3)).collect();
            let hops = hops.iter().map(|hop| hop.parse().unwrap()).collect();
            Link::new(Setup { mac, vlan, addresses, hops })
        };
        let (one, two) = (["192.0.2.10", "2001:db8::10"], ["192.0.2.1", "2001:db8::1"]);
        (link(OURS, one, two), link(THEIRS, two, one))
    }

    fn ask_and_answer(asker: &mut Link, answerer: &mut Link) {
        let mut questions = Vec::new();
        asker.resolve(Instant(0), &mut |frame| questions.push(frame.to_vec()));
        assert_eq!(questions.len(), 2, "one of each family");
        let mut answers = Vec::new();
        for question in &questions {
            let arrived = answerer.receive(question, &mut |frame| answers.push(frame.to_vec()));
            assert_eq!(arrived, Arrived::Neighbour);
        }
        for answer in &answers {
            assert_eq!(asker.receive(answer, &mut |_| ()), Arrived::Neighbour);
        }
    }

    #[test]
    fn two_ends_find_each_other_and_exchange_datagrams() {
        for vlan in [None, Some(7)] {
            let (mut one, mut two) = pair(vlan);
            assert_eq!(one.unresolved().len(), 2);
            ask_and_answer(&mut one, &mut two);
            assert!(one.is_resolved());
            assert!(two.is_resolved(), "the asker's address is learned from its question");
            for (source, to) in
                [("192.0.2.11:5", "192.0.2.1:6"), ("[2001:db8::12]:5", "[2001:db8::1]:6")]
            {
                let (source, to): (SocketAddr, SocketAddr) =
                    (source.parse().unwrap(), to.parse().unwrap());
                let mut frame = vec![b'd'; one.head_len(source.ip()) + 5];
                assert!(one.enclose(&mut frame, source, to));
                let wanted = Arrived::Datagram { source, destination: to, payload: b"ddddd" };
                assert_eq!(two.receive(&frame, &mut |_| ()), wanted);
            }
        }
    }

    #[test]
    fn asks_again_only_after_a_while() {
        let (mut link, _) = pair(None);
        let mut count = 0;
        for millis in 0..1000 {
            link.resolve(Instant(millis * 1_000_000), &mut |_| count += 1);
        }
        assert_eq!(count, 8);
    }

    #[test]
    fn frames_of_others_are_foreign() {
        let (mut one, mut two) = pair(None);
        ask_and_answer(&mut one, &mut two);
        let (source, to) = ("192.0.2.10:5".parse().unwrap(), "192.0.2.99:6".parse().unwrap());
        let mut frame = vec![0; one.head_len("192.0.2.10".parse().unwrap()) + 1];
        assert!(one.enclose(&mut frame, source, to));
        assert_eq!(two.receive(&frame, &mut |_| ()), Arrived::Foreign, "no address of its");
        frame[5] ^= 1;
        assert_eq!(two.receive(&frame, &mut |_| ()), Arrived::Foreign, "no link address of its");
        assert_eq!(two.receive(&[], &mut |_| ()), Arrived::Foreign);
        let (mut tagged, _) = pair(Some(3));
        frame[5] ^= 1;
        assert_eq!(tagged.receive(&frame, &mut |_| ()), Arrived::Foreign, "no tag of its");
    }

    #[test]
    fn a_row_of_addresses_counts_from_its_first() {
        let row = range("10.0.0.250", 10);
        assert_eq!(row.at(6), "10.0.1.0".parse::<IpAddr>().unwrap());
        assert_eq!(row.at(10), row.first);
        assert_eq!(row.position(row.at(9)), Some(9));
        assert_eq!(row.position("10.0.1.4".parse().unwrap()), None);
        assert_eq!(row.position("10.0.0.249".parse().unwrap()), None);
        assert_eq!(range("::1", 2).position("10.0.0.250".parse().unwrap()), None);
    }
}
