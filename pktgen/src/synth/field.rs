//! Fields that vary: one value, or a row of them in turn or at random.

use std::net::IpAddr;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;

use crate::link::Range;

/// How a row is walked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// From the first to the last, and again.
    #[default]
    InTurn,
    /// Each as likely as any other, by the seed.
    Random,
}

/// Addresses of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Which.
    pub range: Range,
    /// How they are walked.
    pub order: Order,
}

impl Addresses {
    /// Reads `192.0.2.1`, `192.0.2.1+256` or `192.0.2.1+256 random`.
    pub fn parse(text: &str) -> Option<Self> {
        let (text, order) = ordered(text);
        Some(Self { range: Range::parse(text)?, order })
    }
}

/// Ports of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The lowest.
    pub first: u16,
    /// How many, 1..=65536.
    pub count: u32,
    /// How they are walked.
    pub order: Order,
}

impl Ports {
    /// This one.
    pub const fn one(port: u16) -> Self {
        Self { first: port, count: 1, order: Order::InTurn }
    }

    /// Reads `53`, `1024..65535` (with both ends), `1024+100`, or a row with ` random` behind it.
    pub fn parse(text: &str) -> Option<Self> {
        let (text, order) = ordered(text);
        let port = |text: &str| text.trim().parse::<u16>().ok();
        let (first, count) = if let Some((first, last)) = text.split_once("..") {
            let (first, last) = (port(first)?, port(last)?);
            (first, u32::from(last.checked_sub(first)?) + 1)
        } else if let Some((first, count)) = text.split_once('+') {
            (port(first)?, count.trim().parse().ok()?)
        } else {
            (port(text)?, 1)
        };
        let room = u32::from(u16::MAX - first) + 1;
        (1..=room).contains(&count).then_some(Self { first, count, order })
    }
}

fn ordered(text: &str) -> (&str, Order) {
    let text = text.trim();
    text.strip_suffix("random").map_or((text, Order::InTurn), |row| (row.trim_end(), Order::Random))
}

/// A row that is being walked.
#[derive(Debug)]
pub(super) struct Walk<T> {
    first: T,
    count: u32,
    is_random: bool,
    number: u32,
}

impl Walk<u128> {
    pub(super) const fn addresses(addresses: Addresses) -> Self {
        let first = match addresses.range.first {
            IpAddr::V4(first) => first.to_bits() as u128,
            IpAddr::V6(first) => first.to_bits(),
        };
        Self::new(first, addresses.range.count, addresses.order)
    }

    #[inline]
    pub(super) fn next(&mut self, random: &mut ChaCha20Rng) -> u128 {
        let number = self.step(random);
        self.first.wrapping_add(number.into())
    }
}

impl Walk<u16> {
    pub(super) const fn ports(ports: Ports) -> Self {
        Self::new(ports.first, ports.count, ports.order)
    }

    #[inline]
    pub(super) fn next(&mut self, random: &mut ChaCha20Rng) -> u16 {
        let [a, b, ..] = self.step(random).to_le_bytes();
        self.first.wrapping_add(u16::from_le_bytes([a, b]))
    }
}

impl<T> Walk<T> {
    const fn new(first: T, count: u32, order: Order) -> Self {
        // A row of one needs no dice.
        let is_random = matches!(order, Order::Random) && count > 1;
        Self { first, count, is_random, number: 0 }
    }

    /// How far from the first.
    #[inline]
    fn step(&mut self, random: &mut ChaCha20Rng) -> u32 {
        if self.is_random {
            let [.., a, b, c, d] =
                (u64::from(random.next_u32()) * u64::from(self.count)).to_le_bytes();
            return u32::from_le_bytes([a, b, c, d]);
        }
        let number = self.number;
        self.number = if number + 1 >= self.count { 0 } else { number + 1 };
        number
    }
}
