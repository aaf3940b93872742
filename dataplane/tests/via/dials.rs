//! What control hears of clients' connections.

use std::net::Ipv4Addr;
use std::time::Duration;

use dataplane::testing::control::Control;
use dataplane::testing::rules::STRANGER;
use dataplane::testing::scene::Scene;
use dataplane::testing::site::{self, CENTRE_V4};
use shm::message::{Centre, Dial, DialFailure, Event, Item};
use wire::tcp::Flags;

use super::{CENTRE, NEAR, Segment, answer, segments_out, stage, syn};

const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);

/// A scene, and who hears of it.
fn heard() -> (Scene, Control) {
    let mut scene = stage();
    let regions = scene.server.open_border();
    scene.settle();
    (scene, regions.attach())
}

fn dials(scene: &mut Scene, control: &mut Control) -> Vec<Dial> {
    scene.settle();
    let events = control.hear();
    events
        .into_iter()
        .filter_map(|event| if let Event::Dials(dials) = event { Some(dials) } else { None })
        .flat_map(|dials| dials.into_iter().flatten())
        .collect()
}

/// The client opens a connection, and so long afterwards somebody answers what left.
fn dial(scene: &mut Scene, (port, to): (u16, Ipv4Addr), after: u64, with: (Flags, &str)) {
    scene.strays();
    scene.send(0, &syn(port, to));
    let sent = segments_out(scene);
    let [first] = &sent[..] else { panic!("{sent:?}") };
    scene.wait(Duration::from_millis(after));
    scene.arrive(&answer(first, 5000, with.0, with.1.as_bytes()));
}

#[test]
fn control_hears_how_long_a_data_centre_took_to_connect() {
    let (mut scene, mut control) = heard();
    dial(&mut scene, (1, STRANGER), 30, (SYN_ACK, "HTTP/1.1 200 OK\r\n\r\n"));
    let answer = Ok(Duration::from_millis(30));
    let expected = Dial { to: STRANGER.into(), exit: CENTRE, relay: 0, answer };
    assert_eq!(dials(&mut scene, &mut control), [expected]);
    assert_eq!(scene.server.totals().dials_told, 1);
}

/// A proxy that is not ours answers the SYN at once, and the request when it has connected: what counts is the latter.
#[test]
fn control_hears_how_long_the_request_took_and_not_the_next_hops_own_answer() {
    let (mut scene, mut control) = heard();
    scene.send(0, &syn(1, STRANGER));
    let sent = segments_out(&mut scene);
    scene.wait(Duration::from_millis(10));
    let without = Segment { len: 0, ..sent.into_iter().next().unwrap() };
    scene.arrive(&answer(&without, 5000, SYN_ACK, &[]));
    let sent = segments_out(&mut scene);
    let [request] = &sent[..] else { panic!("{sent:?}") };
    assert!(request.len > 0 && request.to == (CENTRE_V4.into(), 443));
    scene.wait(Duration::from_millis(70));
    scene.arrive(&answer(request, 5001, Flags::ACK, b"HTTP/1.1 200 OK\r\n\r\n"));
    let answers: Vec<_> = dials(&mut scene, &mut control).iter().map(|dial| dial.answer).collect();
    assert_eq!(answers, [Ok(Duration::from_millis(70))]);
}

#[test]
fn control_hears_whom_to_blame_for_what_does_not_come_about() {
    for (port, flags, text, failure) in [
        (1, SYN_ACK, "HTTP/1.1 502 Bad Gateway\r\n\r\n", Some(DialFailure::Refused)),
        (2, SYN_ACK, "HTTP/1.1 503 Service Unavailable\r\n\r\n", Some(DialFailure::Unreachable)),
        (3, SYN_ACK, "HTTP/1.1 504 Gateway Timeout\r\n\r\n", Some(DialFailure::TimedOut)),
        (4, SYN_ACK, "HTTP/1.1 403 Forbidden\r\n\r\n", None),
        (7, SYN_ACK, "HTTP/1.1 400 Bad Request\r\n\r\n", Some(DialFailure::Exit)),
        (8, SYN_ACK, "HTTP/1.1 408 Request Timeout\r\n\r\n", Some(DialFailure::Exit)),
        (9, SYN_ACK, "HTTP/1.1 421 Misdirected Request\r\n\r\n", None),
        (5, SYN_ACK, "SSH-2.0-no proxy at all\r\n", Some(DialFailure::Exit)),
        (6, Flags(Flags::RST.0 | Flags::ACK.0), "", Some(DialFailure::Exit)),
    ] {
        let (mut scene, mut control) = heard();
        dial(&mut scene, (port, STRANGER), 5, (flags, text));
        let told = dials(&mut scene, &mut control);
        let failures: Vec<_> = told.iter().map(|dial| dial.answer.unwrap_err()).collect();
        assert_eq!(failures, Vec::from_iter(failure), "{text}");
    }
}

