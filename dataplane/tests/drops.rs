//! Every way to lose a packet is provoked here, and counted under its own name and no other.
//!
//! Before and after each provocation two clients are connected, and afterwards their sessions still work:
//! no loss, however it comes about, harms anybody else.

#[cfg(test)]
#[path = "drops/dos.rs"]
mod dos;
#[cfg(test)]
#[path = "drops/egress.rs"]
mod egress;
#[cfg(test)]
#[path = "drops/fleet.rs"]
mod fleet;
#[cfg(test)]
#[path = "drops/handshakes.rs"]
mod handshakes;
#[cfg(test)]
#[path = "drops/inner.rs"]
mod inner;
#[cfg(test)]
#[path = "drops/outer.rs"]
mod outer;
#[cfg(test)]
#[path = "drops/shortages.rs"]
mod shortages;
#[cfg(test)]
#[path = "drops/transit.rs"]
mod transit;

use dataplane::counters::Totals;
use dataplane::fate::DropReason;
use dataplane::testing::client;
use dataplane::testing::scene::Scene;
use dataplane::testing::server::Options;
use dataplane::testing::site::{self, Plan};

/// The peer that is configured but has never called.
const SILENT: u32 = 2;
/// The peer whose endpoint is configured, and where nobody answers.
const ABSENT: u32 = 3;

/// What a reason needs beside the ordinary site.
#[cfg(test)]
fn plan(reason: DropReason) -> (Plan, Options) {
    let mut plan = Plan::new(4);
    plan.peers[ABSENT as usize].endpoint = Some(site::outer_v4(ABSENT));
    let mut options = Options::default();
    if reason == DropReason::ParseNoKernel {
        plan.kernel = false;
    }
    if reason == DropReason::LinkNoRoute {
        plan.gateways.retain(std::net::IpAddr::is_ipv4);
    }
    if reason == DropReason::HandOverFull {
        plan.workers = 2;
    }
    if reason == DropReason::EgressNoLocal {
        options.local = false;
    }
    let of_egress = ["egress_nat_", "egress_connect_", "egress_via_"];
    if of_egress.iter().any(|start| reason.name().starts_with(start)) {
        plan.nat = Some(egress::nat(reason));
    }
    plan.nat_v6 = matches!(reason, DropReason::EgressNatPrefix | DropReason::EgressViaAddress);
    if reason == DropReason::EgressNatPorts {
        // Each has a sixteenth of the ports.
        plan.workers = 16;
    }
    if is_of_fleets(reason) {
        plan.fleet = Some(dataplane::testing::fleet::SERVER);
    }
    (plan, options)
}

/// Whether it takes a fleet to lose a packet in this way.
fn is_of_fleets(reason: DropReason) -> bool {
    let alone = [DropReason::SteerForeignServer, DropReason::SteerForeignWorker];
    reason.name().starts_with("steer_") && !alone.contains(&reason)
}

