//! The fleet from its file to the dataplane and back: declared, changed by commands, refused, and kept.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "daemon/scene.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod scene;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::thread;

use control::testing::FakeDataplane;
use rustix::process::Signal;
use scene::{Scene, section, wait_until};
use shm::message::{Event, Fleet, MemberState};

/// A fleet of three with comments.
fn fleet(generation: u16) -> String {
    let mut text = format!("# Frankfurt.\n[fleet]\ngeneration = {generation} # never lower\n");
    for server in 1..4 {
        write!(text, "\n# rack {server}\n[[fleet.member]]\nserver = {server}\n").unwrap();
        writeln!(text, "address = [\"192.0.2.{server}\", \"2001:db8::{server}\"]").unwrap();
    }
    text
}

fn seen(dataplane: &FakeDataplane) -> Fleet {
    dataplane.tables().fleet.unwrap()
}

fn generations(fleet: &Fleet) -> Vec<u16> {
    fleet.past.iter().map(|past| past.generation).collect()
}

/// Puts another file in the place of the fleet's, whole.
fn replace(scene: &Scene, text: &str) {
    scene.write(".fleet", text);
    fs::rename(scene.directory.join(".fleet"), scene.directory.join("fleet.toml")).unwrap();
}

fn file(scene: &Scene) -> String {
    fs::read_to_string(scene.directory.join("fleet.toml")).unwrap()
}

#[test]
fn commands_change_the_file_and_come_back_when_the_dataplane_follows() {
    let scene = Scene::new();
    scene.write("fleet.toml", &fleet(12));
    let dataplane = scene.dataplane();
    let _daemon = scene.daemon();
    wait_until("the fleet", || dataplane.tables().fleet.is_some());
    scene.told(&["fleet", "drain", "1", "--deadline", "30m"]);
    let now = seen(&dataplane);
    assert_eq!((now.generation, generations(&now)), (13, vec![12]));
    let MemberState::Draining { deadline: Some(deadline) } = now.members[0].state else { panic!() };
    let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let left = deadline.as_secs().abs_diff(unix.as_secs() + 1800);
    assert!(left < 120, "{left} s from half an hour");
    let shown = scene.json(&["fleet", "list"]).remove(0);
    assert_eq!(
        (&shown["generation"], &shown["in_force"], &shown["held"]),
        (&13.into(), &13.into(), &7.into())
    );
    assert_eq!(shown["members"][0]["deadline"], deadline.as_secs());
    assert_eq!(shown["digest"].as_str().unwrap().len(), 16);
    scene.told(&["fleet", "weight", "2", "40"]);
    scene.told(&["fleet", "down", "3"]);
    scene.told(&["fleet", "up", "1"]);
    let now = seen(&dataplane);
    assert_eq!((now.generation, generations(&now)), (16, vec![15, 14, 13, 12]));
    assert_eq!(now.past[0].weights, [(2, 40)]);
    let text = file(&scene);
    for kept in ["# Frankfurt.", "generation = 16 # never lower", "# rack 1", "# rack 3"] {
        assert!(text.contains(kept), "{kept} in {text}");
    }
    // What is so already is done at once, and changes nothing.
    scene.told(&["fleet", "up", "1"]);
    assert_eq!(file(&scene), text);
    let list = scene.told(&["fleet", "list"]);
    let line = list.lines().find(|line| line.trim_start().starts_with("1 ")).unwrap();
    assert!(line.contains("192.0.2.1,2001:db8::1") && line.contains("active"), "{list}");
    assert!(
        list.contains("generation 16 in") && list.contains("before it 15, 14, 13, 12"),
        "{list}"
    );
    assert!(list.contains("this server is 1, with generation 16 in force; digest "), "{list}");
    assert_eq!(scene.status()["source_trouble"], serde_json::Value::Null);
    let left: Vec<_> =
        fs::read_dir(&scene.directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("-fleet")), "{left:?}");
}

#[test]
fn changes_at_the_same_time_lose_nothing() {
    let scene = Scene::new();
    scene.write("fleet.toml", &fleet(65530));
    let dataplane = scene.dataplane();
    let _daemon = scene.daemon();
    wait_until("the fleet", || dataplane.tables().fleet.is_some());
    thread::scope(|scope| {
        for server in ["1", "2", "3"] {
            let scene = &scene;
            scope.spawn(move || {
                for weight in ["10", "20", "30", "40"] {
                    scene.told(&["fleet", "weight", server, weight]);
                }
            });
        }
    });
    let now = seen(&dataplane);
    assert!(now.members.iter().all(|member| member.weight == 40), "{now:?}");
    // Twelve changes from 65530 on, without generation 0.
    assert_eq!(now.generation, 7);
    let known = generations(&now);
    assert_eq!(known, [6, 5, 4, 3, 2, 1, 65535, 65534, 65533, 65532, 65531, 65530]);
    assert_eq!(scene.json(&["fleet", "list"])[0]["in_force"], 7);
}

