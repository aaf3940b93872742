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

/// What the sweep came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// A client's flow that lives at least until then: its id is held here.
    Live {
        /// Its number.
        flow: FlowId,
        /// Whose it is.
        client: u32,
        /// When it ends if nothing more is heard of it.
        until: Instant,
    },
    /// A flow has ended; this is the last that is heard of it.
    Ended {
        /// Its number, from now on nobody's.
        flow: FlowId,
        /// Whose it was.
        client: u32,
        /// What was kept with it.
        route: u32,
    },
}

impl Flows {
    /// Looks at the lines that are due since the last call, some hundreds at most, and ends the flows whose time is over.
    /// Called once a turn.
    pub fn sweep(&mut self, now: Instant, mut tell: impl FnMut(Swept)) {
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

    /// Ends flows of a client that is no more, so many at most; says whether none is left. Its number can then be another's.
    pub fn forget(
        &mut self,
        client: u32,
        at_most: usize,
        now: Instant,
        mut tell: impl FnMut(Swept),
    ) -> bool {
        for _ in 0..at_most {
            let Some(row) = self.clients.of(client).filter(|row| row.newest != NONE) else { break };
            self.end_and_tell(row.newest, now, &mut tell);
        }
        let Some(row) = self.clients.of_mut(client) else { return true };
        if row.newest == NONE {
            row.addresses = [NO_ADDRESS; 2];
        }
        row.newest == NONE
    }

    fn end_and_tell(&mut self, slot: u32, now: Instant, tell: &mut impl FnMut(Swept)) {
        let Some(line) = self.lines.get(slot as usize) else { return };
        let (client, route) = (line.client, line.route);
        self.end(slot, now.tick());
        tell(Swept::Ended { flow: FlowId(slot), client, route });
    }

    #[inline]
    fn sweep_one(&mut self, now: Instant, tell: &mut impl FnMut(Swept)) {
        let slot = self.swept;
        self.swept = if slot + 1 < self.fresh { slot + 1 } else { 0 };
        let Some(line) = self.lines.get(slot as usize).filter(|line| line.has(USED)) else {
            return;
        };
        if line.deadline > now.tick() {
            let (client, until) = (line.client, line.deadline.instant());
            tell(Swept::Live { flow: FlowId(slot), client, until });
            return;
        }
        self.end_and_tell(slot, now, tell);
    }
}
