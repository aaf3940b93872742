//! Makes one directory the content of another, file by file, each whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::model::{Cause, Refused};

/// Copies the files of `from` into `to`, and removes those `*.toml` there that `from` does not have.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Refused> {
    let fail = |error: io::Error| {
        let what = format!("cannot be copied to {} ({error}); see to both", to.display());
        Refused::new(Cause::Disk, what).at(from.display().to_string())
    };
    fs::create_dir_all(to).map_err(fail)?;
    let files = files_of(from).map_err(fail)?;
    let names: Vec<&OsStr> = files.iter().filter_map(|path| path.file_name()).collect();
    for name in &names {
        write(&from.join(name), &to.join(draft(name))).map_err(fail)?;
    }
    // All at one moment, nearly: whoever follows the directory waits for such a moment to pass.
    for name in &names {
        fs::rename(to.join(draft(name)), to.join(name)).map_err(fail)?;
    }
    for path in files_of(to).map_err(fail)? {
        let kept = files.iter().any(|file| file.file_name() == path.file_name());
        if !kept && path.extension().is_some_and(|extension| extension == "toml") {
            fs::remove_file(path).map_err(fail)?;
        }
    }
    Ok(())
}

fn files_of(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

/// What a file is called until all of it is on disk.
fn draft(name: &OsStr) -> OsString {
    let mut draft = OsString::from(".new-");
    draft.push(name);
    draft
}

fn write(from: &Path, draft: &Path) -> io::Result<()> {
    let mut file = File::create(draft)?;
    // Before anything is in it: keys may be.
    file.set_permissions(fs::metadata(from)?.permissions())?;
    file.write_all(&fs::read(from)?)?;
    file.sync_all()
}
