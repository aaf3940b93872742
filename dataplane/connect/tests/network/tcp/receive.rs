//! What comes in: whether it fits, what it acknowledges, and its payload in order.

use wire::tcp::{Flags, Located, OptionField, Options};

use super::{Out, RTO_MIN, State, Tcp, Time, less};

impl Tcp {
    /// Takes a segment.
    pub(crate) fn take(
        &mut self,
        header: &Located,
        options: &[u8],
        payload: &[u8],
        now: Time,
        outs: &mut Vec<Out>,
    ) {
        if self.state == State::Reset {
            return;
        }
        if self.state == State::SynSent {
            return self.take_syn_sent(header, options, payload, now, outs);
        }
        if payload.len() > usize::from(self.speaks.mss) {
            self.oversized += 1;
        }
        let is_in_order = !less(self.rcv_next(), header.sequence_number);
        if self.take_stamps(options, is_in_order) {
            outs.push(self.segment(Flags::ACK, self.nxt, Vec::new(), now));
            return;
        }
        if header.flags.has(Flags::RST) {
            if header.sequence_number == self.rcv_next() {
                self.state = State::Reset;
            } else if !less(header.sequence_number, self.rcv_next()) {
                outs.push(self.segment(Flags::ACK, self.nxt, Vec::new(), now));
            }
            return;
        }
        if header.flags.has(Flags::SYN) {
            if self.state == State::SynReceived && !header.flags.has(Flags::ACK) {
                outs.push(self.syn_ack(now));
            } else {
                outs.push(self.segment(Flags::ACK, self.nxt, Vec::new(), now));
            }
            return;
        }
        if !header.flags.has(Flags::ACK) {
            return;
        }
        // What lies before the window is answered and says nothing more (RFC 9293 3.10.7.4).
        let len = u32::try_from(header.sequence_len()).unwrap();
        let end = header.sequence_number.wrapping_add(len);
        if less(header.sequence_number, self.rcv_next()) && !less(self.rcv_next(), end) {
            outs.push(self.segment(Flags::ACK, self.nxt, Vec::new(), now));
            return;
        }
        let ack = header.acknowledgment_number.wrapping_sub(self.iss.wrapping_add(1));
        if self.state == State::SynReceived {
            if ack != 0 {
                return;
            }
            self.state = State::Established;
            self.rto = RTO_MIN;
            self.rto_at = Time::MAX;
        }
        self.take_ack(ack, header, options, payload.is_empty(), now, outs);
        self.take_payload(header, payload, now, outs);
    }

    fn take_syn_sent(
        &mut self,
        header: &Located,
        options: &[u8],
        payload: &[u8],
        now: Time,
        outs: &mut Vec<Out>,
    ) {
        let fits = header.flags.has(Flags::ACK)
            && header.acknowledgment_number == self.iss.wrapping_add(1);
        if header.flags.has(Flags::RST) {
            if fits {
                self.state = State::Reset;
            }
            return;
        }
        if !fits || !header.flags.has(Flags::SYN) {
            self.impossible += 1;
            return;
        }
        self.agree(header, options);
        self.ecn = header.flags.has(Flags::ECE);
        self.state = State::Established;
        self.rto = RTO_MIN;
        self.rto_at = Time::MAX;
        if !payload.is_empty() {
            self.impossible += 1;
        }
        outs.push(self.segment(Flags::ACK, 0, Vec::new(), now));
    }

    /// True for an old duplicate (RFC 7323 5.3).
    fn take_stamps(&mut self, options: &[u8], is_in_order: bool) -> bool {
        for option in Options::of(options) {
            if let (OptionField::Timestamps { value, .. }, true) =
                (option.unwrap(), self.timestamps)
            {
                if less(value, self.recent) {
                    self.paws_drops += 1;
                    return true;
                }
                if is_in_order {
                    self.recent = value;
                }
            }
        }
        false
    }

    fn take_ack(
        &mut self,
        ack: u32,
        header: &Located,
        options: &[u8],
        is_pure: bool,
        now: Time,
        outs: &mut Vec<Out>,
    ) {
        if less(self.nxt, ack) || less(ack, self.una) && ack.wrapping_add(1 << 30) > 1 << 31 {
            self.impossible += 1;
            return;
        }
        let base = self.iss.wrapping_add(1);
        for option in Options::of(options) {
            if let OptionField::Sack(blocks) = option.unwrap() {
                for block in blocks.chunks(8) {
                    let edge = |at: usize| {
                        u32::from_be_bytes(block[at..at + 4].try_into().unwrap()).wrapping_sub(base)
                    };
                    if !self.sack || edge(4) > self.nxt {
                        self.impossible += 1;
                    } else {
                        let end = self.sacked.entry(edge(0)).or_insert(0);
                        *end = (*end).max(edge(4));
                    }
                }
            }
        }
        let shift = self.scales.map_or(0, |(_, theirs)| theirs);
        if !less(ack, self.una) {
            self.window = u32::from(header.window) << shift;
        }
        if less(self.una, ack) {
            self.una = ack;
            self.duplicates = 0;
            self.resent_up_to = self.resent_up_to.max(ack);
            self.rto = RTO_MIN;
            self.rto_at = if self.una < self.nxt { now + self.rto } else { Time::MAX };
            self.sacked.retain(|_, end| *end > ack);
            if !self.sacked.is_empty() {
                self.resend(now, outs);
            }
        } else if ack == self.una && is_pure && self.una < self.nxt {
            self.duplicates += 1;
            if self.duplicates >= 3 {
                if self.duplicates == 3 {
                    self.resent_up_to = self.una;
                }
                if self.sack || self.duplicates == 3 {
                    self.resend(now, outs);
                }
            }
        }
    }

    fn take_payload(&mut self, header: &Located, payload: &[u8], now: Time, outs: &mut Vec<Out>) {
        let at = header.sequence_number.wrapping_sub(self.irs.wrapping_add(1));
        let len = u32::try_from(payload.len()).unwrap();
        if header.flags.has(Flags::FIN) {
            self.fin_at = Some(at.wrapping_add(len));
        }
        let done = u32::try_from(self.received.len()).unwrap();
        if len == 0 && !header.flags.has(Flags::FIN) {
            return;
        }
        if len > 0 && less(done, at.wrapping_add(len)) {
            let skip = if less(at, done) { done.wrapping_sub(at) } else { 0 };
            let start = at.wrapping_add(skip);
            if start < done + self.speaks.window {
                let new = payload[skip as usize..].to_vec();
                let known = self.beyond.get(&start).map_or(0, Vec::len);
                if new.len() > known {
                    self.beyond.insert(start, new);
                }
            }
        }
        self.collect();
        outs.push(self.segment(Flags::ACK, self.nxt, Vec::new(), now));
    }

    fn collect(&mut self) {
        while let Some((start, _)) = self.beyond.first_key_value() {
            let done = u32::try_from(self.received.len()).unwrap();
            if *start > done {
                break;
            }
            let (start, octets) = self.beyond.pop_first().unwrap();
            let skip = ((done - start) as usize).min(octets.len());
            self.received.extend(&octets[skip..]);
        }
        if self.fin_at == Some(u32::try_from(self.received.len()).unwrap()) {
            self.fin_received = true;
        }
    }
}
