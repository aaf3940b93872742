//! Every attack does to a server what its name says, and nothing else.

#[cfg(test)]
#[path = "attacks/rules.rs"]
mod rules;
#[cfg(test)]
#[path = "attacks/stage.rs"]
mod stage;

use std::collections::BTreeSet;
use std::time::Duration;

use dataplane::counters::Totals;
use dataplane::fate::DropReason;
use dataplane::limits::{
    HELD_PER_KEY_MAX, HELD_TIME, JOBS_UNDER_LOAD, NEIGHBOUR_ATTEMPTS_MAX, NEIGHBOUR_RETRY,
    NEIGHBOURS_MAX, STRANGER_BURST,
};
use dataplane::testing::packets;
use dataplane::testing::scene::Scene as World;
use dataplane::testing::server::{Options, WIRE};
use pktgen::attack::{Attack, Builder, Cost, Counters, Knowledge, NOT_FROM_OUTSIDE, Need, ROOM};
use stage::{Stage, outsider, plan};
use wire::checksum::Sum;
use wire::{ethernet, icmp, ipv4, ipv6, tcp};

/// Frames of each attack; no more than may wait for one peer.
const FRAMES: usize = 12;
const MOMENT: Duration = Duration::from_millis(500);

#[cfg(test)]
fn reason(name: &str) -> Option<DropReason> {
    DropReason::ALL.iter().find(|reason| reason.name() == name).copied()
}

#[test]
fn every_drop_reason_is_an_attack_or_listed_as_none_in_stage_order() {
    let excused: BTreeSet<_> = NOT_FROM_OUTSIDE.iter().map(|(name, _)| *name).collect();
    assert_eq!(excused.len(), NOT_FROM_OUTSIDE.len());
    assert!(excused.iter().all(|name| reason(name).is_some()), "{excused:?}");
    let expected: Vec<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
    let expected: Vec<_> = expected.into_iter().filter(|name| !excused.contains(name)).collect();
    let provoked: Vec<_> = Attack::PROVOKED.iter().map(|attack| attack.name()).collect();
    assert_eq!(provoked, expected);
}

#[test]
fn names_are_unique_and_lead_back_and_each_attack_says_what_it_does() {
    let names: BTreeSet<_> = Attack::ALL.iter().map(|attack| attack.name()).collect();
    assert_eq!(names.len(), Attack::ALL.len());
    for attack in Attack::ALL {
        assert_eq!(Attack::from_name(attack.name()), Some(*attack));
        let about = attack.about();
        assert!(about.ends_with('.') && !about.starts_with(' '), "{about}");
    }
    assert_eq!(Attack::from_name("no_attack"), None);
}

/// What an attack needs beside the ordinary site.
#[cfg(test)]
fn stage_for(attack: Attack) -> Stage {
    let mut plan = plan();
    let mut options = Options::default();
    match attack.name() {
        "parse_no_kernel" => plan.kernel = false,
        "link_no_route" => plan.gateways.retain(std::net::IpAddr::is_ipv4),
        "egress_no_local" => options.local = false,
        _ => {}
    }
    Stage::new(&plan, options, attack)
}

#[cfg(test)]
fn provoke(attack: Attack, stage: &mut Stage) -> Totals {
    let mut builder = Builder::new(attack, &stage.scene).unwrap();
    if attack == Attack::DosHandshakeLimit {
        stage.send_to_workers(&mut builder, attack.warm_up());
        let before = stage.world.server.totals();
        stage.send_to_workers(&mut builder, FRAMES);
        return before;
    }
    if attack == Attack::LinkTableFull {
        // Answers go to where the last frame of a burst came from.
        stage.burst = 1;
    }
    // Ghosts do not answer.
    stage.world.neighbours = !matches!(attack, Attack::LinkTableFull | Attack::LinkUnresolved);
    stage.send(&mut builder, attack.warm_up() + rules::warm_up(attack));
    let before = stage.world.server.totals();
    stage.send(&mut builder, FRAMES);
    if attack == Attack::LinkUnresolved {
        stage.world.wait(NEIGHBOUR_RETRY * u32::from(NEIGHBOUR_ATTEMPTS_MAX) + MOMENT);
    }
    if attack == Attack::HoldExpired {
        stage.world.wait(HELD_TIME + MOMENT);
    }
    stage.world.neighbours = true;
    before
}

