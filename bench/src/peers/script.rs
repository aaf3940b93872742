//! Contests in namespaces: a script prints a row for each kind and round, and what comes of the rows is a record.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use dpdk::clock::Clock;
use results::{Better, Cell, Column, Conditions, Figure, Record, Section, Table};

use super::roster;
use crate::machine::{Machine, Weather};
use crate::programs;

/// What a script's columns are, from the second on.
pub(super) struct Layout {
    title: &'static str,
    kind: &'static str,
    note: &'static str,
    programs: &'static [(&'static str, &'static str)],
    columns: &'static [(&'static str, &'static str, Better)],
}

/// `bench/tunnel`.
pub(super) const TUNNEL: Layout = Layout {
    title: "A tunnel end to end",
    kind: "server",
    note: "A stock client's TCP connection through the tunnel, medians of all rounds. The client and its iperf3 share the cores with the server: the rate is the machine's, and the CPU time of the server's process is the server's.",
    programs: &[("wireguard-go", "--version"), ("iperf3", "--version"), ("wg", "--version")],
    columns: &[
        ("from the client", "Mbit/s", Better::Higher),
        ("CPU from it", "s/GB", Better::Lower),
        ("to the client", "Mbit/s", Better::Higher),
        ("CPU to it", "s/GB", Better::Lower),
    ],
};

/// `bench/chain`.
pub(super) const CHAIN: Layout = Layout {
    title: "A chain of two proxies",
    kind: "chain",
    note: "The way through two data centres, medians of all rounds; CPU time is that of both proxies' processes.",
    programs: &[("nginx", "-v"), ("squid", "-v"), ("curl", "--version"), ("ethtool", "--version")],
    columns: &[
        ("requests", "1/s", Better::Higher),
        ("CPU a request", "us", Better::Lower),
        ("a download", "Mbit/s", Better::Higher),
        ("CPU a MiB", "us", Better::Lower),
        ("CPU of an idle second", "ms", Better::Lower),
    ],
};

/// Whose rows are ours.
const OURS: &str = "millrace";
/// Seconds that a script has to take down what it has built, before it is killed.
const CLEAN_UP: u64 = 60;

/// The kind of each row, and its figures.
type Rows = Vec<(String, Vec<f64>)>;

/// Where a script of the bench lies.
pub(super) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

impl Layout {
    /// Runs the script; its record, or in a sentence why there is none.
    pub(super) fn record(
        &self,
        name: &str,
        arguments: &[String],
        (core, limit): (usize, Duration),
    ) -> Result<Record, String> {
        for (program, ask) in self.programs {
            roster::said(Command::new(program).arg(ask))
                .ok_or_else(|| format!("{program} is not installed"))?;
        }
        let clock = Clock::calibrate();
        let before = Weather::observe();
        let text = run(&path(name), arguments, limit)?;
        let machine = Machine::observe(&clock, roster::packaged("dpdk"), false, core);
        let conditions = Conditions::new(machine, (before, Weather::observe()));
        let mut record = Record::new(name, self.title, &arguments, conditions);
        record.argv = ["bash".to_owned(), format!("bench/{name}")]
            .into_iter()
            .chain(arguments.iter().cloned())
            .collect();
        let rows = self
            .rows(&text)
            .ok_or_else(|| format!("bench/{name} printed no table of {}", self.kind))?;
        record.section(Section::default().note(self.note).table(self.table(&rows)));
        Ok(record)
    }

    /// The rows below the head of its table; none where one of them is not as it should be.
    fn rows(&self, text: &str) -> Option<Rows> {
        let lines = text.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
        let rows: Option<Rows> = lines
            .filter(|line| line.starts_with('|'))
            .map(|line| {
                let mut cells = line.trim_matches('|').split('|').map(str::trim);
                let kind = cells.next()?.to_owned();
                let figures = cells.map(|cell| cell.parse().ok()).collect::<Option<Vec<f64>>>()?;
                (figures.len() == self.columns.len()).then_some((kind, figures))
            })
            .collect();
        rows.filter(|rows| !rows.is_empty())
    }

    /// A row for each kind; ours beside the best other.
    fn table(&self, rows: &Rows) -> Table {
        let mut columns = vec![Column::label(self.kind)];
        columns.extend(
            self.columns
                .iter()
                .map(|(name, unit, _)| Column::of(&format!("{name}, {unit}"), unit, 2)),
        );
        let mut table = Table::new("", columns);
        let mut kinds: Vec<&str> = Vec::new();
        for (kind, _) in rows {
            if !kinds.contains(&kind.as_str()) {
                kinds.push(kind);
            }
        }
        for kind in &kinds {
            let mut row = vec![Cell::from(*kind)];
            row.extend(
                (0..self.columns.len()).map(|place| self.figure(rows, (kind, &kinds), place)),
            );
            table.row(row);
        }
        table
    }

