//! `dpdk-testpmd` in its plainest mode, before and after everything: a figure that nothing of ours is in, and that a calm machine
//! gives twice. Where it moved, the run is void.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use results::{Anchor, Record};

use super::Plan;
use super::roster::{packaged, said};

const PROGRAM: &str = "dpdk-testpmd";
/// Trials of so many seconds each.
const TRIALS: (usize, usize) = (5, 2);
const TRIALS_QUICK: (usize, usize) = (2, 1);
/// Seconds that it may take beside its trials, to start and to stop, before it is killed.
const AROUND: usize = 30;

/// Millions of packets a second that it forwards between two devices that are nothing, trial by trial; or why there are none.
pub(super) fn measured(plan: &Plan) -> Result<Vec<f64>, String> {
    if plan.no_anchor {
        return Err("it was not asked for".to_owned());
    }
    let (count, seconds) = trials(plan);
    let absent = || format!("{PROGRAM} is not installed (package dpdk)");
    said(Command::new("which").arg(PROGRAM)).ok_or_else(absent)?;
    let limit = ((count + 1) * seconds + AROUND).to_string();
    let mut running = Command::new("timeout")
        .args(["--kill-after=5", &limit, PROGRAM])
        .args(arguments(plan)?)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("timeout, of coreutils: {error}"))?;
    let rates = told(&mut running, count);
    // It forwards until it is asked to stop; `timeout` passes the signal on, and what it says then is of no use.
    said(Command::new("kill").args(["-INT", &running.id().to_string()]));
    running.wait().map_err(|error| format!("{PROGRAM}: {error}"))?;
    if rates.len() < count {
        return Err(format!("{PROGRAM} told {} rates of {count}", rates.len()));
    }
    Ok(rates)
}

/// Adds both to the record.
pub(super) fn add(record: &mut Record, plan: &Plan, (before, after): (Vec<f64>, Vec<f64>)) {
    let command = arguments(plan).map(|words| words.join(" ")).unwrap_or_default();
    record.peer(PROGRAM, &format!("{}, `{PROGRAM} {command}`", packaged("dpdk")));
    let name = "testpmd io between two net_null".to_owned();
    record.anchor(Anchor { name, unit: "Mpps".to_owned(), before, after });
}

const fn trials(plan: &Plan) -> (usize, usize) {
    if plan.quick { TRIALS_QUICK } else { TRIALS }
}

fn arguments(plan: &Plan) -> Result<Vec<String>, String> {
    let other = plan.second_core.or_else(|| crate::all::second_core(plan.core));
    let other = other.ok_or("it needs a second core beside the one that forwards")?;
    let (core, (_, seconds), process) = (plan.core, trials(plan), std::process::id());
    let words = format!(
        "--main-lcore {other} -l {core},{other} --no-huge -m 128 --no-pci --no-telemetry --file-prefix anchor{process} \
         --vdev net_null0 --vdev net_null1 -- --forward-mode=io --auto-start --total-num-mbufs=4096 \
         --stats-period {seconds}"
    );
    Ok(words.split_whitespace().map(str::to_owned).collect())
}

/// So many rates, as it tells them every period. The first is of its start, and is not counted.
fn told(running: &mut Child, count: usize) -> Vec<f64> {
    let Some(out) = running.stdout.take() else { return Vec::new() };
    rates(BufReader::new(out).lines().map_while(Result::ok)).skip(1).take(count).collect()
}

/// Millions of packets a second that the first device received, period by period.
fn rates(lines: impl Iterator<Item = String>) -> impl Iterator<Item = f64> {
    let mut is_first = false;
    lines.filter_map(move |line| {
        if line.contains("NIC statistics for port") {
            is_first = line.contains("port 0");
        }
        let rate = line.trim().strip_prefix("Rx-pps:").filter(|_| is_first)?;
        rate.split_whitespace().next()?.parse::<f64>().ok().map(|rate| rate / 1e6)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_testpmd_tells_of_its_first_port() {
        let text = "  ### NIC statistics for port 0  ###\n  Rx-pps:      5294278          Rx-bps: 0\n  Tx-pps: 1\n\
                    ### NIC statistics for port 1  ###\n  Rx-pps:  7  Rx-bps: 0\n\
                    ### NIC statistics for port 0  ###\n  Rx-pps:      6000000  Rx-bps: 0\n";
        let found: Vec<f64> = rates(text.lines().map(str::to_owned)).collect();
        assert_eq!(found, [5.294_278, 6.0]);
        assert_eq!(rates(std::iter::once("EAL: no".to_owned())).count(), 0);
    }
}
