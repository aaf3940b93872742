//! Every rule of the configuration, each with the place that it names.

use super::*;

const HEAD: &str =
    "interface = \"term0\"\naddresses = [\"100.64.77.2\"]\nfrom = [\"100.64.77.1/32\"]\n";
const HOP: &str = "[[next_hop]]\nname = \"a\"\nport = 3001\naddress = \"192.0.2.7:443\"\n";

fn parse(text: &str) -> Result<Config, Error> {
    Config::parse(text, Path::new("/etc/millrace/terminate.toml"))
}

#[test]
fn takes_a_minimal_file_and_paths_are_relative_to_it() {
    let config = parse(&format!("{HEAD}{HOP}")).unwrap();
    assert_eq!((config.threads, config.connections), (1, CONNECTIONS));
    assert_eq!(config.socket, Path::new("/run/millrace/terminate.sock"));
    assert!(config.next_hops[0].tls.is_none());
    let config = parse(&format!("{HEAD}socket = \"t.sock\"\nthreads = 2\n{HOP}")).unwrap();
    assert_eq!((config.socket.to_str(), config.threads), (Some("/etc/millrace/t.sock"), 2));
}

#[test]
fn what_is_wrong_is_told_with_file_and_line() {
    let tls = |more: &str| format!("{HEAD}{HOP}{more}");
    for (text, expected) in [
        (HEAD.to_owned(), ": has 0 [[next_hop]] sections; it needs 1 to 64"),
        (HEAD.replace("\"100.64.77.2\"", ""), ":2: addresses is empty"),
        (HEAD.replace("\"100.64.77.1/32\"", ""), ":3: from is empty"),
        (format!("{HEAD}threads = 0\n{HOP}"), ":4: threads = 0 is outside 1 to 64"),
        (format!("{HEAD}connections = 0\n{HOP}"), ":4: connections = 0 is outside 1 to 400000"),
        (format!("{HEAD}hurry = 1\n{HOP}"), ":4: unknown field `hurry`"),
        (tls(&HOP.replace("3001", "3002")), ":8: name a is another next hop's already"),
        (tls(&HOP.replace("\"a\"", "\"b\"")), ":8: port 3001 is none, or another"),
        (tls(&HOP.replace("\"a\"", "\"a b\"")), ":8: \"a b\" is no name"),
        (tls("").replace(":443", ":0"), ":4: 192.0.2.7:0 has no port"),
        (tls("tls = \"a b\"\n"), ":4: tls names nobody"),
        (tls("authorities = \"a.pem\"\n"), ":4: authorities without tls"),
        (
            tls("tls = \"a.example\"\nauthorities = \"none.pem\"\n"),
            ":4: /etc/millrace/none.pem: no certificates of authorities",
        ),
        (
            tls("tls = \"a.example\"\nauthorities = \"/dev/null\"\n"),
            ":4: /dev/null: no certificates of authorities (there is none in it)",
        ),
    ] {
        let said = parse(&text).unwrap_err().to_string();
        let said = said.strip_prefix("/etc/millrace/terminate.toml").unwrap();
        assert!(said.starts_with(expected), "{said}");
    }
}
