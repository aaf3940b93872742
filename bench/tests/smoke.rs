//! The program as a person runs it, for a few short blocks. Its figures are not judged here: it fails by
//! itself when a packet is lost or something allocates while time is taken.

use std::io;
use std::process::{Command, Output};

use results::Record;

fn bench(arguments: &[&str]) -> io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_millrace-bench")).args(arguments).output()
}

#[test]
fn measures_every_way_and_keeps_all_blocks() {
    let path = std::env::temp_dir().join(format!("millrace-bench-{}.json", std::process::id()));
    let json = path.to_str().unwrap();
    let arguments = [
        "service", "--quick", "--blocks", "3", "--sizes", "64,1420", "--bursts", "16", "--json",
        json,
    ];
    let output = bench(&arguments).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("| io-forward |") && said.contains("| steer::claim |"), "{said}");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let record = Record::from_json(&text).unwrap();
    let forward = |name: &str| name.ends_with(" / io-forward / ns");
    let figures = record.figures();
    let kept: Vec<_> = figures.iter().filter(|(name, ..)| forward(name)).collect();
    assert_eq!(kept.len(), 2, "{text}");
    for (name, unit, figure) in kept {
        assert_eq!((figure.trials.len(), *unit), (3, "ns"), "{name}");
        assert!(figure.trials.iter().all(|trial| *trial > 0.0), "{name}: {:?}", figure.trials);
    }
}

#[test]
fn refuses_a_burst_that_clients_cannot_share_alike() {
    let output = bench(&["service", "--bursts", "20"]).unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("multiples of 16"));
}

#[test]
fn holds_the_aead_against_libraries() {
    let output = bench(&["aead", "--quick", "--sizes", "64,imix", "--batches", "8"]).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("| millrace portable |") && said.contains("| ring |"), "{said}");
    assert!(said.contains("| open | 64 | 8 |") && said.contains("| seal | IMIX | 8 |"), "{said}");
}

#[test]
fn refuses_a_batch_beyond_a_burst() {
    let output = bench(&["aead", "--batches", "65"]).unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--batches takes 1 to 64"));
}

#[test]
fn matches_signatures_and_says_which_sets_are_refused() {
    let output = bench(&["signatures", "--quick"]).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("| udp and src port N | 4000 |"), "{said}");
    assert!(said.contains("| udp and udp[8:4] > N | 4000 | refused: rule "), "{said}");
}

#[test]
fn builds_changes_and_looks_up_routes() {
    let output = bench(&["routes", "--quick"]).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("17000 IPv4 and 3000 IPv6 prefixes, 10000 hosts"), "{said}");
    assert!(said.contains("| peer with both addresses |"), "{said}");
    assert!(said.contains("| IPv6, random peers |"), "{said}");
}

#[test]
fn names_the_table_that_is_missing() {
    let output = bench(&["routes", "--table", "/nowhere/location.db"]).unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/location.db"));
}

#[test]
fn tells_what_controls_changes_cost() {
    let output = bench(&["control", "--quick", "--core", "0"]).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("5000 routes, 1000 peers"), "{said}");
    assert!(
        said.contains("| one peer removed, us |") && said.contains("| an idle peer, both | "),
        "{said}"
    );
}

#[test]
fn tells_what_the_fleet_costs() {
    let output = bench(&["steer", "--quick", "--blocks", "3", "--bursts", "16"]).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("| io-forward |") && said.contains("Handing over adds "), "{said}");
    for family in ["IPv4", "IPv6"] {
        for set in ["sealed data of other servers", "initiations for other servers"] {
            assert!(said.contains(&format!("**{family}, {set}, claim and pass_on**")), "{said}");
        }
    }
}

#[test]
fn tells_what_the_sketch_costs() {
    let output = bench(&["sketch", "--quick"]).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(
        said.contains("| none sampled | 0 |") && said.contains("| 8192 a round | 8192 |"),
        "{said}"
    );
    assert!(said.contains("| flood of invented sources | 16 |"), "{said}");
}

#[test]
fn refuses_one_core_as_two() {
    let output = bench(&["steer", "--core", "0", "--second-core", "0"]).unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--second-core"));
}

#[test]
fn looks_listed_prefixes_up_and_fills_buckets() {
    let output = bench(&["dos", "--quick"]).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("| IPv4 | ") && said.contains("| 2^16 | "), "{said}");
}

#[test]
fn holds_the_classifier_against_rte_acl() {
    let output = bench(&["rules", "--quick"]).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    for lookups in ["| crossing | 10 | 1 | policy | 64 | ", "| services | 100 | 20 | random | 1 | "]
    {
        let row = said.lines().find(|line| line.starts_with(lookups)).unwrap_or_default();
        assert!(row.contains("..") && !row.contains("NaN"), "{lookups}: {said}");
    }
}

#[test]
fn refuses_rules_that_leave_no_other_than_the_last() {
    let output = bench(&["rules", "--rules", "1"]).unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--rules takes 2 to "));
}

#[test]
fn puts_tenants_packets_into_gre_and_takes_them_out() {
    let output = bench(&["transit", "--quick", "--blocks", "3", "--rules", "50"]).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("| GRE decap | ") && said.contains("| transit, any rule | "), "{said}");
    assert!(said.contains("| tenant::filter | "), "{said}");
}

#[test]
fn translates_each_way_stage_by_stage() {
    let output = bench(&["nat", "--quick", "--blocks", "3"]).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("## 1000 flows, bursts of 64, 64 octets"), "{said}");
    assert!(said.contains("| NAT44 out | ") && said.contains("| NAT44 back | "), "{said}");
    assert!(said.contains("| nat::undress | ") && said.contains("| nat::dress | "), "{said}");
}

#[test]
fn refuses_more_flows_than_there_are_ports_for() {
    let output = bench(&["nat", "--flows", "4000001"]).unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--flows takes 1 to 4000000"));
}

#[test]
fn refuses_packets_that_no_tunnel_holds() {
    let output = bench(&["transit", "--sizes", "1477"]).unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--sizes takes 40..=1476"));
}

#[test]
fn a_measurement_goes_through_the_whole_chain_to_a_page() {
    let folder = std::env::temp_dir().join(format!("millrace-bench-{}-all", std::process::id()));
    let name = folder.to_str().unwrap();
    let output = bench(&["all", "--quick", "--only", "syn", "--output", name]).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    let page = std::fs::read_to_string(folder.join("index.html")).unwrap();
    for wanted in ["<h2 id=\"syn-0-title\">", "<svg", "service</strong></a> it was not asked"] {
        assert!(page.contains(wanted), "{wanted}\n{page}");
    }
    let same = bench(&["compare", name, name]).unwrap();
    let said = String::from_utf8_lossy(&same.stdout);
    assert!(same.status.success() && said.contains("0 worse, 0 better"), "{said}");
    let kept = folder.join("syn.json");
    let newer = std::fs::read_to_string(&kept).unwrap().replacen("\"schema\":3", "\"schema\":4", 1);
    std::fs::write(&kept, newer).unwrap();
    let refused = bench(&["report", name]).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let erred = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && erred.contains("syn.json: schema 4 is newer"), "{erred}");
}

#[test]
fn memory_and_instructions_are_as_written_down() {
    let written = concat!(env!("CARGO_MANIFEST_DIR"), "/counts.json");
    let output = bench(&["counts", "--check", written]).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
}
