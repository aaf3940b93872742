//! Connections that are terminated, as metrics, by next hop.

use super::text::{Kind, Text};
use crate::terminate::counts::{Count, Reading, Refusal};

/// What [`crate::terminate::watch::Watch::read`] gives.
pub(super) type Readings = Result<Vec<(String, Reading)>, String>;

pub(super) fn write(text: &mut Text, readings: &Readings) {
    text.family(
        "millrace_terminate_up",
        Kind::Gauge,
        "Whether the service for connections that are terminated answers.",
    );
    text.sample(&[], readings.is_ok().into());
    let Ok(readings) = readings else { return };
    text.family("millrace_terminate_open", Kind::Gauge, "Connections that are open.");
    for (next_hop, reading) in readings {
        text.sample(&[("next_hop", next_hop)], reading.open());
    }
    for (name, count, help) in [
        ("millrace_terminate_accepted", Count::Accepted, "Connections that were let in."),
        ("millrace_terminate_opened", Count::Opened, "Connections that the next hop has opened."),
    ] {
        text.family(name, Kind::Counter, help);
        for (next_hop, reading) in readings {
            text.sample(&[("next_hop", next_hop)], reading.of(count));
        }
    }
    let ends = [("closed", Count::Closed), ("reset", Count::Reset), ("idle", Count::Idle)];
    labelled(text, ("ended", "how"), ("Opened connections, by how they ended.", &ends), readings);
    let octets = [("out", Count::OctetsOut), ("in", Count::OctetsIn)];
    let help = "Octets to next hops and from them.";
    labelled(text, ("octets", "way"), (help, &octets), readings);
    let refusals = Refusal::ALL.map(|refusal| (refusal.name(), Count::Refused(refusal)));
    let help = "Connections that were not opened, by why.";
    labelled(text, ("refused", "why"), (help, &refusals), readings);
}

/// A family with one more label.
fn labelled(
    text: &mut Text,
    (name, label): (&str, &str),
    (help, counts): (&str, &[(&str, Count)]),
    readings: &[(String, Reading)],
) {
    text.family(&format!("millrace_terminate_{name}"), Kind::Counter, help);
    for (next_hop, reading) in readings {
        for (value, count) in counts {
            text.sample(&[("next_hop", next_hop), (label, value)], reading.of(*count));
        }
    }
}
