//! Clients that behave as Linux's do, servers behind the filter, and floods beside them, from a seed.

use std::net::IpAddr;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use wire::tcp::{self, Flags};
use wireguard::secret::Secret;

use super::super::syn::tests::{packet, read};
use super::super::syn::{Cookies, Proof, Proven, write};
use super::*;
use crate::fate::DropReason;
use crate::frame::{Entry, Frame, Note};
use crate::packet::Ip;
use crate::testing::{START, unix};

fn at(ms: u64) -> Instant {
    START + Duration::from_millis(ms)
}

/// What a client makes of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits for the time at which it begins.
    Idle,
    /// Has asked so many times, and asks again then.
    Asking { tries: u32, again: u64 },
    /// Has heard of the server, or of somebody in its place.
    Established,
}

/// A client as Linux has it, and a program that begins anew after a reset.
struct Client {
    address: IpAddr,
    port: u16,
    isn: u32,
    state: State,
    begins: u64,
    /// Something on its side lets nothing through that acknowledges what was not sent.
    filtered: bool,
    /// Resets that the program has seen.
    resets: u32,
    /// When the server had its first data.
    served: Option<u64>,
}

impl Client {
    /// Its next packet without being asked.
    fn poll(&mut self, server: IpAddr, ms: u64) -> Option<Vec<u8>> {
        let tries = match self.state {
            State::Idle if ms >= self.begins => 0,
            State::Asking { tries, again } if ms >= again => tries,
            State::Idle | State::Asking { .. } | State::Established => return None,
        };
        // RFC 6298 2: one second, then twice as long each time.
        self.state = State::Asking { tries: tries + 1, again: ms + (1_000 << tries) };
        let options = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7];
        Some(self.send(server, (Flags::SYN, self.isn, 0), &options))
    }

    fn send(&self, server: IpAddr, numbers: (Flags, u32, u32), options: &[u8]) -> Vec<u8> {
        packet((self.address, self.port), (server, 443), numbers, options)
    }

    /// Takes a packet (RFC 9293 3.10.7.3 and .4) and answers it.
    fn take(&mut self, octets: &[u8], server: IpAddr, ms: u64) -> Option<Vec<u8>> {
        let segment = read(octets);
        let tcp = segment.tcp;
        assert_eq!((segment.source, tcp.destination_port), (server.into(), self.port));
        match self.state {
            State::Asking { .. } if tcp.flags.has(Flags::SYN | Flags::ACK) => {
                if tcp.acknowledgment_number != self.isn.wrapping_add(1) {
                    let reset = (Flags::RST, tcp.acknowledgment_number, 0);
                    return (!self.filtered).then(|| self.send(server, reset, &[]));
                }
                self.state = State::Established;
                let ours = self.isn.wrapping_add(1);
                let numbers = (Flags::ACK, ours, tcp.sequence_number.wrapping_add(1));
                Some(self.send(server, numbers, &echo(&segment, octets)))
            }
            State::Established if tcp.flags.has(Flags::RST) => {
                self.resets += 1;
                (self.port, self.isn) = (self.port + 1, self.isn.wrapping_mul(77).wrapping_add(1));
                (self.state, self.begins) = (State::Idle, ms + 50);
                None
            }
            State::Idle | State::Asking { .. } | State::Established => None,
        }
    }
}

/// The timestamps of the answer to a segment.
fn echo(segment: &Segment, octets: &[u8]) -> Vec<u8> {
    let value = segment.options(octets).find_map(|option| match option {
        Ok(tcp::OptionField::Timestamps { value, .. }) => Some(value),
        _ => None,
    });
    let [a, b, c, d] = value.unwrap_or_default().to_be_bytes();
    if value.is_some() { vec![1, 1, 8, 10, 0, 0, 0, 10, a, b, c, d] } else { vec![] }
}

/// A server of a tenant, in the way of which our filter stands in one direction.
struct World {
    transit: Transit,
    policy: Policy,
    server: IpAddr,
    clients: Vec<Client>,
    random: ChaCha8Rng,
    /// Packets of nobody that reached the server: SYNs, others.
    leaked: (u64, u64),
    sent: u64,
}

impl World {
    fn new(policy: Policy, firsts: usize, seed: u64) -> Self {
        let cookies = Cookies::new(&Secret::new([5; 32]), unix(START));
        let guard = Guard::new(cookies, Arc::new(Proven::new(1 << 12)), 1, firsts);
        let transit = Transit::new(Places::new([6; 16]), guard, Flows::new(1 << 16, 1));
        let client = |n: u32| Client {
            address: if n.is_multiple_of(2) {
                IpAddr::from((0xc633_6400 + n).to_be_bytes())
            } else {
                IpAddr::from((0x2001_0db8_u128 << 96 | u128::from(n) << 64 | 1).to_be_bytes())
            },
            port: 40_000,
            isn: n.wrapping_mul(0x9e37_79b1),
            state: State::Idle,
            begins: 35_000 + u64::from(n) * 37,
            filtered: false,
            resets: 0,
            served: None,
        };
        let server = "203.0.113.9".parse().unwrap();
        let (clients, random) = ((0..40).map(client).collect(), ChaCha8Rng::seed_from_u64(seed));
        Self { transit, policy, server, clients, random, leaked: (0, 0), sent: 0 }
    }

