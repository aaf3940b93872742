//! Data centres and routes with several exits, from files and commands to the dataplane and back: what is measured comes
//! as events, and what has failed is left at once.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "daemon/scene.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod scene;

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use control::testing::{FakeDataplane, Tables};
use scene::{Daemon, Scene, wait_until};
use shm::message::{Dial, DialFailure, Event, NextHop, Path, run};

const DECLARED: &str = "[[centre]]\nname = \"ams\"\nnumber = 1\nmachines = [\"192.0.2.1\"]\n\
    [[centre]]\nname = \"fra\"\nnumber = 7\nmachines = [\"192.0.2.7\", \"192.0.2.8\"]\nheadroom = 500\n\
    [[centre]]\nname = \"lhr\"\nnumber = 9\nmachines = [{ address = \"[2001:db8::9]:8443\", weight = 5 }]\n\
    [[route]]\nprefix = \"203.0.113.0/24\"\nexits = [\"direct\", \"fra\", \"lhr\"]\n\
    [[table]]\nfile = \"full.txt\"\n";

const VIA_7: NextHop = NextHop::Via { centre: 7, remote: None };

fn begun() -> (Scene, FakeDataplane, Daemon) {
    let scene = Scene::new();
    let config = scene.root.path().join("control.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text + "centre = \"ams\"\n").unwrap();
    scene.write("full.txt", "198.51.100.0/24 direct,fra,lhr\n192.0.2.0/24 local\n");
    scene.write("centres.toml", DECLARED);
    let dataplane = scene.dataplane();
    let daemon = scene.daemon();
    wait_until("the declared routes", || dataplane.tables().routes.len() == 3);
    (scene, dataplane, daemon)
}

/// Where a prefix leads, as the dataplane was told.
fn hop(tables: &Tables, prefix: &str) -> NextHop {
    let id = tables.routes.get(&prefix.parse().unwrap()).unwrap();
    *tables.next_hops.get(id).unwrap()
}

fn dials(exit: u16, ms: Result<u64, DialFailure>, count: usize) -> Vec<Event> {
    let to: IpAddr = [203, 0, 113, 5].into();
    let dial = Dial { to, exit, relay: 0, answer: ms.map(Duration::from_millis) };
    let all = vec![dial; count];
    all.chunks(4).map(|some| Event::Dials(run(some))).collect()
}

fn probed(centre: u16, ms: Option<u64>) -> Event {
    let answer = ms.map(Duration::from_millis);
    Event::Probed { centre, machine: [192, 0, 2, 7].into(), answer }
}

/// The dataplane tells how far centres are, and that both they and straight out are known well.
fn measured(dataplane: &FakeDataplane) {
    let path = Path { to: 9, rtt: Some(Duration::from_millis(30)), lost: 2 };
    let told = [probed(7, Some(20)), probed(9, Some(45))].into_iter();
    let told = told.chain([Event::Paths { from: 7, paths: run(&[path]) }]);
    let told = told.chain(dials(0, Ok(12), 20)).chain(dials(7, Ok(34), 20));
    for event in told {
        dataplane.tell(event);
    }
}

#[test]
fn a_route_leaves_an_exit_that_fails_at_once_and_keeps_its_choice_over_a_restart() {
    let (scene, dataplane, daemon) = begun();
    let tables = dataplane.tables();
    assert_eq!(hop(&tables, "203.0.113.0/24"), NextHop::Direct);
    let here: Vec<(u16, bool, usize)> = tables
        .centres
        .values()
        .map(|centre| (centre.number, centre.is_here, centre.machines.len()))
        .collect();
    assert_eq!(here, [(1, true, 1), (7, false, 2), (9, false, 1)]);
    wait_until("the table", || scene.cli(&["argo", "show", "203.0.113.0/24"]).status.success());
    measured(&dataplane);
    for event in dials(0, Err(DialFailure::TimedOut), 3) {
        dataplane.tell(event);
    }
    wait_until("the move", || hop(&dataplane.tables(), "203.0.113.0/24") == VIA_7);
    // Of the other prefix nothing is known.
    assert_eq!(hop(&dataplane.tables(), "198.51.100.0/24"), NextHop::Direct);
    assert!(daemon.stop());
    let snapshots = dataplane.tables().snapshots;
    let _daemon = scene.daemon();
    wait_until("the snapshot", || dataplane.tables().snapshots > snapshots);
    assert_eq!(hop(&dataplane.tables(), "203.0.113.0/24"), VIA_7);
    wait_until("the table", || scene.cli(&["argo", "show", "203.0.113.0/24"]).status.success());
    assert_eq!(scene.json(&["argo", "show", "203.0.113.9"])[0]["exit"], "fra");
}

