//! The octets of a capture file, block by block, with the place for errors.

use std::fmt;
use std::io::{ErrorKind, Read};

/// The longest record or block that is read, octets. Writers cut at 256 KiB; what says it is longer is broken.
pub const RECORD_LEN_MAX: usize = 1 << 20;

/// What is wrong with a capture, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The record, counted from 1; 0 for the file's own header.
    pub record: u64,
    /// Octets before what is wrong.
    pub offset: u64,
    /// What is wrong, and the remedy.
    pub what: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.record {
            0 => write!(f, "file header, offset {}: {}", self.offset, self.what),
            record => write!(f, "record {record}, offset {}: {}", self.offset, self.what),
        }
    }
}

impl std::error::Error for Error {}

/// The byte order of a file's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Big,
    Little,
}

impl Order {
    pub(super) fn u16(self, octets: &[u8], at: usize) -> Option<u16> {
        let octets = *octets.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Big => u16::from_be_bytes(octets),
            Self::Little => u16::from_le_bytes(octets),
        })
    }

    pub(super) fn u32(self, octets: &[u8], at: usize) -> Option<u32> {
        let octets = *octets.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Big => u32::from_be_bytes(octets),
            Self::Little => u32::from_le_bytes(octets),
        })
    }

    pub(super) fn u64(self, octets: &[u8], at: usize) -> Option<u64> {
        let octets = *octets.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Big => u64::from_be_bytes(octets),
            Self::Little => u64::from_le_bytes(octets),
        })
    }
}

/// The file as far as it was read.
#[derive(Debug)]
pub(super) struct Input<R> {
    source: R,
    block: Vec<u8>,
    /// Where the present block starts in the file.
    begin: u64,
    offset: u64,
    record: u64,
}

impl<R> Input<R> {
    /// Octets read so far.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// What was taken last.
    pub(super) fn block(&self) -> &[u8] {
        &self.block
    }

    /// An error at the start of the present block.
    pub(super) fn error(&self, what: impl Into<String>) -> Error {
        Error { record: self.record, offset: self.begin, what: what.into() }
    }
}

impl<R: Read> Input<R> {
    pub(super) const fn new(source: R) -> Self {
        Self { source, block: Vec::new(), begin: 0, offset: 0, record: 0 }
    }

    /// Errors from here on are of the next record.
    pub(super) const fn next_record(&mut self) {
        self.record += 1;
    }

    /// The next `len` octets.
    pub(super) fn take(&mut self, len: usize) -> Result<&[u8], Error> {
        match self.take_or_end(len)? {
            Some(_) => Ok(&self.block),
            None => {
                Err(self.error(format!("the file ends where {len} octets more are due; {CUT}")))
            }
        }
    }

    /// The next `len` octets, or none when the file ends here.
    pub(super) fn take_or_end(&mut self, len: usize) -> Result<Option<&[u8]>, Error> {
        self.begin = self.offset;
        self.block.clear();
        if len > RECORD_LEN_MAX {
            let what = format!(
                "a length of {len} octets, more than the {RECORD_LEN_MAX} that any record has: the file is broken here"
            );
            return Err(self.error(what));
        }
        self.block.resize(len, 0);
        let mut done = 0;
        while let Some(rest) = self.block.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.source.read(rest) {
                Ok(0) if done == 0 => return Ok(None),
                Ok(0) => {
                    let what = format!("the file ends after {done} of {len} octets; {CUT}");
                    return Err(self.error(what));
                }
                Ok(count) => {
                    done += count;
                    self.offset += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error(format!("cannot be read ({error})"))),
            }
        }
        Ok(Some(&self.block))
    }

    /// Passes `len` octets without keeping them.
    pub(super) fn skip(&mut self, mut len: usize) -> Result<(), Error> {
        while len > 0 {
            let step = len.min(RECORD_LEN_MAX);
            self.take(step)?;
            len -= step;
        }
        Ok(())
    }
}

/// The remedy for a file that was cut.
const CUT: &str = "`tcpdump -r FILE -w WHOLE` keeps the whole records before";
