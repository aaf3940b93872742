//! Stages 4 and 7, egress: undresses what comes out of tunnels, and dresses an inner packet for its next hop.

pub mod client;
pub mod connect;
pub mod dials;
pub mod gre;
pub mod local;
pub mod meter;
pub mod nat;
pub mod path_mtus;
pub mod probe;
pub mod probing;
pub mod tunnels;
pub mod via;

use wireguard::time::Instant;

use crate::burst::Burst;
use crate::counters::Counters;
use crate::fate::{DropReason, Fate};
use crate::fleet::Passage;
use crate::frame::{Entry, Frame, Kind};
use crate::packet::flow_hash;
use crate::site::Site;
use crate::stages::dos::Rules;
use crate::stages::parse;
use crate::stages::route::{Limits, NextHop};
use crate::stages::tenant::tallies::Tallies;

use gre::Decapped;
use path_mtus::PathMtus;
use probing::{Answered, Probing};
use tunnels::Tunnel;

/// What undressing needs beside the frame.
#[derive(Debug)]
pub struct Transit<'a> {
    /// Tenants and their tunnels.
    pub rules: &'a Rules,
    /// The server.
    pub site: &'a Site,
    /// The worker's counters.
    pub counters: &'a Counters,
    /// What tunnels are counted with.
    pub tallies: &'a Tallies,
    /// How answers to probes are known.
    pub probing: &'a Probing,
    /// What is learned of the ways of tunnels.
    pub path_mtus: &'a mut PathMtus,
    /// The limits of ICMP errors.
    pub limits: &'a mut Limits,
    /// Now.
    pub now: Instant,
}

/// Takes packets out of the tunnels of tenants; what tunnels themselves are asked or answer ends here.
pub fn undress(burst: &mut Burst<'_>, transit: &mut Transit<'_>) {
    if transit.rules.tunnels.is_empty() {
        return;
    }
    burst.pass(|frame| match (frame.note.kind, frame.note.passage) {
        (Kind::Tunnelled, _) if frame.note.ip.protocol == wire::gre::PROTOCOL => {
            out_of_tunnel(frame, transit)
        }
        (Kind::Tunnelled, _) => reported(frame, transit),
        // What another server has passed on is for a client, or the answer to a probe of this one.
        (Kind::Inner, Some(passage)) if passage.inner && transit.passed_on(frame) => {
            Err(Fate::Consumed)
        }
        _ => Ok(()),
    });
}

fn out_of_tunnel(frame: &mut Frame<'_>, transit: &mut Transit<'_>) -> Result<(), Fate> {
    let tunnels = &transit.rules.tunnels;
    let number = match gre::decap(frame, tunnels, transit.site)? {
        Decapped::Inner(number) => number,
        Decapped::Keepalive(_) => {
            transit.counters.keepalives.add(1);
            return Ok(());
        }
    };
    let tunnel = tunnels.get(number).ok_or(Fate::Drop(DropReason::EgressGreTunnel))?;
    if let Some(tally) = transit.tallies.received(number) {
        tally.add(frame.len() as u64);
    }
    let way = (transit.counters, transit.now);
    match transit.probing.judge(frame, (number, tunnel), way) {
        Some(Answered::Ours) => return Err(Fate::Consumed),
        Some(Answered::Of(server)) => {
            pass_on(frame, server);
            return Ok(());
        }
        None => {}
    }
    gre::admit_source(frame, tunnel, &transit.rules.tenants)?;
    gre::clamp(frame, tunnel.mtu);
    frame.note.tunnel = number;
    Ok(())
}

impl Transit<'_> {
    fn passed_on(&self, frame: &Frame<'_>) -> bool {
        self.probing.passed_on(frame, &self.rules.tunnels, (self.counters, self.now))
    }
}

/// The answer to a probe of another server goes there: all come to where routers send what the tunnel sends.
fn pass_on(frame: &mut Frame<'_>, server: u8) {
    frame.forget_link();
    frame.note.kind = Kind::Foreign;
    frame.note.passage = Some(Passage { inner: true, ..Passage::direct(server) });
}

/// An ICMP error about a packet that we have put into a tunnel: who sent what is in it hears of it, as it is his packet that
/// was too long. What is about none of our tunnels is the kernel's.
fn reported(frame: &mut Frame<'_>, transit: &mut Transit<'_>) -> Result<(), Fate> {
    let Entry::Wire(port) = frame.note.entry else { return Err(Fate::Consumed) };
    let Transit { rules, site, limits, now, .. } = transit;
    // Whoever knows a tunnel's ends and an address of its tenant's can have us write to anybody.
    let source = |sender| site.face(port)?.source_for(sender).filter(|_| limits.take_report(*now));
    let Some(report) = gre::translate(frame, (&rules.tunnels, &rules.tenants), source) else {
        return Err(parse::for_kernel(frame, site, port));
    };
    transit.counters.tunnel_reports.add(1);
    if let Some(mtu) = report.mtu {
        transit.path_mtus.report(report.tunnel, mtu);
    }
    if !report.turned {
        return Err(Fate::Consumed);
    }
    frame.note.tunnel = report.tunnel;
    frame.note.turned = true;
    frame.note.kind = Kind::Inner;
    Ok(())
}

/// One match on the next hop. Packets to clients are only measured here; `wireguard::seal` does the rest.
pub fn dress(burst: &mut Burst<'_>, site: &Site, rules: &Rules, tallies: &Tallies) {
    if burst.is_outer() {
        return;
    }
    burst.pass(|frame| match (frame.note.kind, frame.note.next_hop) {
        (Kind::Inner, NextHop::Local) => local::deliver(frame, site),
        (Kind::Inner, NextHop::None) => Err(Fate::Drop(DropReason::RouteNone)),
        (Kind::Inner, NextHop::Tunnel(number)) => match rules.tunnels.get(number) {
            Some(tunnel) => into_tunnel(frame, (number, tunnel), tallies),
            None => Err(Fate::Drop(DropReason::RouteNone)),
        },
        (Kind::Datagram, _) => client::encap(frame, site, client::HANDSHAKE_TOS),
        _ => Ok(()),
    });
}

#[inline]
fn into_tunnel(
    frame: &mut Frame<'_>,
    (number, tunnel): (u16, &Tunnel),
    tallies: &Tallies,
) -> Result<(), Fate> {
    if frame.note.entry == Entry::Own {
        frame.read_ip().map_err(crate::packet::broken)?;
        frame.note.counter = flow_hash(frame.data(), &frame.note.ip).into();
    }
    let mut identification = 0;
    if let Some(tally) = tallies.sent(number) {
        tally.add(frame.len() as u64);
        // Servers and workers begin apart.
        identification = tally.packets.value().wrapping_add(tallies.apart());
    }
    // The flow's hash, from where its tunnel was chosen.
    let hash = u32::try_from(frame.note.counter).unwrap_or(0);
    #[expect(clippy::cast_possible_truncation, reason = "any sixteen bits that change will do")]
    let identification = identification as u16;
    gre::encap(frame, tunnel, hash, identification)
}
