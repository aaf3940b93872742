//! TCP through the translator (RFC 5382, RFC 7857).

use crate::world::{
    ACK, EGRESS, FIN_ACK, INNER, OTHER, RST, RST_ACK, SERVER, SYN, SYN_ACK, World, ends, ends_of,
    numbers, segment, segment_with,
};
use flows::{FlowId, Refusal, State, Verdict};
use wire::tcp::Flags;

/// A client's connection and both ends of it.
struct Connection {
    world: World,
    flow: FlowId,
    port: u16,
}

impl Connection {
    fn opening() -> Self {
        let mut world = World::new();
        let (out, flow) = world.sent(1, &to_server(SYN, 99, 0, b""));
        let port = ends_of(&out).0.1;
        Self { world, flow, port }
    }

    fn established() -> Self {
        let mut connection = Self::opening();
        connection.server(SYN_ACK, 499, 100, b"");
        assert_eq!(connection.state(), State::Answered);
        connection.client(ACK, 100, 500, b"");
        assert_eq!(connection.state(), State::Established);
        connection
    }

    fn client(&mut self, flags: Flags, sequence: u32, acknowledgment: u32, data: &[u8]) {
        let packet = to_server(flags, sequence, acknowledgment, data);
        let (out, flow) = self.world.sent(1, &packet);
        assert_eq!((ends_of(&out), flow), (ends(EGRESS, self.port, SERVER, 443), self.flow));
    }

    fn server(&mut self, flags: Flags, sequence: u32, acknowledgment: u32, data: &[u8]) {
        let packet = self.to_client(flags, sequence, acknowledgment, data);
        let (back, client) = self.world.taken(&packet);
        assert_eq!((ends_of(&back), client), (ends(SERVER, 443, INNER, 4000), 1));
    }

    fn to_client(&self, flags: Flags, sequence: u32, acknowledgment: u32, data: &[u8]) -> Vec<u8> {
        let numbers = numbers(flags, sequence, acknowledgment);
        segment(ends(SERVER, 443, EGRESS, self.port), numbers, data)
    }

    fn state(&self) -> State {
        self.world.flows.flow(self.flow).unwrap().state()
    }

    /// Seconds until the flow ends if nothing more is heard of it.
    fn left(&self) -> u64 {
        let deadline = self.world.flows.flow(self.flow).unwrap().deadline();
        (deadline.0 - self.world.now.0) / 1_000_000_000
    }
}

fn to_server(flags: Flags, sequence: u32, acknowledgment: u32, data: &[u8]) -> Vec<u8> {
    segment(ends(INNER, 4000, SERVER, 443), numbers(flags, sequence, acknowledgment), data)
}

/// RFC 5382 REQ-5: two hours and four minutes, four minutes until then.
#[test]
fn a_connection_lives_long_once_it_is_established() {
    let mut connection = Connection::opening();
    assert_eq!((connection.state(), connection.left()), (State::Opening, 240));
    assert_eq!(connection.world.flows.holding(1).setups, 1);
    connection.server(SYN_ACK, 499, 100, b"");
    assert_eq!(connection.left(), 240);
    connection.client(ACK, 100, 500, b"");
    assert_eq!((connection.state(), connection.left()), (State::Established, 7440));
    assert_eq!(connection.world.flows.holding(1).setups, 0);
    connection.world.wait(7000.0);
    connection.client(ACK, 100, 500, b"data");
    assert_eq!(connection.left(), 7440);
    connection.world.wait(7441.0);
    let packet = connection.to_client(ACK, 500, 104, b"");
    assert_eq!(connection.world.refused_back(&packet), Refusal::NoMapping);
}

/// RFC 5382 REQ-1.
#[test]
fn one_inner_port_has_one_outer_port_for_all_servers() {
    let mut connection = Connection::established();
    let packet = segment(ends(INNER, 4000, OTHER, 80), numbers(SYN, 7, 0), b"");
    let (out, flow) = connection.world.sent(1, &packet);
    assert_ne!(flow, connection.flow);
    assert_eq!(ends_of(&out), ends(EGRESS, connection.port, OTHER, 80));
    assert_eq!(connection.world.flows.holding(1).ports, 1);
}

