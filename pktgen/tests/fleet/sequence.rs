//! Changes of a fleet and of the router before it, one after the other, as chance will have them.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::site::{Server, Site};

/// How a server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No member.
    Absent,
    Active,
    Draining,
    /// Killed, and known to be.
    Dead,
}

/// What is done with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Declared, started, and used.
    Join(u8),
    /// It shall take nobody new, and keeps what it has for as long as that lives.
    Drain(u8),
    /// It takes new clients again.
    Up(u8),
    Weight(u8, u32),
    /// The router leaves it out, or takes it in again.
    Respread(u8),
    Kill(u8),
    /// Started after its death, with nothing of what it had.
    Restart(u8),
}

/// A sequence under way.
pub(crate) struct Sequence<'a> {
    site: &'a Site,
    chance: ChaCha20Rng,
    states: Vec<State>,
    /// Whom the router leaves out.
    withdrawn: Vec<bool>,
}

impl<'a> Sequence<'a> {
    /// Founds a fleet of the first two servers, and starts them.
    pub(crate) fn found(site: &'a Site, seed: u64) -> Self {
        site.membership().found(&[1, 2]);
        (1..=2).for_each(|server| site.start(server));
        site.agree(&[1, 2]);
        let mut states = vec![State::Absent; site.servers.len()];
        states[..2].fill(State::Active);
        let (chance, withdrawn) =
            (ChaCha20Rng::seed_from_u64(seed), vec![false; site.servers.len()]);
        let sequence = Self { site, chance, states, withdrawn };
        sequence.spread();
        sequence
    }

    /// Makes one of the changes that may be made now and are wanted.
    pub(crate) fn next(&mut self, is_wanted: impl Fn(Change) -> bool) -> Change {
        let mut changes = self.possible();
        changes.retain(|change| is_wanted(*change));
        let change = changes[self.below(changes.len())];
        self.make(change);
        change
    }

    fn make(&mut self, change: Change) {
        match change {
            Change::Join(server) => self.join(server),
            Change::Drain(server) => self.told(server, State::Draining, "drain"),
            Change::Up(server) => self.told(server, State::Active, "up"),
            Change::Weight(server, weight) => {
                self.site.server(self.anybody()).ask(&format!("fleet weight {server} {weight}"));
            }
            Change::Respread(server) => {
                self.withdrawn[at(server)] ^= true;
                self.spread();
            }
            Change::Kill(server) => self.kill(server),
            Change::Restart(server) => {
                self.site.server(server).stop();
                self.site.start(server);
                self.told(server, State::Active, "up");
                self.spread();
            }
        }
        self.site.agree(&self.running());
    }

    fn possible(&mut self) -> Vec<Change> {
        let (running, weight) = (self.running(), 50 + 50 * (self.chance.next_u32() % 6));
        let active = self.numbers(|state| state == State::Active);
        let reached = running.iter().filter(|server| !self.withdrawn[at(**server)]).count();
        let mut changes = Vec::new();
        for server in (1..).take(self.states.len()) {
            let (state, is_withdrawn) = (self.states[at(server)], self.withdrawn[at(server)]);
            match state {
                State::Absent => changes.push(Change::Join(server)),
                State::Dead => changes.push(Change::Restart(server)),
                State::Draining => changes.push(Change::Up(server)),
                State::Active => changes.push(Change::Weight(server, weight)),
            }
            let is_last = active == [server];
            if state == State::Active && !is_last {
                changes.push(Change::Drain(server));
            }
            let is_member = matches!(state, State::Active | State::Draining);
            let is_last_reached = reached == 1 && !is_withdrawn;
            if is_member && !is_last_reached {
                changes.push(Change::Respread(server));
                if !is_last {
                    changes.push(Change::Kill(server));
                }
            }
        }
        changes
    }

    fn join(&mut self, server: u8) {
        let before = self.running();
        self.site.membership().add(server);
        self.site.agree(&before);
        self.site.start(server);
        self.told(server, State::Active, "up");
        self.spread();
    }

    fn kill(&mut self, server: u8) {
        self.site.server(server).kill();
        self.states[at(server)] = State::Dead;
        self.withdrawn[at(server)] = false;
        self.spread();
        self.site.server(self.anybody()).ask(&format!("fleet down {server}"));
    }

    fn told(&mut self, server: u8, state: State, word: &str) {
        self.site.server(self.anybody()).ask(&format!("fleet {word} {server}"));
        self.states[at(server)] = state;
    }

    fn numbers(&self, wanted: impl Fn(State) -> bool) -> Vec<u8> {
        let numbered = (1..).zip(&self.states).filter(|(_, state)| wanted(**state));
        numbered.map(|(server, _)| server).collect()
    }

    /// Members that run.
    pub(crate) fn running(&self) -> Vec<u8> {
        self.numbers(|state| matches!(state, State::Active | State::Draining))
    }

    /// One of them, whose control is asked to change the file of all.
    fn anybody(&self) -> u8 {
        self.running()[0]
    }

    fn spread(&self) {
        let reached = self.running().into_iter().filter(|server| !self.withdrawn[at(*server)]);
        self.site.spread(&reached.collect::<Vec<_>>());
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.chance.next_u32()).unwrap() % count
    }

    /// What this counter says at all members together.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.running().iter().map(|&server| self.site.server(server).counter(name)).sum()
    }

    /// Ends all servers; every packet has to be accounted for.
    pub(crate) fn stop(self) {
        self.site.servers.iter().for_each(Server::stop);
    }
}

fn at(server: u8) -> usize {
    usize::from(server) - 1
}
