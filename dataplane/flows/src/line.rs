//! What is kept of a flow: a line of memory that every packet reads, and one that few do.

use wire::checksum::Delta;

use crate::query::Query;
use crate::time::Tick;

/// No flow.
pub(crate) const NONE: u32 = u32::MAX;

/// The side of a flow that a packet comes in by or leaves by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum End {
    /// The client's; at an exit the one where the CONNECT session came from.
    Near = 0,
    /// The one that has our egress address.
    Far = 1,
}

impl End {
    /// The other one.
    #[inline]
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Near => Self::Far,
            Self::Far => Self::Near,
        }
    }

    /// What of a pair belongs to this side.
    #[inline]
    pub(crate) const fn of<T: Copy>(self, [near, far]: [T; 2]) -> T {
        match self {
            Self::Near => near,
            Self::Far => far,
        }
    }

    #[inline]
    pub(crate) const fn of_mut<T>(self, [near, far]: &mut [T; 2]) -> &mut T {
        match self {
            Self::Near => near,
            Self::Far => far,
        }
    }
}

/// How far a flow has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// No states: UDP and ICMP.
    Untracked,
    /// A SYN from the near side.
    Opening,
    /// A SYN from the far side, to which the near side has not answered.
    Incoming,
    /// SYNs from both sides, the near side's last acknowledgment is missing.
    Answered,
    /// Open both ways.
    Established,
    /// The near side has sent its FIN.
    NearFinished,
    /// The far side has sent its FIN.
    FarFinished,
    /// Both have.
    Closing,
    /// Both FINs are acknowledged.
    Closed,
    /// A reset was seen. If packets follow, it was a false one (RFC 7857 2.2).
    Reset,
}

impl State {
    /// Whether the connection is on its way to being established.
    #[inline]
    pub const fn is_setup(self) -> bool {
        matches!(self, Self::Opening | Self::Incoming | Self::Answered)
    }

    /// Whether it is over for both ends, and kept only for segments that are late.
    #[inline]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Closing | Self::Closed | Self::Reset)
    }
}

/// The flow is there.
pub(crate) const USED: u8 = 1 << 0;
/// Its addresses are of IPv6.
pub(crate) const V6: u8 = 1 << 1;
/// It goes to one of our own egress addresses (RFC 4787 REQ-9).
pub(crate) const HAIRPIN: u8 = 1 << 2;
/// Both addresses and ports are replaced, and not the client's alone.
pub(crate) const SPLICED: u8 = 1 << 3;
/// Sequence numbers or windows are changed.
pub(crate) const SHIFTED: u8 = 1 << 4;
/// Its packets are told of, and not carried.
pub(crate) const WATCHED: u8 = 1 << 5;
/// Its near side is the network, too.
pub(crate) const WIRE: u8 = 1 << 6;
/// It belongs to a mapping that others may share; else its port, if it is from the pool, is its own.
pub(crate) const MAPPED: u8 = 1 << 7;

/// The line that every packet reads.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Line {
    /// Whose flow it is; of an unused line the next unused one.
    pub(crate) client: u32,
    /// As in packets that come in: source and destination at the near side, source and destination at the far side.
    pub(crate) ports: [u16; 4],
    pub(crate) protocol: u8,
    pub(crate) flags: u8,
    pub(crate) state: State,
    /// By how much windows are scaled, the near side's in the low half.
    pub(crate) scales: u8,
    /// What is added to the upper protocol's checksum on the way from near to far.
    pub(crate) upper: Delta,
    /// What is added to the IPv4 header's checksum on the way from near to far.
    pub(crate) header: Delta,
    pub(crate) deadline: Tick,
    /// By how many bits windows of each side's segments are shifted to the left.
    pub(crate) shifts: [i8; 2],
    /// Whose sequence numbers are shifted.
    pub(crate) shifted: Shifted,
    /// The octets of each side that the other has acknowledged, in the sender's numbers.
    pub(crate) acked: [u32; 2],
    /// The highest number that each side may send; once it has sent a FIN, the one behind that.
    pub(crate) edges: [u32; 2],
    /// IPv4: as `ports`, octets as on the wire. IPv6: the near side's source.
    pub(crate) addresses: [u32; 4],
    /// What is added to the sequence numbers of the one side that is shifted, and taken from acknowledgments of the other's.
    pub(crate) shift: u32,
}
const _: () = assert!(size_of::<Line>() == 64);

