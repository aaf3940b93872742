//! The list. A target stands here once; what measures it may say it as well, and then has to say the same.

use super::{Aim, Bound, Place};
use Bound::{AtLeast, AtMost};

const fn aim(name: &'static str, bound: Bound, place: Place) -> Aim {
    Aim { name, bound, place }
}

/// All, in the order of a packet's way.
pub const AIMS: [Aim; 96] = [
    aim(
        "opening: all but the AEAD, 64 octets",
        AtMost(50.0),
        Place::Figure(
            "service",
            "64 octets inside (138 on the wire), bursts of 64",
            "all but the AEAD",
            "open: ns",
        ),
    ),
    aim(
        "sealing: all but the AEAD, 64 octets",
        AtMost(50.0),
        Place::Figure(
            "service",
            "64 octets inside (138 on the wire), bursts of 64",
            "all but the AEAD",
            "seal: ns",
        ),
    ),
    aim(
        "opening 64 octets, times quicker than boringtun",
        AtLeast(3.5),
        Place::Figure(
            "service",
            "64 octets inside (138 on the wire), bursts of 64",
            "wireguard::open",
            "ratio",
        ),
    ),
    aim(
        "AEAD alone, opening 0 octets, times quicker than the best library",
        AtLeast(6.0),
        Place::Figure("aead", "", "open, octets 0, batch 64, keys 16", "ratio of millrace avx512"),
    ),
    aim(
        "AEAD alone, opening 64 octets, times quicker than the best library",
        AtLeast(4.0),
        Place::Figure("aead", "", "open, octets 64, batch 64, keys 16", "ratio of millrace avx512"),
    ),
    aim(
        "AEAD alone, opening 128 octets, times quicker than the best library",
        AtLeast(3.0),
        Place::Figure(
            "aead",
            "",
            "open, octets 128, batch 64, keys 16",
            "ratio of millrace avx512",
        ),
    ),
    aim(
        "AEAD alone, opening 256 octets, times quicker than the best library",
        AtLeast(2.5),
        Place::Figure(
            "aead",
            "",
            "open, octets 256, batch 64, keys 16",
            "ratio of millrace avx512",
        ),
    ),
    aim(
        "AEAD alone, opening 512 octets, times quicker than the best library",
        AtLeast(1.8),
        Place::Figure(
            "aead",
            "",
            "open, octets 512, batch 64, keys 16",
            "ratio of millrace avx512",
        ),
    ),
    aim(
        "AEAD alone, opening 1024 octets, times quicker than the best library",
        AtLeast(1.4),
        Place::Figure(
            "aead",
            "",
            "open, octets 1024, batch 64, keys 16",
            "ratio of millrace avx512",
        ),
    ),
    aim(
        "AEAD alone, opening 1420 octets, times quicker than the best library",
        AtLeast(1.25),
        Place::Figure(
            "aead",
            "",
            "open, octets 1420, batch 64, keys 16",
            "ratio of millrace avx512",
        ),
    ),
    aim(
        "AEAD alone, opening IMIX, times quicker than the best library",
        AtLeast(1.5),
        Place::Figure("aead", "", "open, IMIX, batch 64, keys 16", "ratio of millrace avx512"),
    ),
    aim(
        "AEAD alone, sealing 0 octets, times quicker than the best library",
        AtLeast(6.0),
        Place::Figure("aead", "", "seal, octets 0, batch 64, keys 16", "ratio of millrace avx512"),
    ),
    aim(
        "AEAD alone, sealing 64 octets, times quicker than the best library",
        AtLeast(4.0),
        Place::Figure("aead", "", "seal, octets 64, batch 64, keys 16", "ratio of millrace avx512"),
    ),
    aim(
        "AEAD alone, sealing 128 octets, times quicker than the best library",
        AtLeast(3.0),
        Place::Figure(
            "aead",
            "",
            "seal, octets 128, batch 64, keys 16",
            "ratio of millrace avx512",
        ),
    ),
    aim(
        "AEAD alone, sealing 256 octets, times quicker than the best library",
        AtLeast(2.5),
        Place::Figure(
            "aead",
            "",
            "seal, octets 256, batch 64, keys 16",
            "ratio of millrace avx512",
        ),
    ),
    aim(
        "AEAD alone, sealing 512 octets, times quicker than the best library",
        AtLeast(1.8),
        Place::Figure(
            "aead",
            "",
            "seal, octets 512, batch 64, keys 16",
            "ratio of millrace avx512",
        ),
    ),
    aim(
        "AEAD alone, sealing 1024 octets, times quicker than the best library",
        AtLeast(1.4),
        Place::Figure(
            "aead",
            "",
            "seal, octets 1024, batch 64, keys 16",
            "ratio of millrace avx512",
        ),
    ),
    aim(
        "AEAD alone, sealing 1420 octets, times quicker than the best library",
        AtLeast(1.25),
        Place::Figure(
            "aead",
            "",
            "seal, octets 1420, batch 64, keys 16",
            "ratio of millrace avx512",
        ),
    ),
    aim(
        "AEAD alone, sealing IMIX, times quicker than the best library",
        AtLeast(1.5),
        Place::Figure("aead", "", "seal, IMIX, batch 64, keys 16", "ratio of millrace avx512"),
    ),
    aim(
        "AEAD alone with AVX2, opening 64 octets, times quicker than the best library",
        AtLeast(2.0),
        Place::Figure("aead", "", "open, octets 64, batch 64, keys 16", "ratio of millrace avx2"),
    ),
    aim(
        "AEAD alone with AVX2, sealing 64 octets, times quicker than the best library",
        AtLeast(2.0),
        Place::Figure("aead", "", "seal, octets 64, batch 64, keys 16", "ratio of millrace avx2"),
    ),
    aim(
        "routes: a full table from nothing",
        AtMost(200.0),
        Place::Figure("routes", "", "prefixes", "middle"),
    ),
    aim(
        "routes: one prefix changed",
        AtMost(50.0),
        Place::Figure("routes", "", "IPv4 prefix", "puts back"),
    ),
    aim(
        "routes: one peer changed",
        AtMost(50.0),
        Place::Figure("routes", "", "peer with both addresses", "puts back"),
    ),
    aim(
        "routes: IPv4 lookups, random",
        AtLeast(80.0),
        Place::Figure("routes", "", "IPv4, random in random prefixes", "millions per second"),
    ),
    aim(
        "routes: IPv6 lookups, random",
        AtLeast(10.0),
        Place::Figure("routes", "", "IPv6, random in random prefixes", "millions per second"),
    ),
    aim(
        "routes: memory of an IPv4 host",
        AtMost(16.0),
        Place::Figure("routes", "", "of the IPv4 hosts", "octets each"),
    ),
    aim(
        "routes: memory of an IPv6 host",
        AtMost(32.0),
        Place::Figure("routes", "", "of the IPv6 hosts", "octets each"),
    ),
    aim(
        "control: a whole table, first message to published, ms",
        AtMost(1000.0),
        Place::Figure("control", "", "the whole table, from its first message, ms", "median"),
    ),
    aim(
        "control: a route in force, us",
        AtMost(1000.0),
        Place::Figure("control", "", "one route added, us", "median"),
    ),
    aim(
        "control: a peer in force, us",
        AtMost(1000.0),
        Place::Figure("control", "", "one peer added, us", "median"),
    ),
    aim(
        "memory of an idle peer",
        AtMost(512.0),
        Place::Figure("control", "", "an idle peer, both", "octets"),
    ),
    aim("memory of a session", AtMost(1024.0), Place::Figure("control", "", "a session", "octets")),
    aim(
        "longest turn while a table comes, against the quiet one",
        AtMost(2.0),
        Place::Otherwise("times", "millrace-bench control"),
    ),
    aim(
        "fleet: a packet claimed and passed on",
        AtMost(50.0),
        Place::Figure(
            "steer",
            "Bursts of 64",
            "IPv4, sealed data of other servers, claim and pass_on",
            "ns",
        ),
    ),
    aim(
        "fleet: what handing over to another worker adds",
        AtMost(25.0),
        Place::Otherwise("ns", "millrace-bench steer"),
    ),
    aim(
        "filter: few listed sources dropped",
        AtLeast(30.0),
        Place::Figure(
            "dos",
            "The stage",
            "UDP of 1,000 listed sources, dropped",
            "millions per second",
        ),
    ),
    aim(
        "filter: random listed sources dropped",
        AtLeast(15.0),
        Place::Figure(
            "dos",
            "The stage",
            "UDP of random listed sources, dropped",
            "millions per second",
        ),
    ),
    aim(
        "filter: random sources with a bucket each dropped",
        AtLeast(10.0),
        Place::Figure(
            "dos",
            "The stage",
            "UDP of random sources, bucket and budget, dropped",
            "millions per second",
        ),
    ),
    aim(
        "filter: clients' data with no rules",
        AtMost(15.0),
        Place::Figure("dos", "The stage", "data of clients, no rules", "`dos::admit` in it, ns"),
    ),
    aim(
        "filter: clients' data with the list",
        AtMost(15.0),
        Place::Figure("dos", "The stage", "data of clients, the list", "`dos::admit` in it, ns"),
    ),
    aim(
        "filter: clients' data with the signatures",
        AtMost(15.0),
        Place::Figure(
            "dos",
            "The stage",
            "data of clients, the signatures",
            "`dos::admit` in it, ns",
        ),
    ),
    aim(
        "filter: clients' data with a limit per source",
        AtMost(15.0),
        Place::Figure(
            "dos",
            "The stage",
            "data of clients, a limit per source",
            "`dos::admit` in it, ns",
        ),
    ),
    aim(
        "firewall: 10,000 rules swapped, services",
        AtMost(100.0),
        Place::Figure("rules", "Swaps", "services, count 10000", "both, ms"),
    ),
    aim(
        "firewall: 10,000 rules swapped, mixed",
        AtMost(100.0),
        Place::Figure("rules", "Swaps", "mixed, count 10000", "both, ms"),
    ),
    aim(
        "firewall: 10,000 rules swapped, crossing",
        AtMost(100.0),
        Place::Figure("rules", "Swaps", "crossing, count 10000", "both, ms"),
    ),
    aim(
        "tenants: GRE encap, no rules",
        AtMost(30.0),
        Place::Figure(
            "transit",
            "64 octets inside, bursts of 64, 1000 rules",
            "GRE encap, no rules",
            "ns",
        ),
    ),
    aim(
        "tenants: GRE decap",
        AtMost(35.0),
        Place::Figure("transit", "64 octets inside, bursts of 64, 1000 rules", "GRE decap", "ns"),
    ),
    aim(
        "tenants: transit, last rule",
        AtMost(80.0),
        Place::Figure(
            "transit",
            "64 octets inside, bursts of 64, 1000 rules",
            "transit, last rule",
            "ns",
        ),
    ),
    aim(
        "tenants: transit, any rule",
        AtMost(80.0),
        Place::Figure(
            "transit",
            "64 octets inside, bursts of 64, 1000 rules",
            "transit, any rule",
            "ns",
        ),
    ),
    aim(
        "NAT44 out, 10,000 flows, bursts of 32",
        AtMost(60.0),
        Place::Figure("nat", "10000 flows, bursts of 32, 64 octets", "NAT44 out", "ns"),
    ),
    aim(
        "NAT44 back, 10,000 flows, bursts of 32",
        AtMost(60.0),
        Place::Figure("nat", "10000 flows, bursts of 32, 64 octets", "NAT44 back", "ns"),
    ),
    aim(
        "NAT44 out, 10,000 flows, bursts of 64",
        AtMost(60.0),
        Place::Figure("nat", "10000 flows, bursts of 64, 64 octets", "NAT44 out", "ns"),
    ),
    aim(
        "NAT44 back, 10,000 flows, bursts of 64",
        AtMost(60.0),
        Place::Figure("nat", "10000 flows, bursts of 64, 64 octets", "NAT44 back", "ns"),
    ),
    aim(
        "NAT44 out, 1,000,000 flows, bursts of 32",
        AtMost(150.0),
        Place::Figure("nat", "1000000 flows, bursts of 32, 64 octets", "NAT44 out", "ns"),
    ),
    aim(
        "NAT44 back, 1,000,000 flows, bursts of 32",
        AtMost(150.0),
        Place::Figure("nat", "1000000 flows, bursts of 32, 64 octets", "NAT44 back", "ns"),
    ),
    aim(
        "NAT44 out, 1,000,000 flows, bursts of 64",
        AtMost(150.0),
        Place::Figure("nat", "1000000 flows, bursts of 64, 64 octets", "NAT44 out", "ns"),
    ),
    aim(
        "NAT44 back, 1,000,000 flows, bursts of 64",
        AtMost(150.0),
        Place::Figure("nat", "1000000 flows, bursts of 64, 64 octets", "NAT44 back", "ns"),
    ),
    aim(
        "splice: exit (M0), onward, 10,000 connections, bursts of 32",
        AtMost(60.0),
        Place::Figure("splice", "10000 flows, bursts of 32, 64 octets", "exit (M0), onward", "ns"),
    ),
    aim(
        "splice: exit (M0), back, 10,000 connections, bursts of 32",
        AtMost(60.0),
        Place::Figure("splice", "10000 flows, bursts of 32, 64 octets", "exit (M0), back", "ns"),
    ),
    aim(
        "splice: exit (M2), onward, 10,000 connections, bursts of 32",
        AtMost(60.0),
        Place::Figure("splice", "10000 flows, bursts of 32, 64 octets", "exit (M2), onward", "ns"),
    ),
    aim(
        "splice: exit (M2), back, 10,000 connections, bursts of 32",
        AtMost(60.0),
        Place::Figure("splice", "10000 flows, bursts of 32, 64 octets", "exit (M2), back", "ns"),
    ),
    aim(
        "splice: ingress, onward, 10,000 connections, bursts of 32",
        AtMost(60.0),
        Place::Figure("splice", "10000 flows, bursts of 32, 64 octets", "ingress, onward", "ns"),
    ),
    aim(
        "splice: ingress, back, 10,000 connections, bursts of 32",
        AtMost(60.0),
        Place::Figure("splice", "10000 flows, bursts of 32, 64 octets", "ingress, back", "ns"),
    ),
    aim(
        "splice: exit (M0), onward, 10,000 connections, bursts of 64",
        AtMost(60.0),
        Place::Figure("splice", "10000 flows, bursts of 64, 64 octets", "exit (M0), onward", "ns"),
    ),
    aim(
        "splice: exit (M0), back, 10,000 connections, bursts of 64",
        AtMost(60.0),
        Place::Figure("splice", "10000 flows, bursts of 64, 64 octets", "exit (M0), back", "ns"),
    ),
    aim(
        "splice: exit (M2), onward, 10,000 connections, bursts of 64",
        AtMost(60.0),
        Place::Figure("splice", "10000 flows, bursts of 64, 64 octets", "exit (M2), onward", "ns"),
    ),
    aim(
        "splice: exit (M2), back, 10,000 connections, bursts of 64",
        AtMost(60.0),
        Place::Figure("splice", "10000 flows, bursts of 64, 64 octets", "exit (M2), back", "ns"),
    ),
    aim(
        "splice: ingress, onward, 10,000 connections, bursts of 64",
        AtMost(60.0),
        Place::Figure("splice", "10000 flows, bursts of 64, 64 octets", "ingress, onward", "ns"),
    ),
    aim(
        "splice: ingress, back, 10,000 connections, bursts of 64",
        AtMost(60.0),
        Place::Figure("splice", "10000 flows, bursts of 64, 64 octets", "ingress, back", "ns"),
    ),
    aim(
        "splice: exit (M0), onward, 1,000,000 connections, bursts of 32",
        AtMost(150.0),
        Place::Figure(
            "splice",
            "1000000 flows, bursts of 32, 64 octets",
            "exit (M0), onward",
            "ns",
        ),
    ),
    aim(
        "splice: exit (M0), back, 1,000,000 connections, bursts of 32",
        AtMost(150.0),
        Place::Figure("splice", "1000000 flows, bursts of 32, 64 octets", "exit (M0), back", "ns"),
    ),
    aim(
        "splice: exit (M2), onward, 1,000,000 connections, bursts of 32",
        AtMost(150.0),
        Place::Figure(
            "splice",
            "1000000 flows, bursts of 32, 64 octets",
            "exit (M2), onward",
            "ns",
        ),
    ),
    aim(
        "splice: exit (M2), back, 1,000,000 connections, bursts of 32",
        AtMost(150.0),
        Place::Figure("splice", "1000000 flows, bursts of 32, 64 octets", "exit (M2), back", "ns"),
    ),
    aim(
        "splice: ingress, onward, 1,000,000 connections, bursts of 32",
        AtMost(150.0),
        Place::Figure("splice", "1000000 flows, bursts of 32, 64 octets", "ingress, onward", "ns"),
    ),
    aim(
        "splice: ingress, back, 1,000,000 connections, bursts of 32",
        AtMost(150.0),
        Place::Figure("splice", "1000000 flows, bursts of 32, 64 octets", "ingress, back", "ns"),
    ),
    aim(
        "splice: exit (M0), onward, 1,000,000 connections, bursts of 64",
        AtMost(150.0),
        Place::Figure(
            "splice",
            "1000000 flows, bursts of 64, 64 octets",
            "exit (M0), onward",
            "ns",
        ),
    ),
    aim(
        "splice: exit (M0), back, 1,000,000 connections, bursts of 64",
        AtMost(150.0),
        Place::Figure("splice", "1000000 flows, bursts of 64, 64 octets", "exit (M0), back", "ns"),
    ),
    aim(
        "splice: exit (M2), onward, 1,000,000 connections, bursts of 64",
        AtMost(150.0),
        Place::Figure(
            "splice",
            "1000000 flows, bursts of 64, 64 octets",
            "exit (M2), onward",
            "ns",
        ),
    ),
    aim(
        "splice: exit (M2), back, 1,000,000 connections, bursts of 64",
        AtMost(150.0),
        Place::Figure("splice", "1000000 flows, bursts of 64, 64 octets", "exit (M2), back", "ns"),
    ),
    aim(
        "splice: ingress, onward, 1,000,000 connections, bursts of 64",
        AtMost(150.0),
        Place::Figure("splice", "1000000 flows, bursts of 64, 64 octets", "ingress, onward", "ns"),
    ),
    aim(
        "splice: ingress, back, 1,000,000 connections, bursts of 64",
        AtMost(150.0),
        Place::Figure("splice", "1000000 flows, bursts of 64, 64 octets", "ingress, back", "ns"),
    ),
    aim(
        "connections begun a second: ingress, in the SYN (M0)",
        AtLeast(200000.0),
        Place::Figure("splice", "Connections begun", "ingress, in the SYN (M0)", "a second"),
    ),
    aim(
        "connections begun a second: exit, in the SYN (M0)",
        AtLeast(200000.0),
        Place::Figure("splice", "Connections begun", "exit, in the SYN (M0)", "a second"),
    ),
    aim(
        "a chain of proxies: requests, times nginx's",
        AtLeast(10.0),
        Place::Figure(
            "peers",
            "All others of this run",
            "chain: millrace: requests, 1/s, 1/s",
            "times better",
        ),
    ),
    aim(
        "a chain of proxies: bit/s, times nginx's",
        AtLeast(10.0),
        Place::Figure(
            "peers",
            "All others of this run",
            "chain: millrace: a download, Mbit/s, Mbit/s",
            "times better",
        ),
    ),
    aim(
        "memory of a flow, with its index",
        AtMost(128.0),
        Place::Otherwise("octets", "millrace-bench counts"),
    ),
    aim(
        "Argo: 1.15 million prefixes and 8 exits computed anew",
        AtMost(100.0),
        Place::Otherwise("ms", "cargo run --release -p control --example argo -- 1350000"),
    ),
    aim(
        "generator: prepared frames",
        AtLeast(20.0),
        Place::Otherwise("Mpps", "millrace-pktgen self-test"),
    ),
    aim(
        "generator: live frames",
        AtLeast(10.0),
        Place::Otherwise("Mpps", "millrace-pktgen self-test"),
    ),
    aim(
        "generator: what clients' sealing takes of the AEAD's own rate, less 1",
        AtMost(30.0),
        Place::Otherwise("%", "millrace-pktgen self-test"),
    ),
    aim("`wg show` of 100,000 peers", AtMost(1.0), Place::Otherwise("s", "wg show all dump")),
    aim(
        "commands ring between two threads",
        AtLeast(10.0),
        Place::Otherwise("M messages/s", "cargo test --release -p shm -- --ignored"),
    ),
    aim(
        "two runs of service agree on every ratio",
        AtMost(3.0),
        Place::Otherwise("%", "millrace-bench compare A B"),
    ),
    aim("the whole report", AtMost(30.0), Place::Otherwise("min", "millrace-bench all")),
    aim(
        "the whole report, quick",
        AtMost(5.0),
        Place::Otherwise("min", "millrace-bench all --quick"),
    ),
];
