//! The daemon as a process: its files, its socket, its end, and what is left when it is killed.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "daemon/scene.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod scene;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::process::Signal;
use scene::{Scene, key, section, wait_until};

/// A number that depends on another and nothing else (`SplitMix64`'s step).
fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[test]
fn commands_reach_the_dataplane_and_tell_what_there_is() {
    let scene = Scene::new();
    let dataplane = scene.dataplane();
    let daemon = scene.daemon();
    wait_until("the snapshot", || scene.status()["applied"] == 1);
    let (one, two) = (key(1), key(2));
    scene.told(&["peer", "add", &one, "--name", "alice", "--allowed-ips", "10.0.0.1,fd00::/64"]);
    scene.told(&["peer", "add", &two, "--endpoint", "192.0.2.9:51820", "--client-id", "AAAB"]);
    scene.told(&["next-hop", "add", "home", "client", "alice"]);
    scene.told(&["next-hop", "add", "far", "gre", "--local", "192.0.2.1", "--remote", "192.0.2.2"]);
    scene.told(&["route", "add", "203.0.113.0/24", "home"]);
    let tables = dataplane.tables();
    assert_eq!((tables.peers.len(), tables.next_hops.len(), tables.routes.len()), (2, 4, 1));
    let peers = scene.json(&["peer", "list"]);
    let alice = peers.iter().find(|peer| peer["name"] == "alice").unwrap();
    assert_eq!((&alice["received"], &alice["handshake"]), (&100.into(), &7.into()));
    assert_eq!(scene.json(&["peer", "show", &two])[0]["client_id"], "AAAB");
    let table = scene.told(&["peer", "list"]);
    let line = table.lines().find(|line| line.starts_with("alice ")).unwrap();
    assert!(
        line.contains("10.0.0.1/32,fd00::/64") && line.contains("made with `millrace`"),
        "{line}"
    );
    assert_eq!(scene.json(&["route", "lookup", "203.0.113.7"])[0]["next_hop"], "home");
    assert_eq!(scene.json(&["route", "lookup", "10.0.0.1"])[0]["peer"], "alice");
    assert!(scene.told(&["next-hop", "list"]).contains("192.0.2.2 from 192.0.2.1"));
    let drops = scene.told(&["drops", "--seconds", "0.05"]);
    assert!(
        drops.contains("parse_truncated") && drops.contains("look for a faulty sender"),
        "{drops}"
    );
    assert!(scene.told(&["counters", "--threads"]).contains("worker0"));
    scene.told(&["route", "remove", "203.0.113.0/24"]);
    scene.told(&["next-hop", "remove", "home"]);
    scene.told(&["peer", "remove", "alice"]);
    let tables = dataplane.tables();
    assert_eq!((tables.peers.len(), tables.next_hops.len(), tables.routes.len()), (1, 3, 0));
    assert!(daemon.stop());
    assert!(!scene.root.path().join("control.sock").exists());
}

#[test]
fn what_cannot_be_is_said_with_its_field_and_an_exit_status() {
    let scene = Scene::new();
    let said = scene.refused(3, &["status"]);
    assert!(said.contains("control does not answer there"), "{said}");
    let _daemon = scene.daemon();
    let one = key(1);
    // Without a dataplane it is kept.
    assert!(scene.told(&["peer", "add", &one]).contains("waits for a dataplane"));
    let zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let cases: [(&[&str], &str); 7] = [
        (&["peer", "add", "short"], "public_key: is not base64 of 32 octets"),
        (&["peer", "add", zeros], "public_key: is no usable key"),
        (&["peer", "add", &one], "public_key: is that of"),
        (&["peer", "remove", "bob"], "peer: there is no peer bob"),
        (&["route", "add", "10.0.0.1/8", "local"], "prefix: 10.0.0.1/8 has bits behind"),
        (&["route", "add", "10.0.0.0/8", "mars"], "next_hop: there is no next hop mars"),
        (&["route", "lookup", "10.0.0.1"], "no route leads to 10.0.0.1"),
    ];
    for (arguments, expected) in cases {
        let said = scene.refused(1, arguments);
        assert!(said.starts_with(&format!("millrace: {expected}")), "{said}");
    }
    assert_eq!(scene.cli(&["peer", "fly"]).status.code(), Some(2));
    let said = scene.refused(1, &["counters"]);
    assert!(said.contains("start the dataplane"), "{said}");
}

