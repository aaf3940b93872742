//! Sources of truth: what declares peers, next hops, routes, the fleet, rules and tenants, and the thread that follows one.
//!
//! A source that is broken or gone changes nothing: the declared layer stays as it was last good, and the status says
//! what is wrong.

mod copy;
mod file;
pub(crate) mod fleet;
mod watch;

use std::collections::HashSet;
use std::ffi::OsString;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::desk::{Applied, Desk};
use crate::model::{Cause, Declaration, Refused};
pub(crate) use copy::copy;
pub use file::Directory;
pub(crate) use file::{prefixes_of, routes_of};
pub use fleet::Edit;

/// Something that declares.
pub trait Source: Send + 'static {
    /// All that it declares now.
    fn read(&mut self) -> Result<Declaration, Refused>;

    /// Begins to say when it may have changed; it begins with that it has.
    fn watch(&self, wakes: SyncSender<Wake>);
}

/// What a source says about itself while it is watched.
#[derive(Debug)]
pub enum Wake {
    /// It may have changed.
    Changed,
    /// A part of it is being written, and is not to be read now.
    Opened(OsString),
    /// That part is complete.
    Closed(OsString),
    /// Somebody wants it read now, and to hear what came of it.
    Reread(Reply),
}

type Reply = oneshot::Sender<Result<Applied, Refused>>;

/// Wakes that wait; behind them the source's watch waits as well.
const WAKES_MAX: usize = 1024;

/// Changes that come so close together are read once.
const SETTLE: Duration = Duration::from_millis(20);

/// A part that is being written for longer than this is read as it is.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// The way to the thread that follows a source.
#[derive(Clone, Debug)]
pub struct Follower {
    wakes: SyncSender<Wake>,
}

impl Follower {
    /// Follows a source: what it declares becomes the declared layer, now and whenever it changes.
    pub fn begin(source: impl Source, desk: Desk) -> Self {
        let (wakes, waiting) = sync_channel(WAKES_MAX);
        source.watch(wakes.clone());
        let following = Following { source, desk, wakes: waiting, said: None };
        std::thread::spawn(move || following.run());
        Self { wakes }
    }

    /// Has the source read now, and tells what came of it.
    pub async fn reread(&self) -> Result<Applied, Refused> {
        self.ask()?.await.unwrap_or_else(|_| Err(busy()))
    }

    /// The same for a thread that waits; not for tasks.
    pub(crate) fn reread_now(&self) -> Result<Applied, Refused> {
        self.ask()?.blocking_recv().unwrap_or_else(|_| Err(busy()))
    }

    fn ask(&self) -> Result<oneshot::Receiver<Result<Applied, Refused>>, Refused> {
        let (answer, answered) = oneshot::channel();
        self.wakes.try_send(Wake::Reread(answer)).map_err(|_| busy())?;
        Ok(answered)
    }
}

fn busy() -> Refused {
    Refused::new(Cause::Full, "the source is being read already; try again")
}

struct Following<S> {
    source: S,
    desk: Desk,
    wakes: Receiver<Wake>,
    /// What was wrong last time, to say it once.
    said: Option<String>,
}

impl<S: Source> Following<S> {
    fn run(mut self) {
        while let Ok(first) = self.wakes.recv() {
            let mut asked = Vec::new();
            self.settle(first, &mut asked);
            let result = self.source.read().and_then(|declared| self.desk.declare_now(declared));
            self.say(&result);
            for answer in asked {
                // Whoever asked may have gone meanwhile.
                drop(answer.send(result.clone()));
            }
        }
    }

    /// Waits until what has changed is complete.
    fn settle(&self, first: Wake, asked: &mut Vec<Reply>) {
        let end = Instant::now() + WRITE_PATIENCE;
        let (mut open, mut next) = (HashSet::new(), Some(first));
        while let Some(wake) = next {
            match wake {
                Wake::Changed => {}
                Wake::Opened(name) => drop(open.insert(name)),
                Wake::Closed(name) => drop(open.remove(&name)),
                Wake::Reread(answer) => asked.push(answer),
            }
            let left = end.saturating_duration_since(Instant::now());
            let rest = if open.is_empty() { SETTLE.min(left) } else { left };
            next = self.wakes.recv_timeout(rest).ok();
        }
    }

    fn say(&mut self, result: &Result<Applied, Refused>) {
        let trouble = result.as_ref().err().map(ToString::to_string);
        if trouble == self.said {
            return;
        }
        match &trouble {
            Some(trouble) => log::error!("{trouble}; what was declared before stays in force"),
            None => log::info!("the source is good again"),
        }
        self.desk.set_source_trouble(trouble.clone());
        self.said = trouble;
    }
}
