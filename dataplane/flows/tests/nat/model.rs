//! Packets at random, in virtual time, against a translator that keeps everything in maps and looks at all of it.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use crate::world::{
    ACK, EGRESS, INNER, Random, SYN, SYN_ACK, World, config, datagram, echo, ends, ends_of,
    identifier_of, numbers, segment,
};
use flows::{Limits, Refusal, Verdict};

const CLIENTS: u64 = 5;
const SECOND: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Protocol {
    Tcp,
    Udp,
    Icmp,
}

/// A client's address, port or identifier, and protocol.
type Inside = (u32, Ipv4Addr, u16, Protocol);
/// Who it speaks to; the port counts with TCP alone.
type Remote = (Ipv4Addr, u16);

/// A flow as the model knows it.
#[derive(Clone, Copy, Debug)]
struct Session {
    ends: u64,
    /// How many of the three segments of a set-up were seen.
    steps: u8,
}

/// The naive translator.
#[derive(Default)]
struct Model {
    sessions: HashMap<(Inside, Remote), Session>,
    mappings: HashMap<Inside, u16>,
    /// Whose a port was, and until when.
    used: HashMap<(Protocol, u16), (Inside, u64)>,
}

impl Model {
    fn forget(&mut self, now: u64) {
        for ((inside, _), session) in &self.sessions {
            let Some(port) = self.mappings.get(inside) else { continue };
            let last = self.used.entry((inside.3, *port)).or_insert((*inside, 0));
            *last = (*inside, session.ends.max(if last.0 == *inside { last.1 } else { 0 }));
        }
        self.sessions.retain(|_, session| session.ends >= now);
        let sessions = &self.sessions;
        self.mappings.retain(|inside, _| sessions.keys().any(|(other, _)| other == inside));
    }

    /// What comes out of a client's packet; `port` is what the translator has chosen, to be judged.
    fn send(&mut self, inside: Inside, remote: Remote, step: u8, (now, port): (u64, u16)) {
        match self.mappings.get(&inside).copied() {
            Some(mapped) => assert_eq!(mapped, port, "one mapping for all remote addresses"),
            None => self.begin(inside, port, now),
        }
        let former = self.sessions.get(&(inside, remote)).map_or(0, |session| session.steps);
        let steps = former.max(if former + 1 >= step { step } else { former });
        let span = match (inside.3, steps) {
            (Protocol::Udp, _) => 300,
            (Protocol::Icmp, _) => 60,
            (Protocol::Tcp, 3) => 7440,
            (Protocol::Tcp, _) => 240,
        };
        self.sessions.insert((inside, remote), Session { ends: now + span * SECOND, steps });
    }

    /// A new mapping.
    fn begin(&mut self, inside: Inside, port: u16, now: u64) {
        let taken = |(other, used): (&Inside, &u16)| (other.3, *used) == (inside.3, port);
        assert!(!self.mappings.iter().any(taken), "a port is one mapping's");
        let former = self.used.get(&(inside.3, port));
        // Who comes back before the sweep has seen that a mapping is over gets it again.
        let rested =
            former.is_none_or(|(whose, used)| *whose == inside || used + 120 * SECOND <= now);
        assert!(rested, "a port rests");
        assert!((1024..=3071).contains(&port));
        self.mappings.insert(inside, port);
    }

    /// Whose a packet from outside is.
    fn take(
        &mut self,
        (protocol, port): (Protocol, u16),
        remote: Remote,
        step: u8,
        now: u64,
    ) -> Option<Inside> {
        let (inside, _) = self
            .mappings
            .iter()
            .find(|(inside, mapped)| (inside.3, **mapped) == (protocol, port))?;
        let session = self.sessions.get_mut(&(*inside, remote))?;
        if protocol == Protocol::Tcp && step == 2 && session.steps == 1 {
            *session = Session { ends: now + 240 * SECOND, steps: 2 };
        }
        Some(*inside)
    }
}

/// What a step of a connection looks like from the side that makes it.
fn tcp(from: Remote, to: Remote, step: u8) -> Vec<u8> {
    let numbers = match step {
        1 => numbers(SYN, 99, 0),
        2 => numbers(SYN_ACK, 499, 100),
        _ => numbers(ACK, 100, 500),
    };
    segment(ends(from.0, from.1, to.0, to.1), numbers, b"")
}

fn packet(protocol: Protocol, from: Remote, to: Remote, step: u8) -> Vec<u8> {
    match protocol {
        Protocol::Tcp => tcp(from, to, step),
        Protocol::Udp => datagram(ends(from.0, from.1, to.0, to.1), b"some data"),
        Protocol::Icmp => echo(from.0, to.0, if step == 2 { to.1 } else { from.1 }, step != 2),
    }
}

/// A session's key without what does not count.
fn key(protocol: Protocol, (address, port): Remote) -> Remote {
    (address, if protocol == Protocol::Tcp { port } else { 0 })
}

