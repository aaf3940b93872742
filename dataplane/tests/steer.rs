//! Three whole servers behind one address, in memory: what lands on the wrong one comes to the right one, and what
//! must not travel does not. `fleet.rs` has the same in the large, from a seed.

#[cfg(test)]
#[path = "steer/flows.rs"]
mod flows;
#[cfg(test)]
#[path = "steer/link.rs"]
mod link;
#[cfg(test)]
#[path = "steer/way.rs"]
mod way;

use std::net::IpAddr;
use std::time::Duration;

use dataplane::fate::DropReason;
use dataplane::limits::{COUNTERS_INTERVAL, JOBS_UNDER_LOAD, PROMPTS_BURST, WALK_INTERVAL};
use dataplane::testing::client::Options;
use dataplane::testing::fleet;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::server::{LOCAL, Place, WIRE};
use dataplane::testing::site;
use link::{Link, Peers, SERVERS};
use shm::message::{Event, MemberState};
use wireguard::message::{ClientId, INITIATION_LEN};

const SECOND: Duration = Duration::from_secs(1);

/// The id of the client with a number.
fn id(client: u32) -> ClientId {
    let [a, b, ..] = (client + 1).to_le_bytes();
    ClientId([a, b, 7])
}

/// A link with one client, whose packets land on another server than the one that has it; gives both servers.
fn astray(options: Options, is_v6: bool, workers: usize) -> (Link, usize, usize) {
    let mut link = Link::new(1, workers);
    link.tell(&[MemberState::Active; SERVERS]);
    link.join(options, is_v6);
    let owner = link.owner(0);
    let landing = (owner + 1) % SERVERS;
    link.landing = vec![landing];
    (link, owner, landing)
}

fn with_id() -> Options {
    Options { client_id: Some(id(0)), ..Options::default() }
}

#[test]
fn a_client_is_served_by_its_owner_wherever_its_packets_land() {
    for workers in [1, 2] {
        for (options, is_v6) in [(with_id(), false), (Options::default(), false), (with_id(), true)]
        {
            let (mut link, owner, landing) = astray(options, is_v6, workers);
            assert!(link.reaches(0, owner), "its packets come to its owner");
            assert_eq!(link.totals(owner).sessions, 1);
            assert_eq!(link.totals(landing).sessions, 0);
            let refused = link.clients[0].tally.refused;
            assert_eq!(refused, 0, "a client without an id sees none");
            // The owner answers by itself, from the address that the client has called.
            assert_eq!(link.totals(landing).passed_here, 0);
            link.landing[0] = (owner + 2) % SERVERS;
            assert!(link.reaches(0, owner), "also when its packets land elsewhere from now on");
            link.landing[0] = owner;
            assert!(link.reaches(0, owner), "and at home");
            assert_eq!(link.clients[0].tally.sessions, 1, "all in one session");
            link.close();
        }
    }
}

#[test]
fn servers_may_reach_each_other_by_ipv6_alone() {
    for is_v6 in [false, true] {
        let mut link = Link::new(1, 2);
        link.over_v6 = true;
        link.tell(&[MemberState::Active; SERVERS]);
        link.join(with_id(), is_v6);
        let owner = link.owner(0);
        link.landing[0] = (owner + 1) % SERVERS;
        assert!(link.reaches(0, owner));
        let packet = Ip::new(site::LOCAL_V6, site::inner_v6(0)).echo(1, b"from afar");
        link.servers[(owner + 2) % SERVERS].put(LOCAL, &packets::from_local(&packet));
        link.settle();
        assert_eq!(link.clients[0].inbox.pop(), Some(packet));
        assert!(link.totals(owner).passed_here >= 3);
        link.close();
    }
}

