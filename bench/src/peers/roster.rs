//! Who took part, each with its version and how it was run.

use std::process::Command;

use results::Record;

use super::merged::command;

/// The lock file of the workspace, which the libraries of this program were taken by.
const LOCKED: &str = include_str!("../../../Cargo.lock");

/// Another: its name, the contest that it is in, and where its version stands.
struct Other {
    name: &'static str,
    contest: &'static str,
    version: Version,
    how: &'static str,
}

enum Version {
    /// A crate.
    Locked(&'static str),
    /// A package of Debian's.
    Packaged(&'static str),
}

const OTHERS: [Other; 12] = [
    other("boringtun", "service", Version::Locked("boringtun"), "`Tunn`, called in the process"),
    other("ring", "aead", Version::Locked("ring"), "called in the process"),
    other("aws-lc-rs", "aead", Version::Locked("aws-lc-rs"), "called in the process"),
    other("RustCrypto", "aead", Version::Locked("chacha20poly1305"), "called in the process"),
    other("OpenSSL", "aead", Version::Packaged("libssl3"), "EVP, called in the process"),
    other("ipsec-mb", "aead", Version::Packaged("libipsec-mb1"), "called in the process"),
    other("rte_acl", "rules", Version::Packaged("dpdk"), "called in the process"),
    other("rte_fib", "fib", Version::Packaged("dpdk"), "DIR24_8, called in the process"),
    other("wireguard-go", "tunnel", Version::Packaged("wireguard-go"), "`wireguard-go DEVICE`"),
    other("iperf3", "tunnel", Version::Packaged("iperf3"), "one TCP connection"),
    other("nginx", "chain", Version::Packaged("nginx"), "stream, one worker"),
    other(
        "squid",
        "chain",
        Version::Packaged("squid"),
        "CONNECT, the first asks the second; one process",
    ),
];

const fn other(
    name: &'static str,
    contest: &'static str,
    version: Version,
    how: &'static str,
) -> Other {
    Other { name, contest, version, how }
}

/// Names everybody whose contest came out, in the order of the contests; with the command, and what the contest has left out.
pub(super) fn name_all(record: &mut Record, records: &[Record]) {
    for found in records {
        let left_out = |name: &str| found.left_out.iter().any(|omission| omission.what == name);
        for other in OTHERS.iter().filter(|other| other.contest == found.measure) {
            if !left_out(other.name) {
                let version = other.version.words();
                let command = command(found);
                record.peer(other.name, &format!("{version}, {}; `{command}`", other.how));
            }
        }
        for omission in &found.left_out {
            record.leave_out(&omission.what, &omission.why);
        }
        for voided in &found.voided {
            record.discard(
                &format!("{}, {}", found.measure, voided.what),
                voided.count,
                &voided.why,
            );
        }
    }
}

impl Version {
    fn words(&self) -> String {
        match self {
            Self::Locked(name) => locked(name).unwrap_or_else(unknown),
            Self::Packaged(name) => packaged(name),
        }
    }
}

fn unknown() -> String {
    "of a version that is not known".to_owned()
}

/// The version of a crate that this program was built with.
fn locked(name: &str) -> Option<String> {
    let (_, rest) = LOCKED.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split_once('"').map(|(version, _)| version.to_owned())
}

/// The version of an installed package.
pub(crate) fn packaged(name: &str) -> String {
    let found = said(Command::new("dpkg-query").args(["-W", "-f", "${Version}", name]));
    found
        .filter(|version| !version.is_empty())
        .map_or_else(unknown, |version| format!("{name} {version}"))
}

/// What a program says; none when it is not there or fails.
pub(super) fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_library_has_a_version_in_the_lock_file() {
        for other in &OTHERS {
            if let Version::Locked(name) = other.version {
                assert!(locked(name).is_some_and(|version| version.contains('.')), "{name}");
            }
        }
    }
}
