//! Capture files: pcap (microseconds and nanoseconds) and pcapng, in either byte order, are read; pcap with nanoseconds
//! is written. Ethernet only.
//!
//! Files are untrusted: whatever is in one, reading it ends in records or in one [`Error`] that names the place, and
//! takes no more memory than a record may have. Formats: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.

mod capture;
mod classic;
mod input;
mod ng;
mod write;

pub use capture::{Capture, Frame, OCTETS_MAX};
pub use input::{Error, RECORD_LEN_MAX};
pub use write::Writer;

use std::io::Read;

use classic::Classic;
use input::{Input, Order};
use ng::Section;

/// One packet of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When it was captured, nanoseconds since 1970; 0 where the file does not say.
    pub at_ns: u64,
    /// What was kept of the frame, without check sequence.
    pub octets: &'a [u8],
    /// The frame's length on the wire, not below that of `octets`.
    pub original_len: usize,
}

/// Where a record lies in the block that was read last.
#[derive(Clone, Copy, Debug)]
struct Place {
    at_ns: u64,
    start: usize,
    len: usize,
    original_len: usize,
}

#[derive(Debug)]
enum Format {
    Classic(Classic),
    Ng(Section),
}

/// Reads the records of a capture, one after the other.
#[derive(Debug)]
pub struct Reader<R> {
    input: Input<R>,
    format: Format,
}

/// The first block of pcapng; the same in both byte orders.
const NG_MAGIC: u32 = 0x0a0d_0d0a;

impl<R: Read> Reader<R> {
    /// Reads the header of the file.
    ///
    /// # Errors
    /// When it is no capture, or none of Ethernet.
    pub fn new(source: R) -> Result<Self, Error> {
        let mut input = Input::new(source);
        let magic = input.take(4)?;
        let magic = Order::Big.u32(magic, 0).unwrap_or(0);
        let format = if magic == NG_MAGIC {
            Format::Ng(Section::open(&mut input)?)
        } else {
            Format::Classic(Classic::open(magic, &mut input)?)
        };
        Ok(Self { input, format })
    }

    /// The next record; none at the end of the file.
    ///
    /// # Errors
    /// When the file ends within a record or says what cannot be.
    pub fn read(&mut self) -> Result<Option<Record<'_>>, Error> {
        let Self { input, format } = self;
        input.next_record();
        let place = match format {
            Format::Classic(classic) => classic.read(input)?,
            Format::Ng(section) => section.read(input)?,
        };
        let Some(Place { at_ns, start, len, original_len }) = place else { return Ok(None) };
        let octets = input.block().get(start..start + len).unwrap_or_default();
        Ok(Some(Record { at_ns, octets, original_len: original_len.max(octets.len()) }))
    }
}

impl<R> Reader<R> {
    /// An error where the file was read last.
    fn error_at(&self, record: u64, what: String) -> Error {
        Error { record, offset: self.input.offset(), what }
    }
}

/// Nanoseconds since 1970 from seconds and a part of the next.
fn nanos(secs: u64, part_ns: u64) -> u64 {
    secs.saturating_mul(1_000_000_000).saturating_add(part_ns)
}

#[cfg(test)]
mod tests;
