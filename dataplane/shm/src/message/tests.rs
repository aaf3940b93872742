//! Messages: every one is read as it was written, and every fault has its name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use proptest::prelude::*;
use wireguard::message::ClientId;
use wireguard::secret::Secret;

use super::*;
use crate::limits::{
    LISTED_PER_ITEM_MAX, MEMBERS_MAX, PAST_MAX, PROBE_INTERVAL_MAX_MS, PROBE_INTERVAL_MIN_MS,
    PROGRAM_MAX, RULESET_TEXT_PER_ITEM_MAX, TENANT_PREFIXES_MAX, TUNNEL_MTU_MAX, TUNNEL_MTU_MIN,
    TUNNEL_WEIGHT_MAX,
};
use crate::transaction::Reason;

fn key() -> impl Strategy<Value = PublicKey> {
    any::<[u8; 32]>().prop_map(|octets| PublicKey(octets.map(|octet| octet | 1)))
}

fn net() -> impl Strategy<Value = IpNet> {
    (any::<IpAddr>(), 0_u8..=128).prop_map(|(address, len)| {
        let max = if address.is_ipv4() { 32 } else { 128 };
        IpNet::new(address, len % (max + 1)).unwrap().trunc()
    })
}

fn endpoint() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), 1..=u16::MAX).prop_map(|(address, port)| SocketAddr::new(address, port))
}

fn time() -> impl Strategy<Value = Duration> {
    any::<u64>().prop_map(Duration::from_nanos)
}

pub(crate) fn peer() -> impl Strategy<Value = Peer> {
    let nets = prop::collection::vec(net(), 0..=crate::limits::ADDRESSES_PER_PEER_MAX);
    let seconds = prop::option::of(1_u16..);
    (key(), any::<[u8; 32]>(), any::<[u8; 3]>(), prop::option::of(endpoint()), seconds, nets)
        .prop_map(|(public_key, preshared_key, client_id, endpoint, seconds, allowed_ips)| Peer {
            public_key,
            preshared_key: Secret::new(preshared_key),
            client_id: ClientId(client_id),
            endpoint,
            persistent_keepalive: seconds.map(|seconds| Duration::from_secs(seconds.into())),
            allowed_ips,
        })
}

fn hop() -> impl Strategy<Value = NextHop> {
    let gre = (any::<bool>(), any::<[u8; 16]>(), any::<[u8; 16]>());
    prop_oneof![
        Just(NextHop::Reject),
        Just(NextHop::Local),
        Just(NextHop::Direct),
        key().prop_map(NextHop::Client),
        (any::<u32>(), any::<Option<IpAddr>>())
            .prop_map(|(centre, remote)| NextHop::Via { centre, remote }),
        (gre, any::<Option<u32>>(), any::<bool>()).prop_map(
            |((v6, local, remote), key, checksum)| {
                let address = |octets: [u8; 16]| match octets {
                    octets if v6 => IpAddr::from(octets),
                    [a, b, c, d, ..] => IpAddr::from([a, b, c, d]),
                };
                NextHop::Gre { local: address(local), remote: address(remote), key, checksum }
            }
        ),
    ]
}

fn member() -> impl Strategy<Value = Member> {
    let deadline = prop::option::of(any::<u64>().prop_map(Duration::from_secs));
    let state = prop_oneof![
        Just(MemberState::Active),
        deadline.prop_map(|deadline| MemberState::Draining { deadline }),
        Just(MemberState::Down),
    ];
    (any::<u8>(), any::<u16>(), state, any::<Option<Ipv4Addr>>(), any::<Option<Ipv6Addr>>())
        .prop_map(|(server, weight, state, v4, v6)| Member { server, weight, state, v4, v6 })
}

fn fleet() -> impl Strategy<Value = Fleet> {
    let weights = prop::collection::vec(any::<(u8, u16)>(), 0..=MEMBERS_MAX);
    let past =
        (any::<u16>(), weights).prop_map(|(generation, weights)| Past { generation, weights });
    let members = prop::collection::vec(member(), 0..=MEMBERS_MAX);
    (any::<u16>(), members, prop::collection::vec(past, 0..=PAST_MAX))
        .prop_map(|(generation, members, past)| Fleet { generation, members, past })
}

fn one_of<T: Copy + fmt::Debug>(all: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(all)
}

