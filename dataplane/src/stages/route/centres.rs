//! Data centres by which packets may go out: which of a centre's machines a client's connections take.

use std::net::SocketAddr;

use crate::table::mix;

/// Machines that are tried for one connection.
pub const TRIED_MAX: usize = 3;

/// All data centres, by number.
#[derive(Clone, Debug, Default)]
pub struct Centres(Vec<(u16, Box<[Machine]>)>);

/// A machine that takes CONNECT requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Where.
    pub address: SocketAddr,
    /// How much of its centre's traffic it takes in proportion to the others; one with 0 takes none.
    pub weight: u16,
}

impl Centres {
    /// Of centres with their numbers.
    pub fn new(centres: impl IntoIterator<Item = (u16, Vec<Machine>)>) -> Self {
        let mut centres: Vec<_> = centres
            .into_iter()
            .map(|(number, machines)| (number, machines.into_boxed_slice()))
            .collect();
        centres.sort_unstable_by_key(|(number, _)| *number);
        Self(centres)
    }

    /// The machines of a centre that a client's connections to addresses of this family take, the first one first. The same
    /// client has the same order as long as the machines stay, and the loss of one moves only its own (rendezvous hashing
    /// with weights).
    pub fn machines(
        &self,
        centre: u16,
        client: u32,
        is_v4: bool,
    ) -> [Option<SocketAddr>; TRIED_MAX] {
        let mut tried = [None; TRIED_MAX];
        let mut scores = [0.0; TRIED_MAX];
        let Ok(at) = self.0.binary_search_by_key(&centre, |(number, _)| *number) else {
            return tried;
        };
        let Some((_, machines)) = self.0.get(at) else { return tried };
        for machine in machines.iter().filter(|machine| machine.address.is_ipv4() == is_v4) {
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

    fn first(centres: &Centres, client: u32) -> SocketAddr {
        centres.machines(7, client, true)[0].unwrap()
    }

    #[test]
    fn machines_take_clients_by_weight_and_keep_them_when_another_goes() {
        let all = [machine(1, 100), machine(2, 100), machine(3, 200), machine(4, 0)];
        let whole = Centres::new([(7, all.to_vec())]);
        let less = Centres::new([(7, all[1..].to_vec())]);
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
        let centres = Centres::new([(7, vec![machine(1, 1), v6]), (9, vec![])]);
        assert_eq!(centres.machines(7, 1, true), [Some(machine(1, 1).address), None, None]);
        assert_eq!(centres.machines(7, 1, false), [Some(v6.address), None, None]);
        assert_eq!(centres.machines(9, 1, true), [None; TRIED_MAX]);
        assert_eq!(centres.machines(8, 1, true), [None; TRIED_MAX]);
    }
}
