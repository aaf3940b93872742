//! Stage 6, route: where does an inner packet go. A router's duties are here: hop limits, sizes, errors.

mod centres;
mod grid;
mod hosts;
pub(in crate::stages) mod icmp;
mod lpm4;
mod lpm6;
mod next_hop;
mod next_hops;
pub(in crate::stages) mod prefixes;
mod rib;
mod table;
mod together;

use wire::{ecn, ipv4, ipv6};
use wireguard::time::Instant;

use crate::burst::Burst;
use crate::counters::Counters;
use crate::fate::{DropReason, Fate, Split};
use crate::frame::{Endpoint, Entry, Frame, Kind};
use crate::packet::{Address, flow_hash, is_no_source};
use crate::site::{Nat, Site, owner};
use crate::stages::dos::{OWN, Rules};
use crate::stages::egress::gre::{self, Size};
use crate::stages::egress::path_mtus::PathMtus;
use crate::stages::egress::tunnels::Tunnels;
use crate::stages::tenant::tallies::Tallies;
use crate::stages::wireguard::mark_congestion;

pub use centres::{Asked, Centre, Centres, Machine, TRIED_MAX};
pub use icmp::Limits;
pub use next_hop::NextHop;
pub use next_hops::Unbuildable;
pub use rib::{Change, Rib};
pub use table::Routes;

use icmp::Why;

/// What choosing needs beside the frame.
#[derive(Debug)]
pub struct Router<'a> {
    /// The routes.
    pub routes: &'a Routes,
    /// The server.
    pub site: &'a Site,
    /// Tenants and their tunnels.
    pub rules: &'a Rules,
    /// This worker.
    pub worker: u8,
    /// The limits of ICMP errors.
    pub limits: &'a mut Limits,
    /// What was learned of the ways of tunnels.
    pub path_mtus: &'a PathMtus,
    /// What tunnels are counted with.
    pub tallies: &'a Tallies,
    /// The worker's counters.
    pub counters: &'a Counters,
}

/// Finds the next hop of every inner packet. What cannot be forwarded becomes the ICMP error that its
/// sender is owed, within the limit, and goes back.
pub fn choose(burst: &mut Burst<'_>, router: &mut Router<'_>, now: Instant) {
    if burst.is_outer() {
        return;
    }
    let into = (&*router.rules.tunnels, router.tallies);
    together::look_up(burst, router.routes, into);
    burst.pass(|frame| {
        if !is_routed(frame) {
            return Ok(());
        }
        match forward(frame, router) {
            Ok(()) => Ok(()),
            Err(Refused::Fate(fate)) => Err(fate),
            Err(Refused::Because(why)) => {
                let lost = Fate::Drop(why.reason());
                icmp::turn(frame, why, router, now)?;
                let sent = send_on(frame, router);
                if sent == Err(Fate::Drop(DropReason::RouteNone)) {
                    // There is no way back to its sender, which is not what it was lost for.
                    return Err(lost);
                }
                router.counters.icmp_errors.add(1);
                sent
            }
        }
    });
}

/// Whether a packet's next hop is to be found. A reply that is left was too long for its client, or had no hop left, to be
/// translated.
#[inline]
fn is_routed(frame: &Frame<'_>) -> bool {
    matches!(frame.note.kind, Kind::Inner | Kind::Reply) && frame.note.entry != Entry::Own
}

/// Why a packet is not forwarded as it is.
enum Refused {
    Fate(Fate),
    Because(Why),
}

