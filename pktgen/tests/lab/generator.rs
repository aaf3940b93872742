//! The generator's program as tests run it: the cable that it stands on, its clients' server, and its report.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pktgen::client::{Family, keys};
use pktgen::profile::Profile;
use serde_json::Value;
use wireguard::noise;

use super::keys::Keys;
use super::namespace::{Namespace, cable};
use super::process::Process;
use super::until;
use super::wireguard_go::WireguardGo;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_millrace-pktgen");

/// The far end's namespace, with these addresses at its interface `outer`, and the generator's with nothing but
/// its end of the cable, `eth0`.
pub(crate) fn cabled(addresses: &[&str]) -> (Namespace, Namespace) {
    let (far, own) = (Namespace::new(), Namespace::new());
    cable((&far, "outer"), (&own, "eth0"));
    // The generator owns the addresses: the kernel behind the same cable must keep silent.
    own.run("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1");
    for address in addresses {
        let option = if address.contains(':') { "nodad" } else { "" };
        far.run(&format!("ip addr add {address} dev outer {option}"));
    }
    (far, own)
}

/// Lets the kernel answer every ping: many clients may ask at once.
pub(crate) fn answer_all_pings(namespace: &Namespace) {
    let limits =
        "net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_msgs_per_sec=100000 net.ipv6.icmp.ratelimit=0";
    namespace.run(&format!("sysctl -qw {limits}"));
}

/// wireguard-go as `10.7.0.1`, which knows every client of the profile.
pub(crate) fn serve<'a>(namespace: &'a Namespace, own: &Keys, profile: &str) -> WireguardGo<'a> {
    let server = WireguardGo::start(namespace, "wg0", own, 1);
    server.set("listen-port 51820");
    let plan = Profile::parse(profile, Path::new("test.toml"), &[]).unwrap().plan;
    let mut peers = String::new();
    for number in 0..plan.clients {
        let (private, preshared) = keys(&plan, number);
        let public = STANDARD.encode(noise::public(&private));
        let preshared = STANDARD.encode(preshared.octets());
        let [v4, v6] = [Family::V4, Family::V6].map(|family| plan.inner(number, family));
        writeln!(peers, "[Peer]\nPublicKey = {public}\nPresharedKey = {preshared}").unwrap();
        writeln!(peers, "AllowedIPs = {v4}/32, {v6}/128").unwrap();
    }
    let path = namespace.file("peers.conf", &peers);
    namespace.run(&format!("wg addconf wg0 {path}"));
    server
}

/// The program in a namespace with a profile.
pub(crate) fn command(namespace: &Namespace, profile: &str, arguments: &[&str]) -> Command {
    let path = namespace.file("profile.toml", profile);
    let mut command = namespace.command(PROGRAM);
    command.args(arguments).args(["--profile", &path]);
    command
}

/// Runs a program to its end: the exit status and all that was printed.
pub(crate) fn told(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.code(), text)
}

/// Waits so many seconds for the end of a run that was started with `--json`: the exit status and what was
/// printed, with the report.
pub(crate) fn end(mut run: Process, seconds: u64) -> (Option<i32>, String) {
    let mut status = None;
    until("the run ends", seconds, || {
        status = run.ended();
        status.is_some()
    });
    until("the report", 30, || run.mentions("{\"report\"") > 0);
    (status.unwrap().code(), run.output().join("\n"))
}

/// The report in what a run with `--json` printed.
pub(crate) fn report(text: &str) -> Value {
    let line = text.lines().rev().find(|line| line.starts_with("{\"report\"")).unwrap_or("{}");
    let value: Value = serde_json::from_str(line).unwrap();
    value.get("report").cloned().unwrap_or_else(|| panic!("no report: {text}"))
}

/// A number of the report, by its path.
pub(crate) fn number(report: &Value, path: &str) -> u64 {
    let found = report.pointer(path).and_then(Value::as_u64);
    found.unwrap_or_else(|| panic!("{path}: {report}"))
}
