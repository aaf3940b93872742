//! The others beside us, all of one run: libraries and DPDK's tables in one process with ours, WireGuard in Go and proxies on the
//! kernel's stack in the same namespaces, and what can only be quoted. One that is missing is a hole and no error.

mod anchor;
mod elsewhere;
mod merged;
pub(crate) mod roster;
mod script;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use dpdk::clock::Clock;
use results::{Conditions, Record};
use serde::Serialize;

use crate::folder::Folder;
use crate::machine::{Machine, Weather};
use crate::{Failure, all};

/// What to hold us against.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Only these contests.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Records of the same run: what is there is not measured again.
    #[arg(long, value_name = "FOLDER")]
    records: Option<PathBuf>,
    /// The core to measure on.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Another core, for the anchor's forwarding; without it the least other one.
    #[arg(long)]
    second_core: Option<usize>,
    /// Without the anchor before and after.
    #[arg(long)]
    no_anchor: bool,
    /// A minute or two for all, to see that it works; the figures mean little.
    #[arg(long)]
    quick: bool,
}

/// What others take part in: a measurement of this program, or a script beside it that prints a table.
struct Contest {
    name: &'static str,
    source: Source,
    arguments: &'static [&'static str],
    quick: &'static [&'static str],
    seconds: u64,
}

enum Source {
    Measure,
    Script(&'static script::Layout),
}

const CONTESTS: [Contest; 8] = [
    Contest {
        name: "service",
        source: Source::Measure,
        arguments: &["--sizes", "64,512,1420", "--bursts", "32,64", "--blocks", "100"],
        quick: &["--sizes", "64", "--bursts", "64"],
        seconds: 120,
    },
    Contest {
        name: "aead",
        source: Source::Measure,
        arguments: &["--sizes", "64,512,1420", "--batches", "64", "--blocks", "100"],
        quick: &["--sizes", "64", "--batches", "64"],
        seconds: 60,
    },
    Contest {
        name: "rules",
        source: Source::Measure,
        arguments: &[
            "--bursts",
            "64",
            "--rules",
            "10,1000",
            "--tenants",
            "10",
            "--blocks",
            "20",
            "--builds",
            "1",
            "--patience",
            "3",
        ],
        quick: &["--bursts", "64"],
        seconds: 90,
    },
    Contest { name: "fib", source: Source::Measure, arguments: &[], quick: &[], seconds: 60 },
    Contest {
        name: "transit",
        source: Source::Measure,
        arguments: &["--blocks", "60"],
        quick: &[],
        seconds: 90,
    },
    Contest {
        name: "nat",
        source: Source::Measure,
        arguments: &["--flows", "10000", "--blocks", "60"],
        quick: &[],
        seconds: 90,
    },
    Contest {
        name: "tunnel",
        source: Source::Script(&script::TUNNEL),
        arguments: &[],
        quick: &["--quick"],
        seconds: 90,
    },
    Contest {
        name: "chain",
        source: Source::Script(&script::CHAIN),
        arguments: &["--requests", "1000"],
        quick: &["--quick"],
        seconds: 180,
    },
];

impl Plan {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    fn checked(&self) -> Result<(), Failure> {
        let known = |name: &&String| CONTESTS.iter().any(|contest| contest.name == **name);
        match self.only.iter().find(|name| !known(name)) {
            Some(unknown) => Err(format!("--only: there is no contest {unknown}").into()),
            None => Ok(()),
        }
    }
}

/// Measures everything that the plan names.
pub(crate) fn run(plan: &Plan) -> Result<Record, Failure> {
    plan.checked()?;
    let folder = Folder::new("peers")?;
    let clock = Clock::calibrate();
    let before = Weather::observe();
    let first = anchor::measured(plan);
    let outcomes: Vec<(&Contest, Result<Record, String>)> = CONTESTS
        .iter()
        .filter(|contest| plan.wants(contest.name))
        .map(|contest| Ok((contest, contest.record(plan, &folder.0)?)))
        .collect::<Result<_, Failure>>()?;
    let last = anchor::measured(plan);
    let machine = Machine::observe(&clock, roster::packaged("dpdk"), false, plan.core);
    let conditions = Conditions::new(machine, (before, Weather::observe()));
    let mut record = Record::new("peers", "Beside others", plan, conditions);
    match (first, last) {
        (Ok(first), Ok(last)) => anchor::add(&mut record, plan, (first, last)),
        (Ok(_), Err(why)) => record.make_void(&format!("no anchor after it: {why}")),
        (Err(why), _) => record.leave_out("dpdk-testpmd", &why),
    }
    add(&mut record, plan, outcomes);
    Ok(record)
}

/// Puts what came out of the contests into the record, and says what did not.
fn add(record: &mut Record, plan: &Plan, outcomes: Vec<(&Contest, Result<Record, String>)>) {
    let mut records = Vec::new();
    for (contest, outcome) in outcomes {
        match outcome {
            Ok(found) if found.void.is_none() => records.push(found),
            Ok(found) => record.leave_out(contest.name, &found.void.unwrap_or_default()),
            Err(why) => record.leave_out(contest.name, &why),
        }
    }
    for contest in CONTESTS.iter().filter(|contest| !plan.wants(contest.name)) {
        record.leave_out(contest.name, "it was not asked for");
    }
    roster::name_all(record, &records);
    merged::overview(record, &records);
    elsewhere::add(record, &records);
    for found in &records {
        merged::add(record, found);
    }
}

impl Contest {
    /// What came out of it, or in a sentence why nothing did.
    fn record(&self, plan: &Plan, folder: &Path) -> Result<Result<Record, String>, Failure> {
        if let Some(kept) = plan.records.as_ref().map(|kept| kept.join(self.file()))
            && kept.exists()
        {
            let text = fs::read_to_string(&kept)
                .map_err(|error| format!("{}: {error}", kept.display()))?;
            return Ok(Record::from_json(&text).map_err(|error| error.to_string()));
        }
        let own = if plan.quick { self.quick } else { self.arguments };
        let own = own.iter().map(|&argument| argument.to_owned());
        let limit = Duration::from_secs(self.seconds);
        match &self.source {
            Source::Script(layout) => {
                Ok(layout.record(self.name, &own.collect::<Vec<_>>(), (plan.core, limit)))
            }
            Source::Measure => {
                let mut arguments =
                    vec![self.name.to_owned(), "--core".to_owned(), plan.core.to_string()];
                arguments.extend(own);
                if plan.quick {
                    arguments.push("--quick".to_owned());
                }
                let json = folder.join(self.file());
                all::child(&arguments, (&json, &json.with_extension("md")), limit)
            }
        }
    }

    fn file(&self) -> String {
        format!("{}.json", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use clap::Parser as _;

    #[test]
    fn every_contest_can_be_asked_for() {
        for contest in &CONTESTS {
            let arguments = [contest.arguments, contest.quick];
            match contest.source {
                Source::Script(_) => assert!(script::path(contest.name).exists()),
                Source::Measure => {
                    for own in arguments {
                        let words = ["millrace-bench", contest.name, "--core", "0"];
                        let parsed = Options::try_parse_from(words.iter().chain(own));
                        assert!(parsed.is_ok(), "{}: {parsed:?}", contest.name);
                    }
                }
            }
        }
    }
}
