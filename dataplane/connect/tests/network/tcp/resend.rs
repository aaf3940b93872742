//! What is sent again: after a time-out, and into the holes that the other side reports.

use wire::tcp::Flags;

use super::{Out, RTO_MAX, State, Tcp, Time};

impl Tcp {
    pub(crate) fn expire(&mut self, now: Time, outs: &mut Vec<Out>) {
        if self.rto_at > now || self.state == State::Reset || self.keeps_quiet {
            return;
        }
        self.rto = (self.rto * 2).min(RTO_MAX);
        self.rto_at = now + self.rto;
        self.timeouts += 1;
        match self.state {
            State::SynSent => outs.push(self.syn(now)),
            State::SynReceived => outs.push(self.syn_ack(now)),
            State::Established if self.una < self.nxt || self.una < self.limit() => {
                self.sacked.clear();
                self.resent_up_to = self.una;
                self.resend(now, outs);
            }
            State::Established | State::Reset => self.rto_at = Time::MAX,
        }
    }

    /// Sends the first hole again that was not sent again yet.
    pub(super) fn resend(&mut self, now: Time, outs: &mut Vec<Out>) {
        let mut at = self.una.max(self.resent_up_to);
        while let Some((_, end)) =
            self.sacked.range(..=at).next_back().filter(|(_, end)| **end > at)
        {
            at = *end;
        }
        let next_block =
            self.sacked.range(at..).next().map_or_else(|| self.limit(), |(start, _)| *start);
        let highest = self.sacked.values().max().copied().unwrap_or(u32::MAX);
        if at >= highest {
            return;
        }
        self.retransmissions += 1;
        if at >= self.limit() {
            if self.fin_sent {
                outs.push(self.segment(Flags::FIN, self.limit(), Vec::new(), now));
            }
            return;
        }
        let probe = self.window.max(1);
        let len = self.mss().min(next_block - at).min(probe);
        outs.push(self.piece(at, len, now));
        self.resent_up_to = at + len;
        self.nxt = self.nxt.max(at + len);
    }
}
