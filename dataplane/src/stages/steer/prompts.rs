//! Calls to clients whose server is gone, within limits: whoever sends garbage with somebody's id shall not make us
//! talk.

use std::sync::Arc;

use wireguard::message::ClientId;
use wireguard::time::Instant;

use crate::exchange::{Exchange, Job};
use crate::frame::Endpoint;
use crate::limiter::Limiter;
use crate::limits::{
    JOBS_OWN_MAX, PROMPT_INTERVAL, PROMPTS_BURST, PROMPTS_PER_SECOND, PROMPTS_REMEMBERED,
    WALK_INTERVAL,
};
use crate::table::Key;

/// One worker's calls.
#[derive(Debug)]
pub struct Prompts {
    exchange: Arc<Exchange>,
    limiter: Limiter,
    /// Who was called last, by a hash of the id; a client that sends a thousand packets is called once.
    recent: Box<[(ClientId, Instant)]>,
    walks: Limiter,
    /// Whose packets have begun a walk last, by a hash of id and address.
    walked: Box<[(u64, Instant)]>,
    seed: u64,
}

impl Prompts {
    /// Nobody was called yet.
    pub fn new(exchange: Arc<Exchange>, seed: u64) -> Self {
        let recent = vec![(ClientId::ZERO, Instant::ZERO); PROMPTS_REMEMBERED].into_boxed_slice();
        let walked = vec![(0, Instant::ZERO); PROMPTS_REMEMBERED].into_boxed_slice();
        let limiter = Limiter::new(PROMPTS_PER_SECOND, PROMPTS_BURST);
        Self { exchange, limiter, recent, walks: limiter, walked, seed }
    }

    /// Whether a packet of a lost session may go and look for whoever has its client. One in a while is enough to have the
    /// client called, and all others would go to as many servers as well.
    pub fn may_walk(
        &mut self,
        ClientId([a, b, c]): ClientId,
        from: Endpoint,
        now: Instant,
    ) -> bool {
        let number = u128::from(u32::from_le_bytes([a, b, c, 0])) << 64;
        let station = from.remote.bits().rotate_left(16) ^ u128::from(from.remote_port);
        let hash = (station ^ number.rotate_left(40)).hash(self.seed);
        let places = self.walked.len().max(1) as u64;
        let at = usize::try_from(hash % places).unwrap_or(0);
        let Some(walked) = self.walked.get_mut(at) else { return false };
        if walked.0 == hash && now.since(walked.1) < WALK_INTERVAL {
            return false;
        }
        let may = self.walks.take(now);
        if may {
            *walked = (hash, now);
        }
        may
    }

    /// Has the peers with this id called at this address, unless that was done a moment ago or too many are called.
    pub fn call(&mut self, id: ClientId, endpoint: Endpoint, now: Instant) -> bool {
        let ClientId([a, b, c]) = id;
        let hash = u32::from_le_bytes([a, b, c, 0]).hash(self.seed);
        let places = self.recent.len().max(1) as u64;
        let Some(recent) =
            usize::try_from(hash % places).ok().and_then(|at| self.recent.get_mut(at))
        else {
            return false;
        };
        if recent.0 == id && now.since(recent.1) < PROMPT_INTERVAL {
            return false;
        }
        let threads = self.exchange.threads().max(1) as u64;
        let thread = usize::try_from((hash >> 32) % threads).unwrap_or(0);
        let called = self.exchange.jobs_waiting(thread) < JOBS_OWN_MAX
            && self.limiter.take(now)
            && self.exchange.submit(thread, Job::Prompt(id, endpoint));
        if called {
            *recent = (id, now);
        }
        called
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_session_looks_for_its_client_again_before_the_client_would_be_called_again() {
        let mut prompts = Prompts::new(Arc::new(Exchange::new(1, 1, 1, 1)), 7);
        let start = Instant(1_000_000_000_000);
        let id = ClientId([1, 2, 3]);
        let moved = Endpoint { remote_port: 9, ..Endpoint::NONE };
        assert!(prompts.may_walk(id, Endpoint::NONE, start));
        assert!(!prompts.may_walk(id, Endpoint::NONE, start + WALK_INTERVAL / 2));
        assert!(prompts.may_walk(id, moved, start + WALK_INTERVAL / 2), "from elsewhere");
        assert!(prompts.may_walk(id, Endpoint::NONE, start + WALK_INTERVAL));
        assert!(WALK_INTERVAL < PROMPT_INTERVAL, "one walk may have been lost");
    }

    #[test]
    fn a_client_is_called_once_in_a_while_and_all_together_not_too_often() {
        let exchange = Arc::new(Exchange::new(1, 1, 1, 1));
        let mut prompts = Prompts::new(Arc::clone(&exchange), 7);
        let start = Instant(1_000_000_000_000);
        let id = ClientId([1, 2, 3]);
        assert!(prompts.call(id, Endpoint::NONE, start));
        assert!(!prompts.call(id, Endpoint::NONE, start + PROMPT_INTERVAL / 2));
        assert!(prompts.call(id, Endpoint::NONE, start + PROMPT_INTERVAL));
        let later = start + PROMPT_INTERVAL * 100;
        let called = (0..=u16::MAX)
            .filter(|number| {
                while exchange.next_job(0).is_some() {}
                let [a, b] = number.to_le_bytes();
                prompts.call(ClientId([a, b, 9]), Endpoint::NONE, later)
            })
            .count();
        assert_eq!(called, usize::try_from(PROMPTS_BURST).unwrap());
    }
}
