//! What the generator says to input, output and signals that are not as they should be: one sentence, the right exit
//! code, nothing left behind. Needs no root; only the interfaces do.
#![cfg(feature = "dpdk")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at its first broken assumption"
)]

mod lab;

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use lab::generator::{PROGRAM, cabled};
use lab::process::Process;
use rustix::process::Signal;

const PROFILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/profiles/attacked.toml");
/// Synthetic packets to nowhere.
const NOWHERE: &[&str] = &[
    "synth",
    "--set",
    "device.name=net_null0,no-rx=1",
    "--source",
    "192.0.2.1",
    "--destination",
    "192.0.2.2",
    "--link",
    "02:00:00:00:00:09",
    "--no-measure",
];

fn generator(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments);
    command
}

fn told(arguments: &[&str]) -> (Option<i32>, String) {
    let output = generator(arguments).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// What DPDK keeps of a process while it runs: as root, and as anybody else.
fn folders(process: u32) -> Vec<PathBuf> {
    let paths = ["/run/dpdk", "/tmp/dpdk"].map(|folder| format!("{folder}/millrace-{process}"));
    paths.map(PathBuf::from).into_iter().filter(|path| path.exists()).collect()
}

#[test]
fn wrong_input_ends_with_1_and_names_the_field_and_the_remedy() {
    let cases: [(&[&str], &str); 15] = [
        (&["client", "--nonsense"], "--nonsense"),
        (&["client"], "--device net_af_packet0,iface=eth0"),
        (&["client", "--profile", "/dev/zero"], "longer than 16777216 octets"),
        (&["client", "--profile", PROGRAM], "no profile"),
        (&["client", "--profile", PROFILE], "server.public_key is all zeros"),
        (
            &["check", "--profile", PROFILE, "--rate", "0"],
            "traffic.rate: invalid type: integer `0`",
        ),
        (&["check", "--profile", PROFILE, "--rate", "1e99pps"], "above 100 Gpps"),
        (&["check", "--profile", PROFILE, "--secs", "-1"], "run.secs = -1 is outside"),
        (&["check", "--profile", PROFILE, "--loss", "nan"], "run.loss_allowed = NaN is outside"),
        (&["check", "--profile", PROFILE, "--endpoint", "192.0.2.1"], "server.endpoints: "),
        (
            &["check", "--profile", PROFILE, "--set", "clients.cuont=3"],
            "clients.cuont: unknown field",
        ),
        (&["self-test", "--secs", "nan"], "give 0.01 to 60 seconds"),
        (&["synth", "--device", "net_null0"], "nothing to send: give --source"),
        (&["synth", "--device", "net_null0", "--source", "192.0.2.1"], "--destination"),
        (
            &["synth", "--profile", PROFILE, "--rate", "1kpps"],
            "--rate and --sizes need --destination",
        ),
    ];
    for (arguments, words) in cases {
        let (code, text) = told(arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {text}");
        assert!(text.contains(words) && !text.contains("panicked"), "{arguments:?}: {text}");
    }
    assert_eq!(told(&["--help"]).0, Some(0));
}

#[test]
fn an_aead_that_is_none_is_refused_and_one_that_is_wished_for_is_used() {
    let output = generator(&["attacks"]).env("MILLRACE_AEAD", "sse9").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && text.contains("MILLRACE_AEAD=sse9"), "{text}");
    let mut wished = generator(&["self-test", "--secs", "0.01", "--json"]);
    let output = wished.env("MILLRACE_AEAD", "portable").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("{\"aead\":\"portable\"}\n"), "{text}");
}

#[test]
fn a_full_disk_is_a_failure_and_a_closed_pipe_is_none() {
    for command in ["attacks", "peers", "client"] {
        let mut arguments = vec![command];
        arguments.extend(["--profile", PROFILE].iter().filter(|_| command != "attacks"));
        arguments.extend(["--dry-run=2"].iter().filter(|_| command == "client"));
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = generator(&arguments).stdout(full).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {text}");
        assert!(text.contains("standard output cannot be written"), "{command}: {text}");
        let mut run = generator(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        drop(run.stdout.take());
        assert_eq!(run.wait().unwrap().code(), Some(0), "{command}");
    }
    let plot = [NOWHERE, &["--secs", "9", "--rate-svg", "/nowhere/rate.svg"]].concat();
    let (code, text) = told(&plot);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("/nowhere/rate.svg cannot be written") && !text.contains(" 1.0 s"));
}

#[test]
fn more_memory_than_the_machine_has_is_refused_before_it_is_asked_for() {
    let (code, text) = told(&[NOWHERE, &["--set", "device.megabytes=400000000"]].concat());
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("device.megabytes = 400000000 is more than the"), "{text}");
}

#[test]
fn a_second_signal_ends_the_wait_for_what_is_on_its_way() {
    let times = ["--rate", "100pps", "--secs", "60", "--set", "run.drain_secs=600"];
    let mut run = Process::start("pktgen", generator(&[NOWHERE, &times].concat()));
    lab::until("the first interval", 20, || run.mentions(" 1.0 s") > 0);
    run.signal(Signal::INT);
    lab::until("the last interval", 30, || run.mentions(" pps") > 1);
    assert_eq!(run.stop(Signal::INT).code(), Some(0));
    assert_eq!(run.mentions("stopped by a signal"), 1);
}

#[test]
fn a_self_test_that_is_stopped_leaves_nothing_behind() {
    let mut run = generator(&["self-test", "--secs", "60"]).stdout(Stdio::null()).spawn().unwrap();
    let process = run.id();
    lab::until("DPDK starts", 20, || !folders(process).is_empty());
    let id = rustix::process::Pid::from_child(&run);
    rustix::process::kill_process(id, Signal::TERM).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(2));
    assert_eq!(folders(process), Vec::<PathBuf>::new());
}

#[test]
fn an_interface_that_is_down_or_shared_or_lacks_its_driver_is_named() {
    let (_theirs, ours) = cabled(&[]);
    let run = |device: &str, secs: &str| {
        let mut command = ours.command(PROGRAM);
        command.args(NOWHERE).args(["--rate", "10pps", "--secs", secs]);
        command.args(["--device", device]);
        command
    };
    let told = |device: &str| {
        let output = run(device, "0.1").output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let device = "net_af_packet0,iface=eth0";
    let mut first = Process::start("pktgen", run(device, "60"));
    lab::until("the first interval", 20, || first.mentions(" 1.0 s") > 0);
    let (code, text) = told(device);
    assert!(code == Some(0) && text.contains("another millrace-pktgen is at eth0"), "{text}");
    ours.run("ip link set eth0 down");
    lab::until("the run notices", 30, || first.mentions("the interface eth0 went down") > 0);
    lab::until("the run ends", 30, || first.ended().is_some());
    let (code, text) = told(device);
    assert!(code == Some(1) && text.contains("eth0 is down; ip link set eth0 up"), "{text}");
    let (code, text) = told("eth0");
    assert!(code == Some(1) && text.contains("write net_af_packet0,iface=eth0"), "{text}");
}
