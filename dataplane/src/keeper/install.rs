//! How a transaction reaches the workers, step by step and without anybody waiting: first the peers, so that each
//! worker knows its own before routes name them; then the routes, all at once for each worker; last the end of peers
//! that no route names any more.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::exchange::{Exchange, Job, Order, Token};
use crate::fleet::Membership;
use crate::limits::{PEERS_PER_ORDER, TASKS_OUT_MAX};
use crate::site::{keeper_thread, local_number, owner};
use crate::stages::dos::Rules;
use crate::stages::route::Routes;
use crate::stages::wireguard::sessions::Setup;

/// What is to be done by a worker or a handshake thread.
#[derive(Debug)]
enum Task {
    Worker(usize, Order),
    Thread(usize, Job),
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Workers take new and changed peers.
    Peers,
    /// Workers take the routes.
    Routes,
    /// Workers let peers go.
    Removals,
    /// Handshake threads do, after all that workers have asked them for these peers.
    Forgetting,
    /// Nothing.
    Done,
}

/// What an installation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Somebody has yet to do something.
    Waiting,
    /// Every packet from here on is treated as told; what is left is to clean up.
    InForce,
    /// All is done.
    Done,
}

/// What is to come, and what it replaces, if it changes.
type Change<T> = Option<(T, T)>;

/// What all workers read from another version on.
#[derive(Debug, Default)]
pub(super) struct Versions {
    pub(super) routes: Change<Arc<Routes>>,
    pub(super) fleet: Change<Membership>,
    pub(super) rules: Change<Arc<Rules>>,
}

/// A transaction under way.
#[derive(Debug)]
pub(super) struct Installation {
    step: Step,
    tasks: VecDeque<Task>,
    /// Everybody who has something to do holds it.
    token: Token,
    /// The former fleet, which workers hold until they have taken the new one.
    former_fleet: Option<Membership>,
    /// The former rules, likewise.
    former_rules: Option<Arc<Rules>>,
    /// The routes to come.
    routes: Option<Arc<Routes>>,
    /// The routes before them, which workers hold until they have taken the new ones.
    former: Option<Arc<Routes>>,
    /// Numbers of the peers that go.
    pub(super) removed: Vec<u32>,
}

impl Installation {
    /// Begins with the peers, the fleet and the rules.
    pub(super) fn new(
        set: Vec<(u32, Setup)>,
        Versions { routes, fleet, rules }: Versions,
        removed: Vec<u32>,
        exchange: &Exchange,
    ) -> Self {
        let token = Token::default();
        let set = set.into_iter().map(|(number, setup)| (number, Some(setup)));
        let mut tasks = orders(set, exchange.workers(), &token);
        let (fleet, former_fleet) = fleet.unzip();
        if let Some(fleet) = fleet {
            tasks.extend((0..exchange.workers()).map(|worker| {
                Task::Worker(worker, Order::Fleet(fleet.clone(), Arc::clone(&token)))
            }));
        }
        let (rules, former_rules) = rules.unzip();
        if let Some(rules) = rules {
            tasks.extend((0..exchange.workers()).map(|worker| {
                Task::Worker(worker, Order::Rules(Arc::clone(&rules), Arc::clone(&token)))
            }));
        }
        let (routes, former) = routes.unzip();
        let step = Step::Peers;
        Self { step, tasks, token, former_fleet, former_rules, routes, former, removed }
    }

    /// Goes on as far as it can.
    pub(super) fn turn(&mut self, exchange: &Exchange) -> Progress {
        loop {
            if !self.hand_out(exchange) || !self.is_taken() {
                return Progress::Waiting;
            }
            match self.step {
                Step::Peers => {
                    self.step = Step::Routes;
                    self.publish(exchange);
                }
                Step::Routes => {
                    self.step = Step::Removals;
                    self.former = None;
                    self.former_fleet = None;
                    self.former_rules = None;
                    self.remove(exchange);
                    return Progress::InForce;
                }
                Step::Removals => {
                    self.step = Step::Forgetting;
                    self.forget(exchange);
                }
                Step::Forgetting | Step::Done => {
                    self.step = Step::Done;
                    return Progress::Done;
                }
            }
        }
    }

    /// Gives everybody what there is room for; whether nothing is left.
    fn hand_out(&mut self, exchange: &Exchange) -> bool {
        while self.taken_by() < TASKS_OUT_MAX {
            let Some(task) = self.tasks.pop_front() else { return true };
            let refused = match task {
                Task::Worker(worker, order) => {
                    exchange.order_or(worker, order).map(|order| Task::Worker(worker, order))
                }
                Task::Thread(thread, job) => {
                    exchange.submit_or(thread, job).map(|job| Task::Thread(thread, job))
                }
            };
            if let Some(task) = refused {
                self.tasks.push_front(task);
                return false;
            }
        }
        self.tasks.is_empty()
    }

