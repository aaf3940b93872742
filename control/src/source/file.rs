//! The source that is a directory: every `*.toml` in it, in the order of their names, and the bulk tables that these
//! name.

mod centre;
mod dos;
mod fleet;
mod section;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;

use ipnet::IpNet;

use super::{Source, Wake, watch};
use crate::model::{Cause, Declaration, Fleet, Refused, RouteTo};
use section::Reading;

/// Octets of one file; a larger one is a mistake.
const FILE_LEN_MAX: u64 = 2 << 30;

/// The directory.
#[derive(Clone, Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// This directory, which need not be there yet.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Its files that are read, in order.
    fn files(&self) -> Result<Vec<PathBuf>, Refused> {
        let fail = |error: std::io::Error| {
            let what = format!("cannot be read ({error}); make the directory, or set `directory`");
            Refused::new(Cause::Invalid, what).at(self.0.display().to_string())
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let hidden =
                path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }
}

impl Directory {
    /// The file with the fleet, and the fleet as it stands there.
    pub(crate) fn fleet(&self) -> Result<Option<(PathBuf, Fleet)>, Refused> {
        let mut reading = Reading::default();
        for path in self.files()? {
            reading.file(&path)?;
        }
        Ok(reading.fleet_file())
    }

    /// What it would declare if one of its files had another text.
    pub(crate) fn read_with(&self, file: &Path, text: &str) -> Result<Declaration, Refused> {
        let mut reading = Reading::default();
        for path in self.files()? {
            if path == file { reading.text(&path, text)? } else { reading.file(&path)? }
        }
        reading.finish()
    }
}

impl Source for Directory {
    fn read(&mut self) -> Result<Declaration, Refused> {
        let mut reading = Reading::default();
        for path in self.files()? {
            reading.file(&path)?;
        }
        reading.finish()
    }

    fn watch(&self, wakes: SyncSender<Wake>) {
        watch::begin(self.0.clone(), wakes);
    }
}

/// The routes of a bulk table, as they are said at run time.
pub(crate) fn routes_of(path: &Path) -> Result<Vec<RouteTo>, Refused> {
    let mut routes = Vec::new();
    table::read(&text_of(path)?, path, 0, &mut routes)?;
    Ok(routes)
}

/// The prefixes of a list, as they are said at run time.
pub(crate) fn prefixes_of(path: &Path) -> Result<Vec<IpNet>, Refused> {
    let mut prefixes = Vec::new();
    dos::read_list(&text_of(path)?, path, &mut prefixes)?;
    Ok(prefixes)
}

/// The text of a file.
fn text_of(path: &Path) -> Result<String, Refused> {
    let fail = |what: String| Refused::new(Cause::Invalid, what).at(path.display().to_string());
    let unreadable =
        |error: std::io::Error| fail(format!("cannot be read ({error}); see whether control may"));
    let found = fs::metadata(path).map_err(unreadable)?;
    // A pipe or device may never end, or never begin.
    if !found.is_file() {
        return Err(fail("is no file; put a file there".to_owned()));
    }
    let len = found.len();
    if len > FILE_LEN_MAX {
        return Err(fail(format!("has {len} octets, and {FILE_LEN_MAX} are read; split it")));
    }
    let octets = fs::read(path).map_err(unreadable)?;
    String::from_utf8(octets).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = 1 + good.split(|octet| *octet == b'\n').count() - 1;
        let place = format!("{}:{line}", path.display());
        Refused::new(Cause::Invalid, "is not UTF-8; write it as such").at(place)
    })
}

#[cfg(test)]
mod tests;
