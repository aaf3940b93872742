//! Data centres by which packets may go out: which of a centre's machines a client's connections take.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use crate::table::mix;

/// Machines that are tried for one connection.
pub const TRIED_MAX: usize = 3;

/// All data centres but this one, by number.
#[derive(Clone, Debug, Default)]
pub struct Centres {
    others: Vec<Centre>,
    /// Where any of them takes connections.
    addresses: HashSet<SocketAddr>,
    /// The number of this one, if it has one.
    here: Option<u16>,
}

/// A data centre.
#[derive(Clone, Debug)]
pub struct Centre {
    /// Its number.
    pub number: u16,
    /// The number of the centre through which it is reached; 0 for straight.
    pub relay: u16,
    /// The machines that take connections there.
    pub machines: Vec<Machine>,
}

/// Where a client's connections are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The machines, in the order in which they are tried.
    pub machines: [Option<SocketAddr>; TRIED_MAX],
    /// The centre at which they are to leave.
    pub exit: u16,
    /// The centre whose machines these are, when it is another; 0 when it is not.
    pub relay: u16,
}

impl Asked {
    /// The centre whose machines these are.
    pub const fn first(&self) -> u16 {
        if self.relay == 0 { self.exit } else { self.relay }
    }

    /// The centre at which they are to leave, when the machines are a relay's.
    pub fn leaves(&self) -> Option<u16> {
        (self.relay != 0).then_some(self.exit)
    }
}

/// A machine that takes CONNECT requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Where.
    pub address: SocketAddr,
    /// How much of its centre's traffic it takes in proportion to the others; one with 0 takes none.
    pub weight: u16,
}

impl Centres {
    /// The others, and the number of this one.
    pub fn new(others: impl IntoIterator<Item = Centre>, here: Option<u16>) -> Self {
        let mut others: Vec<_> = others.into_iter().collect();
        others.sort_unstable_by_key(|centre| centre.number);
        let machines = others.iter().flat_map(|centre| &centre.machines);
        let addresses = machines.map(|machine| machine.address).collect();
        Self { others, addresses, here }
    }

    /// Whether connections are asked for there: nobody else is to speak to it in our name, for it believes our addresses.
    pub fn has_machine(&self, address: SocketAddr) -> bool {
        self.addresses.contains(&address)
    }

    /// Whether there are no others, so that there is nothing to choose.
    pub fn is_empty(&self) -> bool {
        self.others.is_empty()
    }

    /// The number of this data centre, if it has one.
    pub const fn here(&self) -> Option<u16> {
        self.here
    }

    fn get(&self, number: u16) -> Option<&Centre> {
        let at = self.others.binary_search_by_key(&number, |centre| centre.number).ok()?;
        self.others.get(at)
    }

    /// Whom a client's connections through a centre are asked of.
    pub fn asked(&self, number: u16, client: u32, is_v4: bool) -> Asked {
        let relay = self.get(number).map_or(0, |centre| centre.relay);
        let first = if relay == 0 { number } else { relay };
        Asked { machines: self.machines(first, client, is_v4), exit: number, relay }
    }

    /// The machines of a centre that a client's connections to addresses of this family take, the first one first. The
    /// same client has the same order as long as the machines stay, and the loss of one moves only its own (rendezvous hashing
    /// with weights).
    pub fn machines(
        &self,
        number: u16,
        client: u32,
        is_v4: bool,
    ) -> [Option<SocketAddr>; TRIED_MAX] {
        let mut tried = [None; TRIED_MAX];
        let mut scores = [0.0; TRIED_MAX];
        let Some(centre) = self.get(number) else { return tried };
        for machine in centre.machines.iter().filter(|machine| machine.address.is_ipv4() == is_v4) {
            let mut entry = (machine.score(client), Some(machine.address));
            if machine.weight == 0 {
                continue;
            }
            for (score, address) in scores.iter_mut().zip(&mut tried) {
                if address.is_none() || entry.0 > *score {
                    let next = (*score, *address);
                    (*score, *address) = entry;
                    entry = next;
                }
                if entry.1.is_none() {
                    break;
                }
            }
        }
        tried
    }
}

impl Centres {
    /// The machine of a centre by which what is no connection of a client's leaves there, of those that take it: always the same
    /// one, as long as the machines stay. Of IPv4 if there is one, and straight, whatever centre connections are relayed by.
    pub fn exit(&self, number: u16, client: u32, takes: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        let mut best: Option<(bool, f64, IpAddr)> = None;
        let machines = self.get(number)?.machines.iter();
        for machine in machines.filter(|machine| machine.weight > 0) {
            let address = machine.address.ip();
            let entry = (address.is_ipv4(), machine.score(client), address);
            let is_better = best.is_none_or(|best| (entry.0, entry.1) > (best.0, best.1));
            if is_better && takes(address) {
                best = Some(entry);
            }
        }
        best.map(|(.., address)| address)
    }
}

