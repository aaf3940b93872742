//! Tunnels that fail.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::lab::{alone, until};
use crate::numbers::{Flows, Service, found};
use crate::site::{SHOP, Site};
use crate::tunnel::{Router, Tunnel, kinds};
use crate::wire::Capture;
use crate::{ALL, standing};

const FLOWS: u32 = 32;
/// A datagram of each flow this often.
const PAUSE: Duration = Duration::from_millis(100);

/// How soon flows leave a router that is gone.
const SOON: Duration = Duration::from_secs(3);
/// For how long at least a router that is back has to answer before flows return.
const PROVEN: Duration = Duration::from_secs(3);

#[test]
fn flows_leave_a_router_that_is_gone_within_three_seconds_and_return_when_it_has_proven_itself() {
    let _machine = alone();
    for kind in kinds() {
        let site = Site::new();
        let places = [1, 2].map(|number| site.place(number, SHOP));
        let tunnels =
            [1, 2].map(|router| Tunnel { router, key: Some(7), probed: true, ..Tunnel::default() });
        // They are there before the server, or it would count its first probes as lost.
        let [first, second] = [0, 1].map(|at| Router::start(&places[at], kind, &tunnels[at]));
        let server = site.serve(&SHOP.declared(ALL, &tunnels));
        let address = format!("{}:8000", SHOP.hosts[0]);
        let services = places.each_ref().map(|place| Service::start(&place.namespace, &address));
        let state = |at: usize| standing(&site, &server, &tunnels[at]).0;
        until("both tunnels are up", 60, || state(0) == "up" && state(1) == "up");
        let flows = Flows::start(&site.internet, &address, FLOWS, PAUSE);
        let every: BTreeSet<u32> = (0..FLOWS).collect();
        let settled = Instant::now();
        let of = |at: usize| services[at].flows(settled);
        until("every flow arrives", 30, || &of(0) | &of(1) == every);
        let (one, other) = (of(0), of(1));
        assert!(one.is_disjoint(&other), "a flow has one way: {one:?}, {other:?}");
        assert!(!one.is_empty() && !other.is_empty(), "both ways are used: {one:?}, {other:?}");

        let killed = Instant::now();
        first.kill();
        until("the flows move", 30, || services[1].flows(killed) == every);
        println!(
            "{kind:?}: {} flows have moved after {:?}",
            one.len(),
            moved(&services[1], killed, &one)
        );
        assert!(moved(&services[1], killed, &one) < SOON);
        until("control tells it", 30, || state(0) == "down" && state(1) == "up");

        let first = Router::start(&places[0], kind, &tunnels[0]);
        let back = Instant::now();
        until("the flows return", 150, || one.is_subset(&services[0].flows(back)));
        let after = services[0].since(back)[0].1 - back;
        println!("{kind:?}: they are back {after:?} after the router");
        assert!(after > PROVEN, "{after:?}");
        until("control tells it", 30, || state(0) == "up");
        let list = site.ask(&server, "tunnel list");
        assert!(of(0).is_disjoint(&other), "nothing else has moved: {list:?}");

        // Without any router the last choice is kept: the server goes on to send, to whoever may hear it.
        first.kill();
        second.kill();
        until("control tells it", 30, || state(0) == "down" && state(1) == "down");
        let captures =
            places.each_ref().map(|place| Capture::start(&place.namespace, "eth0", "ip proto 47"));
        let is_sent = || captures.iter().any(|capture| !found(&capture.frames()).is_empty());
        until("the flows go on to some router", 5, is_sent);
        drop(flows);
        server.stop();
    }
}

/// How long after `begin` the last of these flows has arrived here for the first time.
fn moved(service: &Service, begin: Instant, flows: &BTreeSet<u32>) -> Duration {
    let arrivals = service.since(begin);
    let first = |flow: &u32| {
        arrivals.iter().find(|(number, _)| number.flow == *flow).map(|(_, at)| *at - begin)
    };
    flows.iter().filter_map(first).max().unwrap()
}
