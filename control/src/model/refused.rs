//! Why a change is not made: where, what, and what to do about it.

use std::fmt;

/// The kind of a refusal, for those who translate it into a number of their protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// What was asked for has no meaning.
    Invalid,
    /// Somebody else has that key, name, address or id.
    Conflict,
    /// There is no such thing.
    Unknown,
    /// A table or queue has no room for it.
    Full,
    /// A source declares it, so it is changed there and not at run time.
    Declared,
    /// The dataplane refuses it.
    Dataplane,
    /// It could not be written to disk.
    Disk,
    /// Control is ending.
    Ended,
}

/// A change that is not made; everything is as it was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The kind.
    pub cause: Cause,
    /// Where, if it has a place: a file with its line, or the name of a field.
    pub place: Option<String>,
    /// What is wrong, and the remedy.
    pub what: String,
}

impl Refused {
    /// A refusal without a place.
    pub fn new(cause: Cause, what: impl Into<String>) -> Self {
        Self { cause, place: None, what: what.into() }
    }

    /// The same at a place, unless it has one.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place.get_or_insert_with(|| place.into());
        self
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl std::error::Error for Refused {}