fn tenant() -> impl Strategy<Value = Tenant> {
    let nets = prop::collection::vec(net(), 1..=TENANT_PREFIXES_MAX);
    let numbers = any::<(u32, u32, u32, bool)>();
    (one_of(Mode::ALL), one_of(SynGuard::ALL), numbers, nets).prop_map(
        |(mode, syn, (id, syn_above, out_of_state, flows), prefixes)| Tenant {
            id,
            mode,
            syn,
            syn_above,
            flows,
            out_of_state,
            prefixes,
        },
    )
}

fn instruction() -> impl Strategy<Value = Instruction> {
    any::<(u16, u8, u8, u32)>().prop_map(|(code, jt, jf, k)| Instruction { code, jt, jf, k })
}

fn matter() -> impl Strategy<Value = Matter> {
    let lens = (0_u8..=32, 0_u8..=128);
    let per = prop_oneof![
        Just(Per::Whole),
        lens.clone().prop_map(|(v4_len, v6_len)| Per::Source { v4_len, v6_len }),
        lens.prop_map(|(v4_len, v6_len)| Per::Destination { v4_len, v6_len }),
    ];
    let limit = (per, one_of(Class::ALL), one_of(Unit::ALL), any::<(u64, u64)>());
    prop_oneof![
        Just(Matter::Block),
        Just(Matter::Allow),
        Just(Matter::Set),
        prop::collection::vec(instruction(), 1..=PROGRAM_MAX).prop_map(Matter::Signature),
        one_of(Check::ALL).prop_map(Matter::Check),
        limit.prop_map(|(per, class, unit, (per_second, burst))| Matter::Limit {
            per,
            class,
            unit,
            per_second,
            burst
        }),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let reach =
        prop_oneof![Just(Reach::All), Just(Reach::Own), any::<u32>().prop_map(Reach::Tenant),];
    let expires = prop::option::of(any::<u64>().prop_map(Duration::from_secs));
    (1_u32.., one_of(Mode::ALL), reach, expires, matter())
        .prop_map(|(id, mode, reach, expires, matter)| Rule { id, mode, reach, expires, matter })
}

fn listed() -> impl Strategy<Value = Item> {
    let nets = prop::collection::vec(net(), 1..=LISTED_PER_ITEM_MAX / 16);
    (1_u32.., nets, any::<bool>()).prop_map(|(rule, prefixes, into)| {
        if into { Item::Listed { rule, prefixes } } else { Item::Unlisted { rule, prefixes } }
    })
}

/// Two addresses of one family.
fn ends() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    prop_oneof![
        any::<(Ipv4Addr, Ipv4Addr)>().prop_map(|(local, remote)| (local.into(), remote.into())),
        any::<(Ipv6Addr, Ipv6Addr)>().prop_map(|(local, remote)| (local.into(), remote.into())),
    ]
}

fn probe() -> impl Strategy<Value = Probe> {
    let interval = PROBE_INTERVAL_MIN_MS..=PROBE_INTERVAL_MAX_MS;
    (one_of(ProbeStyle::ALL), ends(), interval).prop_map(|(style, (local, remote), ms)| {
        let interval = Duration::from_millis(ms);
        Probe { style, local, remote, interval }
    })
}

fn tunnel() -> impl Strategy<Value = Tunnel> {
    let mtu = prop_oneof![Just(0), TUNNEL_MTU_MIN..=TUNNEL_MTU_MAX];
    let numbers = (any::<(u32, u32, Option<u32>, bool, u16)>(), mtu, 1..=TUNNEL_WEIGHT_MAX);
    (numbers, one_of(DontFragment::ALL), ends(), prop::option::of(probe())).prop_map(
        |(numbers, dont_fragment, (local, remote), probe)| {
            let ((id, tenant, key, checksum, priority), mtu, weight) = numbers;
            Tunnel {
                id,
                tenant,
                local,
                remote,
                key,
                checksum,
                mtu,
                dont_fragment,
                priority,
                weight,
                probe,
            }
        },
    )
}

fn text() -> impl Strategy<Value = Item> {
    (any::<u32>(), prop::collection::vec(any::<u8>(), 1..=1000))
        .prop_map(|(tenant, text)| Item::RulesetText { tenant, text: text.into() })
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let looks = any::<(Option<u16>, Option<u16>, Option<u16>, Option<u8>)>();
    (any::<Option<u32>>(), any::<IpAddr>(), any::<u8>(), looks).prop_map(
        |(tenant, destination, protocol, (source_port, destination_port, len, tcp_flags))| {
            Pattern { tenant, destination, protocol, source_port, destination_port, len, tcp_flags }
        },
    )
}

