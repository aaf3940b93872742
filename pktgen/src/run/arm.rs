//! The attacks of a run: what they are made of is gathered while the clients connect, and then lent to them.

use wireguard::message::{self, Kind};
use wireguard::time::Instant;

use super::Run;
use crate::attack::{self, Attack, Builder, Captured, Scene};
use crate::barrage::Barrage;
use crate::client::Moment;

/// Data messages that are captured for attacks that replay.
const CAPTURED_MAX: usize = 64;
/// Sessions that follow one before the server forgets it: one becomes its previous session, the other its current.
const SUCCESSORS: usize = 2;

impl Run<'_> {
    /// Prepares the attacks. A client that turns hostile has a session by now.
    pub(super) fn arm(&mut self) -> Result<(), attack::Error> {
        if self.profile.attacks.is_empty() || !self.swarm.link().is_resolved() {
            return Ok(());
        }
        let scene = self.scene();
        let now = self.now();
        let made = self.profile.attacks.iter().map(|assault| {
            let builder = Builder::new(assault.attack, &scene)?;
            let own = [scene.own_v4.into(), scene.own_v6.into()];
            let own = own.map(|address| std::net::SocketAddr::new(address, scene.own_port));
            Ok(Barrage::new(builder, own, (assault.rate, assault.pattern), now))
        });
        let made: Vec<Barrage> = made.collect::<Result<_, _>>()?;
        for attack in made {
            self.streams.push(attack);
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
        let port = first.map_or(0, std::net::SocketAddr::port);
        let mut scene = Scene::new(link, plan.server_public, port, plan.seed);
        for server in &plan.servers {
            match server {
                std::net::SocketAddr::V4(server) => scene.target_v4 = Some(*server.ip()),
                std::net::SocketAddr::V6(server) => scene.target_v6 = Some(*server.ip()),
            }
        }
        for stranger in [true, false].into_iter().filter_map(|v4| self.swarm.stranger(v4)) {
            scene.own_port = stranger.port();
            match stranger.ip() {
                std::net::IpAddr::V4(own) => scene.own_v4 = own,
                std::net::IpAddr::V6(own) => scene.own_v6 = own,
            }
        }
        let needs_dead =
            self.profile.attacks.iter().any(|a| a.attack == Attack::WireguardUnknownIndex);
        let dead_index = if needs_dead { self.outlive_session() } else { None };
        let moment = self.moment();
        scene.client = self.swarm.lend(moment);
        scene.captured = std::mem::take(&mut self.captured);
        scene.captured.dead_index = dead_index;
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
            while !self.swarm.hostile_connected(self.now()) && self.now() < until {
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

/// Keeps the first messages that the clients send, for attacks that replay.
pub(super) fn capture(captured: &mut Captured, frame: &[u8]) {
    if captured.datagrams.len() >= CAPTURED_MAX && captured.initiation.is_some() {
        return;
    }
    let Some(located) = wire::ethernet::parse(frame)
        .ok()
        .and_then(|header| frame.get(header.payload_offset..))
        .and_then(crate::packet::read)
    else {
        return;
    };
    match message::kind(located.payload) {
        Ok(Kind::Data) if captured.datagrams.len() < CAPTURED_MAX => {
            captured.datagrams.push(located.payload.to_vec());
        }
        Ok(Kind::Initiation) if captured.initiation.is_none() => {
            captured.initiation = Some(located.payload.to_vec());
        }
        Ok(Kind::Data | Kind::Initiation | Kind::Response | Kind::CookieReply) | Err(_) => {}
    }
}
