//! The sweep: every turn looks at some lines, and within seconds at all of them. Flows that are over are over for packets at
//! once; the sweep only takes back what they hold.

use crate::clients::NO_ADDRESS;
use crate::line::{NONE, USED};
use crate::table::{FlowId, Flows};
use crate::time::Instant;

/// Within so many nanoseconds every line that was ever used is looked at, if turns allow.
const ROUND_NS: u64 = 4_000_000_000;

/// Lines that one turn looks at: one takes a nanosecond or two, as they lie one behind the other.
const LINES_PER_TURN: u64 = 256;

/// A flow that the sweep came by and that lives: its client's id is held here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// Its number.
    pub flow: FlowId,
    /// Whose it is.
    pub client: u32,
    /// When it ends if nothing more is heard of it.
    pub until: Instant,
}

impl Flows {
    /// Looks at the lines that are due since the last call, some hundreds at most, and ends the flows whose time is over.
    /// Called once a turn; the others it tells of.
    pub fn sweep(&mut self, now: Instant, mut tell: impl FnMut(Live)) {
        let before = self.swept_at.unwrap_or(now);
        let since = now.0.saturating_sub(before.0).min(ROUND_NS);
        let lines = u64::from(self.fresh).max(1);
        let due = since * lines / ROUND_NS;
        // Parts of a line stay owed, but no more than a turn's lines.
        let paid = Instant(before.0 + due * ROUND_NS / lines);
        self.swept_at = Some(if due < LINES_PER_TURN && since < ROUND_NS { paid } else { now });
        for _ in 0..due.min(LINES_PER_TURN) {
            self.sweep_one(now, &mut tell);
        }
    }

    /// Ends the flows of a client that is no more: its number can be another's.
    pub fn forget(&mut self, client: u32, now: Instant) {
        while let Some(row) = self.clients.of(client).filter(|row| row.newest != NONE) {
            self.end(row.newest, now.tick());
        }
        if let Some(row) = self.clients.of_mut(client) {
            row.addresses = [NO_ADDRESS; 2];
        }
    }

    #[inline]
    fn sweep_one(&mut self, now: Instant, tell: &mut impl FnMut(Live)) {
        let slot = self.swept;
        self.swept = if slot + 1 < self.fresh { slot + 1 } else { 0 };
        let Some(line) = self.lines.get(slot as usize).filter(|line| line.has(USED)) else {
            return;
        };
        if line.deadline > now.tick() {
            let (client, until) = (line.client, line.deadline.instant());
            tell(Live { flow: FlowId(slot), client, until });
            return;
        }
        self.end(slot, now.tick());
    }
}