    fn server(&self, client: IpAddr) -> IpAddr {
        if client.is_ipv4() { self.server } else { "2001:db8:9::2".parse().unwrap() }
    }

    /// Sends a packet to the server by way of the filter: what comes back, and whether it got there.
    fn filter(&mut self, octets: &[u8], ms: u64) -> (Option<Vec<u8>>, bool) {
        self.sent += 1;
        let segment = read(octets);
        let place = self.transit.ahead(&segment, self.policy);
        let arrival = Arrival { packet: octets, segment: &segment, place };
        match self.transit.judge(arrival, (0, self.policy), at(ms)) {
            Verdict::Pass => (None, true),
            Verdict::Drop(reason) => {
                assert!(matches!(reason, DropReason::DosSyn | DropReason::DosState));
                (None, false)
            }
            Verdict::Consume => (None, false),
            Verdict::Answer(answer) => {
                let mut buffer = [octets, &[0; 64]].concat();
                let mut note = Note::new(Entry::Wire(0));
                note.ip = Ip::NONE;
                let mut frame = Frame::new(&mut buffer, 0, octets.len(), &mut note);
                write(&mut frame, &segment, &answer).unwrap();
                (Some(frame.data().to_vec()), false)
            }
        }
    }

    /// A client's packet on its way, and all that follows from it.
    fn exchange(&mut self, number: usize, octets: Vec<u8>, ms: u64) {
        let server = self.server(self.clients[number].address);
        let mut packet = Some(octets);
        while let Some(octets) = packet.take() {
            let (answer, arrived) = self.filter(&octets, ms);
            let answer = if arrived { self.serve(number, &octets, ms) } else { answer };
            packet = answer.and_then(|answer| self.clients[number].take(&answer, server, ms));
        }
    }

    /// The server's answer, which goes to the client directly. It knows no cookies: what is acknowledged is its own.
    fn serve(&mut self, number: usize, octets: &[u8], ms: u64) -> Option<Vec<u8>> {
        const ISN: u32 = 0x5eed_0000;
        let segment = read(octets);
        let tcp = segment.tcp;
        let back = |numbers| {
            let (server, client) = (segment.destination.into(), segment.source.into());
            let (from, to) = ((server, tcp.destination_port), (client, tcp.source_port));
            Some(packet(from, to, numbers, &[]))
        };
        if segment.is_syn() {
            return back((Flags::SYN | Flags::ACK, ISN, tcp.sequence_number.wrapping_add(1)));
        }
        if tcp.flags.has(Flags::RST) {
            return None;
        }
        if tcp.acknowledgment_number != ISN + 1 {
            return back((Flags::RST, tcp.acknowledgment_number, 0));
        }
        self.clients[number].served.get_or_insert(ms);
        None
    }

    /// A packet with an invented source.
    fn invented(&mut self, flags: Flags) -> Vec<u8> {
        let (source, port) = (self.random.next_u32() | 0x0100_0000, self.random.next_u32());
        let source = IpAddr::from(source.to_be_bytes());
        let [port, ..] = [port.to_le_bytes()].map(|[a, b, ..]| u16::from_le_bytes([a, b]));
        let numbers = (flags, self.random.next_u32(), self.random.next_u32());
        packet((source, port), (self.server, 443), numbers, &[])
    }

    /// Lets a minute pass in which from the fifth second on floods come, so many packets of each kind per millisecond.
    fn run(&mut self, floods: &[(Flags, u32)]) {
        for ms in 0..60_000 {
            self.transit.advance(unix(at(ms)));
            for (flags, count) in floods.iter().filter(|_| ms > 34_000) {
                for _ in 0..*count {
                    let packet = self.invented(*flags);
                    let (_, arrived) = self.filter(&packet, ms);
                    let leaked = u64::from(arrived);
                    let syns = *flags == Flags::SYN;
                    self.leaked.0 += if syns { leaked } else { 0 };
                    self.leaked.1 += if syns { 0 } else { leaked };
                }
            }
            for number in 0..self.clients.len() {
                let server = self.server(self.clients[number].address);
                while let Some(packet) = self.clients[number].poll(server, ms) {
                    self.exchange(number, packet, ms);
                }
            }
        }
    }

    /// How long the slowest client waited, and the resets that programs saw; panics when one was not served.
    fn waited(&self) -> (u64, u32) {
        let served = |client: &Client| {
            client.served.unwrap_or_else(|| panic!("{}: {:?}", client.address, client.state))
        };
        let begins = |n: usize| 35_000 + n as u64 * 37;
        let waits = self.clients.iter().enumerate().map(|(n, client)| served(client) - begins(n));
        let resets = self.clients.iter().map(|client| client.resets).sum();
        (waits.max().unwrap(), resets)
    }
}