#[test]
fn what_cannot_be_is_refused_with_a_sentence_and_leaves_the_file() {
    let scene = Scene::new();
    let dataplane = scene.dataplane();
    let _daemon = scene.daemon();
    assert!(scene.refused(1, &["fleet", "list"]).contains("no fleet is declared"));
    assert!(scene.refused(1, &["fleet", "up", "1"]).contains("no file declares a [fleet]"));
    scene.write("fleet.toml", &fleet(12));
    wait_until("the fleet", || dataplane.tables().fleet.is_some());
    assert!(scene.refused(1, &["fleet", "drain", "9"]).contains("the fleet has no member 9"));
    scene.told(&["fleet", "drain", "2"]);
    scene.told(&["fleet", "weight", "3", "0"]);
    let text = file(&scene);
    for last in [vec!["drain", "1"], vec!["down", "1"], vec!["weight", "1", "0"]] {
        let said = scene.refused(1, &[vec!["fleet"], last].concat());
        assert!(said.contains("member 1 is the last active one with a weight"), "{said}");
    }
    for wrong in [["drain", "256"], ["weight", "1"], ["up", "-1"]] {
        assert_eq!(scene.cli(&[&["fleet"], &wrong[..]].concat()).status.code(), Some(2));
    }
    let said = scene.cli(&["fleet", "drain", "3", "--deadline", "soon"]);
    assert_eq!(said.status.code(), Some(2));
    // What the dataplane refuses does not take the place of what it has.
    dataplane.refuse(1);
    let said = scene.refused(1, &["fleet", "up", "2"]);
    assert!(said.contains("the dataplane refuses"), "{said}");
    dataplane.leave_fleet(true);
    let said = scene.refused(1, &["fleet", "up", "2"]);
    assert!(
        said.contains("the dataplane refuses the fleet: this dataplane has no [fleet]"),
        "{said}"
    );
    dataplane.leave_fleet(false);
    assert_eq!(file(&scene), text);
    scene.told(&["fleet", "up", "2"]);
    assert_eq!(seen(&dataplane).generation, 15);
}

#[test]
fn a_change_by_hand_that_forgets_the_past_breaks_no_session() {
    let scene = Scene::new();
    scene.write("fleet.toml", &fleet(12));
    let dataplane = scene.dataplane();
    let daemon = scene.daemon();
    wait_until("the fleet", || dataplane.tables().fleet.is_some());
    let without = |text: &str, server: u16| {
        let at = text.find(&format!("\n# rack {server}")).unwrap();
        text[..at].to_owned()
    };
    // Members that change under the same generation change nothing, and it is said where.
    replace(&scene, &without(&fleet(12), 3));
    wait_until("trouble", || !scene.status()["source_trouble"].is_null());
    let trouble = scene.status()["source_trouble"].as_str().unwrap().to_owned();
    assert!(trouble.contains("fleet.toml:3: generation: the members have changed"), "{trouble}");
    assert_eq!(seen(&dataplane).members.len(), 3);
    replace(&scene, &without(&fleet(13), 3));
    wait_until("the next generation", || seen(&dataplane).generation == 13);
    let past = seen(&dataplane).past;
    assert_eq!((past.len(), past[0].generation), (1, 12));
    assert_eq!(past[0].weights, [(1, 100), (2, 100), (3, 100)]);
    // What is remembered is on disk when a command ends, and a control that is killed begins with it.
    scene.told(&["apply", scene.directory.to_str().unwrap()]);
    daemon.kill();
    fs::remove_file(scene.directory.join("fleet.toml")).unwrap();
    scene.write("broken.toml", "nonsense");
    let daemon = scene.daemon();
    wait_until("the snapshot", || scene.status()["applied"] != 0);
    assert_eq!(generations(&seen(&dataplane)), [12]);
    // A fleet that nobody declares any more is none.
    fs::remove_file(scene.directory.join("broken.toml")).unwrap();
    wait_until("the end of the fleet", || dataplane.tables().fleet.is_none());
    assert!(scene.refused(1, &["fleet", "list"]).contains("no fleet is declared"));
    daemon.signal(Signal::TERM);
}

#[test]
fn a_dataplane_without_a_fleet_is_given_everything_else() {
    let scene = Scene::new();
    scene.write("fleet.toml", &fleet(12));
    scene.write("peers.toml", &section(1));
    let dataplane = scene.dataplane();
    dataplane.leave_fleet(true);
    let _daemon = scene.daemon();
    wait_until("the peer", || dataplane.tables().peers.len() == 1);
    wait_until("the rest", || scene.status()["left_out"] == 1);
    let trouble = scene.status()["trouble"].as_str().unwrap().to_owned();
    assert!(trouble.contains("fleet.toml:3: the fleet is left out"), "{trouble}");
    let list = scene.told(&["fleet", "list"]);
    assert!(list.contains("not in force here: the dataplane has no [fleet] section"), "{list}");
    // Other things go on, and the fleet is told again when it changes.
    scene.write("peers.toml", &(section(1) + &section(2)));
    wait_until("the other peer", || dataplane.tables().peers.len() == 2);
    dataplane.leave_fleet(false);
    scene.told(&["fleet", "weight", "1", "7"]);
    assert_eq!((seen(&dataplane).generation, scene.status()["left_out"].clone()), (13, 0.into()));
}