#[cfg(test)]
fn check(attack: Attack) {
    let mut stage = stage_for(attack);
    assert!(stage.works(), "before {attack}");
    let before = provoke(attack, &mut stage);
    let after = stage.world.server.totals();
    for other in DropReason::ALL {
        let lost = after.dropped(*other) - before.dropped(*other);
        let expected = if other.name() == attack.name() { FRAMES as u64 } else { 0 };
        assert_eq!(lost, expected, "{} under {attack}", other.name());
    }
    if attack == Attack::DosHandshakeLimit {
        // The handshake threads find garbage in their rings.
        stage.world.settle();
        stage.world.wait(Duration::from_secs(2));
    }
    assert!(stage.works(), "honest clients after {attack}");
    if attack != Attack::EgressNoLocal && !attack.name().starts_with("parse_no") {
        // Whose limit is spent is not served, whoever has spent it.
        assert!(attack == Attack::DosSourceLimit || rules::passes(&mut stage.world), "{attack}");
    }
    assert_eq!(stage.world.server.totals().unaccounted(), 0, "{attack}");
}

#[test]
fn two_attacks_through_one_session_are_both_counted_under_their_names() {
    let attacks = [Attack::WireguardSource, Attack::RouteNone];
    let mut stage = stage_for(Attack::RouteNone);
    let mut builders = attacks.map(|attack| Builder::new(attack, &stage.scene).unwrap());
    let before = stage.world.server.totals();
    for _ in 0..FRAMES {
        for builder in &mut builders {
            stage.send(builder, 1);
        }
    }
    let after = stage.world.server.totals();
    for attack in attacks {
        let reason = reason(attack.name()).unwrap();
        assert_eq!(after.dropped(reason) - before.dropped(reason), FRAMES as u64, "{attack}");
    }
}

