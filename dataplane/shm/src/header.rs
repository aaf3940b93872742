//! The first page of every region: what it is, whose, and whether it is to be used.
//!
//! | word | what |
//! |---|---|
//! | 0 | magic, written last when a region is made |
//! | 1 | version of the layout, and which region it is |
//! | 2 | hash over the shape of all messages and of the rings |
//! | 3 | octets of the region |
//! | 4 | user id of the owner |
//! | 5, 6 | process id of the owner and when that process began |
//! | 7 | generation: the same in all regions of one start of the owner |
//! | 8, 9 | two sizes that depend on the region: slots and their words, or names and blocks |
//! | 10 | state: 1 in use, 2 given up by its owner |
//!
//! A header is read once, as a copy; sizes that pass the check are never read again.

use std::fmt;

use crate::layout;
use crate::limits::REGION_LEN_MAX;
use crate::memory::WORD_LEN;
use crate::message;
use crate::process::Process;

/// Words before a region's content: a page.
pub const HEADER_WORDS: usize = 512;

/// Words of the header that are in use.
pub(crate) const USED_WORDS: usize = 11;

/// The place of the state.
pub(crate) const STATE: usize = 10;

/// "millrace" as octets.
pub(crate) const MAGIC: u64 = u64::from_ne_bytes(*b"millrace");

/// Version of the layout of regions and of the meaning of messages.
pub(crate) const VERSION: u32 = message::VERSION;

/// A hash over the shape of everything in a region.
pub(crate) const SHAPE: u64 = {
    let hash = layout::number(message::SHAPE, HEADER_WORDS as u64);
    let hash = layout::number(hash, USED_WORDS as u64);
    layout::number(hash, crate::memory::LINE_WORDS as u64)
};

/// Which region it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// The ring from control to the dataplane.
    Commands = 1,
    /// The ring from the dataplane to control.
    Events = 2,
    /// The counters page.
    Counters = 3,
}

impl Kind {
    /// The name of its file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Commands => "commands",
            Self::Events => "events",
            Self::Counters => "counters",
        }
    }
}

/// Whether a region is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum State {
    /// By its owner and by whoever attaches.
    InUse = 1,
    /// Its owner has ended or was found dead.
    GivenUp = 2,
}

/// A header that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which region.
    pub kind: Kind,
    /// Its octets.
    pub len: u64,
    /// The owner's user id.
    pub uid: u32,
    /// The owner.
    pub owner: Process,
    /// The owner's start.
    pub generation: u64,
    /// Two sizes, unchecked but for the region's length.
    pub sizes: [u64; 2],
}

/// Why a region is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not even a header fits.
    TooShort(u64),
    /// Not one of ours, or not finished.
    NotARegion,
    /// Another layout or meaning.
    Version(u32),
    /// The right version, but messages of another shape.
    Layout,
    /// Another region than the name of the file says.
    Kind(u32),
    /// The header says another length than the file has.
    Length(u64, u64),
    /// Sizes that do not fit the length.
    Sizes,
    /// Another user's.
    Owner(u32),
    /// Given up.
    GivenUp,
    /// Its owner is gone.
    Died(u32),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort(len) => {
                write!(f, "has {len} octets, less than a header; restart the dataplane")
            }
            Self::NotARegion => {
                f.write_str("is no region of millrace; remove it and restart the dataplane")
            }
            Self::Version(version) => write!(
                f,
                "speaks version {version}, this program {VERSION}; use one build on both sides"
            ),
            Self::Layout => f.write_str(
                "has messages of another shape than this program's; use one build on both sides",
            ),
            Self::Kind(kind) => {
                write!(f, "is region {kind}, not what its name says; restart the dataplane")
            }
            Self::Length(says, is) => {
                write!(f, "says it has {says} octets and has {is}; restart the dataplane")
            }
            Self::Sizes => f.write_str("names sizes that do not fit it; restart the dataplane"),
            Self::Owner(uid) => {
                write!(f, "belongs to user {uid}; run both sides as the same user")
            }
            Self::GivenUp => f.write_str("was given up by its dataplane; start the dataplane"),
            Self::Died(pid) => {
                write!(f, "was left by a dataplane (process {pid}) that died; start the dataplane")
            }
        }
    }
}