fn heavy() -> impl Strategy<Value = Heavy> {
    prop_oneof![
        net().prop_map(Heavy::Source),
        (any::<IpAddr>(), any::<Option<u32>>())
            .prop_map(|(address, tenant)| Heavy::Destination { address, tenant }),
        pattern().prop_map(Heavy::Pattern),
    ]
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        tenant().prop_map(|tenant| Item::Tenant(Box::new(tenant))),
        any::<u32>().prop_map(Item::TenantRemove),
        rule().prop_map(|rule| Item::Rule(Box::new(rule))),
        (1_u32..).prop_map(Item::RuleRemove),
        listed(),
        peer().prop_map(|peer| Item::Peer(Box::new(peer))),
        key().prop_map(Item::PeerRemove),
        (net(), any::<u32>()).prop_map(|(prefix, next_hop)| Item::Route { prefix, next_hop }),
        net().prop_map(Item::RouteRemove),
        (any::<u32>(), hop()).prop_map(|(id, hop)| Item::NextHop { id, hop }),
        any::<u32>().prop_map(Item::NextHopRemove),
        fleet().prop_map(|fleet| Item::Fleet(Box::new(fleet))),
        Just(Item::FleetRemove),
        tunnel().prop_map(|tunnel| Item::Tunnel(Box::new(tunnel))),
        any::<u32>().prop_map(Item::TunnelRemove),
        any::<u32>().prop_map(Item::Ruleset),
        text(),
        centre::centre().prop_map(|centre| Item::Centre(Box::new(centre))),
        centre::machines(),
        (1_u16..).prop_map(Item::CentreRemove),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let reason = prop::sample::select(Reason::ALL);
    let refused = (any::<u64>(), reason, any::<u64>(), any::<u16>());
    prop_oneof![
        centre::measured(),
        (any::<(u32, u64, u64, u64, u64)>(), one_of(TunnelState::ALL)).prop_map(
            |((id, rtt, sent, answered, since), state)| {
                let (rtt, since) = (Duration::from_micros(rtt), Duration::from_secs(since));
                Event::Tunnel { id, state, rtt, sent, answered, since }
            }
        ),
        any::<(u32, [u64; 2], [u64; 2])>().prop_map(|(id, sent, received)| Event::TunnelCount {
            id,
            sent,
            received
        }),
        any::<(u32, u32, u64, u64, u64)>().prop_map(|(tenant, rule, packets, octets, dropped)| {
            Event::TenantCount { tenant, rule, packets, octets, dropped }
        }),
        any::<(u32, u64, u64, u64, bool)>().prop_map(
            |(rule, packets, octets, dropped, expired)| Event::RuleCount {
                rule,
                packets,
                octets,
                dropped,
                expired
            }
        ),
        (time(), any::<[u64; 3]>(), heavy()).prop_map(|(at, [packets, octets, dropped], what)| {
            Event::Heavy { at, packets, octets, dropped, what }
        }),
        (time(), any::<u64>()).prop_map(|(at, round)| Event::Swept { at, round }),
        (any::<u64>(), any::<u64>()).prop_map(|(id, count)| Event::Applied { id, count }),
        refused.prop_map(|(id, reason, item, detail)| Event::Refused { id, reason, item, detail }),
        Just(Event::Desynchronised),
        any::<u64>().prop_map(Event::Lost),
        (time(), any::<u64>()).prop_map(|(at, transaction)| Event::Heartbeat { at, transaction }),
        (key(), endpoint(), time()).prop_map(|(public_key, endpoint, at)| Event::Handshake {
            public_key,
            endpoint,
            at
        }),
        (key(), endpoint(), time()).prop_map(|(public_key, endpoint, at)| Event::EndpointMoved {
            public_key,
            endpoint,
            at
        }),
        (key(), time()).prop_map(|(public_key, at)| Event::PeerExpired { public_key, at }),
        any::<u64>().prop_map(|id| Event::Surveyed { id }),
        (key(), any::<u16>(), any::<u32>()).prop_map(|(public_key, listen_port, peers_max)| {
            Event::Server { public_key, listen_port, peers_max }
        }),
        any::<(u8, u16, u64, u64)>().prop_map(|(server, generation, digest, held)| Event::Fleet {
            server,
            generation,
            digest,
            held
        }),
        (key(), prop::option::of(endpoint()), time(), any::<[u64; 2]>()).prop_map(
            |(public_key, endpoint, handshake, [received, sent])| Event::PeerState {
                public_key,
                endpoint,
                handshake,
                received,
                sent
            }
        ),
    ]
}

