//! The directory that all controls of a site read. The namespaces have memory of their own, so it lies beside the programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that goes with this value.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("fleet-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Puts a file in place, in one step.
    pub(crate) fn put(&self, name: &str, text: &str) {
        let draft = self.0.join(format!(".{name}.next"));
        fs::write(&draft, text).unwrap();
        fs::rename(draft, self.0.join(name)).unwrap();
    }

    /// What a file says, if it is there.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.0.join(name)).ok()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // It fails only where it is gone already.
        drop(fs::remove_dir_all(&self.0));
    }
}
