//! Changes the fleet's file in place: under a lock beside it, judged and in force before the file is replaced, and
//! replaced whole.

mod edit;

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Directory;
use crate::desk::Applied;
use crate::model::{Cause, Declaration, Refused};
pub use edit::Edit;

/// How long another one may change the file before this change is given up.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// From one look at the lock to the next.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Makes a change in the fleet's file of a directory. `declare` puts the fleet that the directory then declares in force,
/// and it alone: other files may be half written, which is for `reread` to wait for. Only after it the file is replaced,
/// so that a change that is refused leaves it as it was; then `reread` has the source read it, before anybody else
/// changes it. When nothing has to change, what is there is read again, so that whoever asks hears whether it is in force.
pub(crate) fn change(
    directory: &Directory,
    server: u8,
    edit: Edit,
    declare: impl FnOnce(Declaration) -> Result<Applied, Refused>,
    reread: impl FnOnce() -> Result<Applied, Refused>,
) -> Result<Applied, Refused> {
    let missing = || {
        let what = "no file declares a [fleet]; write one, as the README shows";
        Refused::new(Cause::Unknown, what).at(directory.path().display().to_string())
    };
    let (path, _) = directory.fleet()?.ok_or_else(missing)?;
    // What a link leads to is changed, and not the link.
    let file = fs::canonicalize(&path).map_err(|error| unwritten(&path, &error))?;
    let _lock = lock(&file)?;
    // As it is now that nobody else changes it.
    let (again, fleet) = directory.fleet()?.ok_or_else(missing)?;
    if again != path {
        let what = "the fleet has moved to another file meanwhile; try again";
        return Err(Refused::new(Cause::Conflict, what).at(path.display().to_string()));
    }
    let text = fs::read_to_string(&file).map_err(|error| unwritten(&path, &error))?;
    let place = |refused: Refused| refused.at(path.display().to_string());
    let Some(text) = edit::edit(&text, &fleet, server, edit).map_err(place)? else {
        return reread();
    };
    let declaration = directory.read_with(&path, &text)?;
    let draft = beside(&file, ".changed-", "");
    let written = write(&file, &draft, &text).map_err(|error| unwritten(&path, &error));
    let applied = written.and_then(|()| declare(declaration));
    if applied.is_err() {
        // There may be none.
        drop(fs::remove_file(&draft));
    }
    let applied = applied?;
    fs::rename(&draft, &file).map_err(|error| {
        drop(fs::remove_file(&draft));
        let what = format!("is in force but could not be written ({error}); make the change there");
        Refused::new(Cause::Disk, what).at(path.display().to_string())
    })?;
    reread().map_err(|Refused { cause, place, what }| {
        let what = format!("the fleet is changed; of all other changes: {what}");
        Refused { cause, place, what }
    })?;
    Ok(applied)
}

/// The lock of a file, which falls with what is given back. It stands beside the file, which itself is replaced.
fn lock(file: &Path) -> Result<File, Refused> {
    let path = beside(file, ".", ".lock");
    let fail = |error: &dyn std::fmt::Display| {
        let what = format!("cannot be locked ({error}); see whether control may write there");
        Refused::new(Cause::Disk, what).at(path.display().to_string())
    };
    let lock = File::options().create(true).append(true).open(&path);
    let lock = lock.map_err(|error| fail(&error))?;
    let end = Instant::now() + LOCK_PATIENCE;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if Instant::now() < end => {
                std::thread::sleep(LOOK_INTERVAL);
            }
            Err(TryLockError::WouldBlock) => return Err(fail(&"somebody else holds it")),
            Err(TryLockError::Error(error)) => return Err(fail(&error)),
        }
    }
}

/// A hidden file, which no source reads.
fn beside(file: &Path, before: &str, behind: &str) -> PathBuf {
    let name = file.file_name().unwrap_or_default().display();
    file.with_file_name(format!("{before}{name}{behind}"))
}

fn write(file: &Path, draft: &Path, text: &str) -> io::Result<()> {
    let mut new = File::create(draft)?;
    // Before anything is in it: a file with a fleet may have peers, too.
    new.set_permissions(fs::metadata(file)?.permissions())?;
    new.write_all(text.as_bytes())?;
    new.sync_all()
}

fn unwritten(path: &Path, error: &io::Error) -> Refused {
    let what = format!("cannot be changed ({error}); see whether control may write there");
    Refused::new(Cause::Disk, what).at(path.display().to_string())
}