/// What the collector does with continuations, done simply.
fn read_back(messages: &[[u64; COMMAND_WORDS]]) -> Result<Item, Malformed> {
    let mut whole = None;
    for message in messages {
        match Command::decode(message)? {
            Command::Item { item: Item::Listed { rule, prefixes }, .. } => match &mut whole {
                Some(Item::Listed { prefixes: before, .. }) => before.extend(prefixes),
                _ => whole = Some(Item::Listed { rule, prefixes }),
            },
            Command::Item { item: Item::Unlisted { rule, prefixes }, .. } => match &mut whole {
                Some(Item::Unlisted { prefixes: before, .. }) => before.extend(prefixes),
                _ => whole = Some(Item::Unlisted { rule, prefixes }),
            },
            Command::Item { item: Item::RulesetText { tenant, text }, .. } => match &mut whole {
                Some(Item::RulesetText { text: before, .. }) => {
                    *before = [before.as_ref(), text.as_ref()].concat().into();
                }
                _ => whole = Some(Item::RulesetText { tenant, text }),
            },
            Command::Item { item: Item::Machines { centre: number, machines }, .. } => {
                match &mut whole {
                    Some(Item::Centre(centre)) => centre.machines.extend(machines),
                    Some(Item::Machines { machines: before, .. }) => before.extend(machines),
                    _ => whole = Some(Item::Machines { centre: number, machines }),
                }
            }
            Command::Item { item, .. } => whole = Some(item),
            Command::Prefixes { tenant: id, prefixes, .. } => {
                let Some(Item::Tenant(tenant)) = &mut whole else {
                    return Err(Malformed::Reserved);
                };
                assert_eq!(tenant.id, id);
                tenant.prefixes.extend(prefixes);
            }
            Command::Instructions { rule: id, instructions, .. } => {
                let Some(Item::Rule(rule)) = &mut whole else { return Err(Malformed::Reserved) };
                let Matter::Signature(program) = &mut rule.matter else {
                    return Err(Malformed::Reserved);
                };
                assert_eq!(rule.id, id);
                program.extend(instructions);
            }
            Command::Addresses { allowed_ips, public_key, .. } => {
                let Some(Item::Peer(peer)) = &mut whole else { return Err(Malformed::Reserved) };
                assert_eq!(peer.public_key, public_key);
                peer.allowed_ips.extend(allowed_ips);
            }
            Command::Members { generation, members, .. } => {
                let Some(Item::Fleet(fleet)) = &mut whole else { return Err(Malformed::Reserved) };
                assert_eq!((fleet.generation, fleet.past.len()), (generation, 0));
                fleet.members.extend(members);
            }
            Command::Past { generation, past, continued, .. } => {
                let Some(Item::Fleet(fleet)) = &mut whole else { return Err(Malformed::Reserved) };
                assert_eq!(fleet.generation, generation);
                match fleet.past.last_mut().filter(|_| continued) {
                    Some(last) => last.weights.extend(past.weights),
                    None => fleet.past.push(past),
                }
            }
            other @ (Command::Begin { .. }
            | Command::Commit { .. }
            | Command::Abort { .. }
            | Command::Survey { .. }) => panic!("{other:?} is no item"),
        }
    }
    Ok(whole.unwrap())
}

/// An item as it comes back: of what goes into a list or out of it, IPv4 goes first.
fn sorted(mut item: Item) -> Item {
    if let Item::Listed { prefixes, .. } | Item::Unlisted { prefixes, .. } = &mut item {
        prefixes.sort_by_key(|net| matches!(net, IpNet::V6(_)));
    }
    item
}

