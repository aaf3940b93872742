//! Randomness that costs next to nothing: good enough to vary packets, never for keys.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::scene::Scene;

/// A prefix of each family that addresses are drawn from: its first address, and the bits of its hosts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nets {
    v4: Option<(u32, u32)>,
    v6: Option<(u128, u128)>,
}

impl Nets {
    pub(super) fn of(v4: Option<(Ipv4Addr, u8)>, v6: Option<(Ipv6Addr, u8)>) -> Self {
        let v4 = v4.map(|(net, len)| {
            let hosts = u32::MAX.checked_shr(len.into()).unwrap_or(0);
            (net.to_bits() & !hosts, hosts)
        });
        let v6 = v6.map(|(net, len)| {
            let hosts = u128::MAX.checked_shr(len.into()).unwrap_or(0);
            (net.to_bits() & !hosts, hosts)
        });
        Self { v4, v6 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.v4.is_none() && self.v6.is_none()
    }

    /// The first host; of a single address that one.
    pub(super) fn first_v4(&self) -> Option<Ipv4Addr> {
        self.v4.map(|(net, hosts)| Ipv4Addr::from_bits(net | 1 & hosts))
    }

    pub(super) fn first_v6(&self) -> Option<Ipv6Addr> {
        self.v6.map(|(net, hosts)| Ipv6Addr::from_bits(net | 1 & hosts))
    }
}

/// A seeded stream of numbers (`SplitMix64`: a Weyl sequence and a mixer), and the prefixes that spoofed
/// sources are drawn from.
#[derive(Debug)]
pub(super) struct Dice {
    state: u64,
    sources: Nets,
}

impl Dice {
    pub(super) fn new(scene: &Scene) -> Self {
        let sources = Nets::of(Some(scene.spoofed_v4), Some(scene.spoofed_v6));
        Self { state: scene.seed, sources }
    }

    #[inline]
    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    #[inline]
    pub(super) fn index(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.next().to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    #[inline]
    pub(super) fn word(&mut self) -> u16 {
        let [a, b, ..] = self.next().to_le_bytes();
        u16::from_le_bytes([a, b])
    }

    #[inline]
    pub(super) fn octet(&mut self) -> u8 {
        let [octet, ..] = self.next().to_le_bytes();
        octet
    }

    /// A number below `count`, which is not 0.
    #[inline]
    pub(super) fn below(&mut self, count: u16) -> u16 {
        let [.., high_a, high_b] = (u32::from(self.word()) * u32::from(count)).to_le_bytes();
        u16::from_le_bytes([high_a, high_b])
    }

    /// One of them.
    #[inline]
    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(usize::from(self.below(u16::try_from(of.len()).unwrap_or(u16::MAX))))
    }

    #[inline]
    pub(super) fn fill(&mut self, octets: &mut [u8]) {
        for chunk in octets.chunks_mut(8) {
            let random = self.next().to_le_bytes();
            chunk.iter_mut().zip(random).for_each(|(place, octet)| *place = octet);
        }
    }

    #[inline]
    pub(super) fn source_v4(&mut self) -> Ipv4Addr {
        let sources = self.sources;
        self.v4(&sources)
    }

    /// An address of the IPv4 prefix; the unspecified one when there is none.
    #[inline]
    pub(super) fn v4(&mut self, nets: &Nets) -> Ipv4Addr {
        let (net, hosts) = nets.v4.unwrap_or((0, 0));
        Ipv4Addr::from_bits(net | self.index() & hosts)
    }

    #[inline]
    pub(super) fn source_v6(&mut self) -> Ipv6Addr {
        let sources = self.sources;
        self.v6(&sources)
    }

    /// The same of the IPv6 prefix.
    #[inline]
    pub(super) fn v6(&mut self, nets: &Nets) -> Ipv6Addr {
        let (net, hosts) = nets.v6.unwrap_or((0, 0));
        let random = u128::from(self.next()) << 64 | u128::from(self.next());
        Ipv6Addr::from_bits(net | random & hosts)
    }

    /// A port as clients have them.
    #[inline]
    pub(super) fn port(&mut self) -> u16 {
        1024 + self.below(64_512)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::Link;

    fn dice(v4: (Ipv4Addr, u8), seed: u64) -> Dice {
        let link = Link { server: [2; 6], station: [4; 6], vlan: None };
        Dice::new(&Scene { spoofed_v4: v4, ..Scene::new(link, [0; 32], 1, seed) })
    }

    #[test]
    fn sources_stay_in_their_prefix_and_use_all_of_it() {
        for (len, count) in [(32, 1), (31, 2), (28, 16)] {
            let net = Ipv4Addr::new(203, 0, 113, 32);
            let mut dice = dice((net, len), 1);
            let seen: std::collections::HashSet<_> = (0..500).map(|_| dice.source_v4()).collect();
            assert_eq!(seen.len(), count, "/{len}");
            assert!(seen.iter().all(|at| at.to_bits() >> 4 == net.to_bits() >> 4), "/{len}");
        }
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_it() {
        let mut dice = dice((Ipv4Addr::UNSPECIFIED, 0), 7);
        let seen: std::collections::BTreeSet<_> = (0..1000).map(|_| dice.below(10)).collect();
        assert!(seen.into_iter().eq(0..10));
        assert!((0..1000).all(|_| dice.port() >= 1024));
    }
}