fn forward(frame: &mut Frame<'_>, router: &Router<'_>) -> Result<(), Refused> {
    if frame.note.kind == Kind::Reply {
        // If it is not its length, it is its hops.
        within(frame, router.site.inner_mtu)?;
        return take_hop(frame);
    }
    if !is_forwarded(frame.note.ip.destination) {
        return Err(Refused::Fate(Fate::Drop(DropReason::RouteDestination)));
    }
    // What has come back to a client knows its way, as many may have the same address.
    if frame.note.next_hop == NextHop::None {
        frame.note.next_hop = next_hop(frame, router.routes, &router.rules.tunnels);
    }
    if frame.note.passage.is_some() && !matches!(frame.note.next_hop, NextHop::Client(_)) {
        // Servers pass on what is for clients, and to nobody else.
        return Err(Refused::Fate(Fate::Drop(DropReason::SteerMisdirected)));
    }
    let is_outward = matches!(frame.note.next_hop, NextHop::Direct | NextHop::Via(_));
    if !is_outward && is_from_anybody(frame, router.site) {
        return Err(Refused::Fate(Fate::Drop(DropReason::EgressNoNat)));
    }
    match frame.note.next_hop {
        // What a router on the way of a tunnel has said is for whoever sent into it, wherever that is.
        NextHop::None if frame.note.turned && frame.note.tunnel != 0 => direct(frame, router),
        NextHop::None | NextHop::Reject if is_for_nobody(frame) => {
            Err(Refused::Fate(Fate::Drop(DropReason::EgressNatUnknown)))
        }
        NextHop::None => Err(Refused::Because(Why::NoRoute)),
        NextHop::Reject => Err(Refused::Because(Why::Rejected)),
        NextHop::Local if is_link_business(frame) => {
            Err(Refused::Fate(Fate::Drop(DropReason::RouteDestination)))
        }
        // The interface takes no more, and its driver loses what comes behind a packet that is longer.
        NextHop::Local => within(frame, router.site.inner_mtu),
        NextHop::Tunnel(number) => into_tunnel(frame, number, router),
        NextHop::Direct | NextHop::Via(_) => direct(frame, router),
        NextHop::Client(number) => {
            hand_over(frame, number, router).map_err(Refused::Fate)?;
            // Who passed it on has taken its hop.
            let is_new = frame.note.passage.is_none();
            if !is_new && frame.note.tos & ecn::MASK == ecn::Ecn::Ce.bits() {
                mark_congestion(frame).map_err(Refused::Fate)?;
            }
            if is_new && is_forwarding(frame.note.entry) {
                take_hop(frame)?;
            }
            within(frame, router.site.inner_mtu)
        }
    }
}

/// Whether it has come from the Internet to a client that is not there. Its sender is told nothing, as of ports that nobody has:
/// the error would quote an address that is known here alone.
#[inline]
const fn is_for_nobody(frame: &Frame<'_>) -> bool {
    frame.note.bare && frame.note.tenant == OWN && frame.note.tunnel == 0
}

/// Whether the source is the address that every client has: nobody could answer it but the Internet, which never sees it.
#[inline]
fn is_from_anybody(frame: &Frame<'_>, site: &Site) -> bool {
    let every_clients = site.nat.as_ref().and_then(Nat::every_clients);
    every_clients.is_some_and(|address| {
        frame.note.client().is_some() && frame.note.ip.source_in(frame.data()) == Some(address)
    })
}

/// Where a packet goes: to a tenant through its tunnels, if it has any, else by the routes.
#[inline]
fn next_hop(frame: &mut Frame<'_>, routes: &Routes, tunnels: &Tunnels) -> NextHop {
    let tenant = frame.note.tenant;
    if tenant != OWN && tunnels.has(tenant) {
        let hash = flow_hash(frame.data(), &frame.note.ip);
        // The choice and what GRE writes of it are the same for all packets of a flow.
        frame.note.counter = hash.into();
        if let Some(tunnel) = tunnels.choose(tenant, hash) {
            return NextHop::Tunnel(tunnel);
        }
    }
    routes.lookup(frame.note.ip.destination)
}

/// Whether it is a packet on its way through this server, and not one of this machine's own.
#[inline]
const fn is_forwarding(entry: Entry) -> bool {
    matches!(entry, Entry::Wire(_) | Entry::Client | Entry::Piece(_) | Entry::Reply(_))
}