proptest! {
    #[test]
    fn every_item_is_read_as_it_was_written(item in item()) {
        let mut messages = Vec::new();
        item.encode(&mut messages).unwrap();
        prop_assert_eq!(messages.len(), item.message_count().unwrap());
        prop_assert_eq!(read_back(&messages), Ok(sorted(item)));
    }

    #[test]
    fn every_event_is_read_as_it_was_written(event in event()) {
        prop_assert_eq!(Event::decode(&event.encode()), Ok(event));
    }

    #[test]
    fn an_item_with_an_octet_changed_is_another_one_or_refused(
        item in item(), at in 0_usize..COMMAND_WORDS * 8, flip in 1_u8..,
    ) {
        let mut messages = Vec::new();
        item.encode(&mut messages).unwrap();
        let word = &mut messages[0][at / 8];
        let mut octets = word.to_ne_bytes();
        octets[at % 8] ^= flip;
        *word = u64::from_ne_bytes(octets);
        // A message that was taken is what would be written for it: nothing was passed over.
        match Command::decode(&messages[0]) {
            Ok(Command::Item { item: Item::Peer(_), .. } | Command::Addresses { .. }) | Err(_) => {}
            Ok(Command::Item { item, more }) => {
                let mut again = Vec::new();
                item.encode(&mut again).unwrap();
                // The first message of a fleet, a tenant or a signature says that it goes on.
                let octet = again[0][0].to_ne_bytes();
                again[0][0] = u64::from_ne_bytes(
                    std::array::from_fn(|at| if at == 2 && more { 1 } else { octet[at] }),
                );
                prop_assert_eq!(again[0], messages[0]);
            }
            Ok(_) => {}
        }
    }

    #[test]
    fn anything_is_read_or_refused(
        mut words in any::<[u64; COMMAND_WORDS]>(),
        kind in prop::sample::select(vec![
            0_u16, 1, 2, 3, 16, 17, 18, 32, 33, 48, 49, 64, 65, 66, 80, 81, 82, 83, 84, 96, 97, 98, 99,
            112, 113, 114, 115, 256, 263, 264, 265, 266, 272, 288, 289, 290,
        ]),
        zeros in 0_usize..COMMAND_WORDS,
    ) {
        words[zeros..].fill(0);
        words[0] = words[0] & !0xffff | u64::from(kind);
        if let Ok(event) = Event::decode(words.first_chunk().unwrap()) {
            prop_assert_eq!(Some(&event.encode()), words.first_chunk());
        }
        if let Ok(Command::Item { item, .. }) = Command::decode(&words) {
            prop_assert_eq!(item.message_count(), Ok(1));
        }
    }
}

fn words(item: &Item) -> [u64; COMMAND_WORDS] {
    let mut messages = Vec::new();
    item.encode(&mut messages).unwrap();
    messages[0]
}

fn with(mut words: [u64; COMMAND_WORDS], at: usize, octet: u8) -> Result<Command, Malformed> {
    let mut octets = words[at / 8].to_ne_bytes();
    octets[at % 8] = octet;
    words[at / 8] = u64::from_ne_bytes(octets);
    Command::decode(&words)
}

#[test]
fn each_fault_has_its_name() {
    let route = words(&Item::Route { prefix: "10.0.0.0/8".parse().unwrap(), next_hop: 3 });
    // The prefix stands at octet 8: address, family, length.
    assert_eq!(with(route, 24, 5), Err(Malformed::Family(5)));
    assert_eq!(with(route, 24, 0), Err(Malformed::Reserved));
    assert_eq!(with(route, 25, 33), Err(Malformed::PrefixLen(33)));
    assert_eq!(with(route, 9, 1), Err(Malformed::HostBits));
    assert_eq!(with(route, 12, 1), Err(Malformed::Reserved));
    assert_eq!(with(route, 175, 1), Err(Malformed::Reserved));
    assert_eq!(with(route, 0, 127), Err(Malformed::Kind(127)));
    assert_eq!(with(route, 0, 33), Err(Malformed::Reserved), "a removal has no next hop");
    let key = PublicKey([1; 32]);
    let hop = words(&Item::NextHop { id: 1, hop: NextHop::Client(key) });
    assert_eq!(with(hop, 2, 9), Err(Malformed::NextHop(9)));
    assert_eq!(with(hop, 3, 1), Err(Malformed::Reserved));
    let (local, remote) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
    let gre = NextHop::Gre { local, remote, key: None, checksum: false };
    assert_eq!(with(words(&Item::NextHop { id: 1, hop: gre }), 28, 6), Err(Malformed::Families));
    assert_eq!(with(Command::begin(1, Scope::Delta), 2, 3), Err(Malformed::Scope(3)));
    let nobody = words(&Item::PeerRemove(PublicKey([0; 32])));
    assert_eq!(Command::decode(&nobody), Err(Malformed::Key));
}

