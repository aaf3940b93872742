//! What the command line asks of the fleet.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::answer::{Failure, blocking};
use super::message::{Answer, FleetRequest, FleetShown};
use super::{Api, Lines, show};
use crate::model::fleet::MemberState;
use crate::model::{Cause, Refused};
use crate::source::{Directory, Edit, fleet};

/// How long the dataplane may take to say that it sees what it has put in force.
const PATIENCE: Duration = Duration::from_secs(5);

/// The last second of the year 9999, behind which a deadline cannot be written.
const DEADLINE_MAX: u64 = 253_402_207_200;

/// From one look at what it says to the next.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

impl Api {
    pub(super) async fn fleet(
        &self,
        request: FleetRequest,
        lines: &mut Lines,
    ) -> Result<bool, Failure> {
        let (server, edit) = match request {
            FleetRequest::List => return self.fleet_list(lines).await,
            FleetRequest::Drain { server, deadline_s } => {
                let deadline = deadline_s.map(from_now).transpose()?;
                (server, Edit::State(MemberState::Draining { deadline }))
            }
            FleetRequest::Weight { server, weight } => (server, Edit::Weight(weight)),
            FleetRequest::Up { server } => (server, Edit::State(MemberState::Active)),
            FleetRequest::Down { server } => (server, Edit::State(MemberState::Down)),
        };
        self.fleet_change(server, edit).await
    }

    async fn fleet_list(&self, lines: &mut Lines) -> Result<bool, Failure> {
        let trouble = self.desk.status().source_trouble;
        let refused = trouble.map(|what| format!("what the directory says now: {what}"));
        let Some(mut shown) = self.fleet_shown() else {
            let what =
                "no fleet is declared; write a [fleet] into a file of the directory".to_owned();
            return Err(Refused::new(Cause::Unknown, refused.unwrap_or(what)).into());
        };
        shown.trouble = shown.trouble.or(refused);
        lines.put(&Answer::Fleet(shown)).await?;
        Ok(false)
    }

    fn fleet_shown(&self) -> Option<FleetShown> {
        let (status, book) = (self.desk.status(), self.desk.book());
        let mut shown = show::fleet(&book, book.fleet()?, status.fleet);
        shown.trouble = match (status.attached, status.fleet) {
            (false, _) => Some("no dataplane is attached".to_owned()),
            (true, Some(seen)) if seen.generation == shown.generation => None,
            (true, None) => Some("the dataplane has no [fleet] section".to_owned()),
            (true, Some(_)) => status.trouble.or_else(|| Some("the dataplane has another".into())),
        };
        Some(shown)
    }

    /// Changes the fleet's file; comes back when the dataplane has the change in force.
    async fn fleet_change(&self, server: u8, edit: Edit) -> Result<bool, Failure> {
        let (own, follower) = self.followed()?;
        let (directory, desk) = (Directory::new(own.clone()), self.desk.clone());
        let declare = move |declaration| desk.declare_fleet_now(declaration);
        let follower = follower.clone();
        // The places in the book are those of the file as it is then.
        let reread = move || follower.reread_now();
        let change = move || fleet::change(&directory, server, edit, declare, reread);
        if blocking(change).await?.pending {
            return Ok(true);
        }
        self.fleet_is_seen().await?;
        Ok(false)
    }

    /// Waits until the dataplane says that it sees the declared generation.
    async fn fleet_is_seen(&self) -> Result<(), Refused> {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            // Somebody may have taken the fleet away meanwhile.
            let Some(shown) = self.fleet_shown() else { return Ok(()) };
            let Some(trouble) = shown.trouble else { return Ok(()) };
            if tokio::time::Instant::now() > end {
                let what =
                    format!("the file is changed, and this dataplane does not follow: {trouble}");
                return Err(Refused::new(Cause::Dataplane, what));
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

/// The time in so many seconds, since the Unix epoch.
fn from_now(seconds: u64) -> Result<Duration, Refused> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = now.as_secs().checked_add(seconds).filter(|at| *at <= DEADLINE_MAX);
    at.map(Duration::from_secs).ok_or_else(|| {
        Refused::new(Cause::Invalid, "is too far away; take less, or none").at("deadline")
    })
}
