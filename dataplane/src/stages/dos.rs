//! Stage 1, dos: what should never have come leaves here, the cheapest question first.

pub mod buckets;
mod filter;
pub mod flows;
mod handshakes;
pub mod lists;
pub mod rate;
mod rules;
mod sanity;
pub mod sketch;
pub mod syn;
mod tallies;
pub mod transit;

use wireguard::time::Instant;

use crate::burst::{Burst, Kinds};
use crate::counters::Counters;
use crate::frame::{Entry, Kind};
use crate::site::Site;
use crate::stages::parse;

pub use filter::{Filter, Tables};
pub use handshakes::{Defence, Known, Sender, shown_id};
pub use rules::{
    CHECKS_DEFAULT, Checked, Checks, Limit, Limits, OWN, Outline, Policy, Reach, Rules, Sharing,
    Subject, Tenants,
};
pub use tallies::{AllTallies, Tallies, Tally};

/// What comes over the network and is judged.
const JUDGED: Kinds = Kinds::of([
    Kind::Sealed,
    Kind::Handshake,
    Kind::Host,
    Kind::Transit,
    Kind::Reply,
    Kind::Via,
    Kind::Tunnelled,
    Kind::Report,
]);

/// Judges what has come over the network; what another worker or server has passed on was judged there. What is left
/// for the kernel goes to it, and what is left for tenants goes on as any packet that is routed.
pub fn admit(
    burst: &mut Burst<'_>,
    filter: &mut Filter,
    site: &Site,
    counters: &Counters,
    now: Instant,
) {
    if !burst.is_handed() && burst.has_any(JUDGED) {
        filter.judge(burst, site, (counters, now));
    }
    if burst.has_any(Kinds::of([Kind::Handshake])) {
        handshakes::admit(burst, &mut filter.defence, counters, now);
    }
    if burst.is_handed() {
        return;
    }
    if burst.frames().first().is_some_and(|frame| matches!(frame.note.entry, Entry::Wire(_))) {
        filter.sample(burst, site);
    }
    if !burst.has_any(Kinds::of([Kind::Transit, Kind::Host])) {
        return;
    }
    burst.pass(|frame| match (frame.note.kind, frame.note.entry) {
        (Kind::Transit, _) => {
            frame.note.kind = Kind::Inner;
            frame.note.bare = true;
            frame.set_len(frame.note.ip.len.into())
        }
        (Kind::Host, Entry::Wire(port)) => Err(parse::for_kernel(frame, site, port)),
        _ => Ok(()),
    });
}
