//! Other data centres of ours, for as long as it takes: they are measured, connections go by the nearest one, and those that are
//! silent are kept alive. Needs root and the programs of `scripts/setup`; minutes of silence make it a suite of its own:
//! `cargo test -p pktgen --features dpdk --test egress_paths`.
#![cfg(feature = "dpdk")]

#[cfg(test)]
mod lab;

#[cfg(test)]
#[allow(dead_code, reason = "others use the rest")]
#[path = "egress/site.rs"]
mod site;

use std::path::Path;

use lab::alone;
use lab::dataplane::Dataplane;
use lab::keys::Keys;
use lab::namespace::{Namespace, cable};
use lab::process::Process;
use lab::{attach, until};
use site::{INTERNET, NAT, POP, POP_NAT, POP_PORT, SERVER, Site, served};

/// The near one, and whom the Internet sees of it.
const NEAR: &str = "11.1.0.3";
const NEAR_NAT: &str = "11.1.0.202";

/// One way to the far one, and back.
const DELAY_MS: u64 = 20;

/// A link that takes its time between the far data centre and all others.
fn delayed(site: &Site) -> Process {
    let hub = &site.hub;
    hub.run("ip link set pop nomaster");
    cable((hub, "slow"), (hub, "beyond"));
    hub.run("ip link set beyond master link0");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/egress/delay.py");
    let mut command = hub.command("/usr/bin/python3");
    command.arg(script).args([&DELAY_MS.to_string(), "pop", "slow"]);
    let process = Process::start("delay.py", command);
    until("the link is there", 30, || process.mentions("ready") > 0);
    process
}

/// What `millrace --json argo` says.
fn said(site: &Site, server: &Dataplane, words: &str) -> String {
    site.ask(server, &format!("--json argo {words}"))
}

/// A client that says nothing for longer than twice the silence after which the exit asks the origin.
const SILENT: &str = "import socket, sys, time\n\
    wire = socket.create_connection((sys.argv[1], 80), 10)\n\
    time.sleep(40)\n\
    wire.sendall(b'GET /served HTTP/1.0\\r\\n\\r\\n')\n\
    print(wire.recv(15).decode())\n";

/// Case 26, with a kernel as the origin.
#[test]
fn an_origin_is_asked_by_the_exit_whether_it_is_there_and_answers() {
    let _machine = alone();
    let site = Site::new();
    let _web = site.web();
    for is_ours in [true, false] {
        let pop = site.serve_pop();
        let server = site.serve_via_pop(is_ours);
        let client = site.client(0);
        let script = client.place.file("silent.py", SILENT);
        let answer = client.place.run(&format!("/usr/bin/python3 {script} {INTERNET}"));
        assert_eq!(answer.trim(), "HTTP/1.1 200 OK", "ours: {is_ours}");
        drop(client);
        assert_eq!(server.stop()["connects_borne"], u64::from(is_ours));
        let counters = pop.stop();
        let asked = (counters["origins_probed"], counters["origins_gone"]);
        assert_eq!(asked, (2, 0), "ours: {is_ours}: {counters:?}");
    }
}

/// The first number behind a name in a line of JSON.
fn number(line: &str, name: &str) -> Option<u64> {
    let (_, rest) = line.split_once(&format!("\"{name}\":"))?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[test]
fn a_prefix_moves_to_the_nearer_of_two_data_centres_once_both_are_measured() {
    let _machine = alone();
    let site = Site::new();
    let near = Namespace::new();
    attach((&site.hub, "near"), (&near, "outer"));
    near.run("sysctl -qw net.ipv6.conf.outer.disable_ipv6=1");
    let _link = delayed(&site);
    let _web = site.web();
    let key = Keys::new().secret_text();
    let section =
        |from: &[&str]| format!("[connect]\nport = {POP_PORT}\nfrom = {from:?}\nkey = \"{key}\"\n");
    let pops = [(&site.pop, POP, POP_NAT), (&near, NEAR, NEAR_NAT)].map(|(place, address, nat)| {
        Site::serve_pop_at((place, address, nat), &section(&[NAT, SERVER]))
    });
    let declared = format!(
        "[[centre]]\nname = \"fra\"\nnumber = 7\nmachines = [\"{POP}:{POP_PORT}\"]\n\
         [[centre]]\nname = \"lhr\"\nnumber = 8\nmachines = [\"{NEAR}:{POP_PORT}\"]\n\
         [[route]]\nprefix = \"{INTERNET}/32\"\nexits = [\"fra\", \"lhr\"]\n"
    );
    let server = site.start(1, (&section(&[POP, NEAR, POP_NAT, NEAR_NAT]), &declared));
    let client = site.client(0);
    let mut times = [None; 2];
    until("both are measured", 30, || {
        let list = said(&site, &server, "list");
        println!("{list}");
        times = ["fra", "lhr"].map(|name| {
            let line = list.lines().find(|line| line.contains(&format!("\"{name}\"")))?;
            number(line, "rtt_us")
        });
        times.iter().all(Option::is_some)
    });
    let [far, near_by] = times.map(Option::unwrap);
    assert!((DELAY_MS * 2000..DELAY_MS * 2000 + 40_000).contains(&far), "{far} us");
    assert!(near_by < DELAY_MS * 1000, "{near_by} us");

    let get = format!("curl -sS --max-time 10 -r 0-9 -o /run/lab/part http://{INTERNET}/served");
    client.place.run(&get);
    assert!(served(&site).pop().unwrap().starts_with(POP_NAT), "the first one named");
    until("the prefix has moved", 180, || {
        (0..5).for_each(|_| client.place.run(&get).clear());
        said(&site, &server, &format!("show {INTERNET}")).contains("\"exit\":\"lhr\",\"since\"")
    });
    println!("{}", said(&site, &server, &format!("show {INTERNET}")));
    let count = served(&site).len();
    (0..5).for_each(|_| client.place.run(&get).clear());
    let after = served(&site).split_off(count);
    assert!(after.iter().all(|line| line.starts_with(NEAR_NAT)), "{after:?}");
    drop(client);
    let counters = server.stop();
    assert_eq!(counters["connects_failed"], 0);
    assert!(counters["dials_told"] >= 40, "{counters:?}");
    for pop in pops {
        pop.stop();
    }
}
