//! The thread that writes: takes what has come meanwhile as one write, and answers whoever waits when it is on disk.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::{Keep, RecordChange, unwritten};
use crate::desk::{Applied, Record};
use crate::model::{Book, Cause, Change, Refused, Touched};

/// Jobs that wait for the disk; behind them the desk waits as well.
const JOBS_MAX: usize = 64;

/// Jobs that become one write.
const WRITE_JOBS_MAX: usize = 32;

/// Whoever waits for a change, and what it will hear when all is well.
pub(crate) type Answer = (oneshot::Sender<Result<Applied, Refused>>, Applied);

/// What the scribe is asked for.
#[expect(clippy::large_enum_variant, reason = "nearly all jobs are of the large kind")]
pub(crate) enum Job {
    /// Write what was touched as it is in this book, then answer.
    Write {
        /// The book.
        book: Book,
        /// What may have changed in it.
        touched: Touched,
        /// Records, in the order of their changes.
        records: Vec<Change>,
        /// Who waits.
        answers: Vec<Answer>,
    },
    /// Give the records of a prefix.
    Records(Box<[u8]>, oneshot::Sender<Result<Vec<Record>, Refused>>),
}

/// The desk's way to the thread.
pub(crate) struct Scribe {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Scribe {
    /// Begins to write into a file; without one, records alone are kept, in memory.
    pub(crate) fn begin(keep: Option<Keep>) -> Self {
        let (jobs, waiting) = sync_channel(JOBS_MAX);
        let writer = Writing {
            jobs: waiting,
            keep,
            records: BTreeMap::new(),
            unwritten: Touched::default(),
            unwritten_records: Vec::new(),
        };
        let thread = std::thread::spawn(move || writer.run());
        Self { jobs: Some(jobs), thread: Some(thread) }
    }

    /// Gives it a job.
    pub(crate) fn put(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // A scribe that is gone drops the job, and whoever waits hears that control is ending.
            drop(jobs.send(job));
        }
    }
}

impl Drop for Scribe {
    /// Waits until everything is written.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

struct Writing {
    jobs: Receiver<Job>,
    keep: Option<Keep>,
    /// The records when there is no file.
    records: BTreeMap<Box<[u8]>, Box<[u8]>>,
    /// What a full disk has left unwritten: written with the next.
    unwritten: Touched,
    unwritten_records: Vec<RecordChange>,
}

impl Writing {
    fn run(mut self) {
        while let Ok(first) = self.jobs.recv() {
            let mut next = Some(first);
            while let Some(job) = next.take() {
                next = match job {
                    Job::Records(prefix, answer) => {
                        drop(answer.send(self.read(&prefix)));
                        None
                    }
                    Job::Write { book, touched, records, answers } => {
                        self.write(book, touched, records, answers)
                    }
                };
            }
        }
    }

    /// Writes a job together with those that follow it; gives back one that is of another kind.
    fn write(
        &mut self,
        mut book: Book,
        touched: Touched,
        records: Vec<Change>,
        mut answers: Vec<Answer>,
    ) -> Option<Job> {
        self.gather(touched, records);
        let mut other = None;
        for _ in 1..WRITE_JOBS_MAX {
            match self.jobs.try_recv() {
                Ok(Job::Write { book: newer, touched, records, answers: more }) => {
                    book = newer;
                    self.gather(touched, records);
                    answers.extend(more);
                }
                Ok(job) => {
                    other = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        self.unwritten.tidy();
        let refused = self.commit(&book).err();
        for (answer, applied) in answers {
            // Whoever asked may have gone meanwhile; that changes nothing.
            drop(answer.send(refused.clone().map_or(Ok(applied), Err)));
        }
        other
    }

    fn gather(&mut self, touched: Touched, records: Vec<Change>) {
        self.unwritten.merge(touched);
        for change in records {
            if let Change::Record { key, value } = change {
                self.unwritten_records.push((key, value));
            }
        }
    }

    fn commit(&mut self, book: &Book) -> Result<(), Refused> {
        if let Some(keep) = &self.keep {
            let written = keep.write(book, &self.unwritten, &self.unwritten_records);
            written.map_err(|error| {
                let refused = unwritten(&keep.path, &error);
                log::error!("a change {}", refused.what);
                refused
            })?;
            self.unwritten_records.clear();
        }
        for (key, value) in self.unwritten_records.drain(..) {
            match value {
                Some(value) => drop(self.records.insert(key, value)),
                None => drop(self.records.remove(&key)),
            }
        }
        self.unwritten = Touched::default();
        Ok(())
    }

    fn read(&self, prefix: &[u8]) -> Result<Vec<Record>, Refused> {
        if let Some(keep) = &self.keep {
            return keep.records(prefix).map_err(|error| {
                let what = format!("{} cannot be read ({error})", keep.path.display());
                Refused::new(Cause::Disk, what)
            });
        }
        let from = self.records.range(Box::from(prefix)..);
        let ours = from.take_while(|(key, _)| key.starts_with(prefix));
        Ok(ours.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}