/// Whose sequence numbers a flow shifts. One side's are enough for nearly all splices, and stand in the line itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Shifted {
    /// Nobody's.
    None,
    /// The near side's.
    Near,
    /// The far side's.
    Far,
    /// Both, by numbers in the cold line.
    Both,
}

impl Shifted {
    /// Whose, and by how much if it is one side's.
    pub(crate) const fn of(shifts: [u32; 2]) -> (Self, u32) {
        match shifts {
            [0, 0] => (Self::None, 0),
            [near, 0] => (Self::Near, near),
            [0, far] => (Self::Far, far),
            _ => (Self::Both, 0),
        }
    }
}

/// The line that set-up, end and few packets need.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Cold {
    /// The ring of the client's flows.
    pub(crate) older: u32,
    pub(crate) newer: u32,
    /// What is added to the sequence numbers of each side's segments, and taken from the acknowledgments of the other's.
    pub(crate) shifts: [u32; 2],
    /// IPv4: the flow before and behind in the mapping. IPv6: the near side's destination, the far side's addresses.
    pub(crate) more: [u32; 12],
}
const _: () = assert!(size_of::<Cold>() == 64);

impl Line {
    pub(crate) const UNUSED: Self = Self {
        client: NONE,
        ports: [0; 4],
        protocol: 0,
        flags: 0,
        state: State::Untracked,
        scales: 0,
        upper: Delta::NONE,
        header: Delta::NONE,
        deadline: Tick(0),
        shifts: [0; 2],
        shifted: Shifted::None,
        acked: [0; 2],
        edges: [0; 2],
        addresses: [0; 4],
        shift: 0,
    };

    #[inline]
    pub(crate) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether packets need the cold line as well.
    #[inline]
    pub(crate) const fn is_wide(&self) -> bool {
        self.has(V6) || matches!(self.shifted, Shifted::Both)
    }

    /// What is added to the sequence numbers of each side's segments; `cold` is the flow's other line.
    #[inline]
    pub(crate) const fn number_shifts(&self, cold: &Cold) -> [u32; 2] {
        if matches!(self.shifted, Shifted::Both) {
            return cold.shifts;
        }
        let near = if matches!(self.shifted, Shifted::Near) { self.shift } else { 0 };
        let far = if matches!(self.shifted, Shifted::Far) { self.shift } else { 0 };
        [near, far]
    }

    /// Where packets that come in at a side come from, as queries have it.
    #[inline]
    pub(crate) const fn realm_at(&self, end: End) -> u32 {
        if matches!(end, End::Far) || self.has(WIRE) { NONE } else { self.client }
    }

    /// Whether the flow is there and packets that come in at a side have the query's key, but for their addresses.
    #[inline]
    pub(crate) fn is_of(&self, end: End, query: &Query) -> bool {
        self.has(USED)
            && self.ports_at(end) == query.ports
            && self.protocol == query.protocol
            && self.realm_at(end) == query.realm
    }

    /// Keeps the flow alive until then. A line is written only where it changes: one that was not goes back to no memory.
    #[inline]
    pub(crate) fn live_until(&mut self, deadline: Tick) {
        if self.deadline != deadline {
            self.deadline = deadline;
        }
    }

    /// Source and destination port of packets that come in at a side.
    #[inline]
    pub(crate) const fn ports_at(&self, end: End) -> [u16; 2] {
        let [a, b, c, d] = self.ports;
        end.of([[a, b], [c, d]])
    }
}

impl Cold {
    pub(crate) const UNUSED: Self =
        Self { older: NONE, newer: NONE, shifts: [0; 2], more: [0; 12] };

    /// Four words of an IPv6 address: 0 for the near side's destination, then the far side's source and destination.
    #[inline]
    pub(crate) const fn address(&self, number: usize) -> [u32; 4] {
        let ([a, b, c], _) = self.more.as_chunks::<4>() else { return [0; 4] };
        match number {
            0 => *a,
            1 => *b,
            _ => *c,
        }
    }
}

/// Source and destination of packets that come in at a side, as four words each, of which IPv4 uses the first.
#[inline]
pub(crate) const fn addresses_at(line: &Line, cold: &Cold, end: End) -> [[u32; 4]; 2] {
    if line.has(V6) {
        match end {
            End::Near => [line.addresses, cold.address(0)],
            End::Far => [cold.address(1), cold.address(2)],
        }
    } else {
        let [a, b, c, d] = line.addresses;
        let [source, destination] = end.of([[a, b], [c, d]]);
        [[source, 0, 0, 0], [destination, 0, 0, 0]]
    }
}