#[test]
fn packets_to_a_client_find_its_server_from_any_other() {
    for workers in [1, 2] {
        let (mut link, owner, landing) = astray(with_id(), false, workers);
        assert!(link.reaches(0, owner));
        for from in [landing, (owner + 2) % SERVERS, owner] {
            let packet = Ip::new(site::LOCAL_V4, site::inner_v4(0)).echo(1, b"from afar");
            link.servers[from].put(LOCAL, &packets::from_local(&packet));
            link.settle();
            let arrived = link.clients[0].inbox.pop().unwrap();
            let taken = usize::from(from != owner);
            // Who passes it on takes no hop from a packet of its own kernel, nor does the owner.
            assert_eq!(arrived, packet, "{taken} servers between");
        }
        link.close();
    }
}

#[test]
fn an_id_stays_with_the_server_that_has_its_session_until_that_ends() {
    let (mut link, owner, _) = astray(with_id(), false, 1);
    assert!(link.reaches(0, owner));
    let mut states = [MemberState::Active; SERVERS];
    states[owner] = MemberState::Draining { deadline: None };
    link.tell(&states);
    let heir = link.owner(0);
    assert_ne!(heir, owner);
    for landing in 0..SERVERS {
        link.landing[0] = landing;
        link.wait(SECOND);
        link.clients[0].restart(link.now);
        assert!(link.reaches(0, owner), "its session is there still");
    }
    assert_eq!(link.totals(heir).sessions, 0);
    link.wait(SECOND * 185);
    link.clients[0].restart(link.now);
    assert!(link.reaches(0, heir), "nothing is left of it at its old owner");
    assert_eq!(link.totals(heir).sessions, 1);
    link.close();
}

#[test]
fn a_server_that_is_emptied_gives_up_its_clients_at_the_deadline_and_counts_them_until_then() {
    let (mut link, owner, _) = astray(with_id(), false, 1);
    assert!(link.reaches(0, owner));
    let mut states = [MemberState::Active; SERVERS];
    let deadline = dataplane::testing::unix(link.now) + SECOND * 30;
    states[owner] = MemberState::Draining { deadline: Some(deadline) };
    let regions = link.servers[owner].open_border();
    let mut control = regions.attach();
    link.tell(&states);
    link.wait(SECOND * 20);
    let held = |events: Vec<Event>| {
        events.iter().rev().find_map(|event| {
            if let Event::Fleet { held, .. } = event { Some(*held) } else { None }
        })
    };
    assert_eq!(held(control.hear()), Some(1));
    link.wait(SECOND * 25 + COUNTERS_INTERVAL);
    assert_eq!(held(control.hear()), Some(0));
    link.clients[0].restart(link.now);
    let heir = link.owner(0);
    assert!(link.reaches(0, heir));
    link.close();
}

#[test]
fn an_id_that_was_given_up_stays_with_the_server_that_took_it() {
    let deadline = |link: &Link| Some(dataplane::testing::unix(link.now) + SECOND * 5);
    for down in [false, true] {
        let (mut link, owner, _) = astray(with_id(), false, 1);
        assert!(link.reaches(0, owner));
        // The keeper's turns, with which time goes by.
        let _regions = link.servers[owner].open_border();
        let mut states = [MemberState::Active; SERVERS];
        states[owner] = if down {
            MemberState::Down
        } else {
            MemberState::Draining { deadline: deadline(&link) }
        };
        link.tell(&states);
        link.wait(SECOND * 6);
        let heir = link.owner(0);
        link.landing[0] = heir;
        link.clients[0].restart(link.now);
        assert!(link.reaches(0, heir));
        // The operator has changed his mind, or the server was not dead.
        link.tell(&[MemberState::Active; SERVERS]);
        assert_eq!(link.owner(0), owner);
        link.wait(SECOND);
        link.clients[0].restart(link.now);
        assert!(
            link.reaches(0, heir),
            "down: {down}; its session is there, and nothing at its owner"
        );
        link.close();
    }
}

