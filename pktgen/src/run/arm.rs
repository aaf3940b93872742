//! The attacks of a run: what they are made of is gathered while the clients connect, and then lent to them.

use std::net::{IpAddr, SocketAddr};

use wireguard::time::Instant;

use super::Run;
use crate::attack::{self, Attack, Builder, Scene};
use crate::barrage::Barrage;
use crate::client::Moment;

/// Sessions that follow one before the server forgets it: one becomes its previous session, the other its current.
const SUCCESSORS: usize = 2;

impl Run<'_> {
    /// Prepares the attacks. A client that turns hostile has a session by now; an attack that needs one in vain is noted.
    pub(super) fn arm(&mut self) -> Result<(), attack::Error> {
        if self.profile.attacks.is_empty() || !self.swarm.link().is_resolved() {
            return Ok(());
        }
        let scene = self.scene();
        let now = self.now();
        for assault in &self.profile.attacks {
            let builder = match Builder::new(assault.attack, &scene) {
                Err(error) if error.need.follows_from_the_run() => {
                    self.unarmed.push(format!(
                        "{error}, which this run did not bring about: check server.public_key, and that the server knows the peers (millrace-pktgen peers)"
                    ));
                    continue;
                }
                made => made?,
            };
            let own = [scene.own_v4.into(), scene.own_v6.into()];
            let own = own.map(|address| SocketAddr::new(address, scene.own_port));
            self.streams.push(Barrage::new(builder, own, (assault.rate, assault.pattern), now));
        }
        Ok(())
    }

    fn scene(&mut self) -> Scene {
        let plan = &self.profile.plan;
        let first = plan.servers.first();
        let hop = first.and_then(|server| self.swarm.link().next_hop(server.is_ipv4()));
        let link = attack::Link {
            server: hop.unwrap_or_default(),
            station: self.device.mac(),
            vlan: plan.vlan,
        };
        let mut scene = Scene::before(link, plan.server_public, &plan.servers, plan.seed);
        for stranger in [true, false].into_iter().filter_map(|v4| self.swarm.stranger(v4)) {
            scene.own_port = stranger.port();
            match stranger.ip() {
                IpAddr::V4(own) => scene.own_v4 = own,
                IpAddr::V6(own) => scene.own_v6 = own,
            }
        }
        let needs_dead =
            self.profile.attacks.iter().any(|a| a.attack == Attack::WireguardUnknownIndex);
        let dead_index = if needs_dead { self.outlive_session() } else { None };
        let moment = self.moment();
        scene.client = self.swarm.lend(moment);
        scene.captured = self.captured.take().unwrap_or_default();
        scene.captured.dead_index = dead_index;
        (scene.tenant_v4, scene.tenant_v6) = (self.profile.tenants.v4, self.profile.tenants.v6);
        scene
    }

    /// The server's index of a session that it has had and forgotten.
    fn outlive_session(&mut self) -> Option<u32> {
        let mut dead = None;
        for _ in 0..SUCCESSORS {
            let moment = self.moment();
            let lent = self.swarm.lend(moment)?;
            dead = dead.or(Some(lent.index));
            let Self { swarm, device, .. } = self;
            swarm.recall(moment, &mut |frame| device.put(frame));
            let until = self.now() + self.profile.times.connect;
            while !self.swarm.hostile_connected(self.now())
                && self.now() < until
                && !self.is_stopped()
            {
                self.turn_or_rest();
            }
        }
        dead
    }

    pub(super) fn moment(&self) -> Moment {
        let now: Instant = self.now();
        Moment { now, unix: self.unix + now.since(Instant::ZERO) }
    }
}