/// SYNs of the flood per millisecond and thereby all others.
const FLOOD: u32 = 4;

/// Where 2,000 SYNs a second are a flood; flows are tracked, and nothing out of state allowed.
fn policy(proof: Proof) -> Policy {
    let flows = flows::Policy { tracked: true, out_of_state: 0, since: START };
    Policy { syn: syn::Policy { proof, above: 2_000 }, flows }
}

#[test]
fn clients_get_through_a_flood_by_answering_the_challenge_and_notice_no_reset() {
    let mut world = World::new(policy(Proof::CookieReset), 1 << 16, 1);
    world.run(&[(Flags::SYN, FLOOD), (Flags::ACK, FLOOD)]);
    let (waited, resets) = world.waited();
    assert!(waited <= 1_000 && resets == 0, "{waited} ms, {resets} resets");
    let tally = world.transit.guard.tally;
    assert_eq!(tally.proven, world.clients.len() as u64);
    // Before the rate was over the threshold the flood has passed: about a second's worth.
    assert!(world.leaked.0 < 4_000, "{:?}", world.leaked);
    assert_eq!(world.leaked.1, 0);
    assert!(tally.challenges > 90_000, "{tally:?}");
}

#[test]
fn clients_behind_a_filter_get_through_by_the_cookie_at_the_price_of_one_reset() {
    let mut world = World::new(policy(Proof::CookieReset), 1 << 16, 2);
    world.clients.iter_mut().for_each(|client| client.filtered = true);
    world.run(&[(Flags::SYN, FLOOD)]);
    let (waited, resets) = world.waited();
    assert!(waited <= 1_100, "{waited} ms");
    assert_eq!(resets, 40);
    assert!(world.leaked.0 < 4_000, "{:?}", world.leaked);
}

#[test]
fn clients_get_through_when_the_flood_leaves_no_room_to_remember_them() {
    let mut world = World::new(policy(Proof::CookieReset), 1 << 9, 3);
    world.clients.iter_mut().skip(20).for_each(|client| client.filtered = true);
    world.run(&[(Flags::SYN, FLOOD)]);
    let (waited, resets) = world.waited();
    assert!(waited <= 1_100 && resets <= 40, "{waited} ms, {resets} resets");
    assert!(world.leaked.0 < 4_000, "{:?}", world.leaked);
}

#[test]
fn clients_get_through_by_asking_again_and_the_flood_does_not() {
    let mut world = World::new(policy(Proof::FirstDrop), 1 << 16, 4);
    world.run(&[(Flags::SYN, FLOOD), (Flags::RST, FLOOD)]);
    let (waited, resets) = world.waited();
    assert!(waited <= 1_000 && resets == 0, "{waited} ms, {resets} resets");
    assert!(world.leaked.0 < 4_000, "{:?}", world.leaked);
    assert_eq!(world.leaked.1, 0);
}

#[test]
fn without_a_flood_nobody_waits() {
    for proof in [Proof::CookieReset, Proof::FirstDrop] {
        let mut world = World::new(policy(proof), 1 << 10, 5);
        world.run(&[]);
        assert_eq!(world.waited(), (0, 0), "{proof:?}");
        let tally = world.transit.guard.tally;
        assert_eq!((tally.challenges, tally.cookies, tally.dropped), (0, 0, 0));
    }
}

#[test]
fn floods_of_resets_and_acknowledgments_prove_nobody() {
    let syn = syn::Policy { proof: Proof::CookieReset, above: 0 };
    let always = Policy { syn, ..Policy::default() };
    let mut world = World::new(always, 1 << 10, 6);
    world.clients.clear();
    world.run(&[(Flags::SYN, 1), (Flags::RST, FLOOD), (Flags::ACK, FLOOD)]);
    assert_eq!(world.transit.guard.tally.proven, 0);
    assert_eq!(world.leaked.0, 0, "at a threshold of nothing no SYN passes");
    assert_eq!(
        world.leaked.1,
        world.sent - world.transit.guard.tally.challenges - world.transit.guard.tally.cookies,
        "what is no answer is for the tenant"
    );
}

#[test]
fn a_worker_has_its_share_of_what_the_tenant_has_chosen() {
    let mut chosen = policy(Proof::FirstDrop);
    (chosen.syn.above, chosen.flows.out_of_state) = (10, 7);
    let share = chosen.share(4);
    assert_eq!((share.syn.above, share.flows.out_of_state), (3, 2));
    assert_eq!(share.flows.since, START);
    chosen.syn.above = 0;
    assert_eq!(chosen.share(4).syn.above, 0, "always stays always");
    assert!(Policy::default().is_idle() && !share.is_idle());
}
