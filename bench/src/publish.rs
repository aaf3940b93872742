//! What becomes of records that are kept in files: a page, the tables of a document, and a comparison of two runs.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use results::compare::{Change, Comparison, LEAST, compare};
use results::{Record, aims, markdown, page};

use crate::Failure;

/// Which records to show, and where.
#[derive(Args, Debug)]
pub(crate) struct Report {
    /// Files that `--json` has written, or folders of them.
    #[arg(required = true, value_name = "FILE|FOLDER")]
    records: Vec<PathBuf>,
    /// Where the page goes; without it there is none.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A document whose tables between `<!-- measured: NAME -->` and `<!-- end -->` are written anew.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Records from before a change, which the page holds these against.
    #[arg(long, value_name = "FILE|FOLDER")]
    before: Vec<PathBuf>,
    /// What the page is called.
    #[arg(long, default_value = "millrace: what it costs")]
    title: String,
}

/// Two runs, or two sets of runs.
#[derive(Args, Debug)]
pub(crate) struct Compare {
    /// A file that `--json` has written, or a folder of them.
    before: PathBuf,
    /// The same after a change.
    after: PathBuf,
    /// Percent that a figure must change by to count.
    #[arg(long, default_value_t = LEAST * 100.0)]
    least: f64,
}

impl Report {
    /// Writes what is asked for.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let records = read_all(&self.records)?;
        if let Some(path) = &self.output {
            let before = read_all(&self.before)?;
            let comparison = (!before.is_empty()).then(|| compare(&before, &records, LEAST));
            write_page(path, &self.title, &records, comparison.transpose()?.as_ref())?;
        }
        if let Some(path) = &self.markdown {
            let text = read(path)?;
            let text = markdown::rewritten(&text, &records)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            write(path, &text)?;
        }
        if self.output.is_none() && self.markdown.is_none() {
            writeln!(std::io::stdout(), "{}\n\n{}", aims::tally(&records), aims::table(&records))?;
        }
        Ok(())
    }
}

impl Compare {
    /// Prints what changed. Something that got worse is a failure.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let [before, after] =
            [&self.before, &self.after].map(|path| read_all(std::slice::from_ref(path)));
        let comparison = compare(&before?, &after?, self.least / 100.0)?;
        write!(std::io::stdout(), "{comparison}")?;
        match comparison.count(Change::Worse) {
            0 => Ok(()),
            1 => Err("1 figure is worse".into()),
            worse => Err(format!("{worse} figures are worse").into()),
        }
    }
}

/// Writes a page of these records.
pub(crate) fn write_page(
    path: &Path,
    title: &str,
    records: &[Record],
    comparison: Option<&Comparison>,
) -> Result<(), Failure> {
    write(path, &page::page(title, records, comparison))
}

/// All records of these files and folders; those of a folder in the order of their names.
fn read_all(paths: &[PathBuf]) -> Result<Vec<Record>, Failure> {
    let mut records = Vec::new();
    for path in paths {
        if path.is_dir() {
            records.extend(read_all(&files(path)?)?);
        } else {
            let record = Record::from_json(&read(path)?);
            records.push(record.map_err(|error| format!("{}: {error}", path.display()))?);
        }
    }
    Ok(records)
}

/// The records of a folder, without what lies in folders of it.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let paths =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    let is_record =
        |path: &PathBuf| path.is_file() && path.extension().is_some_and(|end| end == "json");
    let mut paths: Vec<PathBuf> = paths.into_iter().filter(is_record).collect();
    paths.sort();
    if paths.is_empty() {
        return Err(format!("{}: there is no record in it", folder.display()).into());
    }
    Ok(paths)
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()).into())
}
