//! Routes with several exits, and the data centres behind them, as people read them.

use std::io;

use super::ago;
use crate::api::message::{ArgoShown, CentreShown, ExitShown};
use crate::cli::table::Output;

const EXIT: [&str; 8] = ["EXIT", "COST", "WAY", "HALF", "NINE OF TEN", "DIALS", "FAILED", "WHY"];

const CENTRE: [&str; 9] =
    ["CENTRE", "STATE", "RTT", "LOST", "WAY", "PREFIXES", "DIALS/MIN", "SHARE", "ORIGIN"];

pub(super) fn show(shown: &ArgoShown, output: &mut Output) -> io::Result<()> {
    let ArgoShown { prefix, exit, next_hop, origin, .. } = shown;
    let since = shown.since.map_or_else(|| "from the beginning".to_owned(), |at| ago(at.into()));
    output.line(&format!("{prefix} goes out by {exit} ({since}), of {next_hop} ({origin})"))?;
    let mut notes = vec![format!("{} dials a minute", shown.dials_per_minute)];
    if let Some(until) = shown.held_until {
        notes.push(format!("held until {}", super::fleet::time(until.into())));
    }
    if shown.moves > 1 {
        notes.push(format!("moved {} times of late", shown.moves));
    }
    output.line(&notes.join("; "))?;
    for exit in &shown.exits {
        output.row(&EXIT, row(exit))?;
    }
    Ok(())
}

fn row(exit: &ExitShown) -> Vec<String> {
    let relay = exit.relay.as_ref().map_or_else(String::new, |relay| format!(" through {relay}"));
    let by = exit.judged_by.as_ref();
    let by = by.map_or_else(String::new, |prefix| format!(" (of {prefix})"));
    vec![
        format!("{}{relay}", exit.exit),
        time(exit.cost_us),
        time(exit.way_us),
        time(exit.p50_us),
        time(exit.p90_us),
        format!("{}{by}", exit.dials),
        exit.failures.to_string(),
        exit.why.clone(),
    ]
}

pub(super) fn centre(shown: &CentreShown, output: &mut Output) -> io::Result<()> {
    let here = if shown.is_here && shown.number != 0 { " (here)" } else { "" };
    let way = match &shown.relay {
        Some(relay) => format!("{} through {relay}", time(shown.way_us)),
        None => time(shown.way_us),
    };
    let lost = shown.lost.map_or_else(|| "-".to_owned(), |lost| format!("{lost} %"));
    let (whole, tenth) = (shown.share_per_mille / 10, shown.share_per_mille % 10);
    output.row(
        &CENTRE,
        vec![
            format!("{}{here}", shown.name),
            shown.state.clone(),
            time(shown.rtt_us),
            lost,
            way,
            shown.prefixes.to_string(),
            shown.dials_per_minute.to_string(),
            format!("{whole}.{tenth} %"),
            shown.origin.clone(),
        ],
    )
}

/// A time in milliseconds with a tenth of one.
fn time(us: Option<u64>) -> String {
    let tenths = us.map(|us| (us + 50) / 100);
    tenths.map_or_else(|| "-".to_owned(), |tenths| format!("{}.{} ms", tenths / 10, tenths % 10))
}
