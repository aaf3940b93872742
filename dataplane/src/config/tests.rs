//! Every rule of the configuration, each with the place that it names.

use super::*;

const HEAD: &str = r#"
private_key = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
listen_port = 51820
workers = [0]
[[port]]
name = "wan"
device = "net_ring0"
addresses = ["192.0.2.1/24", "2001:db8::1/64"]
"#;

fn parse(text: &str) -> Result<Config, Error> {
    Config::parse(text, Path::new("test.toml"))
}

/// The error of a text made of the head and a tail, as a person reads it.
fn refused(tail: &str) -> String {
    parse(&format!("{HEAD}{tail}")).expect_err(tail).to_string()
}

/// The error of the head with one line replaced.
fn refused_head(from: &str, to: &str) -> String {
    assert!(HEAD.contains(from));
    parse(&HEAD.replace(from, to)).expect_err(to).to_string()
}

#[test]
fn takes_a_minimal_file_and_a_full_one() {
    let config = parse(HEAD).unwrap();
    assert_eq!((config.listen_port, config.ports.len(), config.mtu()), (51820, 1, 1500));
    let config = parse(&format!(
        "{HEAD}gateways = [\"192.0.2.254\", \"fe80::1\"]\nvlan = 7\nmtu = 1400\nkernel = \"wan0\"\n\
         [local]\ninterface = \"inner0\"\naddresses = [\"10.7.0.1\"]\n\
         [capacity]\npeers = 1000000\n"
    ))
    .unwrap();
    assert_eq!((config.peers_max, config.instance.as_str()), (1_000_000, "main"));
    assert_eq!(config.handshake_budget, 50);
    assert_eq!(config.ports.first().unwrap().vlan, Some(7));
}

#[test]
fn a_fleet_has_a_key_and_a_way_that_is_wide_enough() {
    let key = "key = \"8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fE=\"\n";
    let config = parse(&format!("{HEAD}[fleet]\nserver = 7\n{key}")).unwrap();
    let fleet = config.fleet.unwrap();
    assert_eq!((fleet.server, fleet.mtu), (7, 1500));
    let wide = format!("{HEAD}mtu = 1560\n[fleet]\nserver = 7\n{key}mtu = 1540\n");
    assert_eq!(parse(&wide).unwrap().fleet.unwrap().mtu, 1540);
    let zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (section, said) in [
        ("server = 1\n".to_owned(), "test.toml:9: fleet has no key"),
        (format!("server = 1\nkey = \"{zeros}\"\n"), "test.toml:9: the fleet's key is all zeros"),
        (format!("server = 256\n{key}"), "test.toml:10: invalid value: integer `256`"),
        (format!("server = 1\n{key}mtu = 1419\n"), "test.toml:12: the way between servers"),
        (format!("server = 1\n{key}mtu = 9000\n"), "test.toml:12: mtu 9000 is outside"),
        (key.to_owned(), "missing field `server`"),
    ] {
        let error = refused(&format!("[fleet]\n{section}"));
        assert!(error.contains(said), "{error}");
    }
}

fn prefixes(inside: &str, outside: &str) -> String {
    format!("prefixes = [{{ inside = \"{inside}\", outside = \"{outside}\" }}]\n")
}

#[test]
fn clients_with_ipv6_alone_need_no_address_of_ipv4() {
    let pair = prefixes("fd00:7::/48", "2001:db8:d::/48");
    let config = format!("{HEAD}[nat]\nuntranslated = [\"2001:db8:c::/48\"]\n{pair}");
    let nat = parse(&config).unwrap().nat.unwrap();
    assert_eq!((nat.addresses.len(), nat.untranslated.len(), nat.prefixes.len()), (0, 1, 1));
}

