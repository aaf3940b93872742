//! What joins generator and worker: the rings of one process, or memory that two processes share.

use clap::ValueEnum;
use serde::Serialize;

use super::ceiling::{ANY_LOAD, middle, seconds};
use super::frames::Frames;
use super::generator::{Run, Seen};
use super::process::Process;
use super::trial::Pair;
use crate::Failure;
use crate::load::lane::{Lane, Rest};
use crate::load::pace::{self, Pace};
use crate::load::way::Way;
use crate::load::{Place, Size};
use crate::service::server::End;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Over {
    /// Two threads; packets change hands.
    Rings,
    /// Two processes; packets are copied into shared memory and out of it.
    Memif,
}

/// What a trial wants of the generator.
pub(super) struct Asked<'a> {
    pub(super) frames: &'a Frames,
    pub(super) way: (End, End),
    pub(super) reads: bool,
    pub(super) mark: u32,
}

impl Over {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Rings => "rings",
            Self::Memif => "memif",
        }
    }

    /// What belongs to packets of this size.
    pub(super) fn title(self, size: &str) -> String {
        match self {
            Self::Rings => size.to_owned(),
            Self::Memif => format!("{size}, two processes over memif"),
        }
    }
}

impl Pair<'_> {
    /// Gives the generator's work to a process of its own, or takes it back.
    pub(super) fn lead(&mut self, over: Over, place: &Place) -> Result<(), Failure> {
        self.process = None;
        if over == Over::Memif {
            let pool = self.with_lane(|lane, _| Ok(lane.pool.clone()))?;
            self.process = Some(Process::start((self.eal, &pool), place)?);
        }
        Ok(())
    }

    pub(super) const fn over(&self) -> Over {
        if self.process.is_some() { Over::Memif } else { Over::Rings }
    }

    /// How quick the worker is with full bursts of a way. Between processes copying is a part of its work, so it is as quick there
    /// as it proves to be.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    pub(super) fn pace(&mut self, (way, size): (Way, &Size), quick: bool) -> Result<Pace, Failure> {
        if self.process.is_none() {
            return self.with_lane(|lane, clock| {
                lane.renew()?;
                pace::pace(lane, (way, &size.sizes), clock)
            });
        }
        let rate = middle(|| {
            let done = self.trial((way, size), (ANY_LOAD, seconds(quick), false))?;
            Ok(done.tally.delivered as f64 / done.taken)
        })?;
        Ok(Pace::of_rate(rate, self.clock))
    }

    /// Lets another process have the frames, and the worker have its queues to that.
    pub(super) fn attach(&mut self, lane: &mut Lane, asked: &Asked<'_>) -> Result<(), Failure> {
        let Some(process) = &mut self.process else { return Ok(()) };
        process.load(asked.frames, asked.way, asked.mark)?;
        process.swap(lane.server.worker.queues_mut())
    }

    /// Sends and takes back, here or there.
    pub(super) fn generate(&mut self, rest: &mut Rest, asked: &Asked<'_>) -> Result<Seen, Failure> {
        let Asked { frames, way, reads, mark } = asked;
        if let Some(process) = &mut self.process {
            return process.go();
        }
        let here = (&mut rest.outside.ends, &rest.pool);
        Run::new(here, frames, (*way, *reads), *mark).go(self.clock)
    }

    /// Takes the queues back; gives how many frames were still on their way when all had ended.
    pub(super) fn detach(&mut self, lane: &mut Lane) -> Result<u64, Failure> {
        let mut stranded = lane.clear();
        if let Some(process) = &mut self.process {
            process.swap(lane.server.worker.queues_mut())?;
            stranded += process.drain()?;
        }
        Ok(stranded)
    }
}
