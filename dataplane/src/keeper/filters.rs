//! What the filters of all workers have in common, and the tables that each gets at start.

use std::sync::Arc;

use rand_chacha::rand_core::Rng;
use shm::limits::TENANTS_MAX;

use super::Start;
use crate::config::Config;
use crate::fleet::Keys;
use crate::handshake::Random;
use crate::limits::{FIRSTS_MAX, PROVEN_MAX};
use crate::stages::dos::Tables;
use crate::stages::dos::buckets::Buckets;
use crate::stages::dos::flows::Flows;
use crate::stages::dos::sketch::Sketch;
use crate::stages::dos::syn::{Cookies, Guard, Places, Proven};
use crate::stages::dos::transit::Transit;

/// What all workers share, and how much each has room for.
#[derive(Debug)]
pub(super) struct Filters {
    proven: Arc<Proven>,
    /// Where flows and sources are in tables, the same for all workers.
    places: [u8; 16],
    buckets: usize,
    flows: usize,
}

impl Filters {
    pub(super) fn new(config: &Config, random: &mut Random) -> Self {
        let mut places = [0; 16];
        random.fill_bytes(&mut places);
        Self {
            proven: Arc::new(Proven::new(PROVEN_MAX)),
            places,
            buckets: config.buckets as usize,
            flows: config.flows as usize,
        }
    }

    /// The tables of one worker.
    pub(super) fn tables(&self, keys: &Keys, random: &mut Random, start: Start) -> Tables {
        let cookies = Cookies::new(&keys.cookie_master, start.unix);
        let subjects = TENANTS_MAX + 1;
        let guard = Guard::new(cookies, Arc::clone(&self.proven), subjects, FIRSTS_MAX);
        let flows = Flows::new(self.flows, subjects);
        let buckets = Buckets::new(self.buckets, random.next_u64());
        let transit = Transit::new(Places::new(self.places), guard, flows);
        Tables::new(buckets, transit, Sketch::new(random.next_u64(), start.now))
    }
}
