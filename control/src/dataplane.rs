//! The link to the dataplane: attaches to its shared memory, feeds its commands ring, hears its events, and attaches
//! again when either side has come back.
//!
//! Nothing here waits: the desk's thread calls [`Link::turn`] again and again, and each turn does what can be done now.

mod feed;

use std::sync::Arc;
use std::time::{Duration, Instant};

use shm::attach::Attachment;
use shm::error::What;
use shm::events::Listener;
use shm::mapping::Mapping;
use shm::message::{Event, Scope};
use shm::region::Standing;
use shm::transaction::{WriteError, Writer};
use shm::{Control, Place};

pub(crate) use feed::Feed;

/// From one attempt to attach to the next, and from one look at the regions' files to the next.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// A dataplane that has not moved for so long is left, and attached to again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Events heard in one turn, so that commands and requests get theirs.
const EVENTS_PER_TURN: usize = 4096;

/// The link.
pub(crate) struct Link {
    place: Place,
    attached: Option<Attached>,
    looked: Option<Instant>,
    trouble: Option<String>,
}

struct Attached {
    // Dropped before the attachment, whose lock makes them the only ones.
    writer: Writer<Arc<Mapping>>,
    listener: Listener<Arc<Mapping>>,
    attachment: Attachment,
    sending: Option<Sending>,
}

/// A transaction on its way.
struct Sending {
    id: u64,
    scope: Scope,
    feed: Feed,
    stage: Stage,
    moved: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Begin,
    Items,
    Commit,
    /// All is said; the dataplane has the word.
    Answer,
}

/// What a turn has brought.
pub(crate) enum Outcome {
    /// Nothing has changed.
    Same,
    /// A dataplane was attached to, which knows nothing yet.
    Attached,
    /// It is gone, or was left.
    Detached,
}

impl Link {
    pub(crate) fn new(place: Place) -> Self {
        Self { place, attached: None, looked: None, trouble: None }
    }

    /// Whether a dataplane is attached.
    pub(crate) fn is_attached(&self) -> bool {
        self.attached.is_some()
    }

    /// Why none is.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Begins a transaction; the one before it must be settled.
    pub(crate) fn send(&mut self, id: u64, scope: Scope, feed: Feed, now: Instant) {
        if let Some(attached) = &mut self.attached {
            let stage = Stage::Begin;
            attached.sending = Some(Sending { id, scope, feed, stage, moved: now });
        }
    }

    /// The transaction on its way was answered.
    pub(crate) fn settle(&mut self) {
        if let Some(attached) = &mut self.attached {
            attached.sending = None;
        }
    }

    /// Asks for the states of all peers; false when that cannot be said now.
    pub(crate) fn survey(&mut self, id: u64) -> bool {
        self.attached.as_mut().is_some_and(|attached| attached.writer.survey(id).is_ok())
    }

    /// Does what can be done now: attaches, looks whether the other side is there, says, hears.
    pub(crate) fn turn(&mut self, now: Instant, heard: &mut Vec<Event>) -> Outcome {
        let due = self.looked.is_none_or(|looked| now.duration_since(looked) >= LOOK_INTERVAL);
        if due {
            self.looked = Some(now);
        }
        let Some(attached) = &mut self.attached else {
            return if due { self.attach() } else { Outcome::Same };
        };
        let left = if due { attached.look() } else { Ok(()) };
        let left = left.and_then(|()| attached.hear(heard)).and_then(|()| attached.pump(now));
        match left {
            Ok(()) => Outcome::Same,
            Err(why) => {
                self.leave(why);
                Outcome::Detached
            }
        }
    }

    /// Leaves a dataplane, to attach again at once.
    pub(crate) fn leave(&mut self, why: &str) {
        log::warn!("the dataplane is left: {why}");
        self.trouble = Some(why.to_owned());
        self.attached = None;
        self.looked = None;
    }

    fn attach(&mut self) -> Outcome {
        match Control::attach(&self.place) {
            Ok(control) => {
                let Control { attachment, commands, events, .. } = control;
                let (writer, listener) = (Writer::new(commands), Listener::new(events));
                self.attached = Some(Attached { writer, listener, attachment, sending: None });
                self.trouble = None;
                log::info!("attached to the dataplane in {}", self.place.path().display());
                Outcome::Attached
            }
            Err(error) => {
                let said = error.to_string();
                // Once for each reason: this comes again many times a second.
                if self.trouble.as_ref() != Some(&said) {
                    if error.is_temporary() {
                        log::info!("waiting for the dataplane: {said}");
                    } else {
                        log::error!("cannot attach to the dataplane: {said}");
                    }
                    self.trouble = Some(said);
                }
                Outcome::Same
            }
        }
    }

    /// Whether another control has the dataplane.
    pub(crate) fn is_taken(place: &Place) -> Option<shm::Error> {
        Control::attach(place).err().filter(|error| error.what == What::Busy)
    }
}

impl Attached {
    fn look(&self) -> Result<(), &'static str> {
        match self.attachment.standing() {
            Standing::InUse => Ok(()),
            Standing::GivenUp | Standing::Replaced => Err("it has ended or begun anew"),
            Standing::Died => Err("its process is gone"),
            Standing::Cut => Err("somebody has cut its shared memory short"),
        }
    }

    fn hear(&mut self, heard: &mut Vec<Event>) -> Result<(), &'static str> {
        let before = heard.len();
        let mut malformed = 0_u64;
        let taken = self.listener.hear(EVENTS_PER_TURN, |event| match event {
            Ok(event) => heard.push(event),
            Err(_) => malformed += 1,
        });
        if malformed > 0 {
            // As good as lost.
            heard.push(Event::Lost(malformed));
        }
        let desynchronised = heard.iter().skip(before).any(|event| *event == Event::Desynchronised);
        match taken {
            _ if desynchronised => Err("it finds the commands ring corrupt"),
            Ok(_) => Ok(()),
            Err(_) => Err("the events ring is corrupt"),
        }
    }

    /// Says as much of the transaction as there is room for.
    fn pump(&mut self, now: Instant) -> Result<(), &'static str> {
        let Self { writer, sending: Some(sending), .. } = self else { return Ok(()) };
        loop {
            let written = match sending.stage {
                Stage::Begin => writer.begin(sending.id, sending.scope),
                Stage::Items => match sending.feed.next() {
                    Some(item) => {
                        let written = writer.item(&item);
                        if written == Err(WriteError::Full) {
                            sending.feed.put_back(item);
                        }
                        written
                    }
                    None => Ok(()),
                },
                Stage::Commit => writer.commit(),
                Stage::Answer => break,
            };
            match written {
                Ok(()) => sending.advance(now),
                Err(WriteError::Full) => break,
                Err(WriteError::Corrupt(_)) => return Err("the commands ring is corrupt"),
                Err(WriteError::TooMany(_) | WriteError::NotOpen | WriteError::Open) => {
                    return Err("a transaction could not be written");
                }
            }
        }
        if now.duration_since(sending.moved) > PATIENCE {
            return Err("it takes and answers nothing");
        }
        Ok(())
    }
}

impl Sending {
    fn advance(&mut self, now: Instant) {
        self.moved = now;
        self.stage = match self.stage {
            Stage::Items if self.feed.is_at_end() => Stage::Commit,
            Stage::Begin | Stage::Items => Stage::Items,
            Stage::Commit | Stage::Answer => Stage::Answer,
        };
    }
}
