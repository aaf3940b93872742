//! A folder for a while.

use std::fs;
use std::path::PathBuf;

use crate::Failure;

/// A folder of this process's own, which goes with its end and takes with it what is in it.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    /// Makes it, for what bears this name.
    pub(crate) fn new(name: &str) -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("millrace-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays in the system's folder for what may go harms nobody.
        fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_with_what_is_in_it() {
        let folder = Folder::new("folder").unwrap();
        let path = folder.0.clone();
        fs::write(path.join("x"), "x").unwrap();
        drop(folder);
        assert!(!path.exists());
    }
}