impl Machine {
    /// Greater scores win, each machine in proportion to its weight: -w / ln u for a number that is even in (0, 1).
    fn score(&self, client: u32) -> f64 {
        let bits = match self.address {
            SocketAddr::V4(address) => u128::from(address.ip().to_bits()),
            SocketAddr::V6(address) => address.ip().to_bits(),
        };
        #[expect(clippy::cast_possible_truncation, reason = "both halves are mixed")]
        let (low, high) = (bits as u64, (bits >> 64) as u64);
        let about = u64::from(client) << 16 | u64::from(self.address.port());
        // Each round has one more factor, or neighbours would be alike.
        let hash = [low, high, about].into_iter().fold(0x243f_6a88_85a3_08d3, |hash, word| {
            mix(hash ^ word, 0x9e37_79b9_7f4a_7c15 ^ word.rotate_left(32)).wrapping_add(hash)
        });
        let hash = mix(hash, 0xc2b2_ae3d_27d4_eb4f);
        #[expect(clippy::cast_precision_loss, reason = "53 bits of it are enough")]
        let even = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -f64::from(self.weight) / even.ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(host: u8, weight: u16) -> Machine {
        Machine { address: ([192, 0, 2, host], 443).into(), weight }
    }

    fn centre(number: u16, relay: u16, machines: &[Machine]) -> Centre {
        Centre { number, relay, machines: machines.to_vec() }
    }

    #[test]
    fn a_centre_behind_another_is_asked_for_there() {
        let all = [centre(7, 9, &[machine(1, 1)]), centre(9, 0, &[machine(2, 1)])];
        let centres = Centres::new(all, Some(1));
        let relay = [Some(machine(2, 1).address), None, None];
        assert_eq!(centres.asked(7, 5, true), Asked { machines: relay, exit: 7, relay: 9 });
        assert_eq!(centres.asked(9, 5, true), Asked { machines: relay, exit: 9, relay: 0 });
        let firsts = [7, 9].map(|centre| centres.asked(centre, 5, true).first());
        assert_eq!(firsts, [9, 9]);
        let leaves = [7, 9].map(|centre| centres.asked(centre, 5, true).leaves());
        assert_eq!(leaves, [Some(7), None]);
        assert_eq!(centres.here(), Some(1));
    }

    fn first(centres: &Centres, client: u32) -> SocketAddr {
        centres.machines(7, client, true)[0].unwrap()
    }

    #[test]
    fn machines_take_clients_by_weight_and_keep_them_when_another_goes() {
        let all = [machine(1, 100), machine(2, 100), machine(3, 200), machine(4, 0)];
        let whole = Centres::new([centre(7, 0, &all)], None);
        let less = Centres::new([centre(7, 0, &all[1..])], None);
        let mut counts = [0_u32; 5];
        for client in 0..40_000 {
            let host = |address: SocketAddr| match address {
                SocketAddr::V4(address) => usize::from(address.ip().octets()[3]),
                SocketAddr::V6(_) => unreachable!("none is of IPv6"),
            };
            let taken = host(first(&whole, client));
            counts[taken] += 1;
            if taken == 1 {
                let second = whole.machines(7, client, true)[1].unwrap();
                assert_eq!(first(&less, client), second, "to whom was tried second");
            } else {
                assert_eq!(host(first(&less, client)), taken, "only those of the lost one move");
            }
        }
        assert_eq!(counts[4], 0);
        for (host, share) in [(1, 10_000), (2, 10_000), (3, 20_000)] {
            assert!(counts[host].abs_diff(share) < share / 10, "{counts:?}");
        }
    }

    #[test]
    fn a_centre_has_machines_of_one_family_in_turn_and_none_without_them() {
        let v6 = Machine { address: "[2001:db8::1]:443".parse().unwrap(), weight: 1 };
        let all = [centre(7, 0, &[machine(1, 1), v6]), centre(9, 0, &[])];
        let centres = Centres::new(all, None);
        assert_eq!(centres.machines(7, 1, true), [Some(machine(1, 1).address), None, None]);
        assert_eq!(centres.machines(7, 1, false), [Some(v6.address), None, None]);
        assert_eq!(centres.machines(9, 1, true), [None; TRIED_MAX]);
        assert_eq!(centres.machines(8, 1, true), [None; TRIED_MAX]);
    }
}