/// Makes the server lose exactly one packet for this reason; gives the counters just before.
///
/// The match has no rest, so a new reason does not compile without a case.
#[expect(clippy::too_many_lines, reason = "a line for each reason")]
fn provoke(reason: DropReason, scene: &mut Scene) -> Option<Totals> {
    use DropReason as Why;
    let before = match reason {
        Why::ParseSegmented
        | Why::ParseTruncated
        | Why::ParseForeignStation
        | Why::ParseVlan
        | Why::ParseNeighbourMessage
        | Why::ParseIpVersion
        | Why::ParseIpHeaderLength
        | Why::ParseIpTotalLength
        | Why::ParseIpChecksum
        | Why::ParseIpExtension
        | Why::ParseIpSource
        | Why::ParseForeignAddress
        | Why::ParseFragment
        | Why::ParseUdpLength
        | Why::ParseUdpChecksum
        | Why::ParseNoKernel => outer::provoke(reason, scene),
        Why::SteerForeignServer
        | Why::SteerForeignWorker
        | Why::WireguardUnknownIndex
        | Why::WireguardExpired
        | Why::WireguardReplay
        | Why::WireguardTag
        | Why::WireguardInner
        | Why::WireguardSource
        | Why::WireguardEcn
        | Why::RouteNone
        | Why::RouteRejected
        | Why::RouteHopLimit
        | Why::RouteDestination
        | Why::EgressTooBig
        | Why::EgressLoop
        | Why::EgressNoLocal
        | Why::SealNoPeer
        | Why::SealNoEndpoint => inner::provoke(reason, scene),
        Why::SteerUntold
        | Why::SteerDeadSession
        | Why::SteerMisdirected
        | Why::SteerHops
        | Why::SteerGeneration
        | Why::SteerOutsider
        | Why::SteerHeader
        | Why::SteerTooBig => fleet::provoke(reason, scene),
        Why::DosMessage
        | Why::DosMac1
        | Why::DosHandshakeLimit
        | Why::DosHandshakeBudget
        | Why::HandshakeInvalid
        | Why::HandshakeUnknownPeer
        | Why::HandshakeReplay
        | Why::HandshakeFlood
        | Why::HandshakeUnexpected => handshakes::provoke(reason, scene),
        Why::LinkNoRoute
        | Why::LinkTableFull
        | Why::LinkUnresolved
        | Why::HoldFull
        | Why::HoldExpired
        | Why::HandshakeFull
        | Why::HandshakeNoIndex
        | Why::TransmitFull
        | Why::KernelFull
        | Why::HandOverFull
        | Why::Stopped => shortages::provoke(reason, scene),
        Why::DosFragment
        | Why::DosTransport
        | Why::DosFlags
        | Why::DosLand
        | Why::DosBogon
        | Why::DosReflection
        | Why::DosBlocked
        | Why::DosSignature
        | Why::DosSourceLimit
        | Why::DosSyn
        | Why::DosState
        | Why::DosDestinationLimit
        | Why::DosBudget => dos::provoke(reason, scene),
        Why::TenantFragment
        | Why::TenantFragmentLost
        | Why::TenantFragmentsFull
        | Why::TenantRule
        | Why::TenantPolicy
        | Why::EgressGreHeader
        | Why::EgressGreTunnel
        | Why::EgressGrePayload
        | Why::EgressGreSource
        | Why::EgressGreRecursion
        | Why::EgressGreEcn
        | Why::EgressNoNat => transit::provoke(reason, scene),
        Why::EgressNatHeader
        | Why::EgressNatProtocol
        | Why::EgressNatState
        | Why::EgressNatUnknown
        | Why::EgressNatFiltered
        | Why::EgressNatError
        | Why::EgressNatFragment
        | Why::EgressNatClient
        | Why::EgressNatFull
        | Why::EgressNatPorts
        | Why::EgressNatPrefix
        | Why::EgressConnectUntimely
        | Why::EgressConnectSegment
        | Why::EgressConnectFull
        | Why::EgressConnectRoute
        | Why::EgressConnectRefused
        | Why::EgressConnectSource
        | Why::EgressViaSource
        | Why::EgressViaHeader
        | Why::EgressViaTarget
        | Why::EgressViaUnknown
        | Why::EgressViaAddress
        | Why::EgressViaFull => egress::provoke(reason, scene),
        // A session may send 2^64 - 2^13 messages, so this one is shown at the stage (`stages/wireguard/tests.rs`).
        Why::SealExhausted => return None,
    };
    Some(before)
}

fn check(reason: DropReason) {
    let name = reason.name();
    let (plan, options) = plan(reason);
    let mut scene = Scene::new(&plan, options);
    if plan.fleet.is_some() {
        fleet::found(&mut scene);
    }
    scene.join(false, client::Options::default());
    scene.join(reason != DropReason::LinkNoRoute, client::Options::default());
    scene.send(0, &[]);
    scene.send(1, &[]);
    works(&mut scene, name, "before");
    let Some(before) = provoke(reason, &mut scene) else { return };
    let after = scene.server.totals();
    for other in DropReason::ALL {
        let lost = after.dropped(*other) - before.dropped(*other);
        assert_eq!(lost, u64::from(*other == reason), "{} when {name} was provoked", other.name());
    }
    assert_eq!(after.unaccounted(), 0, "{name}\n{after}");
    if reason != DropReason::Stopped {
        works(&mut scene, name, "after");
    }
    assert_eq!(scene.server.totals().unaccounted(), 0, "{name}");
    assert_eq!(
        scene.server.buffers_held() as u64,
        scene.server.totals().held,
        "{name}: no buffer leaks"
    );
}

fn works(scene: &mut Scene, name: &str, when: &str) {
    assert!(scene.passes(0, 1) && scene.passes(1, 0), "clients reach each other {when} {name}");
    if scene.server.has(dataplane::testing::server::LOCAL) {
        assert!(scene.passes_local(0), "client and kernel reach each other {when} {name}");
    }
}

#[test]
fn every_reason_is_provoked_alone_and_harms_nobody_else() {
    let mut failed = Vec::new();
    for reason in DropReason::ALL {
        if std::panic::catch_unwind(|| check(*reason)).is_err() {
            failed.push(reason.name());
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}