#[test]
fn the_socket_and_the_state_are_this_users_alone() {
    let scene = Scene::new();
    let _daemon = scene.daemon();
    for name in ["control.sock", "state", "state/state.redb"] {
        let mode = fs::metadata(scene.root.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
}

#[test]
fn a_file_in_the_place_of_the_socket_stays() {
    let scene = Scene::new();
    scene.write("../control.sock", "precious");
    let said = scene.run(&[]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(
        said.contains("control.sock: cannot be listened to (something else is there)"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(scene.root.path().join("control.sock")).unwrap(), "precious");
}

#[test]
fn files_are_followed_and_broken_ones_change_nothing() {
    let scene = Scene::new();
    let dataplane = scene.dataplane();
    scene.write("a.toml", &section(1));
    let daemon = scene.daemon();
    assert!(dataplane.wait_for(|tables| tables.peers.len() == 1));
    // A plain write, and an atomic one.
    scene.write("b.toml", &section(2));
    assert!(dataplane.wait_for(|tables| tables.peers.len() == 2));
    let draft = scene.directory.join(".c.toml.tmp");
    fs::write(&draft, section(3) + &section(4)).unwrap();
    fs::rename(&draft, scene.directory.join("c.toml")).unwrap();
    assert!(dataplane.wait_for(|tables| tables.peers.len() == 4));
    // Broken: nothing changes, and everybody is told where.
    scene.write("b.toml", "[[peer]]\nname = \"x\"\n");
    wait_until("the trouble", || !scene.status()["source_trouble"].is_null());
    let status = scene.status();
    let said = status["source_trouble"].as_str().unwrap();
    assert!(said.contains("b.toml:1: missing field `public_key`"), "{said}");
    assert_eq!(dataplane.tables().peers.len(), 4);
    scene.write("b.toml", &section(1));
    wait_until("the double", || {
        let status = scene.status();
        status["source_trouble"].as_str().is_some_and(|said| said.contains("is there already"))
    });
    scene.write("b.toml", &section(5));
    wait_until("the end of trouble", || scene.status()["source_trouble"].is_null());
    fs::remove_file(scene.directory.join("c.toml")).unwrap();
    assert!(dataplane.wait_for(|tables| tables.peers.len() == 2));
    let said = scene.refused(1, &["peer", "remove", "d1"]);
    assert!(said.contains("d1 is declared in ") && said.contains("a.toml:3"), "{said}");
    // The directory goes, and comes again.
    fs::rename(&scene.directory, scene.root.path().join("away")).unwrap();
    wait_until("the trouble", || !scene.status()["source_trouble"].is_null());
    assert_eq!(dataplane.tables().peers.len(), 2);
    fs::create_dir(&scene.directory).unwrap();
    scene.write("a.toml", &(section(1) + &section(7) + &section(8)));
    assert!(dataplane.wait_for(|tables| tables.peers.len() == 3));
    assert!(daemon.stop());
}

#[test]
fn a_file_that_is_half_written_is_not_read() {
    let scene = Scene::new();
    let dataplane = scene.dataplane();
    scene.write("a.toml", &(section(1) + &section(2)));
    let _daemon = scene.daemon();
    assert!(dataplane.wait_for(|tables| tables.peers.len() == 2));
    let before = dataplane.tables().deltas;
    let mut file = fs::File::create(scene.directory.join("a.toml")).unwrap();
    file.write_all(section(1).as_bytes()).unwrap();
    // Another file wakes control meanwhile; what it may read must not be the half of this one.
    scene.write("b.toml", &section(3));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(dataplane.tables().peers.len(), 2);
    file.write_all(section(2).as_bytes()).unwrap();
    drop(file);
    assert!(dataplane.wait_for(|tables| tables.peers.len() == 3));
    assert_eq!(dataplane.tables().deltas, before + 1);
}

#[test]
fn control_starts_with_the_last_good_configuration() {
    let scene = Scene::new();
    scene.write("a.toml", &section(1));
    let daemon = scene.daemon();
    scene.told(&["peer", "add", &key(2)]);
    wait_until("the directory", || scene.status()["peers_declared"] == 1);
    assert!(daemon.stop());
    fs::remove_dir_all(&scene.directory).unwrap();
    let dataplane = scene.dataplane();
    let _daemon = scene.daemon();
    assert!(dataplane.wait_for(|tables| tables.peers.len() == 2));
    wait_until("the trouble", || !scene.status()["source_trouble"].is_null());
    assert!(scene.log().contains("what was declared before stays in force"), "{}", scene.log());
}

#[test]
fn directories_are_checked_compared_and_applied() {
    let scene = Scene::new();
    scene.write("a.toml", &(section(1) + &section(2)));
    let next = scene.root.path().join("next");
    fs::create_dir(&next).unwrap();
    let next = next.to_str().unwrap();
    fs::write(format!("{next}/n.toml"), section(2) + &section(3) + "[[table]]\nfile = \"r.txt\"\n")
        .unwrap();
    fs::write(format!("{next}/r.txt"), "203.0.113.0/24 local\n").unwrap();
    // Without control it is checked by itself.
    let said = scene.told(&["check", next]);
    assert!(
        said.contains("ok: declares 2 peers, 1 routes") && said.contains("by itself"),
        "{said}"
    );
    let dataplane = scene.dataplane();
    let _daemon = scene.daemon();
    assert!(dataplane.wait_for(|tables| tables.peers.len() == 2));
    let said = scene.told(&["diff", next]);
    let lines: BTreeSet<&str> = said.lines().collect();
    for line in ["- peer d1", "+ peer d3", "+ route 203.0.113.0/24 to local"] {
        assert!(lines.contains(line), "{said}");
    }
    assert!(said.ends_with("ok: declares 2 peers, 1 routes, 0 next hops; 3 changes\n"), "{said}");
    scene.told(&["apply", next]);
    let tables = dataplane.tables();
    assert_eq!((tables.peers.len(), tables.routes.len()), (2, 1));
    assert!(!scene.directory.join("a.toml").exists() && scene.directory.join("n.toml").exists());
    fs::write(format!("{next}/n.toml"), section(3) + &section(3)).unwrap();
    for command in ["check", "diff", "apply"] {
        let said = scene.refused(1, &[command, next]);
        assert!(said.contains("n.toml:8: ") && said.contains("n.toml:3"), "{said}");
    }
    assert_eq!(dataplane.tables(), tables);
}

#[test]
fn a_directory_that_the_dataplane_refuses_takes_no_file_away() {
    let scene = Scene::new();
    scene.write("a.toml", &section(1));
    let next = scene.root.path().join("next");
    fs::create_dir(&next).unwrap();
    let hop = "[[next_hop]]\nname = \"far\"\nkind = \"via\"\ncentre = 1\nremote = \"192.0.2.9\"\n";
    fs::write(next.join("n.toml"), section(2) + hop).unwrap();
    let dataplane = scene.dataplane();
    let _daemon = scene.daemon();
    assert!(dataplane.wait_for(|tables| tables.peers.len() == 1));
    let tables = dataplane.tables();
    let said = scene.refused(1, &["apply", next.to_str().unwrap()]);
    assert!(said.contains("no egress"), "{said}");
    assert!(scene.directory.join("a.toml").exists() && !scene.directory.join("n.toml").exists());
    assert_eq!(dataplane.tables().peers, tables.peers);
}

#[test]
fn routes_of_a_file_are_loaded_and_replaced() {
    let scene = Scene::new();
    let dataplane = scene.dataplane();
    let _daemon = scene.daemon();
    let file = scene.root.path().join("routes.txt");
    let lines: Vec<String> = (0..5000_u32)
        .map(|number| format!("10.{}.{}.0/24 local", number / 256, number % 256))
        .collect();
    let text = lines.join("\n");
    fs::write(&file, text).unwrap();
    let file_name = file.to_str().unwrap();
    scene.told(&["route", "load", file_name]);
    assert!(dataplane.wait_for(|tables| tables.routes.len() == 5000));
    assert_eq!(scene.json(&["route", "list"]).len(), 5000);
    fs::write(&file, "10.0.0.0/24 reject\n10.99.0.0/16 reject\n").unwrap();
    scene.told(&["route", "load", file_name, "--replace"]);
    assert!(dataplane.wait_for(|tables| tables.routes.len() == 2));
    for (text, place, what) in [
        ("10.0.0.0/8 local\n10.1.0.0/16 nowhere\n", 2, "there is no next hop nowhere"),
        ("10.0.0.0/8 local\n# no\n10.0.0.0/8 reject\n", 3, "10.0.0.0/8 is in line 1 already"),
    ] {
        fs::write(&file, text).unwrap();
        let said = scene.refused(1, &["route", "load", file_name]);
        assert!(said.contains(&format!("{file_name}:{place}: {what}")), "{said}");
    }
    let said = scene.refused(1, &["route", "load", "/dev/zero"]);
    assert!(said.contains("/dev/zero: is no file"), "{said}");
}

#[test]
fn whatever_the_socket_is_told_control_lives() {
    let scene = Scene::new();
    let _daemon = scene.daemon();
    let path = scene.root.path().join("control.sock");
    let mut lines: Vec<Vec<u8>> = vec![
        b"\n".to_vec(),
        b"{}\n".to_vec(),
        b"{\"request\":\"fly\"}\n".to_vec(),
        b"{\"request\":\"peer_show\",\"peer\":7}\n".to_vec(),
        b"{\"request\":\"status\",\"more\":1}\n".to_vec(),
        b"\xff\xfe\n".to_vec(),
        vec![b'['; 60_000],
        vec![b'x'; 200_000],
    ];
    lines[6].push(b'\n');
    for seed in 0..20 {
        let octets = (0..200).map(|at| scatter(seed * 1000 + at).to_le_bytes()[0]);
        lines.push(octets.filter(|octet| *octet != b'\n').chain([b'\n']).collect());
    }
    for (number, line) in lines.iter().enumerate() {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(scene::PATIENCE)).unwrap();
        // What is too long may be left before all of it is said.
        drop(stream.write_all(line));
        let mut answer = [0; 4096];
        let len = stream.read(&mut answer).unwrap_or(0);
        let text = String::from_utf8_lossy(&answer[..len]);
        assert!(text.contains("refused") || number == 7, "line {number}: {text}");
        // And one that says nothing more.
        drop(stream);
    }
    assert_eq!(scene.status()["peers"], 0);
}

#[test]
fn a_state_that_is_corrupt_is_said_in_one_sentence() {
    let scene = Scene::new();
    let daemon = scene.daemon();
    for number in 0..20 {
        scene.told(&["peer", "add", &key(number)]);
    }
    assert!(daemon.stop());
    let path = scene.root.path().join("state/state.redb");
    let good = fs::read(&path).unwrap();
    let mut damaged = vec![Vec::from(*b"not a database"), good[..good.len() / 3].to_vec()];
    for seed in 0..8 {
        let mut octets = good.clone();
        // The pages in use stand near the beginning.
        for at in 0..200 {
            let place =
                usize::try_from(scatter(seed * 1000 + at)).unwrap() % octets.len().min(40_000);
            octets[place] ^= 0x55;
        }
        damaged.push(octets);
    }
    for (number, octets) in damaged.iter().enumerate() {
        fs::write(&path, octets).unwrap();
        let output = scene.run(&[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "damage {number}: {said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("millrace-control: ") && last.contains("state.redb"),
            "{number}: {said}"
        );
        assert!(!said.contains("panicked"), "damage {number}: {said}");
    }
    fs::write(&path, &good).unwrap();
    let _daemon = scene.daemon();
    assert_eq!(scene.status()["peers"], 20);
}

#[test]
fn one_control_per_instance() {
    let scene = Scene::new();
    let _daemon = scene.daemon();
    let output = scene.run(&[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("another millrace-control has it open; stop that one first"), "{said}");
    assert_eq!(scene.status()["instance"], "test");
}

#[test]
fn a_control_takes_the_place_of_one_that_is_about_to_end() {
    let scene = Scene::new();
    let dataplane = scene.dataplane();
    let first = scene.daemon();
    scene.told(&["peer", "add", &key(1)]);
    let end = std::thread::spawn(move || {
        // The second is to meet the first.
        std::thread::sleep(Duration::from_millis(300));
        first.kill();
    });
    let _second = scene.daemon();
    end.join().unwrap();
    scene.told(&["peer", "add", &key(2)]);
    assert!(dataplane.wait_for(|tables| tables.peers.len() == 2));
}

#[test]
fn a_configuration_is_checked_without_being_run() {
    let scene = Scene::new();
    scene.write("a.toml", &section(1));
    let output = scene.run(&["--check"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("ok, 1 peers"));
    scene.write("a.toml", &(section(1) + "\n[[peer]]\n"));
    let output = scene.run(&["--check"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("a.toml:7: missing field `public_key`"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_hangup_has_key_files_read_again() {
    let scene = Scene::new();
    let dataplane = scene.dataplane();
    let elsewhere = scene.root.path().join("psk");
    fs::write(&elsewhere, key(7)).unwrap();
    let path = elsewhere.display();
    scene.write("a.toml", &(section(1) + &format!("preshared_key_file = \"{path}\"\n")));
    let daemon = scene.daemon();
    let preshared =
        || dataplane.tables().peers.values().next().map(|peer| peer.preshared_key.octets()[3]);
    wait_until("the peer", || preshared() == Some(7));
    fs::write(&elsewhere, key(8)).unwrap();
    daemon.signal(Signal::HUP);
    wait_until("the other key", || preshared() == Some(8));
}

/// What was acknowledged before a kill is there after it, and dataplane and control agree.
#[test]
fn killed_at_any_moment_nothing_acknowledged_is_lost() {
    let scene = Scene::new();
    let dataplane = scene.dataplane();
    let mut wanted = BTreeSet::new();
    for seed in 0..8_u64 {
        let daemon = scene.daemon();
        let (mut number, began) = (0, std::time::Instant::now());
        let life = Duration::from_millis(20 + scatter(seed) % 200);
        let killer = std::thread::spawn(move || {
            std::thread::sleep(life.saturating_sub(began.elapsed()));
            daemon.kill();
        });
        let mut unsure = BTreeSet::new();
        while !killer.is_finished() {
            let peer = key(u32::try_from(seed).unwrap() * 1000 + number);
            number += 1;
            if number % 5 == 0 {
                scene.write("a.toml", &section(900_000 + number));
            }
            unsure.insert(peer.clone());
            if scene.cli(&["peer", "add", &peer]).status.success() {
                wanted.insert(peer);
            }
        }
        killer.join().unwrap();
        let _daemon = scene.daemon();
        wait_until("a snapshot", || scene.status()["applied"] != 0);
        let there: BTreeSet<String> = scene
            .json(&["peer", "list"])
            .iter()
            .filter(|peer| peer["name"].is_null())
            .map(|peer| peer["public_key"].as_str().unwrap().to_owned())
            .collect();
        let lost: Vec<&String> = wanted.difference(&there).collect();
        assert!(lost.is_empty(), "seed {seed}: {lost:?}");
        // What was asked for without an answer may be there or not.
        let more: Vec<&String> =
            there.difference(&wanted).filter(|key| !unsure.contains(*key)).collect();
        assert!(more.is_empty(), "seed {seed}: {more:?}");
        let count = usize::try_from(scene.status()["peers"].as_u64().unwrap()).unwrap();
        assert!(dataplane.wait_for(|tables| tables.peers.len() == count), "seed {seed}");
        wanted = there;
    }
}