#[test]
fn prefixes_of_clients_are_whole_apart_and_of_one_length() {
    for (section, expected) in [
        (
            "client_address = \"172.16.0.2\"\n".to_owned(),
            "test.toml:9: [nat] names neither addresses nor untranslated nor prefixes",
        ),
        ("untranslated = [\"::/0\"]\n".to_owned(), "test.toml:10: ::/0 holds what can be no"),
        (
            "untranslated = [\"2001:db8:c::1/48\"]\n".to_owned(),
            "test.toml:10: 2001:db8:c::1/48 has bits behind its length; name 2001:db8:c::/48",
        ),
        (
            "untranslated = [\"2001:db8:c::/48\", \"2001:db8:c:1::/64\"]\n".to_owned(),
            "test.toml:10: 2001:db8:c:1::/64 overlaps 2001:db8:c::/48",
        ),
        (prefixes("fd00:7::/48", "2001:db8:d::/56"), "test.toml:10: fd00:7::/48 does not become"),
        (prefixes("fd00:7::/80", "2001:db8:d::/80"), "test.toml:10: fd00:7::/80 does not become"),
        (prefixes("fd00:7::1/48", "2001:db8:d::/48"), "test.toml:10: fd00:7::1/48 does not"),
        (
            format!(
                "untranslated = [\"2001:db8:d::/48\"]\n{}",
                prefixes("fd00::/48", "2001:db8:d::/48")
            ),
            "test.toml:11: 2001:db8:d::/48 overlaps 2001:db8:d::/48",
        ),
        (prefixes("fd00::/48", "v"), "test.toml:10: invalid IP address syntax"),
    ] {
        let error = refused(&format!("[nat]\n{section}"));
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn translation_needs_addresses_of_its_own() {
    let config = parse(&format!("{HEAD}[nat]\naddresses = [\"192.0.2.77\"]\n")).unwrap();
    let nat = config.nat.unwrap();
    assert_eq!(nat.addresses, ["192.0.2.77".parse::<Ipv4Addr>().unwrap()]);
    assert_eq!(nat.client_address, None);
    let one = "addresses = [\"192.0.2.77\"]\n";
    for (section, expected) in [
        (
            "addresses = []\n".to_owned(),
            "test.toml:10: nat.addresses names 0 addresses; it needs 1 to 256",
        ),
        (
            "addresses = [\"192.0.2.1\"]\n".to_owned(),
            "test.toml:10: 192.0.2.1 is an address of a port",
        ),
        (
            "addresses = [\"127.0.0.1\"]\n".to_owned(),
            "test.toml:10: 127.0.0.1 can be no packet's source",
        ),
        (
            "addresses = [\"192.0.2.7\", \"192.0.2.7\"]\n".to_owned(),
            "test.toml:10: 192.0.2.7 is named twice",
        ),
        ("addresses = [\"2001:db8::1\"]\n".to_owned(), "test.toml:10: invalid IPv4 address"),
        (
            format!("{one}client_address = \"224.0.0.1\"\n"),
            "test.toml:11: nat.client_address 224.0.0.1 can be",
        ),
        (
            format!("{one}client_address = \"192.0.2.1\"\n"),
            "test.toml:11: nat.client_address 192.0.2.1 is this",
        ),
        (format!("{one}flows = 0\n"), "test.toml:11: nat.flows = 0 is outside 1 to 16777216"),
        (
            format!("{one}flows_per_client = 0\n"),
            "test.toml:11: nat.flows_per_client = 0 is outside",
        ),
        (format!("{one}setups = 0\n"), "test.toml:11: nat.setups = 0 is outside 1 to 1048576"),
        (
            format!("{one}[connect]\nport = 0\nfrom = [\"192.0.2.9\"]\n"),
            "test.toml:12: connect.port 0 is no port",
        ),
        (format!("{one}[connect]\nport = 443\nfrom = []\n"), "test.toml:13: connect.from is empty"),
        (
            format!("{one}[connect]\nport = 51820\nfrom = [\"192.0.2.9\"]\n"),
            "test.toml:12: connect.port 51820 is listen_port",
        ),
        (
            format!("{one}[connect]\nport = 4754\nfrom = [\"192.0.2.9\"]\n"),
            "test.toml:12: connect.port 4754 is what servers of a fleet",
        ),
        (
            "untranslated = [\"2001:db8:c::/48\"]\n[connect]\nport = 443\nfrom = [\"192.0.2.9\"]\n"
                .to_owned(),
            "test.toml:11: [connect] without addresses in [nat]",
        ),
    ] {
        let error = refused(&format!("[nat]\n{section}"));
        assert!(error.starts_with(expected), "{error}");
    }
    let error = refused("[connect]\nport = 443\nfrom = [\"192.0.2.9\"]\n");
    assert!(error.contains("[connect] without addresses in [nat]"), "{error}");
}

#[test]
fn terminating_needs_an_interface_and_a_network_of_its_own() {
    let head = "[local]\ninterface = \"inner0\"\naddresses = [\"10.7.0.1/24\"]\n\
                [nat]\naddresses = [\"192.0.2.77\"]\n[terminate]\n";
    let section = |interface: &str, addresses: &str| {
        format!("{head}interface = \"{interface}\"\naddresses = [{addresses}]\n")
    };
    let text = format!("{HEAD}mtu = 1400\n");
    let config = parse(&(text + &section("term0", "\"100.64.77.1/24\", \"fd64::1/64\""))).unwrap();
    let [wan, port] = &config.ports[..] else { panic!("{:?}", config.ports) };
    assert_eq!((wan.terminates, port.terminates), (false, true));
    assert_eq!((port.device.as_str(), port.mtu), ("net_tap99,iface=term0", 1400));
    for (interface, addresses, expected) in [
        ("inner0", "\"100.64.77.1/24\"", "test.toml:15: interface inner0 is another section's"),
        ("a/b", "\"100.64.77.1/24\"", "test.toml:15: \"a/b\" is no interface name"),
        ("t", "", "test.toml:16: terminate.addresses names 0 addresses; it needs 1 to 16"),
        ("t", "\"100.64.77.1\"", "test.toml:16: 100.64.77.1/32 has no room for the kernel"),
        ("t", "\"100.64.77.0/24\"", "test.toml:16: 100.64.77.0/24 is no host's address"),
        ("t", "\"100.64.77.255/24\"", "test.toml:16: 100.64.77.255/24 is no host's address"),
        ("t", "\"192.0.2.9/24\"", "test.toml:16: 192.0.2.9/24 overlaps 192.0.2.1/24"),
        ("t", "\"10.7.0.9/16\"", "test.toml:16: 10.7.0.9/16 overlaps 10.7.0.1/24"),
        ("t", "\"192.0.2.78/30\"", "test.toml:16: 192.0.2.78/30 overlaps 192.0.2.1/24"),
        ("t", "\"100.64.77.1/24\", \"100.64.77.1/16\"", "test.toml:16: 100.64.77.1 is named twice"),
    ] {
        let error = refused(&section(interface, addresses));
        assert!(error.starts_with(expected), "{error}");
    }
    let seen = section("t", "\"203.0.113.1/24\"").replace("192.0.2.77", "203.0.113.77");
    let error = refused(&seen);
    assert!(error.contains("203.0.113.1/24 holds 203.0.113.77, by which the Internet"), "{error}");
    let error = refused("[terminate]\ninterface = \"t\"\naddresses = [\"100.64.77.1/24\"]\n");
    assert!(error.contains("[terminate] without addresses in [nat]"), "{error}");
}

#[test]
fn names_the_line_of_a_bad_key() {
    let error = refused_head("yAnz5", "!");
    assert!(error.starts_with("test.toml:2: private_key is not base64"), "{error}");
}

#[test]
fn says_where_peers_belong() {
    let error = refused("[[peer]]\npublic_key = \"any\"\n");
    assert!(error.contains("belong into a file of control's directory"), "{error}");
}

#[test]
fn names_the_port_of_overlapping_devices_and_addresses() {
    let port = HEAD.split("workers = [0]\n").nth(1).unwrap();
    assert!(refused(port).contains("device net_ring0 of port wan is port wan's already"));
    assert!(refused(&port.replace("net_ring0", "net_ring1")).contains("address 192.0.2.1"));
}

#[test]
fn names_the_line_of_an_unknown_field_and_of_broken_toml() {
    let error = refused("colour = \"red\"\n");
    assert!(error.starts_with("test.toml:9: unknown field `colour`"), "{error}");
    assert!(refused("[[peer\n").starts_with("test.toml:9: "), "{}", refused("[[peer\n"));
    assert!(refused_head("listen_port = 51820\n", "").contains("missing field `listen_port`"));
}

#[test]
fn says_what_each_value_may_be() {
    for (from, to, said) in [
        ("51820", "0", "listen_port 0"),
        ("[0]", "[]", "name 1 to 16"),
        ("[0]", "[2, 1, 2]", "names core 2 twice"),
        ("192.0.2.1/24", "192.0.2.255/24", "is no host's address"),
        ("192.0.2.1/24", "127.0.0.1/8", "is no host's address"),
        ("[0]", "[0]\nhandshake_threads = 0", "outside 1 to 64"),
        ("[0]", "[0]\nhandshake_budget = 91", "handshake_budget = 91 is outside 1 to 90"),
        ("[0]", "[0]\nmemory.buffers = 1", "memory.buffers = 1 is outside"),
        ("net_ring0", "", "device is empty"),
        ("192.0.2.1/24", "192.0.2/24", "\"192.0.2/24\" is no IP address"),
        ("192.0.2.1/24", "224.0.0.1/24", "multicast"),
        ("[0]", "[0]\ncapacity.peers = 0", "capacity.peers = 0 is outside 1 to 16777216"),
        ("[0]", "[0]\ncapacity.routes = 9999999", "capacity.routes = 9999999 is outside"),
        ("[0]", "[0]\ninstance = \"../x\"", "instance: "),
    ] {
        let error = refused_head(from, to);
        assert!(error.contains(said), "{error}");
        assert!(error.starts_with("test.toml:"), "{error}");
    }
    for (tail, said) in [
        ("gateways = [\"192.0.2.1\"]\n", "is this server itself"),
        (
            "kernel = \"x\"\n[local]\ninterface = \"x\"\naddresses = []\n",
            "interface x of port wan is [local]'s",
        ),
        ("vlan = 4095\n", "vlan 4095 is outside 1 to 4094"),
        ("mtu = 576\n", "mtu 576 is outside 1360"),
        ("kernel = \"a name with blanks\"\n", "is no interface name"),
        ("gateways = [\"198.51.100.1\"]\n", "lies in no prefix"),
        ("gateways = [\"192.0.2.8\", \"192.0.2.9\"]\n", "second of its family"),
    ] {
        assert!(refused(tail).contains(said), "{}", refused(tail));
    }
    assert!(
        parse("listen_port = 1\nworkers = [0]\n").unwrap_err().to_string().contains("private_key")
    );
}

#[test]
fn says_which_file_cannot_be_read() {
    let error = Config::read(Path::new("/nowhere/m.toml")).unwrap_err().to_string();
    assert!(error.contains("/nowhere/m.toml: cannot be read"), "{error}");
    let line = "private_key = \"yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\"";
    let error = refused_head(line, "private_key_file = \"none.key\"");
    assert!(error.contains("key file none.key cannot be read"), "{error}");
    let error = refused_head(line, &format!("{line}\nprivate_key_file = \"none.key\""));
    assert!(error.contains("keep one of the two"), "{error}");
}

#[test]
fn a_key_is_never_printed() {
    let printed = format!("{:?}", parse(HEAD).unwrap());
    assert!(printed.contains("private_key: Secret(..),"), "{printed}");
}