#[test]
fn a_client_whose_server_died_is_called_at_once_by_its_new_owner() {
    let (mut link, owner, _) = astray(with_id(), false, 1);
    assert!(link.reaches(0, owner));
    link.dead[owner] = true;
    let mut states = [MemberState::Active; SERVERS];
    states[owner] = MemberState::Down;
    link.tell(&states);
    let heir = link.owner(0);
    let landing = (0..SERVERS).find(|server| ![owner, heir].contains(server)).unwrap();
    link.landing[0] = landing;
    let before = link.now;
    link.send(0, &Ip::new(site::inner_v4(0), site::LOCAL_V4).echo(1, b"lost"));
    assert_eq!(link.now, before, "no time has passed");
    assert_eq!(link.clients[0].tally.answered, 1, "the server has called");
    assert!(link.reaches(0, heir));
    assert_eq!(link.totals(heir).prompts, 1);
    assert_eq!(link.totals(heir).dropped(DropReason::SteerDeadSession), 1);
    assert_eq!(link.totals(landing).dropped(DropReason::SteerDeadSession), 0);
    link.close();
}

#[test]
fn a_client_whose_new_owner_hears_of_the_death_last_is_called_as_soon_as_it_has() {
    let died = |link: &mut Link, owner: usize| {
        link.dead[owner] = true;
        let mut states = [MemberState::Active; SERVERS];
        states[owner] = MemberState::Down;
        link.tell(&states);
    };
    let (mut link, owner, _) = astray(with_id(), false, 1);
    died(&mut link, owner);
    let heir = link.owner(0);
    link.close();
    let (mut link, owner, _) = astray(with_id(), false, 1);
    assert!(link.reaches(0, owner));
    link.behind = Some(heir);
    died(&mut link, owner);
    link.landing[0] = (0..SERVERS).find(|server| ![owner, heir].contains(server)).unwrap();
    let data = Ip::new(site::inner_v4(0), site::LOCAL_V4).echo(1, b"lost");
    link.send(0, &data);
    assert_eq!(link.totals(heir).prompts, 0, "its owner is still the dead one");
    link.catch_up();
    // Much less than a client waits for its own timers, or is left alone by a server that has called it.
    link.wait(SECOND / 2);
    link.send(0, &data);
    assert_eq!(link.clients[0].tally.answered, 1, "the server has called");
    assert!(link.reaches(0, heir));
    assert_eq!(link.totals(heir).prompts, 1);
    link.close();
}

#[test]
fn a_server_that_was_started_again_calls_its_clients_when_they_speak() {
    for workers in [1, 2] {
        let (mut link, owner, _) = astray(with_id(), false, workers);
        assert!(link.reaches(0, owner));
        link.start_again(owner);
        // It may have forgotten the clock as well as everything else, but its clients have not.
        link.wait(SECOND);
        link.send(0, &Ip::new(site::inner_v4(0), site::LOCAL_V4).echo(1, b"lost"));
        assert_eq!(link.clients[0].tally.answered, 1, "the server has called");
        assert!(link.reaches(0, owner));
        assert_eq!(link.totals(owner).prompts, 1);
        link.close();
    }
}

#[test]
fn a_server_that_was_started_again_calls_also_whose_slot_another_has_taken() {
    let mut link = Link::new(2, 1);
    link.tell(&[MemberState::Active; SERVERS]);
    (0..2).for_each(|client| {
        link.join(Options { client_id: Some(id(client)), ..Options::default() }, false);
    });
    let owner = link.owner(0);
    let mut states = [MemberState::Draining { deadline: None }; SERVERS];
    states[owner] = MemberState::Active;
    link.tell(&states);
    assert!(link.reaches(0, owner));
    link.start_again(owner);
    assert!(link.reaches(1, owner), "it has the first slot now");
    link.wait(SECOND);
    link.send(0, &Ip::new(site::inner_v4(0), site::LOCAL_V4).echo(1, b"lost"));
    assert_eq!(link.clients[0].tally.answered, 1, "the server has called");
    assert!(link.reaches(0, owner) && link.reaches(1, owner));
    link.close();
}

