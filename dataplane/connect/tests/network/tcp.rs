//! One end of a TCP connection: enough of RFC 9293, 7323 and 2018 to notice when somebody in the middle is wrong.

#![allow(
    clippy::too_many_arguments,
    clippy::struct_excessive_bools,
    reason = "a model of a stack, read beside the RFC"
)]

mod receive;
mod resend;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use wire::tcp::{Flags, Located, OptionField, Options};

/// Nanoseconds.
pub(crate) type Time = u64;
pub(crate) const MS: Time = 1_000_000;
const RTO_MIN: Time = 200 * MS;
const RTO_MAX: Time = 4000 * MS;

/// What a stack speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speaks {
    pub(crate) mss: u16,
    pub(crate) window_scale: Option<u8>,
    pub(crate) sack: bool,
    pub(crate) timestamps: bool,
    pub(crate) ecn: bool,
    /// Octets of the receive buffer.
    pub(crate) window: u32,
}

impl Default for Speaks {
    fn default() -> Self {
        let window_scale = Some(7);
        Self { mss: 1460, window_scale, sack: true, timestamps: true, ecn: false, window: 200_000 }
    }
}

/// A segment without its frame.
#[derive(Clone, Debug)]
pub(crate) struct Out {
    pub(crate) flags: Flags,
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    pub(crate) window: u16,
    pub(crate) options: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    SynSent,
    SynReceived,
    Established,
    /// Reset by the other side, or refused.
    Reset,
}

#[derive(Debug)]
pub(crate) struct Tcp {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) state: State,
    speaks: Speaks,
    /// What both sides have.
    pub(crate) scales: Option<(u8, u8)>,
    pub(crate) sack: bool,
    pub(crate) timestamps: bool,
    pub(crate) ecn: bool,
    pub(crate) iss: u32,
    pub(crate) irs: u32,
    peer_mss: u16,
    /// Offsets from `iss + 1`.
    una: u32,
    nxt: u32,
    window: u32,
    outgoing: Vec<u8>,
    wants_fin: bool,
    fin_sent: bool,
    /// Received in order, and beyond.
    pub(crate) received: Vec<u8>,
    beyond: BTreeMap<u32, Vec<u8>>,
    fin_at: Option<u32>,
    pub(crate) fin_received: bool,
    sacked: BTreeMap<u32, u32>,
    duplicates: u32,
    resent_up_to: u32,
    rto: Time,
    rto_at: Time,
    clock_offset: u32,
    recent: u32,
    /// Segments that RFC 7323 5 calls old duplicates.
    pub(crate) paws_drops: u32,
    pub(crate) retransmissions: u32,
    pub(crate) timeouts: u32,
    /// Whether a segment was longer than what we take.
    pub(crate) oversized: u32,
    /// Acknowledgments of what was never sent.
    pub(crate) impossible: u32,
    pub(crate) keeps_quiet: bool,
}

fn less(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() < 0
}

impl Tcp {
    pub(crate) fn open(
        local: SocketAddr,
        remote: SocketAddr,
        speaks: Speaks,
        iss: u32,
        now: Time,
    ) -> (Self, Out) {
        let mut tcp = Self::new(local, remote, speaks, iss);
        tcp.rto = 1000 * MS;
        tcp.rto_at = now + tcp.rto;
        let syn = tcp.syn(now);
        (tcp, syn)
    }

    pub(crate) fn accept(
        ends: (SocketAddr, SocketAddr),
        speaks: Speaks,
        iss: u32,
        (header, options): (&Located, &[u8]),
        now: Time,
    ) -> (Self, Out) {
        let mut tcp = Self::new(ends.0, ends.1, speaks, iss);
        tcp.state = State::SynReceived;
        tcp.rto = 1000 * MS;
        tcp.rto_at = now + tcp.rto;
        tcp.agree(header, options);
        let syn_ack = tcp.syn_ack(now);
        (tcp, syn_ack)
    }