/// RFC 5382 REQ-2: both ends open at the same time.
#[test]
fn a_simultaneous_open_goes_through() {
    let mut connection = Connection::opening();
    connection.server(SYN, 499, 0, b"");
    assert_eq!(connection.state(), State::Answered);
    connection.client(SYN_ACK, 99, 500, b"");
    connection.server(SYN_ACK, 499, 100, b"");
    connection.client(ACK, 100, 500, b"");
    assert_eq!(connection.state(), State::Established);
}

/// RFC 5382 REQ-3: filtering as UDP's, REQ-4: no answer to others.
#[test]
fn who_was_spoken_to_may_open_a_connection_and_nobody_else() {
    let mut connection = Connection::established();
    let port = connection.port;
    let stranger = segment(ends(OTHER, 80, EGRESS, port), numbers(SYN, 7, 0), b"");
    assert_eq!(connection.world.refused_back(&stranger), Refusal::Filtered);
    let late = segment(ends(SERVER, 80, EGRESS, port), numbers(ACK, 7, 0), b"");
    assert_eq!(connection.world.refused_back(&late), Refusal::Filtered);

    let opening = segment(ends(SERVER, 80, EGRESS, port), numbers(SYN, 7, 0), b"");
    let (back, client) = connection.world.taken(&opening);
    assert_eq!((ends_of(&back), client), (ends(SERVER, 80, INNER, 4000), 1));
    let answer = segment(ends(INNER, 4000, SERVER, 80), numbers(SYN_ACK, 50, 8), b"");
    let (out, flow) = connection.world.sent(1, &answer);
    assert_eq!(ends_of(&out), ends(EGRESS, port, SERVER, 80));
    assert_eq!(connection.world.flows.flow(flow).unwrap().state(), State::Answered);
}

/// A mapping has its port until its last flow ends, whichever that is.
#[test]
fn a_mapping_outlives_its_first_flow() {
    let mut connection = Connection::established();
    let out = ends(INNER, 4000, OTHER, 80);
    let (_, second) = connection.world.sent(1, &segment(out, numbers(SYN, 7, 0), b""));
    let now = connection.world.now;
    connection.world.flows.remove(connection.flow, now);
    let opening = segment(ends(OTHER, 81, EGRESS, connection.port), numbers(SYN, 7, 0), b"");
    let (back, client) = connection.world.taken(&opening);
    assert_eq!((ends_of(&back), client), (ends(OTHER, 81, INNER, 4000), 1));
    connection.world.flows.remove(second, now);
    assert_eq!(connection.world.flows.holding(1).ports, 1);
    let (out, _) = connection.world.sent(1, &to_server(SYN, 99, 0, b""));
    assert_eq!(ends_of(&out).0.1, connection.port);
}

/// RFC 5382 REQ-4: six seconds.
#[test]
fn a_connection_from_outside_ends_soon_if_the_client_says_nothing() {
    let mut connection = Connection::established();
    let opening = segment(ends(SERVER, 80, EGRESS, connection.port), numbers(SYN, 7, 0), b"");
    connection.world.taken(&opening);
    assert_eq!(connection.world.flows.holding(1).setups, 1);
    connection.world.wait(5.9);
    let answer = segment(ends(INNER, 4000, SERVER, 80), numbers(SYN_ACK, 50, 8), b"");
    connection.world.wait(0.3);
    assert_eq!(connection.world.refused(1, &answer), Refusal::NoFlow);
}

/// RFC 7857 2.1, RFC 5382 5: the mapping stays as long as late segments may come.
#[test]
fn both_fins_close_a_connection_and_late_segments_still_pass() {
    let mut connection = Connection::established();
    connection.client(FIN_ACK, 100, 500, b"bye");
    assert_eq!((connection.state(), connection.left()), (State::NearFinished, 7440));
    // Half closed: data goes on the other way.
    connection.server(ACK, 500, 104, b"more");
    connection.client(ACK, 104, 504, b"");
    assert_eq!((connection.state(), connection.left()), (State::NearFinished, 7440));
    connection.server(FIN_ACK, 504, 104, b"");
    assert_eq!((connection.state(), connection.left()), (State::Closing, 240));
    connection.world.wait(100.0);
    connection.client(ACK, 104, 505, b"");
    assert_eq!((connection.state(), connection.left()), (State::Closed, 240));
    connection.world.wait(100.0);
    connection.server(FIN_ACK, 504, 104, b"");
    connection.client(ACK, 104, 505, b"");
    assert_eq!(connection.left(), 140, "what is over is not kept alive");
}