#[test]
fn a_client_that_servers_keep_alive_is_called_by_its_owner_alone() {
    let mut link = Link::with(Peers { count: 4, persistent: 25, ..Peers::default() }, 1);
    (0..4).for_each(|_| link.join(Options::default(), false));
    link.wait(SECOND * 5);
    assert!((0..4).all(|client| link.sent_to(client).is_empty()), "nobody knows whose it is");
    link.tell(&[MemberState::Active; SERVERS]);
    link.wait(SECOND * 600);
    for client in 0..4 {
        let owner = link.owner(client);
        let sent = link.sent_to(client);
        assert!(
            !sent.is_empty() && sent.iter().all(|(server, _)| *server == owner),
            "client {client}"
        );
        assert!(link.clients[client].is_connected(link.now));
    }
    link.close();
}

#[test]
fn the_packets_of_a_flow_stay_in_order_on_every_way() {
    for workers in [1, 2] {
        let (mut link, owner, landing) = astray(with_id(), false, workers);
        assert!(link.reaches(0, owner));
        let up = |number: u16| Ip::new(site::inner_v4(0), site::LOCAL_V4).echo(number, b"up");
        let down = |number: u16| Ip::new(site::LOCAL_V4, site::inner_v4(0)).echo(number, b"down");
        for number in 0..300 {
            // All of them wait in the queues before anybody looks.
            link.clients[0].send(&up(number), link.now).unwrap();
            link.servers[landing].put(LOCAL, &packets::from_local(&down(number)));
        }
        link.settle();
        let delivered: Vec<_> = link
            .strays(owner)
            .iter()
            .filter_map(|(_, octets)| packets::packet_in(octets).map(|(_, packet)| packet.to_vec()))
            .collect();
        assert_eq!(delivered, (0..300).map(up).collect::<Vec<_>>(), "{workers} workers");
        let received = std::mem::take(&mut link.clients[0].inbox);
        assert_eq!(received, (0..300).map(down).collect::<Vec<_>>(), "{workers} workers");
        link.close();
    }
}

#[test]
fn nobody_is_called_in_the_name_of_a_client_that_has_a_session() {
    let (mut link, owner, landing) = astray(with_id(), false, 1);
    assert!(link.reaches(0, owner));
    let gone = (owner + 2) % SERVERS;
    let mut states = [MemberState::Active; SERVERS];
    states[gone] = MemberState::Down;
    link.tell(&states);
    let forged = link.sealed_for(gone, id(0));
    link.servers[landing].put(WIRE, &forged);
    link.settle();
    assert!((0..SERVERS).all(|server| link.totals(server).prompts == 0));
    assert_eq!(link.totals(owner).dropped(DropReason::SteerDeadSession), 1);
    assert!(link.reaches(0, owner));
    link.close();
}

#[test]
fn one_packet_of_a_lost_session_looks_for_its_client_whatever_comes() {
    let (mut link, owner, landing) = astray(with_id(), false, 1);
    assert!(link.reaches(0, owner));
    let gone = (owner + 2) % SERVERS;
    let mut states = [MemberState::Active; SERVERS];
    states[gone] = MemberState::Down;
    link.tell(&states);
    let forged = link.sealed_for(gone, id(0));
    let before = link.totals(landing).passed_on;
    for _ in 0..100 {
        link.servers[landing].put(WIRE, &forged);
    }
    link.settle();
    assert_eq!(link.totals(landing).passed_on - before, 1);
    link.wait(WALK_INTERVAL);
    link.servers[landing].put(WIRE, &forged);
    link.settle();
    assert_eq!(link.totals(landing).passed_on - before, 2);
    // Nor do more than so many if each is in another name.
    for number in 0..4 * PROMPTS_BURST {
        let [a, b, ..] = number.to_le_bytes();
        let forged = link.sealed_for(gone, ClientId([a, b, 9]));
        link.servers[landing].put(WIRE, &forged);
        link.settle();
    }
    assert!(link.totals(landing).passed_on - before <= 2 + u64::from(PROMPTS_BURST));
    link.close();
}