    fn new(local: SocketAddr, remote: SocketAddr, speaks: Speaks, iss: u32) -> Self {
        Self {
            local,
            remote,
            state: State::SynSent,
            speaks,
            scales: None,
            sack: false,
            timestamps: false,
            ecn: false,
            iss,
            irs: 0,
            peer_mss: 536,
            una: 0,
            nxt: 0,
            window: 0,
            outgoing: Vec::new(),
            wants_fin: false,
            fin_sent: false,
            received: Vec::new(),
            beyond: BTreeMap::new(),
            fin_at: None,
            fin_received: false,
            sacked: BTreeMap::new(),
            duplicates: 0,
            resent_up_to: 0,
            rto: RTO_MIN,
            rto_at: Time::MAX,
            clock_offset: iss.rotate_left(9),
            recent: 0,
            paws_drops: 0,
            retransmissions: 0,
            timeouts: 0,
            oversized: 0,
            impossible: 0,
            keeps_quiet: false,
        }
    }

    fn clock(&self, now: Time) -> u32 {
        self.clock_offset.wrapping_add(u32::try_from(now / MS).unwrap())
    }

    fn agree(&mut self, header: &Located, options: &[u8]) {
        self.irs = header.sequence_number;
        self.window = header.window.into();
        for option in Options::of(options) {
            match option.unwrap() {
                OptionField::MaximumSegmentSize(mss) => self.peer_mss = mss,
                OptionField::WindowScale(theirs) => {
                    self.scales = self.speaks.window_scale.map(|ours| (ours, theirs));
                }
                OptionField::SackPermitted => self.sack = self.speaks.sack,
                OptionField::Timestamps { value, .. } => {
                    self.timestamps = self.speaks.timestamps;
                    self.recent = value;
                }
                OptionField::Sack(_) | OptionField::Other { .. } => {}
            }
        }
    }

    fn syn(&self, now: Time) -> Out {
        let speaks = self.speaks;
        let options = self.syn_options(speaks.window_scale, speaks.sack, speaks.timestamps, now);
        let ecn = if speaks.ecn { Flags::ECE | Flags::CWR } else { Flags(0) };
        self.out(Flags::SYN | ecn, self.iss, 0, options, Vec::new())
    }

    fn syn_ack(&self, now: Time) -> Out {
        let scale = self.scales.map(|(ours, _)| ours);
        let options = self.syn_options(scale, self.sack, self.timestamps, now);
        let ecn = if self.ecn { Flags::ECE } else { Flags(0) };
        let ack = self.irs.wrapping_add(1);
        self.out(Flags::SYN | Flags::ACK | ecn, self.iss, ack, options, Vec::new())
    }

    fn syn_options(&self, scale: Option<u8>, sack: bool, stamps: bool, now: Time) -> Vec<u8> {
        let mut options = vec![2, 4];
        options.extend(self.speaks.mss.to_be_bytes());
        if sack {
            options.extend([1, 1, 4, 2]);
        }
        if stamps {
            options.extend([1, 1]);
            options.extend(self.stamps(now));
        }
        options.extend(scale.map(|scale| [1, 3, 3, scale]).into_iter().flatten());
        options
    }

    fn stamps(&self, now: Time) -> Vec<u8> {
        let mut octets = vec![8, 10];
        octets.extend(self.clock(now).to_be_bytes());
        octets.extend(self.recent.to_be_bytes());
        octets
    }

    fn out(
        &self,
        flags: Flags,
        sequence: u32,
        ack: u32,
        options: Vec<u8>,
        payload: Vec<u8>,
    ) -> Out {
        let shift = if flags.has(Flags::SYN) { 0 } else { self.scales.map_or(0, |(ours, _)| ours) };
        let window = u16::try_from(self.room() >> shift).unwrap_or(u16::MAX);
        Out { flags, sequence, acknowledgment: ack, window, options, payload }
    }

    fn room(&self) -> u32 {
        let queued: usize = self.beyond.values().map(Vec::len).sum();
        self.speaks.window.saturating_sub(u32::try_from(queued).unwrap())
    }

