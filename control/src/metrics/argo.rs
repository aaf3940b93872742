//! Data centres and what is led to them, as metrics. Labels are the names of centres; those of prefixes would be a
//! million.

use super::text::{Kind, Text};
use crate::argo::explain::CentreSeen;
use crate::argo::paths::Path;
use crate::argo::ticks;
use crate::desk::Desk;
use crate::model::Book;

pub(super) fn write(text: &mut Text, desk: &Desk) {
    let book = desk.book();
    if book.centres().next().is_none() {
        return;
    }
    let now = ticks::unix_now();
    let (seen, moved) = desk.argo().read(|table| (table.centres_seen(now), table.moved()));
    centres(text, &book, &seen);
    text.family("millrace_argo_prefixes", Kind::Gauge, "Prefixes with a choice, by their exit.");
    for seen in &seen {
        text.sample(&[("exit", &book.exit_name(seen.number))], seen.prefixes);
    }
    text.family("millrace_argo_dials", Kind::Gauge, "Dials of a round of 10 s, by their exit.");
    for seen in &seen {
        text.sample(&[("exit", &book.exit_name(seen.number))], seen.dials);
    }
    text.family(
        "millrace_argo_moves",
        Kind::Counter,
        "Prefixes that were led to another exit: a better one, or because theirs had failed.",
    );
    text.sample(&[("why", "better")], moved.0);
    text.sample(&[("why", "failed")], moved.1);
    text.family(
        "millrace_argo_missed_events",
        Kind::Counter,
        "Events of measurements that found no room in control.",
    );
    text.sample(&[], desk.argo().missed());
}

/// How each centre but this one stands.
fn centres(text: &mut Text, book: &Book, seen: &[CentreSeen]) {
    let here = book.here().map_or(0, |here| here.number);
    let others = || seen.iter().filter(|seen| seen.number != 0 && seen.number != here);
    let name = |seen: &CentreSeen| book.exit_name(seen.number);
    text.family("millrace_argo_centre_up", Kind::Gauge, "Whether probes to a centre are answered.");
    for seen in others() {
        let is_up = matches!(seen.path, Path::Up { .. });
        text.sample(&[("centre", &name(seen))], is_up.into());
    }
    text.unit_family(
        "millrace_argo_centre_rtt_seconds",
        "seconds",
        "The round trip straight to a centre, on average.",
    );
    for seen in others() {
        if let Some(rtt) = seen.path.rtt() {
            text.microseconds(&[("centre", &name(seen))], ticks::duration(rtt));
        }
    }
    text.family(
        "millrace_argo_centre_lost_probes",
        Kind::Gauge,
        "Of the last hundred probes to a centre, those that were lost.",
    );
    for seen in others() {
        if let Path::Up { lost, .. } = seen.path {
            text.sample(&[("centre", &name(seen))], lost.into());
        }
    }
}
