//! The program as a person runs it, for a few short blocks. Its figures are not judged here: it fails by
//! itself when a packet is lost or something allocates while time is taken.

use std::io;
use std::process::{Command, Output};

use results::Record;
use results::aims::{AIMS, Place};

fn bench(arguments: &[&str]) -> io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_millrace-bench")).args(arguments).output()
}

/// The same, and whether what came out has all figures that something is wanted of.
fn measured(arguments: &[&str]) -> io::Result<Output> {
    let words = arguments.join("_").replace('/', "_");
    let name = format!("millrace-{words}-{}.json", std::process::id());
    let path = std::env::temp_dir().join(name);
    let mut program = Command::new(env!("CARGO_BIN_EXE_millrace-bench"));
    let output = program.args(arguments).arg("--json").arg(&path).output()?;
    if output.status.success() {
        has_all_targets(&Record::from_json(&std::fs::read_to_string(&path)?)?);
        std::fs::remove_file(&path)?;
    }
    Ok(output)
}

/// Each target is a figure of the measurement that it names. A short run has other sizes and counts in its titles.
fn has_all_targets(record: &Record) {
    let names: Vec<String> =
        record.figures().iter().map(|(name, ..)| without_numbers(name)).collect();
    for aim in &AIMS {
        let Place(measure, section, row, column) = aim.place;
        let vectors = ["avx2", "avx512"].into_iter().find(|unit| column.contains(unit));
        let vectors = vectors.map(|unit| if unit == "avx512" { "avx512ifma" } else { unit });
        let is_here = |unit: &str| record.conditions.machine.vectors.iter().any(|one| one == unit);
        if measure != record.measure || !vectors.is_none_or(is_here) {
            continue;
        }
        let begin =
            if section.is_empty() { measure.to_owned() } else { format!("{measure} / {section}") };
        let [begin, end] =
            [begin, format!(" / {row} / {column}")].map(|part| without_numbers(&part));
        let found = names.iter().any(|name| name.starts_with(&begin) && name.ends_with(&end));
        assert!(found, "{}: no figure {begin} … {end} among {names:#?}", aim.name);
    }
}

fn without_numbers(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        match letter {
            '0'..='9' if text.ends_with('#') => {}
            '0'..='9' => text.push('#'),
            _ => text.push(letter),
        }
    }
    text
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
    has_all_targets(&record);
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
    let output = measured(&["aead", "--quick", "--sizes", "64,imix", "--batches", "8"]).unwrap();
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
    let output = measured(&["routes", "--quick"]).unwrap();
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
    let output = measured(&["control", "--quick", "--core", "0"]).unwrap();
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
    let output = measured(&["steer", "--quick", "--blocks", "3", "--bursts", "16"]).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(
        said.contains("| io-forward |") && said.contains("| what handing over adds |"),
        "{said}"
    );
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
fn times_the_commands_ring_between_two_cores() {
    let output = measured(&["ring", "--quick"]).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("| one by one, two threads | ") && said.contains("| 10000 routes, "));
    let output = bench(&["ring", "--core", "0", "--second-core", "0"]).unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--second-core"));
}

#[test]
fn tells_what_the_generator_can_do() {
    let output = measured(&["ceiling", "--quick"]).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("| AEAD alone, sealing 64 octets | "), "{said}");
    let output = bench(&["ceiling", "--secs", "nan"]).unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--secs takes 0.01 to 60"));
}

/// Where control's programs were built as well, they are asked; else the hole is named.
#[test]
fn tells_the_times_of_controls_programs_or_how_to_build_them() {
    for (name, row) in
        [("argo", "| a round, on the core | "), ("wg", "| show dump, by the clock | ")]
    {
        let output = measured(&[name, "--quick"]).unwrap();
        let (said, erred) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // Who is not root, or has no `wg`, is told so.
        let build = "cargo build --release -p dataplane -p control --features dataplane/dpdk --bins --example argo --example wg";
        let is_told = [build, "/var/run/wireguard", "wireguard-tools"];
        if output.status.success() {
            assert!(said.contains(row), "{said}");
        } else {
            assert!(is_told.iter().any(|words| erred.contains(words)), "{erred}");
        }
    }
    let erred = bench(&["wg", "--times", "0"]).unwrap().stderr;
    assert!(String::from_utf8_lossy(&erred).contains("0 is not in 1..=1000"));
}

#[test]
fn times_the_whole_run_in_quick() {
    let output = measured(&["quick", "--quick"]).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("| everything | "), "{output:?}");
}

#[test]
fn holds_two_runs_of_one_program_against_each_other() {
    let folder = std::env::temp_dir().join(format!("millrace-again-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let (place, record) = (folder.to_str().unwrap(), folder.join("service.json"));
    let json = record.to_str().unwrap();
    let arguments =
        ["service", "--quick", "--blocks", "3", "--sizes", "64", "--bursts", "16", "--json", json];
    assert!(bench(&arguments).unwrap().status.success());
    let output = measured(&["again", "--quick", "--records", place])
        .unwrap_or_else(|error| panic!("{error}"));
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let refused = bench(&["again", "--records", place]).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("| the furthest | ") && said.contains("of io-forward | "), "{said}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("quick where this is not"));
}

#[test]
fn refuses_one_core_as_two() {
    let output = bench(&["steer", "--core", "0", "--second-core", "0"]).unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--second-core"));
}

#[test]
fn looks_listed_prefixes_up_and_fills_buckets() {
    let output = measured(&["dos", "--quick"]).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("| IPv4 | ") && said.contains("| 2^16 | "), "{said}");
}

#[test]
fn holds_the_classifier_against_rte_acl() {
    let output = measured(&["rules", "--quick"]).unwrap();
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
fn looks_routes_up_as_rte_fib_does() {
    let output = measured(&["fib", "--quick"]).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("| random in random prefixes |"), "{said}");
}

#[test]
fn names_the_peers_that_are_missing_and_goes_on() {
    let output = Command::new(env!("CARGO_BIN_EXE_millrace-bench"))
        .args(["peers", "--quick", "--only", "fib,tunnel", "--no-anchor"])
        .env("MILLRACE_PROGRAMS", "/nowhere")
        .output()
        .unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("- **left out:** tunnel: "), "{said}");
    assert!(said.contains("- **left out:** dpdk-testpmd: it was not asked for"), "{said}");
    assert!(said.contains("| fib: 20,000 of them: ours, ns | ns |"), "{said}");
    assert!(
        said.contains("| open, 64 octets | VPP 26.06, measured elsewhere | 32 | 288 |"),
        "{said}"
    );
}

#[test]
fn puts_tenants_packets_into_gre_and_takes_them_out() {
    let output = measured(&["transit", "--quick", "--blocks", "3", "--rules", "50"]).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("| GRE decap | ") && said.contains("| transit, any rule | "), "{said}");
    assert!(said.contains("| tenant::filter | "), "{said}");
}

#[test]
fn translates_each_way_stage_by_stage() {
    let output = measured(&["nat", "--quick", "--blocks", "3"]).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("## 1000 flows, bursts of 64, 64 octets"), "{said}");
    assert!(said.contains("| NAT44 out | ") && said.contains("| NAT44 back | "), "{said}");
    assert!(said.contains("| nat::undress | ") && said.contains("| nat::dress | "), "{said}");
}

#[test]
fn splices_each_way_and_counts_connections_begun() {
    let output = measured(&["splice", "--quick", "--blocks", "2", "--bursts", "64"]).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("| ingress, in the SYN (M0) |"), "{said}");
    assert!(said.contains("| exit (M2), back |") && said.contains("| ingress, onward |"), "{said}");
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