    fn rcv_next(&self) -> u32 {
        let fin = u32::from(self.fin_received);
        self.irs.wrapping_add(1 + fin).wrapping_add(u32::try_from(self.received.len()).unwrap())
    }

    /// A segment of an open connection.
    fn segment(&self, flags: Flags, at: u32, payload: Vec<u8>, now: Time) -> Out {
        let mut options = Vec::new();
        if self.timestamps {
            options.extend([1, 1]);
            options.extend(self.stamps(now));
        }
        if self.sack && !self.beyond.is_empty() && flags == Flags::ACK && payload.is_empty() {
            let base = self.irs.wrapping_add(1);
            let blocks: Vec<u8> = self
                .blocks()
                .into_iter()
                .take(3)
                .flat_map(|(start, end)| {
                    [base.wrapping_add(start).to_be_bytes(), base.wrapping_add(end).to_be_bytes()]
                })
                .flatten()
                .collect();
            options.extend([1, 1, 5, 2 + u8::try_from(blocks.len()).unwrap()]);
            options.extend(blocks);
        }
        let sequence = self.iss.wrapping_add(1).wrapping_add(at);
        self.out(flags | Flags::ACK, sequence, self.rcv_next(), options, payload)
    }

    fn blocks(&self) -> Vec<(u32, u32)> {
        let mut blocks: Vec<(u32, u32)> = Vec::new();
        for (start, octets) in &self.beyond {
            let end = start + u32::try_from(octets.len()).unwrap();
            match blocks.last_mut() {
                Some(last) if last.1 >= *start => last.1 = last.1.max(end),
                _ => blocks.push((*start, end)),
            }
        }
        blocks
    }

    pub(crate) fn send(&mut self, octets: &[u8]) {
        self.outgoing.extend(octets);
    }

    pub(crate) fn close(&mut self) {
        self.wants_fin = true;
    }

    pub(crate) fn reset(&mut self, now: Time) -> Out {
        self.state = State::Reset;
        self.segment(Flags::RST, self.nxt, Vec::new(), now)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Established
    }

    /// All that was written is acknowledged, the FIN too.
    pub(crate) fn is_drained(&self) -> bool {
        let fin = u32::from(self.wants_fin);
        self.una == u32::try_from(self.outgoing.len()).unwrap() + fin
    }

    /// Both directions are closed and acknowledged.
    pub(crate) fn is_closed(&self) -> bool {
        self.wants_fin && self.is_drained() && self.fin_received
    }

    fn limit(&self) -> u32 {
        u32::try_from(self.outgoing.len()).unwrap()
    }

    fn mss(&self) -> u32 {
        u32::from(self.peer_mss.min(self.speaks.mss)) - if self.timestamps { 12 } else { 0 }
    }

    /// Sends what may be sent.
    pub(crate) fn flush(&mut self, now: Time, outs: &mut Vec<Out>) {
        if self.state != State::Established || self.keeps_quiet {
            return;
        }
        while self.nxt < self.limit() && self.nxt - self.una < self.window.min(60_000) {
            let room = self.window.min(60_000) - (self.nxt - self.una);
            let len = self.mss().min(self.limit() - self.nxt).min(room);
            outs.push(self.piece(self.nxt, len, now));
            self.nxt += len;
            self.rto_at = self.rto_at.min(now + self.rto);
        }
        if self.wants_fin && !self.fin_sent && self.nxt == self.limit() {
            outs.push(self.segment(Flags::FIN, self.nxt, Vec::new(), now));
            self.fin_sent = true;
            self.nxt += 1;
            self.rto_at = self.rto_at.min(now + self.rto);
        }
        if self.nxt == self.una && self.nxt < self.limit() {
            // A closed window is probed.
            self.rto_at = self.rto_at.min(now + self.rto);
        }
    }

    fn piece(&self, at: u32, len: u32, now: Time) -> Out {
        let payload = self.outgoing[at as usize..(at + len) as usize].to_vec();
        self.segment(Flags::PSH, at, payload, now)
    }
}
