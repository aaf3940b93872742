//! The health of tunnels: when each is probed, how it stands by its answers, and which of them a tenant's flows may take.
//! Nothing here sends anything or knows the time: the keeper asks what is due and passes it on to workers.
//!
//! What an operator should know:
//!
//! - A tunnel is probed once each interval. A probe is **lost** when no answer has come within three times the round trip,
//!   but at least 500 ms and at most 800 ms; an answer that comes later does not count. A tunnel whose answers take longer
//!   counts as down.
//! - After a loss probes follow each other by 250 ms until one is answered.
//! - **Down**: three in a row are lost. With the interval of one second that takes 2.3 s from the death of the other end, and
//!   2.9 s at most when a round trip takes longer than a sixth of one. While it is down it is probed once each interval as before.
//! - **Degraded**, from up: three or more are lost within five minutes, and at least one in 400.
//! - From down to degraded: three in a row are answered. From degraded to up: thirty in a row are answered over ten seconds
//!   or longer. Each time that a tunnel leaves up doubles those ten seconds, up to 640; ten minutes of being up take one
//!   doubling back. So who comes back once is soon used again, and who flaps or goes on losing moves its flows a few times
//!   and then seldom.
//! - A new tunnel with a probe is up until its first three are lost.
//! - Flows take the tunnels that are up or not probed, of those the ones with the lowest priority, by weight. Without any the
//!   degraded ones, and without those the ones that are down: the last is never taken away.

mod choice;
mod course;
mod tracked;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use arrayvec::ArrayVec;
use wireguard::time::Instant;

use crate::fleet::sip::Sip;
use crate::limits::{CHOICES, PROBES_PER_TURN, TUNNEL_TOLD_INTERVAL, TUNNELS_MAX};
use crate::stages::egress::probe::{AllAnswers, Style};

use choice::Member;
use tracked::Tracked;

/// How a tunnel stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    /// Nobody asks.
    Unprobed,
    /// It carries what it is given.
    Up,
    /// It loses some of it, or was down lately.
    Degraded,
    /// Nothing comes back.
    Down,
}

/// A tunnel as control has told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tunnel {
    /// By which control knows it.
    pub(super) id: u32,
    /// By which workers know it, at most [`TUNNELS_MAX`].
    pub(super) number: u16,
    /// The tenant's number.
    pub(super) tenant: u16,
    /// Lower first.
    pub(super) priority: u16,
    /// Its share among those of its priority.
    pub(super) weight: u16,
    /// How it is probed, when it is.
    pub(super) probing: Option<Probing>,
}

/// How a tunnel is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probing {
    /// What is sent.
    pub(super) style: Style,
    /// How often.
    pub(super) interval: Duration,
}

/// A probe that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    /// Into the tunnel with this number,
    pub(super) number: u16,
    /// and with this id,
    pub(super) id: u32,
    /// this,
    pub(super) style: Style,
    /// with this sequence in its stamp.
    pub(super) sequence: u32,
}

/// What a turn has brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    /// To be sent.
    pub(super) probes: ArrayVec<Probe, PROBES_PER_TURN>,
    /// Tenants with a tunnel that stands otherwise than before, once each.
    pub(super) changed: ArrayVec<u16, PROBES_PER_TURN>,
}

/// How a tunnel stands, for control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// By which control knows it.
    pub(super) id: u32,
    /// How it stands.
    pub(super) state: State,
    /// How long answers take, when any has come.
    pub(super) round_trip: Option<Duration>,
    /// Probes sent, and those of them answered in time.
    pub(super) sent: u64,
    /// See there.
    pub(super) answered: u64,
    /// Since when it is in its state.
    pub(super) since: Instant,
}

/// The health of all tunnels.
#[derive(Debug)]
pub(super) struct Health {
    /// By number.
    tracked: Box<[Option<Box<Tracked>>]>,
    /// The next sequence of each number. It goes on when a number becomes another tunnel's, since cells of workers do.
    sequences: Box<[u32]>,
    /// The numbers of each tenant's tunnels.
    tenants: BTreeMap<u16, Vec<u16>>,
    /// When a tunnel is to be looked at; each that is probed is in it once.
    due: BinaryHeap<Reverse<(Instant, u16)>>,
    /// Numbers of tunnels that control is to be told of.
    untold: VecDeque<u16>,
    /// Of the choice among tunnels.
    key: [u8; 16],
}

impl Health {
    /// Without any tunnel. Sequences begin anywhere, so that none is that of a probe from before this start.
    pub(super) fn new(key: [u8; 16], seed: u64) -> Self {
        let begin = Sip::<1, 3>::new((u128::from(seed)).to_le_bytes());
        #[expect(clippy::cast_possible_truncation, reason = "half of the hash is enough")]
        let sequence = |number: usize| begin.hash(number as u64, 2) as u32;
        Self {
            tracked: (0..=TUNNELS_MAX).map(|_| None).collect(),
            sequences: (0..=TUNNELS_MAX).map(sequence).collect(),
            tenants: BTreeMap::new(),
            due: BinaryHeap::new(),
            untold: VecDeque::new(),
            key,
        }
    }