#[test]
fn control_hears_of_connections_straight_from_here_too() {
    let (mut scene, mut control) = heard();
    dial(&mut scene, (1, NEAR), 40, (SYN_ACK, ""));
    scene.settle();
    let answered =
        Dial { to: NEAR.into(), exit: 0, relay: 0, answer: Ok(Duration::from_millis(40)) };
    assert_eq!(dials(&mut scene, &mut control), [answered]);
    dial(&mut scene, (2, NEAR), 40, (Flags(Flags::RST.0 | Flags::ACK.0), ""));
    scene.send(0, &syn(3, NEAR));
    scene.wait(Duration::from_secs(6));
    let told = dials(&mut scene, &mut control);
    let answers: Vec<_> = told.iter().map(|dial| dial.answer).collect();
    assert_eq!(answers, [Err(DialFailure::Refused), Err(DialFailure::TimedOut)]);
}

/// Who gets its number would be answered.
#[test]
fn nothing_more_is_opened_for_a_client_that_is_removed() {
    let (mut scene, _control) = heard();
    scene.send(0, &syn(1, STRANGER));
    let sent = segments_out(&mut scene);
    let [first] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(scene.server.totals().connects_opening, 1);
    scene.change(vec![Item::PeerRemove(site::peer(0).public_key)]);
    scene.settle();
    let sent = segments_out(&mut scene);
    let [reset] = &sent[..] else { panic!("{sent:?}") };
    assert!(reset.flags.has(Flags::RST) && reset.to == first.to, "{reset:?}");
    let totals = scene.server.totals();
    assert_eq!((totals.connects_opening, totals.connects_failed), (0, 1));
    scene.arrive(&answer(first, 5000, SYN_ACK, b"HTTP/1.1 200 OK\r\n\r\n"));
    assert_eq!(scene.server.totals().connects_opened, 0);
}

/// What a route names is the same on all servers, also at the data centre that it names.
#[test]
fn what_goes_by_this_data_centre_goes_straight_out() {
    let mut scene = stage();
    let here = Centre { number: CENTRE, is_here: true, relay: 0, machines: Vec::new() };
    scene.change(vec![Item::Centre(Box::new(here))]);
    scene.strays();
    scene.send(0, &syn(1, STRANGER));
    let ends: Vec<_> = segments_out(&mut scene).iter().map(|segment| segment.to).collect();
    assert_eq!(ends, [(STRANGER.into(), 80)]);
}

/// One client asks for many that are not there; how soon others answer is heard all the same.
#[test]
fn destinations_that_do_not_answer_hide_no_others() {
    let (mut scene, mut control) = heard();
    for port in 1..=80 {
        scene.send(0, &syn(port, NEAR));
    }
    scene.wait(Duration::from_secs(1));
    scene.settle();
    dial(&mut scene, (100, NEAR), 40, (SYN_ACK, ""));
    // A worker looks at some in a turn.
    (0..20).for_each(|_| scene.settle());
    let told = dials(&mut scene, &mut control);
    let answers: Vec<_> = told.iter().map(|dial| dial.answer).collect();
    assert_eq!(answers, [Ok(Duration::from_millis(40))]);
}

#[test]
fn a_syn_that_was_answered_late_tells_no_time() {
    let (mut scene, mut control) = heard();
    dial(&mut scene, (1, NEAR), 1500, (SYN_ACK, ""));
    scene.settle();
    assert_eq!(dials(&mut scene, &mut control), []);
}

/// More than control can hear are counted, and it hears of as many as it can.
#[test]
fn a_crowd_of_connections_is_a_sample_for_control() {
    let (mut scene, mut control) = heard();
    let mut heard = 0;
    for port in 1..=2000 {
        scene.send(0, &syn(port, STRANGER));
        let sent = segments_out(&mut scene);
        let first = sent.iter().find(|segment| segment.flags.has(Flags::SYN)).unwrap();
        scene.arrive(&answer(first, 5000, Flags(Flags::RST.0 | Flags::ACK.0), &[]));
        if port % 500 == 0 {
            heard += dials(&mut scene, &mut control).len();
        }
    }
    let totals = scene.server.totals();
    assert_eq!((totals.dials_told, totals.dials_told + totals.dials_untold), (heard as u64, 2000));
    assert!((1000..1100).contains(&heard), "{heard}");
}
