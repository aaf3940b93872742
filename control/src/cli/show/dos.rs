//! The filter as people read it.

use std::io;
use std::time::Duration;

use crate::api::message::{
    Answer, DetectShown, DosRequest, DosShown, HeavyShown, Request, RuleShown, TenantShown,
};
use crate::cli::Failure;
use crate::cli::connection::Connection;
use crate::cli::table::Output;
use crate::dos::journal::Entry;

const RULE: [&str; 10] =
    ["NAME", "KIND", "MODE", "REACH", "PACKETS", "OCTETS", "DROPPED", "EXPIRES", "SAYS", "ORIGIN"];
const HEAVY: [&str; 6] = ["KIND", "PACKETS/S", "OCTETS/S", "DROPPED/S", "TENANT", "WHAT"];
const EVENT: [&str; 7] = ["TIME", "EVENT", "RULE", "BY", "PACKETS/S", "DROPPED/S", "WHY"];
const CHECK: [&str; 3] = ["CHECK", "MODE", "ORIGIN"];
const COUNTER: [&str; 2] = ["COUNTER", "TOTAL"];
const TENANT: [&str; 6] = ["TENANT", "MODE", "SYN", "FLOWS", "PREFIXES", "ORIGIN"];

/// From one look for new events to the next.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

pub(super) fn rule(shown: RuleShown, output: &mut Output) -> io::Result<()> {
    let RuleShown { name, kind, mode, reach, expires, says, packets, octets, dropped, origin } =
        shown;
    let expires = expires.map_or_else(|| "-".to_owned(), super::fleet::time);
    let counts = [packets, octets, dropped].map(|count| count.to_string());
    let row = [name, kind, mode, reach].into_iter().chain(counts).chain([expires, says, origin]);
    output.row(&RULE, row.collect())
}

pub(super) fn heavy(shown: HeavyShown, output: &mut Output) -> io::Result<()> {
    let HeavyShown { kind, what, tenant, packets, octets, dropped, .. } = shown;
    let tenant = tenant.unwrap_or_else(|| "-".to_owned());
    let [packets, octets, dropped] = [packets, octets, dropped].map(|count| count.to_string());
    output.row(&HEAVY, vec![kind, packets, octets, dropped, tenant, what])
}

pub(super) fn event(entry: &Entry, output: &mut Output) -> io::Result<()> {
    let happened = &entry.happened;
    let at = i64::try_from(entry.at_ms).ok();
    let at = at.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    let at = at.map_or_else(|| "-".to_owned(), |at| format!("{at:.3}"));
    let rate = |rate: Option<u64>| rate.map_or_else(|| "-".to_owned(), |rate| rate.to_string());
    let what = happened.what.word().to_owned();
    let row = vec![
        at,
        what,
        happened.rule.clone(),
        happened.by.clone(),
        rate(happened.packets),
        rate(happened.dropped),
        happened.why.clone(),
    ];
    output.row(&EVENT, row)
}

pub(super) fn show(shown: &DosShown, output: &mut Output) -> io::Result<()> {
    for check in &shown.checks {
        let origin = check.origin.clone().unwrap_or_else(|| "default".to_owned());
        output.row(&CHECK, vec![check.name.clone(), check.mode.clone(), origin])?;
    }
    output.end_table()?;
    for tenant in &shown.tenants {
        output.row(&TENANT, tenant_row(tenant))?;
    }
    let kinds: Vec<String> =
        shown.rules.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let (automatic, prefixes) = (shown.automatic, shown.prefixes);
    let kinds = kinds.join(", ");
    output.line(&format!("rules: {kinds}; {automatic} automatic; {prefixes} prefixes on lists"))?;
    match &shown.detect {
        Some(detect) => output.line(&detection(detect))?,
        None => output.line("detection: makes no rules; declare [dos.detect] for that")?,
    }
    match shown.round_at {
        Some(at) => {
            let (ago, heavy) = (super::ago(at), shown.heavy);
            output.line(&format!("last round: {ago}, {heavy} heavy (see `millrace dos top`)"))?;
        }
        None => {
            output.line("last round: none; nothing was heavy since the dataplane was attached")?;
        }
    }
    // Those that are 0 say nothing.
    for (name, total) in shown.counters.iter().filter(|(_, total)| *total > 0) {
        output.row(&COUNTER, vec![name.clone(), total.to_string()])?;
    }
    Ok(())
}

/// What guards a tenant against SYN, and against segments of no flow.
pub(super) fn guards(tenant: &TenantShown) -> [String; 2] {
    let TenantShown { syn_above, out_of_state, .. } = tenant;
    let syn = match tenant.syn.as_str() {
        "off" => "off".to_owned(),
        guard => format!("{guard} above {syn_above}/s"),
    };
    let flows = if tenant.flows { format!("{out_of_state}/s of none") } else { "off".to_owned() };
    [syn, flows]
}

fn tenant_row(tenant: &TenantShown) -> Vec<String> {
    let [syn, flows] = guards(tenant);
    let prefixes = match &tenant.prefixes[..] {
        few if few.len() <= 2 => few.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        all => format!("{} prefixes", all.len()),
    };
    let (name, mode, origin) = (tenant.name.clone(), tenant.mode.clone(), tenant.origin.clone());
    vec![name, mode, syn, flows, prefixes, origin]
}

fn detection(detect: &DetectShown) -> String {
    let rates = [
        ("packets of a source", detect.source_packets),
        ("octets of a source", detect.source_octets),
        ("packets to a destination", detect.destination_packets),
        ("packets that look alike", detect.pattern_packets),
    ];
    let rates: Vec<String> =
        rates.iter().filter_map(|(what, rate)| Some(format!("{}/s {what}", (*rate)?))).collect();
    let DetectShown { mode, hold, origin, .. } = detect;
    format!("detection: {mode} from {} on, for {hold} s ({origin})", rates.join(", "))
}

/// The event log; with `follow` until interrupted.
pub(in crate::cli) fn events(
    connection: &mut Connection,
    output: &mut Output,
    follow: bool,
) -> Result<(), Failure> {
    let mut last = 0;
    loop {
        let request = Request::Dos { command: DosRequest::Events { after: last } };
        connection.ask(&request, |answer| {
            if let Answer::Event(entry) = &answer {
                last = last.max(entry.number);
            }
            super::answer(answer, output)
        })?;
        if !follow {
            return Ok(output.flush()?);
        }
        output.flush_rows()?;
        std::thread::sleep(LOOK_INTERVAL);
    }
}
