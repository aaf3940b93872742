//! Watches a directory: says when a file in it has come, gone or was written to its end, also when the directory itself
//! goes and comes again.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use inotify::{EventMask, Inotify, WatchMask};

use super::Wake;

/// From one look for a directory that is not there to the next.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Octets of events that are read at once.
const BUFFER_LEN: usize = 16 << 10;

/// Watches in a thread of its own until nobody listens.
pub(super) fn begin(directory: PathBuf, wakes: SyncSender<Wake>) {
    std::thread::spawn(move || while watch(&directory, &wakes).is_some() {});
}

/// One life of the directory; none when nobody listens any more.
fn watch(directory: &Path, wakes: &SyncSender<Wake>) -> Option<()> {
    let watched = attach(directory);
    // It may have changed before it was watched.
    wakes.send(Wake::Changed).ok()?;
    let Ok(mut inotify) = watched else {
        // Reading it says what is wrong.
        std::thread::sleep(LOOK_INTERVAL);
        return Some(());
    };
    let mut buffer = [0; BUFFER_LEN];
    loop {
        let Ok(events) = inotify.read_events_blocking(&mut buffer) else { return Some(()) };
        for event in events {
            let gone = EventMask::IGNORED | EventMask::DELETE_SELF | EventMask::MOVE_SELF;
            if event.mask.intersects(gone | EventMask::UNMOUNT) {
                return Some(());
            }
            if let Some(wake) = wake(event.mask, event.name) {
                wakes.send(wake).ok()?;
            }
        }
    }
}

fn attach(directory: &Path) -> io::Result<Inotify> {
    let inotify = Inotify::init()?;
    let files = WatchMask::MODIFY | WatchMask::CLOSE_WRITE | WatchMask::DELETE;
    let names = WatchMask::MOVED_TO | WatchMask::MOVED_FROM;
    let itself = WatchMask::DELETE_SELF | WatchMask::MOVE_SELF | WatchMask::ONLYDIR;
    inotify.watches().add(directory, files | names | itself)?;
    Ok(inotify)
}

/// What an event means; nothing when it is about a file that is not read.
fn wake(mask: EventMask, name: Option<&OsStr>) -> Option<Wake> {
    let Some(name) = name.map(OsStr::to_owned) else { return Some(Wake::Changed) };
    if is_hidden(&name) {
        return None;
    }
    if mask.contains(EventMask::MODIFY) {
        return Some(Wake::Opened(name));
    }
    if mask.intersects(EventMask::CLOSE_WRITE | EventMask::DELETE | EventMask::MOVED_FROM) {
        return Some(Wake::Closed(name));
    }
    Some(Wake::Changed)
}

/// What editors and half-finished copies are called.
fn is_hidden(name: &OsString) -> bool {
    let octets = name.as_bytes();
    octets.starts_with(b".") || octets.ends_with(b"~")
}
