//! The daemon's own configuration: where its files, sockets and neighbours are. What the dataplane shall know is not
//! here but in the sources.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use shm::Place;
use toml::Spanned;

use crate::register;
use crate::terminate::watch::Watch;

/// The configuration, checked.
#[derive(Debug)]
pub struct Config {
    /// The name of the dataplane's instance.
    pub instance: String,
    /// Where its shared memory is.
    pub place: Place,
    /// The directory of `*.toml` that declares peers, next hops and routes, if there is one.
    pub directory: Option<PathBuf>,
    /// The directory in which control keeps what must survive a restart.
    pub state: PathBuf,
    /// The socket of the command line.
    pub socket: PathBuf,
    /// The name of the data centre in which this server is, if it is one of those that are declared.
    pub centre: Option<String>,
    /// The socket of `WireGuard`'s own tools, if it is served.
    pub wireguard: Option<Wireguard>,
    /// `OpenMetrics` over HTTP, if it is served.
    pub metrics: Option<Metrics>,
    /// Registration over HTTP, if it is served.
    pub register: Option<register::Config>,
    /// Where `millrace-terminate` tells what has become of connections, if there is one.
    pub terminate: Option<Watch>,
}

/// The `[wireguard]` section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wireguard {
    /// The name by which `wg` knows this server.
    pub interface: String,
    /// The directory of the sockets that `wg` looks into; others are for tests.
    #[serde(default = "var_run")]
    pub directory: PathBuf,
    /// The file of the server's private key, if `wg` shall show it and the public one: its protocol has no word for
    /// a public key of the server.
    pub private_key_file: Option<PathBuf>,
}

fn var_run() -> PathBuf {
    "/var/run/wireguard".into()
}

/// The `[metrics]` section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Where to listen.
    pub listen: SocketAddr,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "main")]
    instance: Spanned<String>,
    shared_memory: Option<PathBuf>,
    directory: Option<PathBuf>,
    state: Option<PathBuf>,
    socket: Option<PathBuf>,
    centre: Option<String>,
    wireguard: Option<Spanned<Wireguard>>,
    metrics: Option<Metrics>,
    register: Option<Spanned<register::Config>>,
    terminate: Option<Terminate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Terminate {
    socket: PathBuf,
}

fn main() -> Spanned<String> {
    Spanned::new(0..0, "main".to_owned())
}

/// Longest name of a network interface (IFNAMSIZ less its end mark).
const INTERFACE_NAME_LEN_MAX: usize = 15;

/// What is wrong with a file, where, and what to do about it.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl Config {
    /// Reads and checks a file. Paths in it are relative to the file's own directory.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::parse(&read(path)?, path)
    }

    /// Checks a configuration text; `path` is named in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let source = Text { text, path };
        let file: File = source.parse()?;
        let name = file.instance.get_ref();
        let root = file.shared_memory.as_deref().unwrap_or_else(|| Path::new("/dev/shm"));
        let place = Place::beneath(root, name)
            .map_err(|error| source.error(&file.instance.span(), &error.to_string()))?;
        let beside = |path: PathBuf| source.beside(path);
        Ok(Self {
            place,
            directory: file.directory.map(beside),
            state: file.state.map_or_else(|| default_state(name), beside),
            socket: file.socket.map_or_else(|| default_socket(name), beside),
            centre: file.centre,
            wireguard: file.wireguard.map(|section| source.wireguard(section)).transpose()?,
            metrics: file.metrics,
            register: file.register.map(|section| source.register(section)).transpose()?,
            terminate: file.terminate.map(|section| Watch::new(beside(section.socket))),
            instance: name.clone(),
        })
    }
}

/// Where control keeps its state unless told otherwise.
fn default_state(instance: &str) -> PathBuf {
    format!("/var/lib/millrace/{instance}").into()
}

/// Where control listens for the command line unless told otherwise.
pub fn default_socket(instance: &str) -> PathBuf {
    format!("/run/millrace/{instance}.sock").into()
}

/// The text of a daemon's configuration.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| {
        let path = path.display();
        Error(format!("{path}: cannot be read ({error}); name a readable file with --config"))
    })
}