    /// These are all tunnels from now on. A tunnel is the same when id and number are; it keeps how it stands.
    pub(super) fn follow(&mut self, tunnels: &[Tunnel], now: Instant) {
        let mut before = std::mem::take(&mut self.tracked);
        self.tracked = (0..=TUNNELS_MAX).map(|_| None).collect();
        self.tenants.clear();
        for tunnel in tunnels {
            let place = usize::from(tunnel.number);
            let Some(entry) = self.tracked.get_mut(place) else { continue };
            let former = before.get_mut(place).and_then(Option::take);
            let tracked = match former.filter(|tracked| tracked.tunnel.id == tunnel.id) {
                Some(mut tracked) => {
                    tracked.become_as(*tunnel, now);
                    tracked
                }
                None => Box::new(Tracked::new(*tunnel, now)),
            };
            *entry = Some(tracked);
            self.tenants.entry(tunnel.tenant).or_default().push(tunnel.number);
        }
        self.line_up();
    }

    /// Puts all into the lists in which they belong.
    fn line_up(&mut self) {
        self.due.clear();
        self.untold.clear();
        for tracked in self.tracked.iter().flatten() {
            let number = tracked.tunnel.number;
            if let Some(watch) = &tracked.watch {
                self.due.push(Reverse((watch.due(), number)));
            }
            if tracked.is_untold {
                self.untold.push_back(number);
            }
        }
    }

    /// Who has to be told knows nothing yet.
    pub(super) fn tell_all(&mut self) {
        self.tracked.iter_mut().flatten().for_each(|tracked| tracked.is_untold = true);
        self.line_up();
    }

    /// Looks at the tunnels for which it is time, a bounded number of them.
    pub(super) fn turn(&mut self, answers: &AllAnswers, now: Instant) -> Turn {
        let mut turn = Turn::default();
        for _ in 0..PROBES_PER_TURN {
            match self.due.peek() {
                Some(Reverse((at, number))) if *at <= now => {
                    let number = *number;
                    self.due.pop();
                    self.visit(number, answers, &mut turn, now);
                }
                _ => break,
            }
        }
        turn
    }

    fn visit(&mut self, number: u16, answers: &AllAnswers, turn: &mut Turn, now: Instant) {
        let place = usize::from(number);
        let tracked = self.tracked.get_mut(place).and_then(Option::as_mut);
        let (Some(tracked), Some(next)) = (tracked, self.sequences.get_mut(place)) else { return };
        let before = tracked.state();
        let Some(watch) = &mut tracked.watch else { return };
        watch.judge(number, answers, now);
        let sequence = *next;
        if watch.send(sequence, now) {
            *next = next.wrapping_add(1);
            answers.expect(number, sequence);
            let (id, style) = (tracked.tunnel.id, watch.probing.style);
            turn.probes.push(Probe { number, id, style, sequence });
        }
        self.due.push(Reverse((watch.due(), number)));
        let has_changed = tracked.state() != before;
        let tenant = tracked.tunnel.tenant;
        if has_changed && !turn.changed.contains(&tenant) {
            turn.changed.push(tenant);
        }
        self.enlist(number, has_changed, now);
    }

    /// Control shall hear of a tunnel: of a change before all else, of the rest now and then.
    fn enlist(&mut self, number: u16, has_changed: bool, now: Instant) {
        let tracked = self.tracked.get_mut(usize::from(number)).and_then(Option::as_mut);
        let Some(tracked) = tracked.filter(|tracked| !tracked.is_untold) else { return };
        if has_changed {
            self.untold.push_front(number);
        } else if now.since(tracked.listed_at) >= TUNNEL_TOLD_INTERVAL {
            self.untold.push_back(number);
        } else {
            return;
        }
        (tracked.is_untold, tracked.listed_at) = (true, now);
    }

    /// When the next turn has something to do.
    pub(super) fn next_due(&self) -> Instant {
        self.due.peek().map_or(Instant::NEVER, |Reverse((at, _))| *at)
    }

    /// A probe that no worker had room for says nothing of its tunnel.
    pub(super) fn withdraw(&mut self, probe: &Probe) {
        let tracked = self.tracked.get_mut(usize::from(probe.number)).and_then(Option::as_mut);
        if let Some(watch) = tracked.and_then(|tracked| tracked.watch.as_mut()) {
            watch.withdraw(probe.sequence);
        }
    }

    /// The numbers of all tenants that have tunnels.
    pub(super) fn tenants(&self) -> impl Iterator<Item = u16> {
        self.tenants.keys().copied()
    }

    /// The numbers of the tunnels that a tenant's flows take; `None` when it has no tunnel.
    pub(super) fn group(&self, tenant: u16) -> Option<[u16; CHOICES]> {
        let numbers = self.tenants.get(&tenant)?;
        let members: Vec<Member> =
            numbers.iter().filter_map(|number| self.member(*number)).collect();
        choice::group(&members, self.key)
    }

    fn member(&self, number: u16) -> Option<Member> {
        let tracked = self.tracked.get(usize::from(number))?.as_ref()?;
        let Tunnel { id, priority, weight, .. } = tracked.tunnel;
        Some(Member { id, number, state: tracked.state(), priority, weight })
    }

    /// The next tunnel that control is to be told of, when there is room to tell it.
    pub(super) fn next_untold(&mut self) -> Option<Standing> {
        let number = self.untold.pop_front()?;
        let tracked = self.tracked.get_mut(usize::from(number))?.as_mut()?;
        tracked.is_untold = false;
        Some(tracked.standing())
    }
}

#[cfg(test)]
mod tests;