#[test]
fn each_fault_of_a_peer_has_its_name() {
    let endpoint = Some("192.0.2.1:9".parse().unwrap());
    let peer = Peer {
        public_key: PublicKey([7; 32]),
        preshared_key: Secret::zero(),
        client_id: ClientId::ZERO,
        endpoint,
        persistent_keepalive: None,
        allowed_ips: vec!["10.0.0.1/32".parse().unwrap()],
    };
    let words = words(&Item::Peer(Box::new(peer)));
    assert_eq!(with(words, 2, 2), Err(Malformed::Flag(2)));
    assert_eq!(with(words, 3, 5), Err(Malformed::AddressCount(5)));
    assert_eq!(with(words, 3, 0), Err(Malformed::Reserved), "an address that is not counted");
    assert_eq!(with(words, 3, 2), Err(Malformed::Family(0)), "a count without an address");
    assert_eq!(with(words, 7, 1), Err(Malformed::Reserved));
    assert_eq!(with(words, 10, 0), Err(Malformed::Port));
}

#[test]
fn each_fault_of_a_fleet_has_its_name() {
    let deadline = Some(Duration::from_secs(9));
    let member = Member {
        server: 1,
        weight: 100,
        state: MemberState::Draining { deadline },
        v4: Some("192.0.2.1".parse().unwrap()),
        v6: None,
    };
    let past = Past { generation: 4, weights: vec![(1, 100)] };
    let fleet = Fleet { generation: 5, members: vec![member], past: vec![past] };
    let mut messages = Vec::new();
    Item::Fleet(Box::new(fleet)).encode(&mut messages).unwrap();
    let [first, past] = messages[..] else { panic!("{messages:?}") };
    // The first member stands at octet 16: number, state, what it has.
    assert_eq!(with(first, 2, 2), Err(Malformed::Flag(2)));
    assert_eq!(with(first, 3, 5), Err(Malformed::MemberCount(5)));
    assert_eq!(with(first, 3, 0), Err(Malformed::Reserved), "a member that is not counted");
    assert_eq!(with(first, 3, 2), Err(Malformed::MemberState(0)), "a count without a member");
    assert_eq!(with(first, 6, 1), Err(Malformed::Reserved));
    assert_eq!(with(first, 17, 4), Err(Malformed::MemberState(4)));
    assert_eq!(with(first, 17, 1), Err(Malformed::Reserved), "a deadline without draining");
    assert_eq!(with(first, 18, 1), Err(Malformed::Reserved), "a deadline that is none");
    assert_eq!(with(first, 18, 4), Err(Malformed::Reserved), "an address that is none");
    assert_eq!(with(first, 18, 13), Err(Malformed::Reserved), "a bit without a meaning");
    assert_eq!(with(first, 19, 1), Err(Malformed::Reserved));
    assert_eq!(with(past, 3, 42), Err(Malformed::MemberCount(42)));
    assert_eq!(with(past, 3, 0), Err(Malformed::Reserved), "a weight that is not counted");
    assert_eq!(with(past, 8, 2), Err(Malformed::Flag(2)));
    assert_eq!(with(past, 9, 1), Err(Malformed::Reserved));
    assert_eq!(with(past, 13, 1), Err(Malformed::Reserved));
    assert_eq!(with(words(&Item::FleetRemove), 2, 1), Err(Malformed::Reserved));
}

#[test]
fn a_fleet_with_too_many_parts_is_not_written() {
    let member = Member { server: 1, weight: 1, state: MemberState::Down, v4: None, v6: None };
    let past = |weights| Past { generation: 1, weights: vec![(1, 1); weights] };
    let fleet = |members, past| {
        Item::Fleet(Box::new(Fleet { generation: 2, members: vec![member; members], past }))
    };
    let largest = fleet(MEMBERS_MAX, vec![past(MEMBERS_MAX); PAST_MAX]);
    assert_eq!(largest.message_count(), Ok(64 + PAST_MAX * 7));
    for (item, error) in [
        (fleet(257, Vec::new()), TooMany::Members(257)),
        (fleet(1, vec![past(257)]), TooMany::Members(257)),
        (fleet(1, vec![past(1); PAST_MAX + 1]), TooMany::Past(PAST_MAX + 1)),
    ] {
        let mut messages = Vec::new();
        assert_eq!((item.encode(&mut messages), messages.len()), (Err(error), 0));
    }
}

