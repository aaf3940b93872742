//! What the keeper tells a worker of its peers, and asks.

use wireguard::limits::REJECT_AFTER_TIME;
use wireguard::time::Instant;

use super::{Peer, Sessions, Setup};
use crate::exchange::Survey;
use crate::limits::SURVEY_STEP;
use crate::site::global_number;

impl Sessions {
    /// A peer is new, or set up anew: its sessions and what it has shown of itself stay. Nothing where there is no
    /// room, which the keeper knows.
    pub fn set(&mut self, local: u32, setup: &Setup, now: Instant) {
        while self.peers.len() <= local as usize && self.peers.len() < self.room.peers as usize {
            let next = u32::try_from(self.peers.len()).unwrap_or(u32::MAX);
            let number = global_number(next, self.worker, self.exchange.workers());
            // Within the capacity, so this does not allocate.
            self.peers.push(Peer::vacant(number));
        }
        let Some(peer) = self.peers.get_mut(local as usize) else { return };
        if !peer.known {
            peer.known = true;
            peer.client_id = setup.client_id;
            peer.incarnation = setup.incarnation;
        }
        if peer.id != setup.id && peer.keyring.current().is_some() {
            // It has a session here, under whatever name.
            self.fleet.holdings.hold(setup.id, now + REJECT_AFTER_TIME);
        }
        peer.id = setup.id;
        peer.endpoint = setup.endpoint.or(peer.endpoint);
        if peer.timers.persistent() != setup.persistent {
            let _ = peer.timers.set_persistent(setup.persistent, now);
        }
        self.rearm(local);
    }

    /// A peer is no more: its sessions end now.
    pub fn remove(&mut self, local: u32) {
        let Some(peer) = self.peers.get_mut(local as usize) else { return };
        let retired = peer.keyring.clear();
        // It may stand in the list of those that are ready, where nothing comes of it.
        let ready = peer.ready;
        *peer = Peer::vacant(peer.number);
        peer.ready = ready;
        self.retire(retired);
        self.wheel.cancel(local);
    }

    /// There are other routes: what the former ones have proven counts no more.
    pub fn routes_changed(&mut self) {
        self.routes_epoch = self.routes_epoch.wrapping_add(1);
    }

    /// Which routes hold.
    #[inline]
    pub(in super::super) const fn routes_epoch(&self) -> u32 {
        self.routes_epoch
    }

    /// Writes peers that have anything to tell on a sheet, a bounded number of them.
    pub fn survey(&self, sheet: &mut Survey) {
        let from = sheet.from as usize;
        let rest = self.peers.get(from..).unwrap_or_default();
        for peer in rest.iter().take(SURVEY_STEP) {
            if sheet.rows.is_full() {
                break;
            }
            sheet.from += 1;
            let standing = peer.standing();
            if standing.endpoint.is_some() || standing.received != 0 || standing.sent != 0 {
                sheet.rows.push(standing);
            }
        }
        sheet.done = sheet.from as usize >= self.peers.len();
    }
}
