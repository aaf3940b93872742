//! Which octets of a datagram are there.

use crate::limits::FRAGMENTS_PIECES_MAX;

/// What a piece is to those that came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It has octets that none has.
    New,
    /// It came before.
    Twice,
    /// They cannot all be of one datagram.
    Impossible,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Range {
    start: u16,
    end: u16,
}

/// The pieces of one datagram, in order; none overlaps another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranges {
    pieces: [Range; FRAGMENTS_PIECES_MAX],
    count: u16,
    /// Octets of all pieces.
    octets: u16,
    /// Where the last one ends, when it has come.
    end: Option<u16>,
}

impl Ranges {
    pub(super) const NONE: Self = Self {
        pieces: [Range { start: 0, end: 0 }; FRAGMENTS_PIECES_MAX],
        count: 0,
        octets: 0,
        end: None,
    };

    /// Octets of the datagram, when all are there. None is there twice, so there is no gap.
    pub(super) fn complete(&self) -> Option<u16> {
        self.end.filter(|end| *end == self.octets)
    }

    /// Adds a piece. One that overlaps another in any octet, without being the same, makes the whole datagram impossible (RFC
    /// 5722 3, RFC 8200 4.5; of IPv4 as well, because its receivers do not agree whose octets to take).
    pub(super) fn add(&mut self, offset: u16, len: u16, more: bool) -> Added {
        let Some(end) = offset.checked_add(len).filter(|_| len > 0) else {
            return Added::Impossible;
        };
        let (piece, is_last) = (Range { start: offset, end }, !more);
        let used = self.pieces.get(..usize::from(self.count)).unwrap_or_default();
        let place = used.partition_point(|other| other.start < offset);
        let (before, behind) = used.split_at_checked(place).unwrap_or_default();
        if behind.first() == Some(&piece) {
            let was_last = self.end == Some(end);
            return if was_last == is_last { Added::Twice } else { Added::Impossible };
        }
        let overlaps = before.last().is_some_and(|other| other.end > offset)
            || behind.first().is_some_and(|other| other.start < end);
        let beyond_end = self.end.is_some_and(|known| end > known);
        if overlaps || beyond_end || is_last && !behind.is_empty() || !self.insert(place, piece) {
            return Added::Impossible;
        }
        if is_last {
            self.end = Some(end);
        }
        Added::New
    }

    /// Puts a piece in its place, if there is one.
    fn insert(&mut self, place: usize, piece: Range) -> bool {
        let Some(shifted) = self.pieces.get_mut(place..=usize::from(self.count)) else {
            return false;
        };
        shifted.rotate_right(1);
        if let Some(first) = shifted.first_mut() {
            *first = piece;
        }
        self.count += 1;
        // They do not overlap, so together they are no more than the end of the last.
        self.octets += piece.end - piece.start;
        true
    }
}
