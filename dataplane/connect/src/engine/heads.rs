//! The heads of a next hop's answer, in one segment or in many: interim ones are counted, the last one decides.

use super::Work;
use crate::buffers::Buffer;
use crate::head::{Answer, TcpOptions, parse_answer};
use crate::limits::INTERIMS_MAX;
use crate::outcome::{Why, World};
use crate::segment::len;
use crate::setup::Far;

/// What heads say as far as they have come.
pub(super) enum Heads<'a> {
    /// The last one is not whole.
    More,
    /// The last one, and the payload behind it.
    Final { status: u16, hint: Option<TcpOptions>, rest: &'a [u8] },
    /// No answer, or too long a one.
    Wrong(Why),
    /// No buffer is left for a part of one; it was not taken.
    NoBuffer,
}

/// Where a walk over heads ends.
enum End {
    More,
    Final { status: u16, hint: Option<TcpOptions> },
    Wrong(Why),
}

impl<W: World> Work<'_, W> {
    /// Reads what comes next.
    pub(super) fn read_heads<'a>(&mut self, octets: &'a [u8]) -> Heads<'a> {
        match self.setup.buffer.take() {
            None => self.read_first(octets),
            Some(buffer) => self.read_more(buffer, octets),
        }
    }

    /// Without a part from before, heads are read where they are, and only a part is copied.
    fn read_first<'a>(&mut self, octets: &'a [u8]) -> Heads<'a> {
        let Some(far) = self.setup.far.as_mut() else { return Heads::More };
        let (end, used) = walk(far, octets);
        let rest = octets.get(used..).unwrap_or_default();
        match end {
            End::Wrong(why) => return Heads::Wrong(why),
            End::Final { status, hint } => return Heads::Final { status, hint, rest },
            End::More => far.next = far.next.wrapping_add(len(octets) - len(rest)),
        }
        if rest.is_empty() {
            return Heads::More;
        }
        match self.shared.buffers.take() {
            Some(buffer) => self.keep(buffer, rest),
            None => Heads::NoBuffer,
        }
    }

    /// Behind a part from before, heads are read in the buffer; not before a line ends, as nothing else ends a head.
    fn read_more<'a>(&mut self, mut buffer: Buffer, octets: &'a [u8]) -> Heads<'a> {
        if !octets.contains(&b'\n') {
            return self.keep(buffer, octets);
        }
        let had = buffer.len();
        let kept = self.shared.buffers.append(&mut buffer, octets);
        let Some(far) = self.setup.far.as_mut() else { return Heads::More };
        let (end, used) = walk(far, self.shared.buffers.text(&buffer));
        let heads = match end {
            End::More => {
                far.next = far.next.wrapping_add(u32::try_from(kept).unwrap_or_default());
                self.shared.buffers.consume(&mut buffer, used);
                return self.keep(buffer, &[]);
            }
            End::Wrong(why) => Heads::Wrong(why),
            End::Final { status, hint } => {
                let rest = octets.get(used.saturating_sub(had)..).unwrap_or_default();
                Heads::Final { status, hint, rest }
            }
        };
        self.shared.buffers.give(Some(buffer));
        heads
    }

    /// Keeps a part, unless it fills the buffer.
    fn keep<'a>(&mut self, mut buffer: Buffer, part: &[u8]) -> Heads<'a> {
        let kept = self.shared.buffers.append(&mut buffer, part);
        if let Some(far) = self.setup.far.as_mut() {
            far.next = far.next.wrapping_add(u32::try_from(kept).unwrap_or_default());
        }
        let is_full = buffer.room() == 0;
        self.setup.buffer = Some(buffer);
        if is_full { Heads::Wrong(Why::AnswerTooLong) } else { Heads::More }
    }
}

/// Reads heads from the start of what has come, counts the whole ones, and says how many octets those are.
fn walk(far: &mut Far, octets: &[u8]) -> (End, usize) {
    let mut used = 0;
    loop {
        let (head_len, end) = match parse_answer(octets.get(used..).unwrap_or_default()) {
            Ok(None) => return (End::More, used),
            Ok(Some(Answer::Interim { len })) => (len, None),
            Ok(Some(Answer::Final { status, len, hint })) => {
                (len, Some(End::Final { status, hint }))
            }
            Err(_) => return (End::Wrong(Why::AnswerWrong), used),
        };
        used += head_len;
        far.heads_len = far.heads_len.wrapping_add(u32::try_from(head_len).unwrap_or_default());
        if let Some(end) = end {
            return (end, used);
        }
        far.interims += 1;
        if far.interims > INTERIMS_MAX {
            return (End::Wrong(Why::AnswerTooLong), used);
        }
    }
}