impl std::error::Error for Refusal {}

impl Header {
    /// The words of a header in use.
    pub(crate) fn words(&self) -> [u64; USED_WORDS] {
        let version = u64::from(VERSION) << 32 | u64::from(self.kind as u32);
        let [first, second] = self.sizes;
        [
            MAGIC,
            version,
            SHAPE,
            self.len,
            self.uid.into(),
            self.owner.id.into(),
            self.owner.began,
            self.generation,
            first,
            second,
            State::InUse as u64,
        ]
    }

    /// Checks a copy of a header against what the file is: its kind by its name, its length, its owner.
    pub fn check(
        words: &[u64; USED_WORDS],
        kind: Kind,
        len: u64,
        uid: u32,
    ) -> Result<Self, Refusal> {
        let [
            magic,
            version,
            shape,
            said_len,
            said_uid,
            pid,
            began,
            generation,
            first,
            second,
            state,
        ] = *words;
        if magic != MAGIC {
            return Err(Refusal::NotARegion);
        }
        let (version, said_kind) = halves(version);
        if version != VERSION {
            return Err(Refusal::Version(version));
        }
        if shape != SHAPE {
            return Err(Refusal::Layout);
        }
        if said_kind != kind as u32 {
            return Err(Refusal::Kind(said_kind));
        }
        if said_len != len || len > REGION_LEN_MAX {
            return Err(Refusal::Length(said_len, len));
        }
        if len < (HEADER_WORDS * WORD_LEN) as u64 {
            return Err(Refusal::TooShort(len));
        }
        if said_uid != u64::from(uid) {
            return Err(Refusal::Owner(u32::try_from(said_uid).unwrap_or(u32::MAX)));
        }
        if state != State::InUse as u64 {
            return Err(Refusal::GivenUp);
        }
        let id = u32::try_from(pid).map_err(|_| Refusal::NotARegion)?;
        let owner = Process { id, began };
        Ok(Self { kind, len, uid, owner, generation, sizes: [first, second] })
    }
}

/// The upper and the lower half of a word.
fn halves(word: u64) -> (u32, u32) {
    let half = |word: u64| u32::try_from(word & u64::from(u32::MAX)).unwrap_or(0);
    (half(word >> 32), half(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: u64 = 8192;

    fn header() -> Header {
        let owner = Process { id: 77, began: 5 };
        Header { kind: Kind::Events, len: LEN, uid: 9, owner, generation: 3, sizes: [4, 5] }
    }

    fn changed(word: usize, value: u64) -> Result<Header, Refusal> {
        let mut words = header().words();
        words[word] = value;
        Header::check(&words, Kind::Events, LEN, 9)
    }

    #[test]
    fn takes_what_it_wrote() {
        assert_eq!(Header::check(&header().words(), Kind::Events, LEN, 9), Ok(header()));
    }

    #[test]
    fn refuses_each_wrong_word_by_its_own_name() {
        assert_eq!(changed(0, 0), Err(Refusal::NotARegion));
        assert_eq!(changed(1, 7 << 32 | 2), Err(Refusal::Version(7)));
        assert_eq!(changed(1, u64::from(VERSION) << 32 | 1), Err(Refusal::Kind(1)));
        assert_eq!(changed(2, SHAPE ^ 1), Err(Refusal::Layout));
        assert_eq!(changed(3, LEN + 8), Err(Refusal::Length(LEN + 8, LEN)));
        assert_eq!(changed(4, 10), Err(Refusal::Owner(10)));
        assert_eq!(changed(5, 1 << 40), Err(Refusal::NotARegion));
        assert_eq!(changed(10, 2), Err(Refusal::GivenUp));
        assert_eq!(changed(10, 99), Err(Refusal::GivenUp));
        let short = Header { len: 80, ..header() };
        let refused = Header::check(&short.words(), Kind::Events, 80, 9);
        assert_eq!(refused, Err(Refusal::TooShort(80)));
    }
}
