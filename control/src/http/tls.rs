//! TLS: who we are, from two files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Error;

/// What a server shows to its clients.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The file with the certificate and those that lead to its authority, PEM.
    pub certificate: PathBuf,
    /// The file with the certificate's private key, PEM.
    pub private_key: PathBuf,
}

impl Identity {
    /// Reads both files.
    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, Error> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect)
            .map_err(|error| unreadable(&self.certificate, "certificate", &error))?;
        if chain.is_empty() {
            return Err(unreadable(&self.certificate, "certificate", &"there is none in it"));
        }
        let key = PrivateKeyDer::from_pem_file(&self.private_key)
            .map_err(|error| unreadable(&self.private_key, "private key", &error))?;
        let refused = |error: tokio_rustls::rustls::Error| {
            let (certificate, key) = (self.certificate.display(), self.private_key.display());
            Error(format!(
                "{certificate} and {key} serve no TLS ({error}); they must belong together"
            ))
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(refused)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn unreadable(path: &Path, what: &str, error: &dyn std::fmt::Display) -> Error {
    Error(format!("{}: no {what} can be read ({error}); name a PEM file", path.display()))
}