#[test]
fn an_icmp_error_about_a_message_comes_to_the_server_that_has_the_client() {
    for is_v6 in [false, true] {
        let (mut link, owner, landing) = astray(with_id(), is_v6, 1);
        assert!(link.reaches(0, owner));
        let client = link.clients[0].address;
        let server = site::server(client.ip());
        let [a, b, c] = id(0).0;
        let quoted = Ip::new(server.ip(), client.ip()).udp(
            server.port(),
            client.port(),
            &[4, a, b, c, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0],
        );
        let router: IpAddr = if is_v6 { site::GATEWAY_V6.into() } else { site::GATEWAY_V4.into() };
        let error = Ip::new(router, server.ip()).error(&quoted);
        link.servers[landing].put(WIRE, &packets::from_gateway(&error));
        link.settle();
        assert_eq!((link.totals(landing).reports, link.totals(owner).reports), (0, 1));
        link.servers[owner].put(WIRE, &packets::from_gateway(&error));
        link.settle();
        assert_eq!(link.totals(owner).reports, 2);
        let kernel = link.strays(owner);
        assert!(
            kernel.iter().any(|(place, octets)| matches!(place, Place::Kernel { .. })
                && packets::packet_in(octets).is_some_and(|(_, packet)| packet == error)),
            "at home the kernel gets it as well"
        );
        link.close();
    }
}

#[test]
fn a_cookie_that_the_owner_asks_for_reaches_the_client_by_the_owners_own_way() {
    let (mut link, owner, _) = astray(with_id(), false, 1);
    // What others have sent fills the owner's threads, and is never worked on.
    link.overload(owner, JOBS_UNDER_LOAD);
    let initiation = link.initiation(0);
    assert_eq!(initiation.len(), INITIATION_LEN);
    link.pass_through(0, &initiation);
    assert_eq!(link.totals(owner).cookies, 1);
    let to_client = link.sent_to(0);
    assert_eq!(to_client.len(), 1, "the cookie");
    let (server, octets) = &to_client[0];
    assert_eq!((*server, octets[0]), (owner, wireguard::message::COOKIE_REPLY));
}

#[test]
fn what_members_pass_on_is_believed_and_nothing_else() {
    let (mut link, owner, landing) = astray(with_id(), false, 1);
    assert!(link.reaches(0, owner));
    let (own, other) = (link.number(owner), link.number(landing));
    let inner = Ip::new(site::BEHIND_V4, site::inner_v4(0)).echo(1, b"injected");
    let header = wire::fleet::Header {
        inner: true,
        step: wire::fleet::Step::First,
        generation: link.generation,
        ..fleet::DIRECT
    };
    let mut put = |packet: &[u8]| {
        link.servers[owner].put(WIRE, &packets::from_gateway(packet));
        link.settle();
        link.clients[0].inbox.pop()
    };
    let right = fleet::passed_on((other, own), &header, &inner, |_| ());
    assert_eq!(put(&right), Some(inner.clone()));
    assert_eq!(
        put(&fleet::passed_on((other, own), &header, &inner, |header| header.proof ^= 1)),
        None
    );
    assert_eq!(put(&fleet::passed_on((99, own), &header, &inner, |_| ())), None, "no member");
    assert_eq!(put(&fleet::passed_on((own, own), &header, &inner, |_| ())), None, "its own");
    let totals = link.totals(owner);
    assert_eq!(totals.dropped(DropReason::SteerOutsider), 2);
    assert_eq!(totals.dropped(DropReason::ParseIpSource), 1);
    link.close();
}
