//! What the command line asks of routes with several exits, and of the data centres behind them.

use std::net::IpAddr;
use std::time::Duration;

use super::answer::Failure;
use super::message::{Answer, ArgoRequest, ArgoShown, CentreShown, ExitShown};
use super::{Api, Lines, read};
use crate::argo::explain::{CentreSeen, Exit, Explained};
use crate::argo::paths::Path;
use crate::argo::steward::ROUND_S;
use crate::argo::ticks::{self, unix_now};
use crate::argo::ways::Reach;
use crate::model::{Book, Cause, Decision, Refused};

impl Api {
    pub(super) async fn argo(
        &self,
        request: ArgoRequest,
        lines: &mut Lines,
    ) -> Result<bool, Failure> {
        match request {
            ArgoRequest::Show { destination } => self.argo_show(&destination, lines).await,
            ArgoRequest::List => self.argo_list(lines).await,
        }
    }

    async fn argo_show(&self, destination: &str, lines: &mut Lines) -> Result<bool, Failure> {
        let book = self.desk.book();
        let now = unix_now();
        let prefix = read::prefix("destination", destination)?.trunc();
        let address = destination.parse::<IpAddr>().ok();
        let explained = self.desk.argo().read(|table| {
            let row = match address {
                Some(address) => table.find(address),
                None => table.row(&prefix),
            };
            table.explain(row?, now)
        });
        // What decides is what the longest prefix says, also when that is no choice.
        let decides = address.is_none_or(|address| {
            let decision = book.lookup(address);
            let decided = decision.map(|decision| match decision {
                Decision::Route { prefix, .. } | Decision::Peer { prefix, .. } => prefix,
            });
            decided.is_none() || decided == explained.as_ref().map(|explained| explained.prefix)
        });
        let explained = explained.filter(|_| decides).ok_or_else(|| no_choice(destination))?;
        lines.put(&Answer::Argo(Box::new(shown(&book, &explained)))).await?;
        Ok(false)
    }

    async fn argo_list(&self, lines: &mut Lines) -> Result<bool, Failure> {
        let (book, now) = (self.desk.book(), unix_now());
        let seen = self.desk.argo().read(|table| table.centres_seen(now));
        let all = seen.iter().map(|seen| seen.dials).sum();
        for seen in &seen {
            lines.put(&Answer::Centre(Box::new(centre(&book, seen, all)))).await?;
        }
        Ok(false)
    }
}

fn no_choice(destination: &str) -> Refused {
    let what = format!(
        "no route to {destination} names several exits; `millrace route lookup` tells what decides"
    );
    Refused::new(Cause::Unknown, what).at("destination")
}

fn shown(book: &Book, explained: &Explained) -> ArgoShown {
    let route = book.route(&explained.prefix);
    let hop = route.and_then(|route| book.next_hop(route.next_hop));
    ArgoShown {
        prefix: explained.prefix.to_string(),
        next_hop: hop.map_or_else(String::new, |hop| hop.name.to_string()),
        exit: book.exit_name(explained.exit),
        since: Some(explained.since).filter(|since| *since != 0),
        held_until: Some(explained.held_until).filter(|until| *until != 0),
        moves: explained.moves,
        dials_per_minute: explained.dials * (60 / ROUND_S),
        exits: explained.exits.iter().map(|exit| exit_shown(book, exit)).collect(),
        origin: route.map_or_else(String::new, |route| book.place(route.origin)),
    }
}

fn exit_shown(book: &Book, exit: &Exit) -> ExitShown {
    let known = exit.count > 0;
    ExitShown {
        exit: book.exit_name(exit.exit),
        relay: (exit.relay != 0).then(|| book.exit_name(exit.relay)),
        way_us: exit.way.map(micros),
        p50_us: known.then(|| micros(exit.p50)),
        p90_us: known.then(|| micros(exit.p90)),
        dials: exit.count,
        failures: exit.failures,
        judged_by: exit.by.map(|prefix| prefix.to_string()),
        cost_us: exit.cost.map(micros),
        why: exit.why.to_string(),
    }
}

/// A centre of which the dials are a share of all.
fn centre(book: &Book, seen: &CentreSeen, all: u64) -> CentreShown {
    let declared = book.centre(seen.number);
    let (state, rtt, lost) = match seen.path {
        Path::Unknown => ("unknown", None, None),
        Path::Down => ("down", None, None),
        Path::Up { rtt, lost } => ("up", Some(ticks::duration(rtt)), Some(lost)),
    };
    let (relay, way) = match seen.reach {
        Reach::By { cost, relay } => (relay, Some(ticks::duration(cost))),
        Reach::Unknown | Reach::Down => (0, None),
    };
    CentreShown {
        name: book.exit_name(seen.number),
        number: seen.number,
        is_here: seen.number == 0 || book.here().is_some_and(|here| here.number == seen.number),
        machines: declared.map_or(0, |centre| centre.machines.len()),
        state: state.to_owned(),
        rtt_us: rtt.map(micros),
        lost,
        relay: (relay != 0).then(|| book.exit_name(relay)),
        way_us: way.map(micros),
        since: Some(seen.since).filter(|since| *since != 0),
        prefixes: seen.prefixes,
        dials_per_minute: seen.dials * u64::from(60 / ROUND_S),
        share_per_mille: (seen.dials * 1000).checked_div(all).unwrap_or(0),
        headroom: declared.and_then(|centre| centre.headroom),
        origin: declared.map_or_else(|| "always".to_owned(), |centre| book.place(centre.origin)),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
