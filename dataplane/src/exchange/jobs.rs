//! What waits for one handshake thread: two rings, so that strangers do not stand in the way of those who are known.

use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::queue::ArrayQueue;

use super::Job;
use crate::limits::{JOBS_MAX, JOBS_UNDER_LOAD, STRANGERS_MAX, TASKS_OUT_MAX};
use crate::stages::dos::Sender;

/// The rings of one thread, and whether it spends more than its budget.
#[derive(Debug)]
pub(super) struct Jobs {
    /// From known sources, answers to us, and our own.
    known: ArrayQueue<Job>,
    strangers: ArrayQueue<Job>,
    /// Written by the thread, read by all workers once per turn.
    is_over_budget: AtomicBool,
}

impl Jobs {
    pub(super) fn new() -> Self {
        Self {
            known: ArrayQueue::new(JOBS_MAX + TASKS_OUT_MAX),
            strangers: ArrayQueue::new(STRANGERS_MAX),
            is_over_budget: AtomicBool::new(false),
        }
    }

    pub(super) fn submit(&self, sender: Sender, job: Job) -> bool {
        let (ring, max) = match sender {
            Sender::Known => (&self.known, JOBS_MAX),
            Sender::Newcomer => (&self.strangers, STRANGERS_MAX),
            // However many come again and again, who comes for the first time finds a place.
            Sender::Eager => (&self.strangers, STRANGERS_MAX / 2),
        };
        ring.len() < max && ring.push(job).is_ok()
    }

    pub(super) fn submit_or(&self, job: Job) -> Option<Job> {
        self.known.push(job).err()
    }

    pub(super) fn waiting(&self) -> usize {
        self.known.len()
    }

    pub(super) fn strangers_waiting(&self) -> usize {
        self.strangers.len()
    }

    pub(super) fn next(&self) -> Option<Job> {
        self.known.pop()
    }

    pub(super) fn next_stranger(&self) -> Option<Job> {
        self.strangers.pop()
    }

    pub(super) fn set_over_budget(&self, is_over: bool) {
        // Workers look at it in every turn: a write that changes nothing would take its line from them.
        if self.is_over_budget.load(Ordering::Relaxed) != is_over {
            self.is_over_budget.store(is_over, Ordering::Relaxed);
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.is_over_budget.load(Ordering::Relaxed)
            || self.waiting() >= JOBS_UNDER_LOAD
            || self.strangers_waiting() >= JOBS_UNDER_LOAD
    }
}