#[test]
fn every_attack_raises_the_counter_of_its_name_alone_and_harms_nobody_else() {
    let mut failed = Vec::new();
    for attack in Attack::PROVOKED {
        if std::panic::catch_unwind(|| check(*attack)).is_err() {
            failed.push(attack.name());
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn an_attack_says_beforehand_what_a_stranger_lacks_for_it() {
    for attack in Attack::ALL {
        let wanted = match Builder::new(*attack, &outsider(None, 1)).map_err(|error| error.need) {
            Ok(_) | Err(Need::Fleet) => Knowledge::Common,
            Err(Need::Datagrams | Need::Initiation | Need::Capture) => Knowledge::Captured,
            Err(Need::Client | Need::DeadIndex) => Knowledge::Session,
            Err(need) => panic!("{attack}: {need}"),
        };
        assert_eq!(attack.knowledge(), wanted, "{attack}");
    }
}

#[test]
fn warm_ups_are_the_limits_of_the_dataplane() {
    assert_eq!(Attack::HoldFull.warm_up(), HELD_PER_KEY_MAX);
    assert_eq!(Attack::LinkTableFull.warm_up(), NEIGHBOURS_MAX);
    let until_limited = JOBS_UNDER_LOAD + 1 + STRANGER_BURST as usize;
    assert_eq!(Attack::DosHandshakeLimit.warm_up(), until_limited);
    let per_second = wireguard::limits::INITIATIONS_PER_SECOND as usize;
    assert_eq!(Attack::HandshakeFlood.warm_up(), per_second + 1);
}

/// What a flood does: the reasons that it provokes, each of them, and whether the kernel gets the rest.
#[cfg(test)]
fn outcome(flood: Attack) -> (&'static [&'static str], bool) {
    match flood.name() {
        "syn_flood" | "spoofed_udp" | "gre_wrong_source" | "ack_flood" | "rst_flood"
        | "syn_ack_reflection" | "icmp_flood" => (&[], true),
        // The longest datagrams do not fit the interface by which the tenant is reached, and few of their senders are told.
        "carpet_bombing" => (&["egress_too_big"], true),
        "reflection" => (&["dos_message"], true),
        "initiation_flood" => (&["handshake_invalid", "handshake_unknown_peer"], false),
        "replay" => (&["wireguard_replay", "handshake_replay"], false),
        "unknown_index" => (&["steer_foreign_server", "steer_foreign_worker"], false),
        "forged_tag" => (&["wireguard_tag"], false),
        "fragments" => (&["parse_fragment"], true),
        "ping_of_death" => (&["parse_fragment"], false),
        "malformed_headers" => (
            &[
                "parse_ip_version",
                "parse_ip_header_length",
                "parse_ip_total_length",
                "parse_ip_checksum",
                "parse_ip_extension",
                "parse_udp_length",
                "parse_udp_checksum",
            ],
            false,
        ),
        name => panic!("what does {name} do?"),
    }
}

#[test]
fn every_flood_provokes_its_reasons_and_each_frame_is_accounted_for() {
    const COUNT: usize = 2_000;
    for flood in Attack::ALL.iter().filter(|attack| !Attack::PROVOKED.contains(attack)) {
        let mut stage = Stage::new(&plan(), Options::default(), *flood);
        let mut builder = Builder::new(*flood, &stage.scene).unwrap();
        let before = stage.world.server.totals();
        stage.send(&mut builder, COUNT);
        let after = stage.world.server.totals();
        let (reasons, to_kernel) = outcome(*flood);
        let mut lost = 0;
        for name in reasons {
            let reason = reason(name).unwrap();
            let dropped = after.dropped(reason) - before.dropped(reason);
            assert!(dropped > 0, "{flood} provokes {name}");
            lost += dropped;
        }
        let delivered = after.delivered - before.delivered;
        let all = after.dropped_all() - before.dropped_all();
        // What is drawn at random hits something else once in a long while.
        assert!(all - lost <= 5, "{flood} provokes {reasons:?} and little else\n{after}");
        let told = after.icmp_errors - before.icmp_errors;
        assert_eq!(all + delivered + told, COUNT as u64, "{flood}\n{after}");
        assert_eq!(delivered > 0, to_kernel, "{flood}");
        assert!(stage.works(), "honest clients after {flood}");
        assert_eq!(stage.world.server.totals().unaccounted(), 0, "{flood}");
    }
}

#[test]
fn attacks_of_strangers_work_in_one_family_and_under_a_tag() {
    for (v4, v6, vlan) in [(true, false, None), (false, true, None), (true, true, Some(7))] {
        let mut built = 0;
        for attack in Attack::PROVOKED {
            let mut scene = outsider(vlan, 3);
            scene.target_v4 = scene.target_v4.filter(|_| v4);
            scene.target_v6 = scene.target_v6.filter(|_| v6);
            scene.tenant_v4 = scene.tenant_v4.filter(|_| v4);
            scene.tenant_v6 = scene.tenant_v6.filter(|_| v6);
            let Ok(mut builder) = Builder::new(*attack, &scene) else { continue };
            if *attack == Attack::DosHandshakeLimit {
                continue;
            }
            built += 1;
            let mut plan = plan();
            plan.vlan = vlan;
            plan.kernel = *attack != Attack::ParseNoKernel;
            let mut world = World::bare(&plan, Options::default());
            rules::tell(&mut world, *attack);
            let mut out = [0; ROOM];
            let mut send = |world: &mut World, count: usize| {
                for _ in 0..count {
                    let len = builder.build(&mut out);
                    world.put(WIRE, &out[..len]);
                }
                world.settle();
                world.server.totals()
            };
            let before = send(&mut world, rules::warm_up(*attack));
            let totals = send(&mut world, FRAMES);
            let own = reason(attack.name()).unwrap();
            let dropped = totals.dropped(own) - before.dropped(own);
            // One random index in 256 is for this server.
            let expected = if *attack == Attack::SteerForeignServer { FRAMES - 1 } else { FRAMES };
            assert!(dropped >= expected as u64, "{attack} {v4} {v6} {vlan:?}\n{totals}");
            assert_eq!(
                totals.dropped_all() - before.dropped_all(),
                FRAMES as u64,
                "{attack}\n{totals}"
            );
        }
        assert!(built >= 13, "{built} attacks with {v4} {v6}");
    }
}

#[test]
fn floods_bear_right_checksums() {
    let scene = outsider(None, 5);
    let datagrams =
        [Attack::SpoofedUdp, Attack::Reflection, Attack::CarpetBombing, Attack::DosSignature];
    let segments = [
        (Attack::SynFlood, tcp::Flags::SYN),
        (Attack::AckFlood, tcp::Flags::ACK),
        (Attack::RstFlood, tcp::Flags::RST),
        (Attack::SynAckReflection, tcp::Flags::SYN | tcp::Flags::ACK),
        (Attack::DosLand, tcp::Flags::SYN),
    ];
    let segments = segments.map(|(flood, flags)| (flood, Some(flags)));
    for (flood, flags) in datagrams.map(|flood| (flood, None)).into_iter().chain(segments) {
        let mut builder = Builder::new(flood, &scene).unwrap();
        let mut out = [0; ROOM];
        for _ in 0..2_000 {
            let len = builder.build(&mut out);
            let frame = &out[..len];
            let (outline, packet) = packets::packet_in(frame).unwrap();
            assert_eq!(ethernet::HEADER_LEN + outline.len, len, "{flood}");
            let upper = &packet[outline.payload_offset..];
            let Some(flags) = flags else {
                assert!(packets::datagram_in(frame).is_some(), "{flood}");
                continue;
            };
            let upper_len = u16::try_from(upper.len()).unwrap();
            let pseudo = match (ipv4::parse(packet), ipv6::parse(packet)) {
                (Ok(ip), _) => Sum::pseudo_v4(ip.source, ip.destination, tcp::PROTOCOL, upper_len),
                (_, Ok(ip)) => Sum::pseudo_v6(ip.source, ip.destination, tcp::PROTOCOL, upper_len),
                _ => panic!("no IP packet"),
            };
            tcp::verify(pseudo, upper).unwrap();
            assert!(tcp::parse(upper).unwrap().flags.has(flags), "{flood}");
        }
    }
}

#[test]
fn pings_bear_right_checksums() {
    let mut builder = Builder::new(Attack::IcmpFlood, &outsider(None, 5)).unwrap();
    let mut out = [0; ROOM];
    for _ in 0..2_000 {
        let len = builder.build(&mut out);
        let (outline, packet) = packets::packet_in(&out[..len]).unwrap();
        let upper = &packet[outline.payload_offset..];
        match (ipv4::parse(packet), ipv6::parse(packet)) {
            (Ok(_), _) => assert!(icmp::v4::parse(upper).unwrap().echo_request_v4().is_some()),
            (_, Ok(ip)) => {
                let message = icmp::v6::parse(ip.source, ip.destination, upper).unwrap();
                assert!(message.echo_request_v6().is_some());
            }
            _ => panic!("no IP packet"),
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_frames_and_another_one_others() {
    let stage = Stage::new(&plan(), Options::default(), Attack::Replay);
    for attack in Attack::ALL {
        let frames = |seed| {
            let mut scene = stage.scene.clone();
            scene.seed = seed;
            // The counters of one session go on; another run begins with its own.
            scene.client.as_mut().unwrap().counters = Counters::from(3);
            let mut builder = Builder::new(*attack, &scene).unwrap();
            let mut out = [0; ROOM];
            let build = |_| {
                let len = builder.build(&mut out);
                out[..len].to_vec()
            };
            (0..20).map(build).collect::<Vec<_>>()
        };
        assert_eq!(frames(1), frames(1), "{attack}");
        let fixed = attack.cost() == Cost::Aead || *attack == Attack::DosHandshakeLimit;
        assert!(fixed || frames(1) != frames(2), "{attack}");
    }
}

#[test]
fn frames_fit_their_room_and_what_has_no_room_is_not_written() {
    let stage = Stage::new(&plan(), Options::default(), Attack::Replay);
    for attack in Attack::ALL {
        for room in (0..ROOM).step_by(7) {
            let mut builder = Builder::new(*attack, &stage.scene).unwrap();
            let mut out = [0; ROOM];
            let len = builder.build(&mut out[..room]);
            assert!(len <= room, "{attack} in {room}");
            if attack.cost() >= Cost::Noise {
                break;
            }
        }
    }
}

#[test]
fn a_scene_that_lacks_something_is_refused_with_its_name() {
    let mut scene = outsider(None, 1);
    (scene.target_v4, scene.target_v6) = (None, None);
    (scene.tenant_v4, scene.tenant_v6) = (None, None);
    for attack in Attack::ALL {
        let error = Builder::new(*attack, &scene).unwrap_err();
        assert!(error.to_string().starts_with(&format!("attack {attack} needs ")), "{error}");
    }
    let mut stage = Stage::new(&plan(), Options::default(), Attack::Replay);
    let fleet = stage.scene.fleet.as_mut().unwrap();
    fleet.workers = 16;
    let error = Builder::new(Attack::SteerForeignWorker, &stage.scene).unwrap_err();
    assert!(error.to_string().contains("room for other"), "{error}");
    stage.scene.fleet.as_mut().unwrap().workers = 17;
    assert!(Builder::new(Attack::SteerForeignServer, &stage.scene).is_err());
    stage.scene.captured.datagrams = vec![vec![4; 1_600]];
    assert!(Builder::new(Attack::WireguardReplay, &stage.scene).is_err());
}

#[test]
fn an_index_that_was_given_back_is_unknown_without_the_fleets_key() {
    let mut stage = Stage::new(&plan(), Options::default(), Attack::Replay);
    stage.scene.captured.dead_index = stage.scene.client.as_ref().map(|client| client.index);
    stage.scene.fleet = None;
    // A session is forgotten after three times its life.
    stage.world.wait(Duration::from_mins(10));
    let before = stage.world.server.totals();
    let mut builder = Builder::new(Attack::WireguardUnknownIndex, &stage.scene).unwrap();
    stage.send(&mut builder, FRAMES);
    let reason = DropReason::WireguardUnknownIndex;
    let lost = stage.world.server.totals().dropped(reason) - before.dropped(reason);
    assert_eq!(lost, FRAMES as u64);
}
