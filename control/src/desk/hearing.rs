//! What the dataplane tells, and what each event does.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use shm::message::Event;

use super::flight::Refusal;
use super::owner::Owner;
use super::{FleetSeen, Notice, Server};
use crate::model::Limits;

impl Owner {
    pub(super) fn hear(&mut self, heard: &mut Vec<Event>, now: Instant) {
        self.shared.lives.hear(heard);
        for event in heard.drain(..) {
            match event {
                Event::Applied { id, .. } => self.applied(id),
                Event::Refused { id, reason, item, detail } => {
                    let refusal = Refusal { reason, item, detail };
                    log::warn!("transaction {id} is refused at item {item}: {}", refusal.why());
                    self.refused(id, refusal, now);
                }
                Event::Heartbeat { at, transaction } => self.beat(at, transaction),
                Event::Lost(count) => {
                    self.status(|status| status.lost += count);
                    drop(self.shared.notices.send(Notice::Lost(count)));
                    self.surveys.lost();
                }
                Event::Handshake { public_key, endpoint, .. } => {
                    drop(self.shared.notices.send(Notice::Handshake(public_key, endpoint)));
                }
                Event::EndpointMoved { public_key, endpoint, .. } => {
                    drop(self.shared.notices.send(Notice::EndpointMoved(public_key, endpoint)));
                }
                Event::PeerExpired { public_key, .. } => {
                    drop(self.shared.notices.send(Notice::PeerExpired(public_key)));
                }
                Event::Server { public_key, listen_port, peers_max } => {
                    self.meet(Server { public_key, listen_port, peers_max });
                }
                Event::Fleet { server, generation, digest, held } => {
                    let seen = FleetSeen { server, generation, digest, held };
                    self.status(|status| status.fleet = Some(seen));
                }
                Event::PeerState { .. } => self.surveys.moved(now),
                Event::Surveyed { id } => self.surveys.surveyed(id),
                Event::RuleCount { .. } | Event::Heavy { .. } | Event::Swept { .. } => {
                    if self.shared.heard.hear(&event, || self.shared.book()) {
                        drop(self.shared.notices.send(Notice::Swept));
                    }
                }
                Event::Tunnel { .. } | Event::TunnelCount { .. } | Event::TenantCount { .. } => {
                    self.shared.transit.hear(&event, || self.shared.book());
                }
                Event::Dials(_) | Event::Probed { .. } | Event::Paths { .. } => {
                    self.shared.argo.hear(&event);
                }
                // The link leaves on it.
                Event::Desynchronised => {}
            }
        }
    }

    fn meet(&self, server: Server) {
        self.status(|status| {
            status.server = Some(server);
            // A dataplane with a fleet says so next.
            status.fleet = None;
        });
        let limits = Limits {
            own: Some(server.public_key),
            peers_max: usize::try_from(server.peers_max).unwrap_or(usize::MAX),
        };
        *self.shared.limits.write().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    fn beat(&mut self, at: Duration, transaction: u64) {
        self.status(|status| {
            status.heard = Some(at);
            status.transaction = transaction;
        });
        // The answer itself may be among the events that were lost.
        self.applied(transaction);
    }
}
