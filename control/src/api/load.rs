//! The routes of a bulk table as one change.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;

use super::answer::{Failure, blocking};
use super::{Api, read};
use crate::desk::Desk;
use crate::model::{Cause, Change, Origin, Refused, RouteTo};
use crate::source::routes_of;

impl Api {
    /// Makes the routes of a file routes that are kept; with `replace`, those of earlier commands go.
    pub(super) async fn route_load(&self, file: PathBuf, replace: bool) -> Result<bool, Failure> {
        let path = file.clone();
        let routes = blocking(move || distinct(routes_of(&path)?, &path)).await?;
        let routes: Arc<[RouteTo]> = routes.into();
        let loaded = Arc::clone(&routes);
        let made = self.change(move |book| {
            let mut changes = Vec::with_capacity(loaded.len());
            if replace {
                let prefixes: HashSet<&IpNet> = loaded.iter().map(|route| &route.prefix).collect();
                let gone = book.routes_after(None).filter(|(prefix, route)| {
                    route.origin == Origin::Cli && !prefixes.contains(prefix)
                });
                changes.extend(gone.map(|(prefix, _)| Change::RemoveRoute(*prefix)));
            }
            let names: HashSet<&Arc<str>> = loaded.iter().map(|route| &route.next_hop).collect();
            changes.extend(names.into_iter().filter_map(|name| read::choice_of(book, name)));
            changes.extend(loaded.iter().cloned().map(Change::PutRoute));
            Ok(changes)
        });
        match made.await {
            Err(Failure::Refused(refused)) => {
                let desk = self.desk.clone();
                Err(blocking(move || Ok(located(refused, &routes, &file, &desk))).await?.into())
            }
            made => made,
        }
    }
}

/// Routes of a file, if no two are to one prefix.
fn distinct(routes: Vec<RouteTo>, path: &Path) -> Result<Vec<RouteTo>, Refused> {
    let mut seen = HashMap::with_capacity(routes.len());
    for route in &routes {
        if let Some(other) = seen.insert(route.prefix, line_of(route)) {
            let what = format!("{} is in line {other} already; keep one of them", route.prefix);
            let place = format!("{}:{}", path.display(), line_of(route));
            return Err(Refused::new(Cause::Conflict, what).at(place));
        }
    }
    Ok(routes)
}

fn line_of(route: &RouteTo) -> u32 {
    match route.origin {
        Origin::Declared(place) => place.line,
        Origin::Cli | Origin::Uapi | Origin::Registration | Origin::Detection => 0,
    }
}

/// A refusal with the line of the first route that is refused for the same reason when it comes alone.
fn located(mut refused: Refused, routes: &[RouteTo], path: &Path, desk: &Desk) -> Refused {
    let same = |route: &&RouteTo| {
        let alone = desk.check(Origin::Cli, &[Change::PutRoute(RouteTo::clone(route))]);
        alone.is_err_and(|alone| alone.what == refused.what)
    };
    if let Some(route) = routes.iter().find(same) {
        refused.place = Some(format!("{}:{}", path.display(), line_of(route)));
    }
    refused
}