    /// How many tasks are handed out and not done; those that change routes do not count.
    fn taken_by(&self) -> usize {
        Arc::strong_count(&self.token).saturating_sub(1 + self.tasks.len())
    }

    /// Whether everybody has done what was handed out.
    fn is_taken(&mut self) -> bool {
        match self.step {
            // Unlike a look at the count, this sees all that the last holder did before it let go.
            Step::Peers | Step::Removals | Step::Forgetting | Step::Done => {
                Arc::get_mut(&mut self.token).is_some()
            }
            Step::Routes => {
                self.former.as_ref().is_none_or(|former| Arc::strong_count(former) == 1)
            }
        }
    }

    fn publish(&mut self, exchange: &Exchange) {
        let Some(routes) = self.routes.take() else { return };
        self.tasks = (0..exchange.workers())
            .map(|worker| Task::Worker(worker, Order::Routes(Arc::clone(&routes))))
            .collect();
    }

    fn remove(&mut self, exchange: &Exchange) {
        let removed = self.removed.iter().map(|number| (*number, None));
        self.tasks = orders(removed, exchange.workers(), &self.token);
    }

    fn forget(&mut self, exchange: &Exchange) {
        let (workers, threads) = (exchange.workers(), exchange.threads());
        let keeper = |number: &u32| keeper_thread(*number, workers, threads);
        let token = &self.token;
        let tasks = sheets(self.removed.iter().map(|number| (keeper(number), *number)), threads);
        let job = |(thread, sheet)| Task::Thread(thread, Job::Forget(sheet, Arc::clone(token)));
        self.tasks = tasks.map(job).collect();
    }
}

/// Orders for the owners of these peers.
fn orders(
    peers: impl Iterator<Item = (u32, Option<Setup>)>,
    workers: usize,
    token: &Token,
) -> VecDeque<Task> {
    let peers = peers
        .map(|(number, setup)| (owner(number, workers), (local_number(number, workers), setup)));
    sheets(peers, workers)
        .map(|(worker, sheet)| Task::Worker(worker, Order::Peers(sheet, Arc::clone(token))))
        .collect()
}

/// Sorts what each of so many has to do, a bounded part at a time.
fn sheets<T>(
    all: impl Iterator<Item = (usize, T)>,
    count: usize,
) -> impl Iterator<Item = (usize, Box<[T]>)> {
    let mut open: Vec<Vec<T>> = (0..count).map(|_| Vec::new()).collect();
    let mut done = Vec::new();
    for (whose, item) in all {
        let Some(sheet) = open.get_mut(whose) else { continue };
        sheet.push(item);
        if sheet.len() == PEERS_PER_ORDER {
            done.push((whose, std::mem::take(sheet).into_boxed_slice()));
        }
    }
    let rest = open.into_iter().map(Vec::into_boxed_slice).enumerate();
    done.into_iter().chain(rest.filter(|(_, sheet)| !sheet.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes what every worker was told.
    fn obey(exchange: &Exchange) {
        while exchange.next_order(0).is_some() {}
    }

    #[test]
    fn handshake_threads_forget_a_peer_after_all_that_its_worker_has_asked_them_for_it() {
        let exchange = Exchange::new(1, 1, 8, 1);
        let mut installation =
            Installation::new(Vec::new(), Versions::default(), vec![0], &exchange);
        assert_eq!(installation.turn(&exchange), Progress::InForce);
        assert_eq!(installation.turn(&exchange), Progress::Waiting);
        assert_eq!(exchange.jobs_waiting(0), 0, "its worker knows it still");
        assert!(exchange.submit(0, Job::Abandon(0)));
        obey(&exchange);
        assert_eq!(installation.turn(&exchange), Progress::Waiting);
        assert!(matches!(exchange.next_job(0), Some(Job::Abandon(0))));
        assert!(matches!(exchange.next_job(0), Some(Job::Forget(peers, _)) if *peers == [0]));
        assert_eq!(installation.turn(&exchange), Progress::Done);
    }

    #[test]
    fn the_end_of_many_peers_leaves_room_for_sessions_and_handshakes() {
        let count = u32::try_from(PEERS_PER_ORDER * TASKS_OUT_MAX * 3).unwrap();
        let exchange = Exchange::new(1, 1, 8, 1);
        let mut installation =
            Installation::new(Vec::new(), Versions::default(), (0..count).collect(), &exchange);
        assert_eq!(installation.turn(&exchange), Progress::InForce);
        let (mut forgotten, mut turns) = (0, 0);
        while installation.turn(&exchange) == Progress::Waiting {
            obey(&exchange);
            assert!(exchange.jobs_waiting(0) <= TASKS_OUT_MAX);
            while let Some(Job::Forget(peers, _)) = exchange.next_job(0) {
                forgotten += peers.len();
            }
            turns += 1;
        }
        assert_eq!((forgotten, turns), (count as usize, 6), "three each for worker and thread");
    }
}