fn into_tunnel(frame: &mut Frame<'_>, number: u16, router: &Router<'_>) -> Result<(), Refused> {
    let tunnel = router.rules.tunnels.get(number);
    let tunnel = tunnel.ok_or(Refused::Because(Why::NoRoute))?;
    if frame.note.tunnel == number && !frame.note.turned {
        // Its router would send it here again.
        return Err(Refused::Fate(Fate::Drop(DropReason::EgressLoop)));
    }
    if is_forwarding(frame.note.entry) {
        take_hop(frame)?;
    }
    let mtu = router.path_mtus.of(number, tunnel.mtu);
    gre::clamp(frame, mtu);
    match gre::fits(frame, tunnel, mtu) {
        Size::Fits => Ok(()),
        Size::Split(mtu) => Err(Refused::Fate(Fate::Split(Split { mtu, tunnel: number }))),
        Size::Refuse(mtu) => Err(Refused::Because(Why::TooBig(mtu))),
    }
}

/// Out to the Internet: as it is what tenants send, whose addresses are the Internet's own, and what goes to them; by an address
/// of the server's what clients and this machine send, unless theirs are the Internet's own as well.
fn direct(frame: &mut Frame<'_>, router: &Router<'_>) -> Result<(), Refused> {
    if let NextHop::Via(centre) = frame.note.next_hop
        && router.routes.centres().here() == Some(centre)
    {
        // What is led to this data centre is where it is to leave.
        frame.note.next_hop = NextHop::Direct;
    }
    let of_tenant = frame.note.tenant != OWN || frame.note.tunnel != 0;
    let as_it_is = of_tenant || is_known_outside(frame, router.site).map_err(Refused::Fate)?;
    if !as_it_is && is_elsewhere(frame) {
        // Where it goes is found with its flow: no port need lead to where it wants to go.
        return if is_forwarding(frame.note.entry) { take_hop(frame) } else { Ok(()) };
    }
    let (port, face) = router.site.way_to(frame.note.ip.destination).ok_or(NO_WAY)?;
    if face.terminates {
        // Only connections that are terminated go there, and who opens them has asked for another address.
        return Err(Refused::Because(Why::Rejected));
    }
    let mtu = u16::try_from(face.mtu).unwrap_or(u16::MAX);
    if is_forwarding(frame.note.entry) {
        take_hop(frame)?;
    }
    within(frame, mtu.into())?;
    if as_it_is {
        leave(frame, port);
    } else {
        // It leaves as soon as it is translated.
        frame.note.endpoint.port = port;
    }
    Ok(())
}

/// Whether a client's packet, or one of this machine's, goes out from the address that it has, or by another.
#[inline]
fn is_known_outside(frame: &Frame<'_>, site: &Site) -> Result<bool, Fate> {
    let none = Fate::Drop(DropReason::EgressNoNat);
    let nat = site.nat.as_ref().ok_or(none)?;
    if frame.note.ip.destination.is_v4() {
        return if nat.addresses().is_empty() { Err(none) } else { Ok(false) };
    }
    if frame.note.bare {
        // It has come from there, to a client that is not.
        return Err(Fate::Drop(DropReason::EgressNatUnknown));
    }
    if is_elsewhere(frame) {
        // It leaves at another data centre, as clients' IPv4 does.
        return if nat.addresses().is_empty() { Err(none) } else { Ok(false) };
    }
    let source = frame.note.ip.source_in(frame.data()).ok_or(none)?;
    if nat.is_untranslated(source) {
        return Ok(true);
    }
    nat.outward(source).map(|_| false).ok_or(none)
}

/// Whether a packet over IPv6 leaves by another data centre.
#[inline]
fn is_elsewhere(frame: &Frame<'_>) -> bool {
    matches!(frame.note.next_hop, NextHop::Via(_)) && !frame.note.ip.destination.is_v4()
}

const NO_WAY: Refused = Refused::Fate(Fate::Drop(DropReason::LinkNoRoute));

