//! Egress to this machine's own kernel, where unmodified servers listen.

use crate::fate::{DropReason, Fate};
use crate::frame::{Entry, Frame};
use crate::site::Site;
use crate::stages::link;

/// Puts the link header of the kernel's interface on an inner packet.
pub fn deliver(frame: &mut Frame<'_>, site: &Site) -> Result<(), Fate> {
    let local = site.local.as_ref().ok_or(Fate::Drop(DropReason::EgressNoLocal))?;
    if matches!(frame.note.entry, Entry::Local | Entry::Handed) && !frame.note.turned {
        return Err(Fate::Drop(DropReason::EgressLoop));
    }
    let ip = frame.note.ip;
    link::to_local(frame, local.kernel, &ip)?;
    Err(Fate::Local)
}
