//! Claims about the directory as a source: what it declares, and where it says that something is wrong.

use std::fmt::Write as _;
use std::fs;

use super::*;
use crate::model::{Hop, Origin, Place, PublicKey, key};

const KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
const OTHER: &str = "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=";

pub(super) fn read(files: &[(&str, &str)]) -> Result<Declaration, String> {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let prefix = format!("{}/", directory.path().display());
    Directory::new(directory.path().to_owned())
        .read()
        .map_err(|refused| refused.to_string().replace(&prefix, ""))
}

#[test]
fn a_directory_is_read_as_one() {
    let peers = format!(
        "[[peer]]\nname = \"alice\"\npublic_key = \"{KEY}\"\npreshared_key_file = \"alice.psk\"\n\
         allowed_ips = [\"10.0.0.1\", \"fd00::/64\"]\nendpoint = \"192.0.2.1:51820\"\n\
         persistent_keepalive = 25\nclient_id = \"AAAB\"\n\n[[peer]]\npublic_key = \"{OTHER}\"\n"
    );
    let routes = "[[next_hop]]\nname = \"out\"\nkind = \"gre\"\nlocal = \"192.0.2.1\"\n\
         remote = \"192.0.2.2\"\nkey = 7\n[[next_hop]]\nname = \"home\"\nkind = \"client\"\n\
         peer = \"alice\"\n[[route]]\nprefix = \"203.0.113.0/24\"\nnext_hop = \"home\"\n\
         [[table]]\nfile = \"full.txt\"\n";
    let declaration = read(&[
        ("z-peers.toml", &peers),
        ("a-routes.toml", routes),
        ("alice.psk", OTHER),
        ("full.txt", "# origin\n\n198.51.100.0/24 out\n2001:db8::/32\tout\n"),
        (".hidden.toml", "nonsense"),
        ("notes.txt", "nonsense"),
    ])
    .unwrap();
    let [alice, other] = declaration.peers.as_slice() else { panic!("two peers") };
    assert_eq!((alice.title(), other.title()), ("alice".into(), key::title(&PublicKey([8; 32]))));
    assert_eq!(alice.origin, Origin::Declared(Place { file: 2, line: 3 }));
    assert_eq!(other.origin, Origin::Declared(Place { file: 2, line: 11 }));
    assert_eq!(alice.preshared_key.as_ref().unwrap().octets(), &[8; 32]);
    assert_eq!(alice.allowed_ips.len(), 2);
    assert_eq!(declaration.next_hops[1].hop, Hop::Client(PublicKey([7; 32])));
    let prefixes: Vec<String> =
        declaration.routes.iter().map(|route| route.prefix.to_string()).collect();
    assert_eq!(prefixes, ["203.0.113.0/24", "198.51.100.0/24", "2001:db8::/32"]);
    assert_eq!(declaration.routes[2].origin, Origin::Declared(Place { file: 1, line: 4 }));
}

#[test]
fn what_is_wrong_is_told_with_file_and_line_and_remedy() {
    let peer = |more: &str| format!("[[peer]]\npublic_key = \"{KEY}\"\n{more}\n");
    let cases = [
        ("\n[[peer]]\npublic_key = \"short\"".to_owned(), "a.toml:3: public_key is not base64"),
        ("[[peer]]\nname = \"x\"".to_owned(), "a.toml:1: missing field `public_key`"),
        ("[[pear]]".to_owned(), "a.toml:1: unknown field `pear`"),
        ("[[peer]\n".to_owned(), "a.toml:1: "),
        (peer("allowed_ips = [\n\"10.0.0.1/24\"]"), "a.toml:4: 10.0.0.1/24 has bits behind"),
        (peer("allowed_ips = [\"x\"]"), "a.toml:3: \"x\" is no IP address or prefix"),
        (peer("client_id = \"AAAA=\""), "a.toml:3: client_id is not base64 of 3 octets"),
        (peer("preshared_key = \"x\""), "a.toml:3: preshared_key is not base64 of 32 octets"),
        (peer("preshared_key_file = \"gone\""), "a.toml:3: key file gone cannot be read"),
        (peer("endpoint = \"x\""), "a.toml:3: invalid socket address"),
        (peer("colour = 1"), "a.toml:3: unknown field `colour`"),
        (
            "[[next_hop]]\nname = \"x\"\nkind = \"gre\"".to_owned(),
            "a.toml:1: a next hop of kind gre needs local",
        ),
        ("[[next_hop]]\nname = \"x\"\nkind = \"y\"".to_owned(), "a.toml:3: \"y\" is no kind"),
        (
            "[[next_hop]]\nname = \"x\"\nkind = \"client\"\npeer = \"y\"".to_owned(),
            "a.toml:4: peer: there is no peer y",
        ),
        ("[[table]]\nfile = \"gone.txt\"".to_owned(), "a.toml:2: table gone.txt: cannot be read"),
    ];
    for (text, expected) in cases {
        let said = read(&[("a.toml", &text)]).unwrap_err();
        assert!(said.starts_with(expected), "{said}, not {expected}");
    }
    let table = "[[table]]\nfile = \"t.txt\"\n";
    for (text, expected) in [
        ("10.0.0.0/8 a\n10.0.0.0/8\n", "t.txt:2: \"10.0.0.0/8\" is no route"),
        ("x a", "t.txt:1: \"x\" is no IP address"),
        ("10.0.0.1/8 a", "t.txt:1: 10.0.0.1/8 has bits behind its prefix; write 10.0.0.0/8"),
    ] {
        let said = read(&[("a.toml", table), ("t.txt", text)]).unwrap_err();
        assert!(said.starts_with(expected), "{said}, not {expected}");
    }
}

#[test]
fn lines_are_right_in_files_of_many_sections() {
    let mut text = String::from("# peers\n");
    for number in 0..2000_u32 {
        let mut octets = [7; 32];
        octets[..4].copy_from_slice(&number.to_be_bytes());
        writeln!(text, "[[peer]]\npublic_key = \"{}\"\n", key::encode(&octets)).unwrap();
    }
    let declaration = read(&[("a.toml", &text)]).unwrap();
    assert_eq!(declaration.peers.len(), 2000);
    for (number, peer) in (0..).zip(&declaration.peers) {
        let line = 3 + 3 * number;
        assert_eq!(peer.origin, Origin::Declared(Place { file: 0, line }));
    }
    let said = read(&[("a.toml", &(text + "[[peer]]\npublic_key = 7\n"))]).unwrap_err();
    assert!(said.starts_with("a.toml:6003: "), "{said}");
}

#[test]
fn octets_that_are_no_text_and_a_directory_that_is_none_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.toml");
    fs::write(&path, b"\n\n\xff").unwrap();
    let said = Directory::new(directory.path().to_owned()).read().unwrap_err().to_string();
    assert_eq!(said, format!("{}:3: is not UTF-8; write it as such", path.display()));
    let said = Directory::new(path.clone()).read().unwrap_err().to_string();
    assert!(said.starts_with(&format!("{}: cannot be read", path.display())), "{said}");
}
