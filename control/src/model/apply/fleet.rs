//! The rules of the fleet: what it must be by itself, and what may follow what was in force.

use std::sync::Arc;

use super::Applying;
use crate::model::{Cause, Fleet, Origin, Refused};

impl Applying<'_> {
    pub(super) fn put_fleet(&mut self, wanted: &Arc<Fleet>) -> Result<(), Refused> {
        let origin = self.origin(wanted.origin);
        let mut fleet = Fleet { origin, ..Fleet::clone(wanted) };
        // A source has said where, when it was read.
        fleet.check().map_err(|(_, what)| self.refused(Cause::Invalid, origin, what))?;
        if let Some(old) = self.book.fleet.clone() {
            self.may_change(old.origin, || "the fleet".to_owned())?;
            fleet.check_after(&old).map_err(|refused| self.placed(refused, origin))?;
            fleet.remember(&old);
            if fleet == *old {
                return Ok(());
            }
            self.book.messages -= old.messages();
        }
        self.book.messages += fleet.messages();
        self.book.fleet = Some(Arc::new(fleet));
        self.touched.the_fleet();
        Ok(())
    }

    pub(super) fn remove_fleet(&mut self) -> Result<(), Refused> {
        let Some(old) = self.book.fleet.clone() else {
            let what = "there is no fleet; declare one in a file of the directory";
            return Err(Refused::new(Cause::Unknown, what));
        };
        self.may_change(old.origin, || "the fleet".to_owned())?;
        self.book.messages -= old.messages();
        self.book.fleet = None;
        self.touched.the_fleet();
        Ok(())
    }

    fn placed(&self, refused: Refused, origin: Origin) -> Refused {
        if origin.is_declared() { refused.at(self.book.place(origin)) } else { refused }
    }
}