#[test]
fn show_and_list_tell_what_is_chosen_what_else_there_is_and_why_not() {
    let (scene, dataplane, _daemon) = begun();
    wait_until("the table", || scene.cli(&["argo", "show", "203.0.113.0/24"]).status.success());
    measured(&dataplane);
    let known = || scene.json(&["argo", "show", "203.0.113.9"])[0]["exits"][1]["dials"] == 20;
    wait_until("the dials", known);
    let shown = scene.json(&["argo", "show", "203.0.113.9"]).remove(0);
    assert_eq!((&shown["prefix"], &shown["exit"]), (&"203.0.113.0/24".into(), &"direct".into()));
    let exits = shown["exits"].as_array().unwrap();
    let costs: Vec<_> = exits.iter().map(|exit| exit["cost_us"].as_u64()).collect();
    assert_eq!(costs, [Some(12_000), Some(34_000), None]);
    assert_eq!(exits[1]["way_us"], 20_000);
    let lines = scene.told(&["argo", "show", "203.0.113.0/24"]);
    let lines: Vec<&str> = lines.lines().collect();
    assert!(
        lines[0].starts_with(
            "203.0.113.0/24 goes out by direct (from the beginning), of direct,fra,lhr ("
        ),
        "{lines:?}"
    );
    assert!(lines[0].ends_with("centres.toml:15)"), "{lines:?}");
    assert_eq!(
        lines[2..],
        [
            "EXIT    COST     WAY      HALF     NINE OF TEN  DIALS  FAILED  WHY",
            "direct  12.0 ms  0.0 ms   12.0 ms  12.0 ms         20       0  chosen",
            "fra     34.0 ms  20.0 ms  14.0 ms  14.0 ms         20       0  not better by more than 3 ms and a twentieth",
            "lhr     -        45.0 ms  -        -                0       0  not known: fewer than 20 dials were answered of late",
        ]
    );
    let listed = scene.told(&["argo", "list"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert!(
        lines[0].starts_with("CENTRE      STATE  RTT      LOST  WAY      PREFIXES"),
        "{listed}"
    );
    assert!(
        lines[1].starts_with("direct      up     0.0 ms   0 %   0.0 ms          2"),
        "{listed}"
    );
    assert!(lines[2].starts_with("ams (here)  up     0.0 ms"), "{listed}");
    assert!(lines[3].starts_with("fra         up     20.0 ms  0 %   20.0 ms"), "{listed}");
    let refused = scene.refused(1, &["argo", "show", "192.0.2.5"]);
    assert!(refused.contains("no route to 192.0.2.5 names several exits"), "{refused}");
    for _ in 0..3 {
        dataplane.tell(probed(7, None));
    }
    wait_until("the loss", || scene.json(&["argo", "list"])[2]["state"] == "down");
    // It is still there by way of the other.
    let shown = || scene.json(&["argo", "show", "203.0.113.9"]).remove(0)["exits"][1].clone();
    assert_eq!((&shown()["relay"], &shown()["way_us"]), (&"lhr".into(), &97_000.into()));
    wait_until("the relay", || dataplane.tables().centres.get(&7).unwrap().relay == 9);
    for _ in 0..3 {
        dataplane.tell(probed(9, None));
    }
    wait_until("the loss", || shown()["why"] == "down: three probes in a row were lost");
}

#[test]
fn routes_and_next_hops_of_commands_name_exits() {
    let (scene, dataplane, daemon) = begun();
    scene.told(&["route", "add", "10.0.0.0/8", "lhr,direct"]);
    scene.told(&["next-hop", "add", "best", "argo", "fra", "lhr"]);
    scene.told(&["next-hop", "add", "frankfurt", "via", "--centre", "fra"]);
    scene.told(&["route", "add", "11.0.0.0/8", "best"]);
    let tables = dataplane.tables();
    assert_eq!(hop(&tables, "10.0.0.0/8"), NextHop::Direct);
    assert_eq!(hop(&tables, "11.0.0.0/8"), VIA_7);
    let listed = scene.json(&["next-hop", "list"]);
    let of = |name: &str| listed.iter().find(|hop| hop["name"] == name).unwrap().clone();
    assert_eq!((&of("best")["kind"], &of("frankfurt")["centre"]), (&"argo".into(), &"fra".into()));
    assert_eq!(of("lhr,direct")["exits"], serde_json::json!(["lhr", "direct"]));
    let refused = scene.refused(1, &["route", "add", "12.0.0.0/8", "direct,nowhere"]);
    assert!(refused.contains("there is no centre nowhere; declare it"), "{refused}");
    let refused = scene.refused(1, &["next-hop", "add", "x", "argo", "fra", "fra"]);
    assert!(refused.contains("fra is there twice"), "{refused}");
    daemon.kill();
    let _daemon = scene.daemon();
    wait_until("the restart", || scene.json(&["next-hop", "list"]).len() == listed.len());
    assert_eq!(scene.json(&["next-hop", "list"]), listed);
    // What commands made is in the way of a file that takes a centre away.
    scene.write("centres.toml", &DECLARED[..DECLARED.find("[[centre]]\nname = \"lhr\"").unwrap()]);
    wait_until("the refusal", || scene.status()["source_trouble"].is_string());
    let trouble = scene.status()["source_trouble"].as_str().unwrap().to_owned();
    assert!(trouble.contains("is an exit of next hop"), "{trouble}");
}