#[test]
fn a_closed_connection_opens_again_by_the_same_port() {
    let mut connection = Connection::established();
    connection.client(FIN_ACK, 100, 500, b"");
    connection.server(FIN_ACK, 500, 101, b"");
    connection.client(SYN, 90_000, 0, b"");
    assert_eq!((connection.state(), connection.left()), (State::Opening, 240));
    assert_eq!(connection.world.flows.holding(1).setups, 1);
    connection.server(SYN_ACK, 70_000, 90_001, b"");
    connection.client(ACK, 90_001, 70_001, b"");
    assert_eq!(connection.state(), State::Established);
    assert_eq!(connection.world.flows.holding(1).setups, 0);
}

#[test]
fn a_syn_from_outside_does_not_shorten_the_rest_of_what_is_closed() {
    let mut connection = Connection::established();
    connection.client(FIN_ACK, 100, 500, b"");
    connection.server(FIN_ACK, 500, 101, b"");
    connection.server(SYN, 90_000, 0, b"");
    assert_eq!((connection.state(), connection.left()), (State::Incoming, 240));
    connection.client(SYN_ACK, 80_000, 90_001, b"");
    connection.server(ACK, 90_001, 80_001, b"");
    assert_eq!(connection.state(), State::Answered);
    connection.client(ACK, 80_001, 90_001, b"");
    assert_eq!(connection.state(), State::Established);
}

/// RFC 7857 2.2: translated, and the state is kept for four minutes.
#[test]
fn a_reset_in_the_window_passes_and_closes() {
    let mut connection = Connection::established();
    connection.server(RST, 500, 0, b"");
    assert_eq!((connection.state(), connection.left()), (State::Reset, 240));
}

#[test]
fn a_reset_beside_the_window_passes_and_closes_nothing() {
    let mut connection = Connection::established();
    for sequence in [499, 1501, 500_u32.wrapping_sub(70_000), 1 << 31] {
        connection.server(RST, sequence, 0, b"");
        assert_eq!((connection.state(), connection.left()), (State::Established, 7440));
    }
    connection.server(RST, 1500, 0, b"");
    assert_eq!(connection.state(), State::Reset);
}

/// RFC 7857 2.2 and RFC 6146 3.5.2.2: a reset that packets follow was not one of the peer.
#[test]
fn a_connection_that_goes_on_after_a_reset_is_established() {
    let mut connection = Connection::established();
    connection.server(RST, 500, 0, b"");
    connection.client(ACK, 100, 500, b"data");
    assert_eq!((connection.state(), connection.left()), (State::Established, 7440));
}

/// RFC 9293 3.10.7.3: in SYN-SENT a reset counts if it acknowledges the SYN.
#[test]
fn a_refused_connection_closes_only_by_who_has_seen_its_syn() {
    let mut connection = Connection::opening();
    for (flags, acknowledgment) in [(RST_ACK, 5000), (RST_ACK, 99), (RST, 0)] {
        connection.server(flags, 0, acknowledgment, b"");
        assert_eq!(connection.state(), State::Opening);
    }
    connection.server(RST_ACK, 0, 100, b"");
    assert_eq!(connection.state(), State::Reset);
    assert_eq!(connection.world.flows.holding(1).setups, 0);
}

#[test]
fn a_syn_ack_of_a_guesser_does_not_answer() {
    let mut connection = Connection::opening();
    connection.server(SYN_ACK, 499, 5000, b"");
    assert_eq!(connection.state(), State::Opening);
}

/// RFC 5961 4: the receiver challenges; nothing changes until then.
#[test]
fn a_syn_on_a_live_connection_passes_and_changes_nothing() {
    let mut connection = Connection::established();
    connection.client(SYN, 7_000_000, 0, b"");
    assert_eq!(connection.state(), State::Established);
    connection.server(SYN, 7_000_000, 0, b"");
    assert_eq!(connection.state(), State::Established);
    connection.server(RST, 500, 0, b"");
    assert_eq!(connection.state(), State::Reset);
}

