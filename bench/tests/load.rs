//! Measurements over load as a person runs them, for a few short trials. They fail by themselves when the books of a trial do not
//! close.

use std::io;
use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_millrace-bench")).args(arguments).output()
}

#[test]
fn searches_no_drop_rates_in_virtual_time_and_keeps_all_trials() {
    let path = std::env::temp_dir().join(format!("millrace-ndr-{}.json", std::process::id()));
    let json = path.to_str().unwrap();
    let arguments =
        ["ndr", "--quick", "--ways", "clients,back,decap", "--ring", "64", "--json", json];
    let output = bench(&arguments).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("| client to client | "), "{said}");
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    std::fs::remove_file(&path).unwrap();
    let measured = record["kept"]["trials"].as_array().unwrap();
    assert_eq!(measured.len(), 3);
    for way in measured {
        let trials = way["found"]["trials"].as_array().unwrap();
        assert!(trials.iter().any(|trial| trial["overflow"].as_u64() > Some(0)), "{way}");
        for trial in trials {
            let count = |name: &str| trial[name].as_u64().unwrap();
            assert_eq!(count("offered"), count("delivered") + count("overflow"), "{trial}");
        }
    }
}

#[test]
fn tells_what_comes_through_of_too_much_and_beside_attacks() {
    let arguments =
        ["overload", "--quick", "--ways", "pass", "--factors", "1,10", "--attack-factors", "2"];
    let output = bench(&arguments).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    for attack in [
        "dos_message",
        "dos_mac1",
        "wireguard_replay",
        "unknown_index",
        "wireguard_tag",
        "initiation_flood",
    ] {
        assert!(said.contains(&format!("| {attack} | ")), "{attack}: {said}");
    }
    assert!(said.contains("dos_message |") && said.contains("wireguard_replay |"), "{said}");
}

#[test]
fn tells_latencies_at_several_loads() {
    let arguments = ["latency", "--quick", "--ways", "encap", "--tries", "1"];
    let output = bench(&arguments).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("| no load | ") && said.contains("| 90 % of PDR | "), "{said}");
}

#[test]
fn makes_trials_in_real_time_or_says_what_kept_it_from_that() {
    let arguments = ["realtime", "--quick", "--ways", "encap", "--tries", "2", "--over", "rings"];
    let output = bench(&arguments).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("| GRE encap | "), "{said}");
}

#[test]
fn two_processes_make_trials_over_memif_or_say_what_kept_them_from_that() {
    let path = std::env::temp_dir().join(format!("millrace-memif-{}.json", std::process::id()));
    let json = path.to_str().unwrap();
    let arguments = ["realtime", "--quick", "--ways", "encap", "--tries", "2", "--over", "memif"];
    let output = bench(&[&arguments[..], &["--json", json]].concat()).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    assert!(said.contains("## 64 octets, two processes over memif"), "{said}");
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    std::fs::remove_file(&path).unwrap();
    // Packets went to the other process and back, as quickly as it could; its trials were made, or there is a reason.
    let way = &record["kept"]["trials"][0]["ways"][0];
    for rate in ["ceiling", "pace"] {
        assert!(way[rate].as_f64().is_some_and(|rate| rate > 0.0), "{rate}: {way}");
    }
    assert!(way["found"]["trials"].is_array() != way["refused"].is_string(), "{way}");
}

#[test]
fn refuses_one_core_for_generator_and_worker() {
    let output = bench(&["realtime", "--core", "1", "--second-core", "1"]).unwrap();
    assert!(!output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("a generator and a worker need")
            || String::from_utf8_lossy(&output.stderr).contains("--core and --second-core")
    );
}

#[test]
fn refuses_to_make_no_trial_at_all() {
    for measure in ["latency", "realtime"] {
        let output = bench(&[measure, "--quick", "--tries", "0"]).unwrap();
        let erred = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && erred.contains("--tries takes 1"),
            "{measure}: {erred}"
        );
    }
}

#[test]
fn tells_cost_and_memory_with_more_and_more() {
    let arguments = ["scale", "--quick", "--blocks", "3", "--most", "100"];
    let output = bench(&[&arguments[..], &["--of", "peers,tenants,rules"]].concat()).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    let ways = ["| 100 | open, random peer | ", "| 100 | seal, random peer | "];
    for row in ways.iter().chain(&["| 100 | GRE encap, random tenant | ", "| 1 | GRE encap, "]) {
        assert!(said.contains(row), "{row}: {said}");
    }
}

#[test]
fn changes_everything_while_packets_come() {
    let path = std::env::temp_dir().join(format!("millrace-reconf-{}.json", std::process::id()));
    let json = path.to_str().unwrap();
    let arguments = ["reconf", "--quick", "--wave", "4", "--load", "0.2", "--json", json];
    let output = bench(&arguments).unwrap();
    let (said, erred) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{erred}");
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    std::fs::remove_file(&path).unwrap();
    let measured = record["kept"]["trials"].as_array().unwrap();
    assert_eq!(measured.len(), 11);
    // Peers that renew on a machine with much else to do are sent cookies, and have to ask again.
    let others = ["nothing", "rekey"];
    let is_told =
        |change: &&serde_json::Value| !others.iter().any(|event| change["event"] == *event);
    for change in measured.iter().filter(is_told) {
        let trial = &change["trials"][0];
        assert!(trial["in_force"].as_f64().is_some_and(|seconds| seconds > 0.0), "{change}");
    }
}

#[test]
fn names_the_table_without_which_routes_cannot_grow() {
    let arguments = ["scale", "--quick", "--of", "routes", "--table", "/nowhere/location.db"];
    let output = bench(&arguments).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("**left out:** routes: /nowhere/location.db"), "{said}");
}
