//! The operator: changes the fleet, tells each server at a moment of its own, and sees to it that routers follow.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use dataplane::testing::{UNIX, unix};
use shm::message::Item;
use wireguard::limits::REJECT_AFTER_TIME;
use wireguard::time::Instant;

use super::dice::Dice;
use super::roll::{Duty, Member, Moved, Roll};
use super::world::{Event, World};

/// By how much the moments differ at which servers hear of a change.
pub(crate) const TELLING: Duration = Duration::from_millis(500);
/// From the withdrawal of a server's route to its end, so that nothing is under way to it any more.
const WITHDRAWAL: Duration = Duration::from_secs(1);
/// From one step of a change to the next: all have heard of it, and nothing is under way from before.
const PHASE: Duration = Duration::from_millis(700);
/// How often a server that is to be emptied is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// From a server's death until the others are told.
pub(crate) const DETECTION: Duration = Duration::from_secs(1);

/// What was lost on the way to a dead server was sent again after this time.
const RETRIES: Duration = Duration::from_secs(8);

/// One step of a change.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A change by chance.
    Change,
    /// A server hears of a membership.
    Tell(u8, Rc<Roll>),
    /// The router sends clients to a server, or no longer.
    Announce(u8),
    Withdraw(u8),
    /// A server that is to be emptied may be so by now.
    Look(u8, Instant),
    /// The time of a server is over.
    Expire(u8),
    /// Newcomers get a weight.
    Weigh(Vec<u8>),
    /// A server is no member any more.
    Remove(u8),
    /// A server leaves the fleet.
    Leave(u8),
    /// A server is switched off.
    Stop(u8),
    /// The others hear of a server's death.
    Mourn(u8),
}

#[derive(Debug, Default)]
pub(crate) struct Operator {
    pub(crate) roll: Roll,
    /// How many servers there may be, and the time between two changes; none without changes.
    pub(crate) pace: Option<(usize, Duration)>,
    /// Numbers that were given so far.
    next: u8,
}

impl World {
    /// The first servers, which know each other before clients come.
    pub(crate) fn found(&mut self) {
        let weights: Vec<u16> =
            (0..self.scenario.servers).map(|_| weight(&mut self.dice)).collect();
        let servers: Vec<u8> = weights.iter().map(|_| self.fresh()).collect();
        self.operator.roll.follow(|members| {
            members.extend(
                servers.iter().zip(&weights).map(|(server, weight)| {
                    (*server, Member { weight: *weight, duty: Duty::Active })
                }),
            );
        });
        for server in servers {
            self.start(server);
            let roll = self.operator.roll.clone();
            self.tell(server, &roll);
            self.router.announce(server);
        }
    }

    /// A number for a new server, from 1 on.
    fn fresh(&mut self) -> u8 {
        self.operator.next += 1;
        self.operator.next
    }

    pub(crate) fn operate(&mut self, step: Step) {
        match step {
            Step::Change => self.change(),
            Step::Tell(server, roll) => self.tell(server, &roll),
            Step::Announce(server) => self.announce(server),
            Step::Withdraw(server) => self.router.withdraw(server),
            Step::Look(server, until) => self.look_after(server, until),
            Step::Expire(server) => self.cut_flows_of(server),
            Step::Weigh(servers) => self.reweigh(&servers),
            Step::Remove(server) => self.follow(|members| _ = members.remove(&server)),
            Step::Leave(server) => self.leave(server),
            Step::Stop(server) => {
                self.cut_flows_of(server);
                self.stop(server);
            }
            Step::Mourn(server) => self.mourn(server),
        }
    }

    fn schedule(&mut self, after: Duration, step: Step) {
        self.plan(after, Event::Operate(step));
    }

    /// Begins to change the fleet every now and then, up to so many servers.
    pub(crate) fn unrest(&mut self, servers: usize, pause: Duration) {
        self.operator.pace = Some((servers, pause));
        self.schedule(pause, Step::Change);
    }

    /// A planned change: one, two or four more, one fewer, or another weight.
    fn change(&mut self) {
        let Some((most, pause)) = self.operator.pace else { return };
        let pause = self.dice.duration(pause / 2, pause * 3 / 2);
        self.schedule(pause, Step::Change);
        let room = most.saturating_sub(self.stations.len());
        let chosen = self.any_active();
        match self.dice.below(8) {
            0 | 1 if room >= 1 => self.join(1),
            2 if room >= 2 => self.join(2),
            3 if room >= 4 => self.join(4),
            4..=6 if self.is_spare(chosen) => self.drain(chosen, None),
            7 => self.reweigh(&[chosen]),
            _ => {}
        }
    }

    /// Tells a server of a membership, if it is of it and has not heard of a later one.
    fn tell(&mut self, server: u8, roll: &Roll) {
        if !self.scenario.is_steered || !roll.members.contains_key(&server) {
            return;
        }
        let fleet = roll.fleet(|server| self.scenario.addresses(server));
        let Some(station) = self.stations.get_mut(&server) else { return };
        if station.told < Some(roll.generation) {
            station.told = Some(roll.generation);
            station.server.change(vec![Item::Fleet(Box::new(fleet))], self.now);
            station.is_due = true;
        }
    }

