//! Stages 3 and 8, wireguard: open sealed packets of clients, seal packets to them, a whole burst at once.

mod opening;
mod sealing;
pub mod sessions;

use crate::fate::{DropReason, Fate};

pub(super) use opening::mark_congestion;
pub use opening::open;
pub use sealing::seal;

const fn drop(reason: DropReason) -> Fate {
    Fate::Drop(reason)
}

#[cfg(test)]
mod tests;