/// The packet itself is what goes out.
pub(in crate::stages) fn leave(frame: &mut Frame<'_>, port: u8) {
    let remote = frame.note.ip.destination;
    frame.note.endpoint = Endpoint { remote, port, ..Endpoint::NONE };
    frame.note.kind = Kind::Outer;
    frame.note.turned = false;
}

/// Whether it fits its way.
#[inline]
fn within(frame: &Frame<'_>, mtu: usize) -> Result<(), Refused> {
    if frame.len() <= mtu {
        return Ok(());
    }
    Err(Refused::Because(Why::TooBig(u16::try_from(mtu).unwrap_or(u16::MAX))))
}

/// The errors' own way: looked up like any packet, but never answered with another error.
fn send_on(frame: &mut Frame<'_>, router: &Router<'_>) -> Result<(), Fate> {
    if frame.note.kind == Kind::Outer {
        return Ok(());
    }
    // Who sent it may be another tenant than who would have got it.
    frame.note.tenant = router.rules.tenants.of(frame.note.ip.destination);
    frame.note.next_hop = match frame.note.client() {
        Some(number) => NextHop::Client(number),
        None => next_hop(frame, router.routes, &router.rules.tunnels),
    };
    match frame.note.next_hop {
        NextHop::None => Err(Fate::Drop(DropReason::RouteNone)),
        NextHop::Reject => Err(Fate::Drop(DropReason::RouteRejected)),
        NextHop::Local | NextHop::Tunnel(_) => Ok(()),
        NextHop::Client(number) => hand_over(frame, number, router),
        NextHop::Direct | NextHop::Via(_) => match router.site.way_to(frame.note.ip.destination) {
            Some((port, face)) if !face.terminates => {
                leave(frame, port);
                Ok(())
            }
            Some(_) | None => Err(Fate::Drop(DropReason::RouteNone)),
        },
    }
}

/// A client's packets are sealed by the worker that owns it.
fn hand_over(frame: &mut Frame<'_>, number: u32, router: &Router<'_>) -> Result<(), Fate> {
    let owner = owner(number, router.site.workers);
    if owner == usize::from(router.worker) {
        return Ok(());
    }
    if frame.note.passage.is_some() {
        // Its worker reads it from its first octet, with the header that says how it came.
        frame.rewind();
        return Err(Fate::HandOver(u8::try_from(owner).unwrap_or(u8::MAX)));
    }
    let forwarded = is_forwarding(frame.note.entry) && !frame.note.turned;
    frame.note.entry = if forwarded { Entry::Client } else { Entry::Handed };
    Err(Fate::HandOver(u8::try_from(owner).unwrap_or(u8::MAX)))
}

/// Router and neighbour discovery (RFC 4861) are for a link, and a client is on none of the kernel's: from
/// there it could change the kernel's routes.
fn is_link_business(frame: &Frame<'_>) -> bool {
    let ip = &frame.note.ip;
    let kind = frame.data().get(usize::from(ip.payload_offset)).copied();
    ip.protocol == wire::icmp::v6::PROTOCOL && matches!(kind, Some(133..=137))
}

/// What can be no source can be no destination beyond the link either; nor can an address of one link.
#[inline]
fn is_forwarded(address: Address) -> bool {
    !is_no_source(address) && !address.is_link_local()
}

fn take_hop(frame: &mut Frame<'_>) -> Result<(), Refused> {
    spend_hop(frame).map(|_| ()).ok_or(Refused::Because(Why::HopLimit))
}

/// Takes one hop off a packet whose header was read, and gives those left; none when it was the last one (RFC 1812 5.3.1,
/// RFC 8200 3).
#[inline]
pub(in crate::stages) fn spend_hop(frame: &mut Frame<'_>) -> Option<u8> {
    let octets = frame.data_mut();
    if octets.first().is_some_and(|octet| octet >> 4 == 4) {
        ipv4::Header::of(octets).ok()?.decrement_ttl().ok()
    } else {
        ipv6::Header::of(octets).ok()?.decrement_hop_limit().ok()
    }
}