#[test]
fn a_dataplane_with_a_fleet_keeps_it_when_it_refuses_that_of_the_book() {
    let scene = Scene::new();
    scene.write("fleet.toml", &fleet(12));
    let dataplane = scene.dataplane();
    let _daemon = scene.daemon();
    wait_until("the fleet", || dataplane.tables().fleet.is_some());
    // What is declared while the dataplane is left goes into the book unjudged.
    dataplane.stall(true);
    replace(&scene, &fleet(13).replace("server = 1\n", "server = 9\n"));
    wait_until("the change", || {
        dataplane.tell(Event::Desynchronised);
        scene.json(&["fleet", "list"])[0]["generation"] == 13
    });
    dataplane.stall(false);
    wait_until("the refusal", || scene.status()["refused"] != 0);
    wait_until("trouble", || !scene.status()["trouble"].is_null());
    assert_eq!(dataplane.tables().fleet.map(|fleet| fleet.generation), Some(12));
    let list = scene.told(&["fleet", "list"]);
    assert!(list.contains("the fleet: this server's number is not among"), "{list}");
    replace(&scene, &fleet(14));
    wait_until("a better fleet", || seen(&dataplane).generation == 14);
    wait_until("no trouble", || scene.status()["trouble"].is_null());
}

#[test]
fn a_command_says_again_that_the_dataplane_does_not_follow() {
    let scene = Scene::new();
    scene.write("fleet.toml", &fleet(12));
    let dataplane = scene.dataplane();
    let _daemon = scene.daemon();
    wait_until("the fleet", || dataplane.tables().fleet.is_some());
    replace(&scene, &fleet(13).replace("server = 1\n", "server = 9\n"));
    wait_until("trouble", || !scene.status()["source_trouble"].is_null());
    // The file says so already, and it is not in force.
    let said = scene.refused(1, &["fleet", "up", "9"]);
    assert!(said.contains("this server's number is not among"), "{said}");
    let list = scene.told(&["fleet", "list"]);
    assert!(list.contains("generation 12 in") && list.contains("this server's number"), "{list}");
    replace(&scene, &fleet(14));
    wait_until("a better fleet", || seen(&dataplane).generation == 14);
}

#[test]
fn a_change_of_the_fleet_takes_no_other_file_for_complete() {
    let scene = Scene::new();
    scene.write("fleet.toml", &fleet(12));
    scene.write("peers.toml", &(section(1) + &section(2)));
    let dataplane = scene.dataplane();
    let _daemon = scene.daemon();
    wait_until("both peers", || dataplane.tables().peers.len() == 2);
    let mut writing = fs::File::create(scene.directory.join("peers.toml")).unwrap();
    writing.write_all(section(1).as_bytes()).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| scene.told(&["fleet", "weight", "1", "7"]));
        wait_until("the weight", || seen(&dataplane).members[0].weight == 7);
        let peers = dataplane.tables().peers.len();
        writing.write_all(section(2).as_bytes()).unwrap();
        drop(writing);
        assert_eq!(peers, 2);
    });
}

#[test]
fn without_a_dataplane_a_change_is_kept_for_the_next() {
    let scene = Scene::new();
    scene.write("fleet.toml", &fleet(12));
    let _daemon = scene.daemon();
    wait_until("the fleet", || scene.cli(&["fleet", "list"]).status.success());
    assert!(scene.told(&["fleet", "down", "3"]).contains("waits for a dataplane"));
    assert!(scene.told(&["fleet", "list"]).contains("no dataplane is attached"));
    let dataplane = scene.dataplane();
    assert!(dataplane.wait_for(|tables| tables.fleet.is_some()));
    assert_eq!(seen(&dataplane).members[2].state, MemberState::Down);
}

#[test]
fn a_link_to_the_file_stays_one_and_the_file_keeps_its_mode() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let scene = Scene::new();
    let real = scene.root.path().join("shared.toml");
    fs::write(&real, fleet(12)).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&real, scene.directory.join("fleet.toml")).unwrap();
    let dataplane = scene.dataplane();
    let _daemon = scene.daemon();
    wait_until("the fleet", || dataplane.tables().fleet.is_some());
    scene.told(&["fleet", "weight", "1", "7"]);
    assert_eq!(seen(&dataplane).members[0].weight, 7);
    assert!(fs::symlink_metadata(scene.directory.join("fleet.toml")).unwrap().is_symlink());
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
}
