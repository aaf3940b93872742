//! Tenants from their files to the dataplane: tunnels, rules and sets, changed, refused, kept.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "daemon/scene.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod scene;

use control::testing::{FakeDataplane, Filter};
use scene::{Daemon, Scene, wait_until};
use shm::message::Matter;

const EDGE: &str = "[[dos.list]]\nname = \"bad\"\nkind = \"set\"\nfile = \"bad.txt\"\n\n\
    [[tenant]]\nname = \"acme\"\nprefixes = [\"203.0.113.0/25\"]\nrules_file = \"acme.nft\"\n\n\
    [[tenant.tunnel]]\nname = \"acme-1\"\nlocal = \"192.0.2.2\"\nremote = \"198.51.100.7\"\n\n\
    [[tenant]]\nname = \"other\"\nprefixes = [\"203.0.113.128/25\"]\nrules = \"ip saddr @bad drop\"\n";

const RULES: &str =
    "ip saddr @bad drop\nip daddr 203.0.113.100 tcp dport 20-21 accept\npolicy drop\n";

fn filter(dataplane: &FakeDataplane) -> Filter {
    dataplane.tables().filter
}

fn begun() -> (Scene, FakeDataplane, Daemon) {
    let scene = Scene::new();
    scene.write("bad.txt", "198.51.100.128/25\n2001:db8:bad::/48\n");
    scene.write("acme.nft", RULES);
    scene.write("edge.toml", EDGE);
    let dataplane = scene.dataplane();
    let daemon = scene.daemon();
    wait_until("the rules", || filter(&dataplane).texts.len() == 2);
    (scene, dataplane, daemon)
}

/// What the dataplane was told of a tenant's rules; the first tenant is number 0.
fn text(filter: &Filter, number: usize) -> String {
    let text = filter.texts.values().nth(number).unwrap();
    String::from_utf8(text.clone()).unwrap()
}

fn trouble(scene: &Scene) -> String {
    let said = || scene.status().get("source_trouble")?.as_str().map(str::to_owned);
    wait_until("trouble", || said().is_some());
    said().unwrap()
}

#[test]
fn tenants_of_files_are_in_force_and_their_rules_change_alone() {
    let (scene, dataplane, daemon) = begun();
    let told = filter(&dataplane);
    let set = told.rules.values().next().unwrap();
    assert_eq!((&set.matter, told.listed()), (&Matter::Set, 2));
    assert_eq!((told.tunnels.len(), told.tenants.len()), (1, 2));
    assert!(text(&told, 0).contains(&format!("@{} ", set.id)), "{}", text(&told, 0));
    let snapshots = dataplane.tables().snapshots;
    let deltas = dataplane.tables().deltas;
    scene.write("acme.nft", &RULES.replace("20-21", "443"));
    wait_until("other rules", || text(&filter(&dataplane), 0).contains("443"));
    // A set that changes does so once, for all whose rules name it, and no rules are told again.
    scene.write("bad.txt", "198.51.100.128/25\n192.0.2.128/25\n2001:db8:bad::/48\n");
    wait_until("the set", || filter(&dataplane).listed() == 3);
    let after = filter(&dataplane);
    assert_eq!((after.moved, dataplane.tables().snapshots), ((3, 0), snapshots));
    assert_eq!(dataplane.tables().deltas, deltas + 2);
    assert_eq!((&after.tunnels, text(&after, 1)), (&told.tunnels, text(&told, 1)));
    // What is wrong is told with its place, and changes nothing.
    scene.write("acme.nft", "policy drop\nip saddr @bed accept\n");
    let said = trouble(&scene);
    assert!(said.contains("acme.nft:2: rules: there is no set bed;"), "{said}");
    scene.write("acme.nft", "policy drop\ntcp sport x accept\n");
    wait_until("other trouble", || trouble(&scene).contains("acme.nft:2:11: "));
    assert_eq!(filter(&dataplane), after);
    // Killed and begun again with a source that is broken, control tells what it told, under the same ids.
    daemon.kill();
    let _daemon = scene.daemon();
    wait_until("the snapshot", || dataplane.tables().snapshots > snapshots);
    let again = filter(&dataplane);
    assert_eq!((again.texts, again.tunnels), (after.texts, after.tunnels));
    assert_eq!(
        (again.rules, again.lists, again.tenants),
        (after.rules, after.lists, after.tenants)
    );
}

/// A tunnel to an address that the dataplane has itself.
const LOOP: &str =
    "\n[[tenant.tunnel]]\nname = \"other-1\"\nlocal = \"192.0.2.2\"\nremote = \"192.0.2.1\"\n";

#[test]
fn a_tunnel_that_the_dataplane_refuses_is_told_with_its_line_and_left_out_where_it_must_be() {
    let (scene, dataplane, _daemon) = begun();
    let told = filter(&dataplane);
    // As a change it is refused, and so is all that came with it.
    scene.write("edge.toml", &format!("{EDGE}{LOOP}"));
    let said = trouble(&scene);
    assert!(
        said.contains("edge.toml:22: the dataplane refuses tunnel other-1 of tenant other"),
        "{said}"
    );
    assert_eq!(filter(&dataplane), told);
    // What control has when a dataplane comes is served but for that.
    drop(dataplane);
    wait_until("the end", || scene.status()["attached"] == false);
    scene.write("edge.toml", &format!("{EDGE}{LOOP}"));
    wait_until("what was refused", || scene.status()["source_trouble"].is_null());
    let dataplane = scene.dataplane();
    wait_until("what is left out", || scene.status()["left_out"] == 1);
    let after = filter(&dataplane);
    assert_eq!((&after.tunnels, after.texts.len()), (&told.tunnels, 2));
    let said = scene.status()["trouble"].as_str().unwrap().to_owned();
    assert!(said.contains("edge.toml:22: tunnel other-1 of tenant other is left out: "), "{said}");
    // Mended, it comes as a change.
    let snapshots = dataplane.tables().snapshots;
    let mended = LOOP.replace("192.0.2.1\"", "198.51.100.8\"");
    scene.write("edge.toml", &format!("{EDGE}{mended}"));
    wait_until("the tunnel", || filter(&dataplane).tunnels.len() == 2);
    wait_until("that all is told", || scene.status()["left_out"] == 0);
    assert_eq!(dataplane.tables().snapshots, snapshots);
}
