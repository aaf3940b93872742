//! TCP as a translator follows it (RFC 5382, RFC 7857 2, RFC 6146 3.5.2): far enough to know when a connection begins and
//! ends, and not to believe who only guesses at it.

use wire::tcp::{Flags, Located, OptionField};

use crate::line::{End, Line, State};

/// Below the window a segment may still begin: keep-alives and what is sent again.
const SLACK: u32 = 1 << 17;

/// The largest shift that a window may have (RFC 7323 2.3).
const SCALE_MAX: u8 = 14;

/// What is followed of a segment, in the numbers of who they belong to: the sequence number in the sender's, the
/// acknowledgment in those of the receiver, as it will get them.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    /// Sequence numbers that it takes.
    pub(crate) len: u32,
}

impl Segment {
    /// The segment that comes in at a side. `shifts` are the flow's.
    #[inline]
    pub(crate) fn of(located: &Located, from: End, shifts: [u32; 2]) -> Self {
        Self {
            sequence: located.sequence_number,
            acknowledgment: located.acknowledgment_number.wrapping_sub(from.other().of(shifts)),
            flags: located.flags,
            window: located.window,
            len: u32::try_from(located.sequence_len()).unwrap_or(u32::MAX),
        }
    }

    #[inline]
    fn end(&self) -> u32 {
        self.sequence.wrapping_add(self.len)
    }
}

/// How a side's windows are scaled, from its SYN's options.
pub(crate) fn scale_of(located: &Located, segment: &[u8]) -> u8 {
    let mut options = located.options(segment).flatten();
    let scale = options.find_map(|option| match option {
        OptionField::WindowScale(scale) => Some(scale.min(SCALE_MAX)),
        OptionField::MaximumSegmentSize(_)
        | OptionField::SackPermitted
        | OptionField::Sack(_)
        | OptionField::Timestamps { .. }
        | OptionField::Other { .. } => None,
    });
    scale.unwrap_or(0)
}

impl State {
    /// Whether a side has sent its FIN.
    #[inline]
    const fn has_finished(self, end: End) -> bool {
        match self {
            Self::Closing | Self::Closed => true,
            Self::NearFinished => matches!(end, End::Near),
            Self::FarFinished => matches!(end, End::Far),
            Self::Untracked
            | Self::Opening
            | Self::Incoming
            | Self::Answered
            | Self::Established
            | Self::Reset => false,
        }
    }

    /// The state once a side has sent its FIN.
    const fn finished(self, end: End) -> Self {
        match (self, end) {
            (Self::Answered | Self::Established | Self::Reset, End::Near) => Self::NearFinished,
            (Self::Answered | Self::Established | Self::Reset, End::Far) => Self::FarFinished,
            (Self::NearFinished, End::Far) | (Self::FarFinished, End::Near) => Self::Closing,
            (state, _) => state,
        }
    }
}

impl Line {
    #[inline]
    fn scale(&self, end: End) -> u32 {
        u32::from(end.of([self.scales & 0xf, self.scales >> 4]))
    }

    fn set_scale(&mut self, end: End, scale: u8) {
        let (low, high) = (self.scales & 0xf, self.scales >> 4);
        let (low, high) = match end {
            End::Near => (scale, high),
            End::Far => (low, scale),
        };
        self.scales = low | high << 4;
    }

    /// Follows a segment that comes in at a side; `scale` is asked of a SYN.
    #[inline]
    pub(crate) fn follow(&mut self, from: End, segment: &Segment, scale: impl FnOnce() -> u8) {
        let special = Flags::SYN | Flags::FIN | Flags::RST;
        let plain = self.state == State::Established && segment.flags.0 & special.0 == 0;
        if plain {
            if self.is_plausible(from, segment.sequence, SLACK) {
                self.acknowledge(from, segment);
            }
        } else {
            self.follow_special(from, segment, scale);
        }
    }

    fn follow_special(&mut self, from: End, segment: &Segment, scale: impl FnOnce() -> u8) {
        if segment.flags.has(Flags::RST) {
            self.reset(from, segment);
        } else if segment.flags.has(Flags::SYN) {
            self.synchronise(from, segment, scale());
        } else if self.is_plausible(from, segment.sequence, SLACK) {
            self.acknowledge(from, segment);
            self.advance(from, segment);
        }
    }

    /// Whether a side may send this number: within the window that the other has opened, or a little before it.
    #[inline]
    pub(crate) const fn is_plausible(&self, from: End, sequence: u32, slack: u32) -> bool {
        let (acked, edge) = (from.of(self.acked), from.of(self.edges));
        let window = edge.wrapping_sub(acked);
        sequence.wrapping_sub(acked.wrapping_sub(slack)) <= window.saturating_add(slack)
    }

