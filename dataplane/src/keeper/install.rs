//! How a transaction reaches the workers, step by step and without anybody waiting: first the peers, so that each
//! worker knows its own before routes name them; then the routes, all at once for each worker; last the end of peers
//! that no route names any more.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::exchange::{Exchange, Job, Order, Token};
use crate::limits::PEERS_PER_ORDER;
use crate::site::{keeper_thread, local_number, owner};
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
    /// Workers and handshake threads let peers go.
    Removals,
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

/// A transaction under way.
#[derive(Debug)]
pub(super) struct Installation {
    step: Step,
    tasks: VecDeque<Task>,
    /// Everybody who has something to do holds it.
    token: Token,
    /// The routes to come.
    routes: Option<Arc<Routes>>,
    /// The routes before them, which workers hold until they have taken the new ones.
    former: Option<Arc<Routes>>,
    /// Numbers of the peers that go.
    pub(super) removed: Vec<u32>,
}

impl Installation {
    /// Begins with the peers; `routes` are those to come and those that they replace, if they change.
    pub(super) fn new(
        set: Vec<(u32, Setup)>,
        routes: Option<(Arc<Routes>, Arc<Routes>)>,
        removed: Vec<u32>,
        exchange: &Exchange,
    ) -> Self {
        let token = Token::default();
        let set = set.into_iter().map(|(number, setup)| (number, Some(setup)));
        let tasks = orders(set, exchange.workers(), &token);
        let (routes, former) = routes.unzip();
        Self { step: Step::Peers, tasks, token, routes, former, removed }
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
                    self.end(exchange);
                    return Progress::InForce;
                }
                Step::Removals | Step::Done => {
                    self.step = Step::Done;
                    return Progress::Done;
                }
            }
        }
    }

    /// Gives everybody what there is room for; whether nothing is left.
    fn hand_out(&mut self, exchange: &Exchange) -> bool {
        while let Some(task) = self.tasks.pop_front() {
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
        true
    }

    /// Whether everybody has done what was handed out.
    fn is_taken(&self) -> bool {
        match self.step {
            Step::Peers | Step::Removals | Step::Done => Arc::strong_count(&self.token) == 1,
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

    fn end(&mut self, exchange: &Exchange) {
        let (workers, threads) = (exchange.workers(), exchange.threads());
        self.tasks =
            orders(self.removed.iter().map(|number| (*number, None)), workers, &self.token);
        self.tasks.extend(self.removed.iter().map(|number| {
            let thread = keeper_thread(*number, workers, threads);
            Task::Thread(thread, Job::Forget(*number, Arc::clone(&self.token)))
        }));
    }
}

/// Orders for the owners of these peers.
fn orders(
    peers: impl Iterator<Item = (u32, Option<Setup>)>,
    workers: usize,
    token: &Token,
) -> VecDeque<Task> {
    let mut tasks = VecDeque::new();
    let mut sheets: Vec<Vec<(u32, Option<Setup>)>> = vec![Vec::new(); workers];
    let mut send = |worker, sheet: &mut Vec<_>| {
        if !sheet.is_empty() {
            let order = Order::Peers(std::mem::take(sheet).into_boxed_slice(), Arc::clone(token));
            tasks.push_back(Task::Worker(worker, order));
        }
    };
    for (number, setup) in peers {
        let worker = owner(number, workers);
        let Some(sheet) = sheets.get_mut(worker) else { continue };
        sheet.push((local_number(number, workers), setup));
        if sheet.len() == PEERS_PER_ORDER {
            send(worker, sheet);
        }
    }
    for (worker, sheet) in sheets.iter_mut().enumerate() {
        send(worker, sheet);
    }
    tasks
}