/// A text and its name, so that every error can say where.
pub(crate) struct Text<'a> {
    pub(crate) text: &'a str,
    pub(crate) path: &'a Path,
}

impl Text<'_> {
    /// What it says.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        toml::from_str(self.text)
            .map_err(|error| self.error(&error.span().unwrap_or(0..0), error.message()))
    }

    /// A path that is relative to the file's own directory.
    pub(crate) fn beside(&self, path: PathBuf) -> PathBuf {
        self.path.with_file_name("").join(path)
    }

    /// What is wrong at a place of it, of which the first is the whole.
    pub(crate) fn error(&self, span: &Range<usize>, what: &str) -> Error {
        let path = self.path.display();
        if *span == (0..0) {
            return Error(format!("{path}: {what}"));
        }
        let line = self.text.get(..span.start).unwrap_or_default().matches('\n').count() + 1;
        Error(format!("{path}:{line}: {what}"))
    }

    fn register(&self, section: Spanned<register::Config>) -> Result<register::Config, Error> {
        let checked = section.get_ref().check();
        checked.map_err(|what| self.error(&section.span(), &what))?;
        Ok(section.into_inner().beside(&self.path.with_file_name("")))
    }

    fn wireguard(&self, section: Spanned<Wireguard>) -> Result<Wireguard, Error> {
        let span = section.span();
        let mut section = section.into_inner();
        section.private_key_file = section.private_key_file.map(|path| self.beside(path));
        let name = &section.interface;
        let fits = (1..=INTERFACE_NAME_LEN_MAX).contains(&name.len())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            && !name.starts_with('.');
        if fits {
            return Ok(section);
        }
        let what = format!(
            "\"{name}\" is no interface name: take 1 to 15 letters, digits, '-', '_' or '.'"
        );
        Err(self.error(&span, &what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("/etc/millrace/control.toml"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_is_a_configuration_and_paths_are_relative_to_the_file() {
        let config = parse("").unwrap();
        assert_eq!(config.place.path(), Path::new("/dev/shm/millrace-main"));
        assert_eq!(config.socket, Path::new("/run/millrace/main.sock"));
        assert!(config.directory.is_none());
        let config = parse("directory = \"control.d\"\nstate = \"/srv/state\"").unwrap();
        assert_eq!(config.directory.unwrap(), Path::new("/etc/millrace/control.d"));
        assert_eq!(config.state, Path::new("/srv/state"));
        let config = parse("[wireguard]\ninterface = \"wg0\"\nprivate_key_file = \"key\"").unwrap();
        let key = config.wireguard.unwrap().private_key_file;
        assert_eq!(key.unwrap(), Path::new("/etc/millrace/key"));
        let section = "[register]\nlisten = \"[::]:1\"\nipv4 = \"10.0.0.0/8\"\nipv6 = \"fd00::/64\"\nhost = \"a\"";
        let tls = "tls = { certificate = \"a.pem\", private_key = \"/b.pem\" }";
        let tls = parse(&format!("{section}\n{tls}")).unwrap().register.unwrap().tls.unwrap();
        assert_eq!(tls.certificate, Path::new("/etc/millrace/a.pem"));
        assert_eq!(tls.private_key, Path::new("/b.pem"));
    }

    #[test]
    fn what_is_wrong_is_told_with_file_and_line() {
        let cases = [
            ("\ninstance = \"Main\"", "/etc/millrace/control.toml:2: "),
            ("\n\nhurry = true", "/etc/millrace/control.toml:3: unknown field"),
            ("\n[wireguard]\ninterface = \"a/b\"", "/etc/millrace/control.toml:2: \"a/b\" is no"),
            ("[metrics]\nlisten = \"here\"", "/etc/millrace/control.toml:2: invalid socket"),
            (
                "\n[register]\nlisten = \"[::]:1\"\nipv4 = \"10.0.0.0/31\"\nipv6 = \"fd00::/64\"\nhost = \"a\"",
                "/etc/millrace/control.toml:2: ipv4: 10.0.0.0/31 is no pool",
            ),
        ];
        for (text, expected) in cases {
            let said = parse(text).unwrap_err();
            assert!(said.starts_with(expected), "{said}");
        }
    }
}
