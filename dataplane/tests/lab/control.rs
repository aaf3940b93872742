//! Control as its operator runs it: a directory of files, a process, and `millrace` to ask it.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use rustix::process::Signal;

use super::namespace::Namespace;
use super::process::Process;
use super::until;

/// Cargo as a shell has it: some dependencies are built again when the names that it gives to tests are there or not.
fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    cargo
}

/// Builds another package's programs beside the program under test: they are not built with the tests of one package. Who builds the
/// tests of all, as `scripts/test` does, has them already, and says so: built by themselves they would have other dependencies.
pub(crate) fn build(package: &str, features: &[&str]) {
    if std::env::var_os("MILLRACE_ALL_BUILT").is_some() {
        return;
    }
    let tested = Path::new(super::program_path());
    let is_release = tested.parent().is_some_and(|folder| folder.ends_with("release"));
    let profile = if is_release { "release" } else { "dev" };
    let target = tested.parent().and_then(|folder| folder.parent()).unwrap();
    let mut cargo = cargo();
    cargo.args(["build", "--locked", "--quiet", "--package", package, "--profile", profile]);
    cargo.args(features).arg("--bins").arg("--target-dir").arg(target);
    assert!(cargo.status().unwrap().success(), "{package} does not build");
}

/// Control's programs beside the program under test.
pub(crate) fn program(name: &str) -> String {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| build("control", &[]));
    Path::new(super::program_path()).with_file_name(name).to_str().unwrap().to_owned()
}

/// The configuration of control in a laboratory.
pub(crate) const CONFIG: &str = "instance = \"INSTANCE\"\ndirectory = \"declared\"\nstate = \"state\"\nsocket = \"control.sock\"\n\
    [wireguard]\ninterface = \"millrace0\"\nprivate_key_file = \"server.key\"\n";

/// Declares these sections, in one step.
pub(crate) fn declare(namespace: &Namespace, sections: &str) {
    let path = namespace.file("declared/next", sections);
    namespace.run(&format!("mv {path} /run/lab/declared/lab.toml"));
}

/// A running control.
pub(crate) struct Control {
    process: Process,
    millrace: String,
}

impl Control {
    /// Starts it in the namespace of its dataplane with these sections, and waits until they are in force.
    pub(crate) fn start(namespace: &Namespace, instance: &str, declared: &str) -> Self {
        Self::start_in(None, namespace, instance, declared)
    }

    /// The same in one of the data centres that are declared.
    pub(crate) fn start_in(
        centre: Option<&str>,
        namespace: &Namespace,
        instance: &str,
        declared: &str,
    ) -> Self {
        namespace.run("mkdir -p /run/lab/declared");
        declare(namespace, declared);
        let centre = centre.map_or_else(String::new, |name| format!("centre = \"{name}\"\n"));
        let config = centre + &CONFIG.replace("INSTANCE", instance);
        let config = namespace.file("control.toml", &config);
        let control = Self::again(namespace, &config);
        let peers = declared.matches("[[peer]]").count();
        until("control has told the dataplane", 30, || {
            let status = control.status(namespace);
            let is = |field: &str, value: &str| status.contains(&format!("\"{field}\":{value}"));
            is("attached", "true") && is("peers", &peers.to_string()) && !is("transaction", "0")
        });
        control
    }

    /// Starts it with a configuration and state that are there.
    pub(crate) fn again(namespace: &Namespace, config: &str) -> Self {
        let mut command = namespace.command(&program("millrace-control"));
        command.args(["--config", config]).env("RUST_LOG", "info");
        let mut process = Process::start("control", command);
        until("control is ready", 60, || {
            let ended = process.ended();
            assert!(ended.is_none(), "control ended early: {ended:?}");
            process.output().iter().any(|line| line == "ready")
        });
        Self { process, millrace: program("millrace") }
    }

    /// What `millrace status` says, as JSON.
    pub(crate) fn status(&self, namespace: &Namespace) -> String {
        self.ask(namespace, "--json status")
    }

    /// What `millrace` answers to these words.
    pub(crate) fn ask(&self, namespace: &Namespace, words: &str) -> String {
        namespace.run(&format!("{} --socket /run/lab/control.sock {words}", self.millrace))
    }

    /// Ends it without a chance to say anything.
    pub(crate) fn kill(mut self) {
        self.process.stop(Signal::KILL);
    }

    /// Stops it as an operator does.
    pub(crate) fn stop(mut self) {
        // It writes down what it knows before it ends, which may be much.
        let status = self.process.stop_within(Signal::TERM, 120);
        assert_eq!(status.code(), Some(0), "control's exit status");
    }
}