    /// As [`Line::is_plausible`], of a segment that an ICMP error says is under way (RFC 5927 4).
    pub(crate) const fn may_be_under_way(&self, from: End, sequence: u32) -> bool {
        self.is_plausible(from, sequence, SLACK)
    }

    /// Takes what a segment says of the other side's: what has come, and how much may follow.
    #[inline]
    fn acknowledge(&mut self, from: End, segment: &Segment) {
        if !segment.flags.has(Flags::ACK) {
            return;
        }
        let to = from.other();
        let (acked, edge) = (to.of(self.acked), to.of(self.edges));
        let news = segment.acknowledgment.wrapping_sub(acked);
        // Older than what is known, or of what was never allowed to be sent.
        if news > edge.wrapping_sub(acked).saturating_add(SLACK) {
            return;
        }
        if news != 0 {
            *to.of_mut(&mut self.acked) = segment.acknowledgment;
        }
        if self.state.has_finished(to) {
            return;
        }
        let scale = if segment.flags.has(Flags::SYN) { 0 } else { self.scale(from) };
        let new_edge = segment.acknowledgment.wrapping_add(u32::from(segment.window) << scale);
        let further = new_edge.wrapping_sub(edge);
        if further != 0 && further < 1 << 31 {
            *to.of_mut(&mut self.edges) = new_edge;
        }
    }

    /// What else a segment in the window changes.
    fn advance(&mut self, from: End, segment: &Segment) {
        let is_last_of_three = self.state == State::Answered && from == End::Near;
        // A reset that packets follow was a false one (RFC 7857 2.2, RFC 6146 3.5.2.2).
        if is_last_of_three || self.state == State::Reset {
            self.state = State::Established;
        }
        if segment.flags.has(Flags::FIN) && !self.state.has_finished(from) {
            *from.of_mut(&mut self.edges) = segment.end();
            self.state = self.state.finished(from);
        }
        let is_acked = |end: End| end.of(self.acked) == end.of(self.edges);
        if self.state == State::Closing && is_acked(End::Near) && is_acked(End::Far) {
            self.state = State::Closed;
        }
    }

    /// A SYN. On a live connection it changes nothing: its receiver challenges it (RFC 5961 4), and if the sender has
    /// forgotten the connection it answers with a reset.
    fn synchronise(&mut self, from: End, segment: &Segment, scale: u8) {
        let is_free = matches!(self.state, State::Closing | State::Closed | State::Reset);
        let state = match (self.state, from) {
            // RFC 5382 REQ-2: also a SYN without acknowledgment, when both ends open at the same time.
            (State::Opening, End::Far) if self.answers(segment) => State::Answered,
            (State::Incoming, End::Near) => State::Answered,
            (State::Opening, End::Near) => State::Opening,
            (State::Incoming, End::Far) => State::Incoming,
            (_, End::Near) if is_free => State::Opening,
            (_, End::Far) if is_free => State::Incoming,
            _ => return,
        };
        self.begin(from, segment, scale);
        self.acknowledge(from, segment);
        self.state = state;
    }

    /// Whether a SYN answers the near side's, or is one of its own.
    fn answers(&self, segment: &Segment) -> bool {
        !segment.flags.has(Flags::ACK) || self.acknowledges_syn(segment)
    }

    fn acknowledges_syn(&self, segment: &Segment) -> bool {
        let [acked, _] = self.acked;
        let [edge, _] = self.edges;
        let news = segment.acknowledgment.wrapping_sub(acked);
        segment.flags.has(Flags::ACK) && news != 0 && news <= edge.wrapping_sub(acked)
    }

    /// A side's numbers begin.
    fn begin(&mut self, from: End, segment: &Segment, scale: u8) {
        *from.of_mut(&mut self.acked) = segment.sequence;
        *from.of_mut(&mut self.edges) = segment.end();
        self.set_scale(from, scale);
    }

    /// A reset is passed on whatever it says (RFC 7857 2.2); it is believed only in the window, as its receiver does
    /// (RFC 5961 3).
    fn reset(&mut self, from: End, segment: &Segment) {
        let is_believed = match (self.state, from) {
            (State::Opening, End::Far) => self.acknowledges_syn(segment),
            (State::Incoming, End::Near) => true,
            _ => self.is_plausible(from, segment.sequence, 0),
        };
        if is_believed && !self.state.is_over() {
            self.state = State::Reset;
        }
    }
}