#[test]
fn nothing_printed_holds_a_key_or_a_client_id() {
    let peer = Peer {
        public_key: PublicKey([0xab; 32]),
        preshared_key: Secret::new([0xcd; 32]),
        client_id: ClientId([0xef; 3]),
        endpoint: None,
        persistent_keepalive: None,
        allowed_ips: Vec::new(),
    };
    let event = Event::PeerExpired { public_key: peer.public_key, at: Duration::ZERO };
    let printed = format!("{:?} {event:?}", Item::Peer(Box::new(peer)));
    for secret in ["171", "205", "239", "ab", "cd", "ef"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[test]
fn a_peer_with_too_many_prefixes_is_not_written() {
    let net: IpNet = "10.0.0.1/32".parse().unwrap();
    let mut peer = Peer {
        public_key: PublicKey([7; 32]),
        preshared_key: Secret::zero(),
        client_id: ClientId::ZERO,
        endpoint: None,
        persistent_keepalive: None,
        allowed_ips: vec![net; 128],
    };
    assert_eq!(Item::Peer(Box::new(peer.clone())).message_count(), Ok(19));
    peer.allowed_ips.push(net);
    let mut messages = Vec::new();
    let refused = Item::Peer(Box::new(peer)).encode(&mut messages);
    assert_eq!((refused, messages.len()), (Err(TooMany::Addresses(129)), 0));
}

#[test]
fn each_fault_of_a_rule_has_its_name() {
    let matter = Matter::Limit {
        per: Per::Source { v4_len: 24, v6_len: 56 },
        class: Class::Syn,
        unit: Unit::Packets,
        per_second: 5,
        burst: 9,
    };
    let (mode, reach) = (Mode::Enforce, Reach::Own);
    let rule =
        |matter| words(&Item::Rule(Box::new(Rule { id: 7, mode, reach, expires: None, matter })));
    let limit = rule(matter);
    assert_eq!(with(limit, 2, 1), Err(Malformed::Reserved), "only a program goes on");
    assert_eq!(with(limit, 4, 0), Err(Malformed::RuleId));
    assert_eq!(with(limit, 8, 1), Err(Malformed::Reserved), "an expiry that is none");
    assert_eq!(with(limit, 32, 1), Err(Malformed::Reserved), "a tenant without its reach");
    assert_eq!(with(limit, 36, 0), Err(Malformed::Choice(0)), "no mode");
    assert_eq!(with(limit, 37, 4), Err(Malformed::Choice(4)), "no reach");
    assert_eq!(with(limit, 38, 2), Err(Malformed::Flag(2)));
    assert_eq!(with(limit, 39, 7), Err(Malformed::Choice(7)), "no matter");
    assert_eq!(with(limit, 39, 6), Err(Malformed::Reserved), "a set without a limit");
    assert_eq!(with(limit, 39, 1), Err(Malformed::Reserved), "a list without a limit");
    assert_eq!(with(limit, 40, 10), Err(Malformed::Choice(10)), "no class");
    assert_eq!(with(limit, 41, 3), Err(Malformed::Choice(3)), "no unit");
    assert_eq!(with(limit, 42, 0), Err(Malformed::Choice(0)), "nothing that shares it");
    assert_eq!(with(limit, 42, 3), Err(Malformed::Reserved), "lengths of nothing");
    assert_eq!(with(limit, 43, 33), Err(Malformed::PrefixLen(33)));
    assert_eq!(with(limit, 44, 129), Err(Malformed::PrefixLen(129)));
    assert_eq!(with(limit, 45, 1), Err(Malformed::Reserved), "a check that is none");
    assert_eq!(with(limit, 46, 1), Err(Malformed::Reserved));
    assert_eq!(with(limit, 48, 1), Err(Malformed::Reserved), "an instruction that is not counted");
    let program = rule(Matter::Signature(vec![Instruction { code: 6, jt: 0, jf: 0, k: 1 }]));
    assert_eq!(with(program, 3, 0), Err(Malformed::Reserved), "the same of a signature");
    assert_eq!(with(program, 3, 17), Err(Malformed::InstructionCount(17)));
    assert_eq!(with(program, 39, 2), Err(Malformed::Reserved), "a program that is none");
    let empty = rule(Matter::Signature(Vec::new()));
    assert_eq!(Command::decode(&empty), Err(Malformed::InstructionCount(0)));
    assert_eq!(with(words(&Item::RuleRemove(7)), 8, 1), Err(Malformed::Reserved));
    assert_eq!(Command::decode(&words(&Item::RuleRemove(0))), Err(Malformed::RuleId));
    assert_eq!(with(words(&Item::TenantRemove(7)), 175, 1), Err(Malformed::Reserved));
}

#[test]
fn each_fault_of_a_list_has_its_name() {
    let listed =
        |prefix: &str| words(&Item::Listed { rule: 7, prefixes: vec![prefix.parse().unwrap()] });
    let v4 = listed("192.0.2.0/24");
    assert_eq!(with(v4, 2, 5), Err(Malformed::Family(5)));
    assert_eq!(with(v4, 3, 0), Err(Malformed::AddressCount(0)));
    assert_eq!(with(v4, 3, 34), Err(Malformed::AddressCount(34)));
    assert_eq!(with(v4, 4, 0), Err(Malformed::RuleId));
    assert_eq!(with(v4, 11, 1), Err(Malformed::HostBits));
    assert_eq!(with(v4, 12, 33), Err(Malformed::PrefixLen(33)));
    assert_eq!(with(v4, 175, 1), Err(Malformed::Reserved), "a prefix that is not counted");
    let v6 = listed("2001:db8::/32");
    assert_eq!(with(v6, 3, 10), Err(Malformed::AddressCount(10)));
    assert_eq!(with(v6, 24, 129), Err(Malformed::PrefixLen(129)));
    assert_eq!(with(v6, 23, 1), Err(Malformed::HostBits));
}

#[test]
fn a_list_takes_few_messages_and_nothing_takes_none() {
    let listed = |prefixes| Item::Listed { rule: 1, prefixes };
    let (v4, v6) = ("192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap());
    assert_eq!(listed(Vec::new()).message_count(), Ok(0));
    assert_eq!(listed(vec![v4; LISTED_PER_ITEM_MAX]).message_count(), Ok(125));
    assert_eq!(listed(vec![v6; LISTED_PER_ITEM_MAX]).message_count(), Ok(456));
    assert_eq!(listed(vec![v4, v6, v4]).message_count(), Ok(2));
    let mut messages = Vec::new();
    let refused = listed(vec![v4; LISTED_PER_ITEM_MAX + 1]).encode(&mut messages);
    assert_eq!((refused, messages.len()), (Err(TooMany::Listed(LISTED_PER_ITEM_MAX + 1)), 0));
}

#[test]
fn a_tenant_or_signature_with_too_many_parts_is_not_written() {
    let net: IpNet = "10.0.0.1/32".parse().unwrap();
    let tenant = |prefixes| {
        let (mode, syn) = (Mode::Off, SynGuard::Off);
        let prefixes = vec![net; prefixes];
        Item::Tenant(Box::new(Tenant {
            id: 1,
            mode,
            syn,
            syn_above: 0,
            flows: false,
            out_of_state: 0,
            prefixes,
        }))
    };
    let signature = |len| {
        let matter = Matter::Signature(vec![Instruction { code: 6, jt: 0, jf: 0, k: 0 }; len]);
        let (mode, reach) = (Mode::Enforce, Reach::All);
        Item::Rule(Box::new(Rule { id: 1, mode, reach, expires: None, matter }))
    };
    assert_eq!(tenant(TENANT_PREFIXES_MAX).message_count(), Ok(114));
    assert_eq!(signature(PROGRAM_MAX).message_count(), Ok(13));
    for (item, error) in [
        (tenant(TENANT_PREFIXES_MAX + 1), TooMany::Prefixes(TENANT_PREFIXES_MAX + 1)),
        (signature(PROGRAM_MAX + 1), TooMany::Instructions(PROGRAM_MAX + 1)),
    ] {
        let mut messages = Vec::new();
        assert_eq!((item.encode(&mut messages), messages.len()), (Err(error), 0));
    }
    assert_eq!(Command::decode(&words(&tenant(0))), Err(Malformed::AddressCount(0)));
}

mod centre;
mod transit;
