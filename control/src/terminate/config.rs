//! The service's configuration: where it listens, for whom, and whom it asks at which port.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use toml::Spanned;

use crate::config::{Error, Text, read};

/// Next hops of one service.
pub const NEXT_HOPS_MAX: usize = 64;

/// Connections at the same time unless told otherwise.
const CONNECTIONS: usize = 4096;
/// And at most: the kernel gives one machine's process about a million descriptors, and each takes two.
const CONNECTIONS_MAX: usize = 400_000;

/// The authorities that Debian trusts.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The configuration, checked.
#[derive(Debug)]
pub struct Config {
    /// The interface that the dataplane has made.
    pub interface: String,
    /// This machine's addresses on it.
    pub addresses: Vec<IpAddr>,
    /// The dataplane's.
    pub from: Vec<IpNet>,
    /// Threads that serve.
    pub threads: usize,
    /// Connections at the same time.
    pub connections: usize,
    /// Where control reads counts.
    pub socket: PathBuf,
    /// Who is asked.
    pub next_hops: Vec<NextHop>,
    /// How long is waited.
    pub times: Times,
}

/// How long is waited for whom.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// For the request, which the dataplane sends with the connection's first segment.
    pub request: Duration,
    /// For the next hop's kernel, and then for its TLS: what takes longer is not worth waiting for.
    pub reach: Duration,
    /// For its answer, which waits for the origin: the dataplane gives a connection up after 20 s.
    pub answer: Duration,
    /// For a word on an open connection: the dataplane forgets it then (RFC 5382 REQ-5).
    pub idle: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(5),
            reach: Duration::from_secs(5),
            answer: Duration::from_secs(15),
            idle: Duration::from_mins(124),
        }
    }
}

/// A proxy that is asked for what comes to a port of ours.
#[derive(Clone)]
pub struct NextHop {
    /// Its name in metrics.
    pub name: String,
    /// Our port.
    pub port: u16,
    /// Where it listens.
    pub address: SocketAddr,
    /// How it is known, if it speaks TLS.
    pub tls: Option<Tls>,
}

impl fmt::Debug for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, port {})", self.name, self.address, self.port)
    }
}

/// TLS to a next hop.
#[derive(Clone)]
pub struct Tls {
    /// What makes it.
    pub connector: TlsConnector,
    /// Whose certificate is expected.
    pub name: ServerName<'static>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    interface: String,
    addresses: Spanned<Vec<IpAddr>>,
    from: Spanned<Vec<IpNet>>,
    #[serde(default = "one")]
    threads: Spanned<usize>,
    connections: Option<Spanned<usize>>,
    socket: Option<PathBuf>,
    #[serde(default)]
    next_hop: Vec<Spanned<Section>>,
}

fn one() -> Spanned<usize> {
    Spanned::new(0..0, 1)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    name: String,
    port: u16,
    address: SocketAddr,
    tls: Option<String>,
    authorities: Option<PathBuf>,
}

/// Whether it may stand in a label, a line and a log.
pub(super) fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

impl Config {
    /// Reads and checks a file. Paths in it are relative to the file's own directory.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::parse(&read(path)?, path)
    }

    /// Checks a configuration text; `path` is named in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let source = Text { text, path };
        let file: File = source.parse()?;
        source.bounds(&file)?;
        let connections = file.connections.map_or(CONNECTIONS, Spanned::into_inner);
        let socket = file.socket.unwrap_or_else(|| "/run/millrace/terminate.sock".into());
        Ok(Self {
            interface: file.interface,
            addresses: file.addresses.into_inner(),
            from: file.from.into_inner(),
            threads: file.threads.into_inner(),
            connections,
            socket: source.beside(socket),
            next_hops: source.next_hops(file.next_hop)?,
            times: Times::default(),
        })
    }
}

impl Text<'_> {
    fn bounds(&self, file: &File) -> Result<(), Error> {
        if file.addresses.get_ref().is_empty() {
            let what = "addresses is empty; name this machine's on the interface";
            return Err(self.error(&file.addresses.span(), what));
        }
        if file.from.get_ref().is_empty() {
            let what = "from is empty; name the dataplane's addresses on the interface";
            return Err(self.error(&file.from.span(), what));
        }
        if !(1..=64).contains(file.threads.get_ref()) {
            let what = format!("threads = {} is outside 1 to 64", file.threads.get_ref());
            return Err(self.error(&file.threads.span(), &what));
        }
        let told = file.connections.as_ref();
        if let Some(told) = told.filter(|told| !(1..=CONNECTIONS_MAX).contains(told.get_ref())) {
            let what =
                format!("connections = {} is outside 1 to {CONNECTIONS_MAX}", told.get_ref());
            return Err(self.error(&told.span(), &what));
        }
        Ok(())
    }

    fn next_hops(&self, sections: Vec<Spanned<Section>>) -> Result<Vec<NextHop>, Error> {
        if sections.is_empty() || sections.len() > NEXT_HOPS_MAX {
            let what = format!(
                "has {} [[next_hop]] sections; it needs 1 to {NEXT_HOPS_MAX}",
                sections.len()
            );
            return Err(self.error(&(0..0), &what));
        }
        let (mut names, mut ports) = (HashSet::new(), HashSet::new());
        let mut all = Vec::new();
        for section in sections {
            let span = section.span();
            let Section { name, port, address, tls, authorities } = section.into_inner();
            let wrong = if !is_name(&name) {
                Some(format!("\"{name}\" is no name: take letters, digits, '-', '_' and '.'"))
            } else if !names.insert(name.clone()) {
                Some(format!("name {name} is another next hop's already"))
            } else if port == 0 || !ports.insert(port) {
                Some(format!("port {port} is none, or another next hop's already"))
            } else if address.port() == 0 {
                Some(format!("{address} has no port"))
            } else if tls.is_none() && authorities.is_some() {
                Some("authorities without tls: name whose certificate is expected".to_owned())
            } else {
                None
            };
            if let Some(what) = wrong {
                return Err(self.error(&span, &what));
            }
            let authorities = self.beside(authorities.unwrap_or_else(|| AUTHORITIES.into()));
            let tls = tls.map(|expected| tls_of(expected, &authorities)).transpose();
            let tls = tls.map_err(|what| self.error(&span, &what))?;
            all.push(NextHop { name, port, address, tls });
        }
        Ok(all)
    }
}

/// TLS with who shows a certificate of this name by one of these authorities.
fn tls_of(expected: String, authorities: &Path) -> Result<Tls, String> {
    let name = ServerName::try_from(expected)
        .map_err(|error| format!("tls names nobody ({error}); take a name or an address"))?;
    let mut roots = RootCertStore::empty();
    let unreadable = |what: &dyn fmt::Display| {
        let path = authorities.display();
        format!("{path}: no certificates of authorities ({what}); name a PEM file")
    };
    let found = CertificateDer::pem_file_iter(authorities)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(&error))?;
    let (taken, _) = roots.add_parsable_certificates(found);
    if taken == 0 {
        return Err(unreadable(&"there is none in it"));
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("no TLS can be spoken ({error})"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Tls { connector: TlsConnector::from(Arc::new(config)), name })
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