#[test]
fn a_guesser_does_not_move_the_window() {
    let mut connection = Connection::established();
    // Neither a segment that is not in the window, nor one that acknowledges what was never sent.
    connection.server(ACK, 40_000_000, 900, b"");
    connection.server(ACK, 500, 80_000_000, b"");
    connection.client(RST, 100, 0, b"");
    assert_eq!(connection.state(), State::Reset);
}

/// RFC 7323 2.3.
#[test]
fn scaled_windows_are_known() {
    let mut world = World::new();
    let scale = |shift| [1, 3, 3, shift];
    let out = ends(INNER, 4000, SERVER, 443);
    let (packet, flow) = world.sent(1, &segment_with(out, numbers(SYN, 99, 0), &scale(7), b""));
    let back = ends(SERVER, 443, EGRESS, ends_of(&packet).0.1);
    world.taken(&segment_with(back, numbers(SYN_ACK, 499, 100), &scale(4), b""));
    world.sent(1, &segment(out, numbers(ACK, 100, 500), b""));
    // The window of a SYN is not scaled.
    world.sent(1, &segment(out, numbers(RST, 1101, 0), b""));
    assert_eq!(world.flows.flow(flow).unwrap().state(), State::Established);
    let edge = 500 + (1000 << 7);
    world.taken(&segment(back, numbers(RST, edge + 1, 0), b""));
    assert_eq!(world.flows.flow(flow).unwrap().state(), State::Established);
    world.taken(&segment(back, numbers(RST, edge, 0), b""));
    assert_eq!(world.flows.flow(flow).unwrap().state(), State::Reset);
}

#[test]
fn numbers_go_round() {
    let mut world = World::new();
    let out = ends(INNER, 4000, SERVER, 443);
    let (packet, flow) = world.sent(1, &segment(out, numbers(SYN, u32::MAX - 1, 0), b""));
    let back = ends(SERVER, 443, EGRESS, ends_of(&packet).0.1);
    world.taken(&segment(back, numbers(SYN_ACK, u32::MAX, u32::MAX), b""));
    world.sent(1, &segment(out, numbers(ACK, u32::MAX, 0), b"across"));
    world.taken(&segment(back, numbers(ACK, 0, 5), b""));
    assert_eq!(world.flows.flow(flow).unwrap().numbers_to(flows::End::Far), (5, 0));
    world.sent(1, &segment(out, numbers(FIN_ACK, 5, 0), b""));
    world.taken(&segment(back, numbers(FIN_ACK, 0, 6), b""));
    world.sent(1, &segment(out, numbers(ACK, 6, 1), b""));
    assert_eq!(world.flows.flow(flow).unwrap().state(), State::Closed);
}

/// What own segments need: a reset bears the number that its receiver expects (RFC 9293 3.5.3).
#[test]
fn a_flow_knows_what_each_side_expects() {
    let mut connection = Connection::established();
    connection.client(ACK, 100, 500, b"question");
    connection.server(ACK, 500, 108, b"answer");
    connection.client(ACK, 108, 506, b"");
    let flow = connection.world.flows.flow(connection.flow).unwrap();
    assert_eq!(flow.numbers_to(flows::End::Near), (506, 108));
    assert_eq!(flow.numbers_to(flows::End::Far), (108, 506));
}

#[test]
fn what_begins_nothing_gets_no_flow() {
    let mut world = World::new();
    for flags in [ACK, FIN_ACK, RST, SYN_ACK, Flags(0), Flags(SYN.0 | Flags::FIN.0)] {
        assert_eq!(world.refused(1, &to_server(flags, 1, 1, b"")), Refusal::NoFlow, "{flags:?}");
    }
    assert!(world.flows.is_empty());
}

#[test]
fn a_broken_header_is_refused() {
    let mut connection = Connection::established();
    let mut packet = to_server(ACK, 100, 500, b"");
    packet[32] = 0xf0;
    assert_eq!(connection.world.refused(1, &packet), Refusal::Truncated);
    packet[32] = 0x40;
    assert_eq!(connection.world.refused(1, &packet), Refusal::Truncated);
}