    /// Changes the membership, and lets everybody hear of it within half a second; who knows nothing yet hears it
    /// first, so that nothing is passed on to a server that cannot say whose it is.
    fn follow(&mut self, change: impl FnOnce(&mut BTreeMap<u8, Member>)) {
        let before = self.operator.roll.active();
        self.operator.roll.follow(change);
        self.figures.changes.push(Moved::between(&before, &self.operator.roll.active()));
        let stations = self.stations.values();
        let servers: Vec<_> =
            stations.map(|station| (station.number, station.told.is_none())).collect();
        let roll = Rc::new(self.operator.roll.clone());
        for (server, is_new) in servers {
            let late = self.dice.duration(Duration::from_millis(1), TELLING);
            let after = if is_new { Duration::ZERO } else { late };
            self.schedule(after, Step::Tell(server, Rc::clone(&roll)));
        }
    }

    /// New servers join.
    pub(crate) fn join(&mut self, count: usize) {
        let joining = (0..count).map(|_| self.fresh()).collect();
        self.enlist(joining);
    }

    /// A server that had died is there again, under its number, and knows nothing.
    pub(crate) fn revive(&mut self, server: u8) {
        self.enlist(vec![server]);
    }

    /// Starts servers, members without a weight at first, that get it when all know them.
    fn enlist(&mut self, joining: Vec<u8>) {
        for server in &joining {
            self.start(*server);
        }
        self.follow(|members| {
            let member = Member { weight: 0, duty: Duty::Active };
            members.extend(joining.iter().map(|server| (*server, member)));
        });
        for server in &joining {
            self.schedule(PHASE, Step::Announce(*server));
        }
        self.schedule(PHASE, Step::Weigh(joining));
    }

    fn reweigh(&mut self, servers: &[u8]) {
        let weights: Vec<u16> = servers.iter().map(|_| weight(&mut self.dice)).collect();
        self.follow(|members| {
            for (server, weight) in servers.iter().zip(weights) {
                members.get_mut(server).unwrap().weight = weight;
            }
        });
    }

    fn announce(&mut self, server: u8) {
        let is_there = self.stations.contains_key(&server);
        if is_there && self.operator.roll.members.contains_key(&server) {
            self.router.announce(server);
        }
    }

    /// Lets a server run empty, with or without a limit in time. Its route goes now or in the end.
    pub(crate) fn drain(&mut self, server: u8, limit: Option<Duration>) {
        // Whole seconds, as an operator writes them.
        let deadline = limit.map(|limit| Duration::from_secs(unix(self.now + limit).as_secs()));
        let until = deadline
            .map_or(Instant::NEVER, |deadline| Instant::ZERO + deadline.saturating_sub(UNIX));
        if deadline.is_some() {
            self.schedule(until.since(self.now), Step::Expire(server));
        }
        self.follow(|members| members.get_mut(&server).unwrap().duty = Duty::Draining(deadline));
        if self.dice.permille(500) {
            self.schedule(Duration::ZERO, Step::Withdraw(server));
        }
        self.schedule(LOOK, Step::Look(server, until));
    }

    fn look_after(&mut self, server: u8, until: Instant) {
        let Some(station) = self.stations.get(&server) else { return };
        if station.sessions() > 0 && self.now < until {
            return self.schedule(LOOK, Step::Look(server, until));
        }
        self.schedule(Duration::ZERO, Step::Withdraw(server));
        self.schedule(WITHDRAWAL, Step::Leave(server));
    }

    /// Who has run empty is asked no more. It is known as one that was there for as long as a session of its may live,
    /// so that who has one yet is called at once.
    fn leave(&mut self, server: u8) {
        self.cut_flows_of(server);
        self.orphan_clients_of(server, TELLING);
        self.follow(|members| members.get_mut(&server).unwrap().duty = Duty::Down);
        self.figures.departures += 1;
        self.schedule(PHASE, Step::Stop(server));
        self.schedule(REJECT_AFTER_TIME, Step::Remove(server));
    }

    /// A server dies; routers and the others notice later.
    pub(crate) fn kill(&mut self, server: u8) {
        self.cut_flows_of(server);
        self.orphan_clients_of(server, DETECTION + TELLING);
        self.stop(server);
        self.excused_until = self.now + DETECTION + TELLING + RETRIES;
        self.schedule(DETECTION, Step::Mourn(server));
    }

    /// Whether there is another server that takes new clients.
    fn is_spare(&self, server: u8) -> bool {
        let active = self.operator.roll.active();
        active.iter().any(|(other, _)| *other != server)
    }

    /// Any server that takes new clients.
    pub(crate) fn any_active(&mut self) -> u8 {
        let active = self.operator.roll.active();
        active[self.dice.index(active.len())].0
    }

    fn mourn(&mut self, server: u8) {
        self.router.withdraw(server);
        self.follow(|members| members.get_mut(&server).unwrap().duty = Duty::Down);
    }
}

fn weight(dice: &mut Dice) -> u16 {
    [50, 100, 100, 200][dice.index(4)]
}