struct Run {
    world: World,
    model: Model,
    random: Random,
}

impl Run {
    fn pick<T: Copy, const N: usize>(&mut self, from: [T; N]) -> T {
        from[usize::try_from(self.random.below(N as u64)).unwrap()]
    }

    fn remote(&mut self) -> Remote {
        let last = u8::try_from(1 + self.random.below(4)).unwrap();
        (Ipv4Addr::new(198, 51, 100, last), self.pick([53, 443, 3478]))
    }

    /// Some time later, perhaps after a sweep.
    fn pass(&mut self) {
        let secs = self.pick([0, 0, 0, 1, 5, 59, 60, 61, 119, 240, 300]);
        self.world.now.0 += secs * SECOND;
        if self.random.below(4) == 0 {
            for _ in 0..16 {
                self.world.now.0 += SECOND / 2;
                self.world.flows.sweep(self.world.now, |_| {});
            }
            self.model.forget(self.world.now.0);
            let live = u32::try_from(self.model.sessions.len()).unwrap();
            // What has ended within a tick is not swept yet.
            assert!(self.world.flows.len() >= live);
        }
        self.model.forget(self.world.now.0);
    }

    fn send(&mut self) {
        let client = u32::try_from(self.random.below(CLIENTS)).unwrap();
        let port = u16::try_from(5000 + self.random.below(6)).unwrap();
        let protocol = self.pick([Protocol::Tcp, Protocol::Udp, Protocol::Icmp]);
        let remote = self.remote();
        let inside = (client, INNER, port, protocol);
        let session = self.model.sessions.get(&(inside, key(protocol, remote)));
        let step = match session.map(|session| session.steps) {
            Some(2 | 3) => self.pick([1, 3]),
            _ => 1,
        };
        let (out, _) = self.world.sent(client, &packet(protocol, (INNER, port), remote, step));
        let outer = match protocol {
            Protocol::Icmp => identifier_of(&out),
            Protocol::Tcp | Protocol::Udp => {
                let (source, to) = ends_of(&out);
                assert_eq!((source.0, to), (EGRESS.into(), (remote.0.into(), remote.1)));
                source.1
            }
        };
        let remote = key(protocol, remote);
        self.model.send(inside, remote, step, (self.world.now.0, outer));
    }

    fn take(&mut self) {
        let protocol = self.pick([Protocol::Tcp, Protocol::Udp, Protocol::Icmp]);
        let known = self.model.mappings.iter().filter(|(inside, _)| inside.3 == protocol);
        let mut ports: Vec<u16> = known.map(|(_, port)| *port).collect();
        ports.sort_unstable();
        ports.push(u16::try_from(1024 + self.random.below(2048)).unwrap());
        let port = ports[usize::try_from(self.random.below(ports.len() as u64)).unwrap()];
        let remote = self.remote();
        let came = packet(protocol, remote, (EGRESS, port), 2);
        let now = self.world.now.0;
        let expected = self.model.take((protocol, port), key(protocol, remote), 2, now);
        let mut packet = came.clone();
        let verdict = self.world.back(&mut packet);
        match (expected, verdict) {
            (Some((client, address, inner, _)), Verdict::Carried { flow, .. }) => {
                crate::world::assert_intact(&packet);
                assert_eq!(self.world.flows.flow(flow).unwrap().client(), client);
                assert_eq!(packet[16..20], address.octets());
                if protocol == Protocol::Icmp {
                    assert_eq!(identifier_of(&packet), inner);
                } else {
                    assert_eq!(ends_of(&packet), ends(remote.0, remote.1, address, inner));
                }
            }
            (None, Verdict::Refused(Refusal::Filtered | Refusal::NoMapping)) => {}
            (expected, verdict) => {
                panic!("{protocol:?} {remote:?} to {port}: {expected:?}, {verdict:?}")
            }
        }
    }
}

#[test]
fn translates_as_the_model_does() {
    for seed in 1..9 {
        let addresses = [EGRESS.into()];
        let mut config = config(&addresses);
        config.flows = 512;
        config.ports = 1024..=3071;
        config.limits = Limits { flows: 512, ports: 512, setups: 512 };
        let world = World::of(&config);
        let mut run = Run { world, model: Model::default(), random: Random(seed) };
        for step in 0..6000 {
            run.pass();
            let turn =
                |run: &mut Run| if run.random.below(2) == 0 { run.send() } else { run.take() };
            let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| turn(&mut run)));
            assert!(failed.is_ok(), "seed {seed} step {step}");
        }
        // Everything ends, and nothing is left.
        run.world.wait(8000.0);
        run.world.sweep();
        run.world.sweep();
        assert!(run.world.flows.is_empty(), "seed {seed}");
        for client in 0..u32::try_from(CLIENTS).unwrap() {
            assert_eq!(run.world.flows.holding(client), flows::Holding::default());
        }
    }
}