    fn figure(&self, rows: &Rows, (kind, kinds): (&str, &[&str]), place: usize) -> Cell {
        let figure = Figure::median(&trials(rows, kind, place));
        let Some((_, _, better)) = self.columns.get(place).filter(|_| kind == OURS) else {
            return figure.into();
        };
        let others = kinds.iter().filter(|other| **other != OURS);
        let others = others.map(|other| (*other, trials(rows, other, place)));
        let figure = match better {
            Better::Lower => figure.lower(),
            Better::Higher => figure.higher(),
        };
        let best = others.reduce(|one, other| {
            let [first, second] = [&one, &other].map(|(_, trials)| Figure::median(trials).value);
            let is_better = match better {
                Better::Lower => second < first,
                Better::Higher => second > first,
            };
            if is_better { other } else { one }
        });
        match best {
            Some((name, theirs)) => figure.beside(name, &theirs).into(),
            None => figure.into(),
        }
    }
}

fn trials(rows: &Rows, kind: &str, place: usize) -> Vec<f64> {
    let of_kind = rows.iter().filter(|(other, _)| other == kind);
    of_kind.filter_map(|(_, figures)| figures.get(place).copied()).collect()
}

/// Where the daemons are: beside this program, unless the environment names a folder.
fn daemons() -> Result<PathBuf, String> {
    let own = || programs::folder().ok();
    let named = std::env::var_os("MILLRACE_PROGRAMS").map(PathBuf::from);
    let folder = named.or_else(own).unwrap_or_default();
    match programs::DAEMONS.iter().find(|daemon| !folder.join(daemon).exists()) {
        Some(daemon) => Err(format!("{} has no {daemon}: {}", folder.display(), programs::BUILD)),
        None => Ok(folder),
    }
}

/// What the script prints.
fn run(script: &Path, arguments: &[String], limit: Duration) -> Result<String, String> {
    let seconds = limit.as_secs();
    let mut command = Command::new("timeout");
    command
        .args([&format!("--kill-after={CLEAN_UP}"), &seconds.to_string()])
        .arg(script)
        .args(arguments)
        .stdin(Stdio::null());
    command.env("MILLRACE_PROGRAMS", daemons()?);
    let output = command.output().map_err(|error| format!("timeout, of coreutils: {error}"))?;
    if output.status.code() == Some(crate::all::TIMED_OUT) {
        return Err(format!("it took longer than {seconds} s and was stopped"));
    }
    if !output.status.success() {
        return Err(crate::all::last_words(&output.stderr, &output.status.to_string()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "| server | a |\n|---|---|\n| millrace | 100 | 2.0 | 50 | 4 |\n\
                        | wireguard-go | 200 | 1.0 | 40 | 8 |\n| millrace | 120 | 2.0 | 50 | 4 |\n";

    #[test]
    fn rows_of_all_rounds_become_one_of_each_kind_beside_the_best_other() {
        let table = TUNNEL.table(&TUNNEL.rows(SAID).unwrap());
        assert_eq!(table.rows.len(), 2);
        let ours: Vec<_> =
            table.figures().filter_map(|(_, _, figure)| figure.peer.clone()).collect();
        assert_eq!(ours.len(), 4);
        let ratios: Vec<f64> = ours.iter().map(|peer| peer.ratio).collect();
        assert!((ratios[1] - 0.5).abs() < 1e-9 && (ratios[3] - 2.0).abs() < 1e-9, "{ratios:?}");
    }

    #[test]
    fn what_is_wanted_of_the_chain_stands_in_the_overview() {
        let said = "|---|\n| millrace | 1 | 2 | 3 | 4 | 5 |\n| nginx stream | 2 | 3 | 4 | 5 | 6 |\n\
                    | squid | 1 | 9 | 6 | 2 | 6 |\n";
        let mut chain = Record::new("chain", CHAIN.title, &(), Conditions::default());
        let table = CHAIN.table(&CHAIN.rows(said).unwrap());
        let best = table.figures().filter_map(|(_, _, figure)| figure.peer.as_ref());
        let best: Vec<&str> = best.map(|peer| peer.name.as_str()).collect();
        assert_eq!(best[..4], ["nginx stream", "nginx stream", "squid", "squid"]);
        chain.section(Section::default().table(table));
        let mut record = Record::new("peers", "", &(), Conditions::default());
        super::super::merged::overview(&mut record, &[chain]);
        results::aims::judge(&mut record).unwrap();
        let judged =
            record.figures().iter().filter(|(_, _, figure)| figure.target.is_some()).count();
        assert_eq!(judged, 2, "{record}");
    }

    #[test]
    fn a_table_that_lacks_a_figure_is_refused() {
        assert!(TUNNEL.rows("|---|\n| millrace | 1 | 2 | 3 |\n").is_none());
        assert!(TUNNEL.rows("|---|\n| millrace | 1 | 2 | 3 | many |\n").is_none());
        assert!(TUNNEL.rows("nothing\n").is_none());
    }
}