/// Case 45: half-open floods are the client's own trouble.
#[test]
fn a_client_has_only_so_many_connections_half_open() {
    let mut world = World::new();
    let opening = |port| segment(ends(INNER, port, SERVER, 443), numbers(SYN, 99, 0), b"");
    for port in 0..8 {
        world.sent(1, &opening(4000 + port));
    }
    assert_eq!(world.refused(1, &opening(5000)), Refusal::ClientSetups);
    let datagram = crate::world::datagram(ends(INNER, 9, SERVER, 53), b"");
    world.sent(1, &datagram);
    world.sent(2, &opening(5000));
    world.wait(241.0);
    world.sweep();
    world.sent(1, &opening(5000));
    assert_eq!(world.flows.holding(1).setups, 1);
}

/// A client that has all flows it may have uses its own again that are over, not others'.
#[test]
fn flows_that_are_over_make_room_for_their_client() {
    let addresses = [EGRESS.into()];
    let mut config = crate::world::config(&addresses);
    config.limits = flows::Limits { flows: 2, ports: 2, setups: 2 };
    let mut world = World::of(&config);
    let opening = |port| segment(ends(INNER, port, SERVER, 443), numbers(SYN, 99, 0), b"");
    let (first, flow) = world.sent(1, &opening(1));
    world.sent(1, &opening(2));
    let port = ends_of(&first).0.1;
    let refused = segment(ends(SERVER, 443, EGRESS, port), numbers(RST_ACK, 0, 100), b"");
    world.taken(&refused);
    assert_eq!(world.flows.flow(flow).unwrap().state(), State::Reset);
    world.sent(1, &opening(3));
    assert_eq!(world.refused_back(&refused), Refusal::NoMapping);
    assert_eq!(world.refused(1, &opening(4)), Refusal::ClientSetups);
}

/// RFC 5382 REQ-8.
#[test]
fn a_hairpinned_connection_is_established_on_both_sides() {
    let mut world = World::new();
    // The server has spoken to the client's outer address before: that is what its filter asks for.
    let (out, _) = world.sent(2, &segment(ends(INNER, 80, SERVER, 1), numbers(SYN, 1, 0), b""));
    let listening = ends_of(&out).0.1;
    let (out, flow) =
        world.sent(1, &segment(ends(INNER, 4000, EGRESS, listening), numbers(SYN, 99, 0), b""));
    let calling = ends_of(&out).0.1;
    assert_eq!(world.refused_back(&out), Refusal::Filtered);
    world.sent(2, &segment(ends(INNER, 80, EGRESS, calling), numbers(SYN, 1, 0), b""));
    let (back, client) = world.taken(&out);
    assert_eq!((ends_of(&back), client), (ends(EGRESS, calling, INNER, 80), 2));
    let mut answer = segment(ends(INNER, 80, EGRESS, calling), numbers(SYN_ACK, 1, 100), b"");
    let verdict = world.out(2, &mut answer);
    assert!(matches!(verdict, Verdict::Carried { hairpin: true, .. }));
    let (back, client) = world.taken(&answer);
    assert_eq!((ends_of(&back), client), (ends(EGRESS, listening, INNER, 4000), 1));
    assert_eq!(world.flows.flow(flow).unwrap().state(), State::Answered);
}

/// Half of what a client may have half open is for its own connections, whoever else wants to have some.
#[test]
fn a_server_does_not_use_up_what_its_client_needs() {
    let mut connection = Connection::established();
    let opening =
        |port| segment(ends(SERVER, port, EGRESS, connection.port), numbers(SYN, 7, 0), b"");
    let packets: Vec<_> = (1..6).map(opening).collect();
    for packet in &packets[..4] {
        connection.world.taken(packet);
    }
    assert_eq!(connection.world.refused_back(&packets[4]), Refusal::ClientSetups);
    for port in 1..5 {
        let packet = segment(ends(INNER, port, SERVER, 443), numbers(SYN, 99, 0), b"");
        connection.world.sent(1, &packet);
    }
}
