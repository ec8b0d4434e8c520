//! Certificates of the listener: read at the start, and again on SIGHUP without dropping a connection.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::config::hub::Tls;
use crate::say::Quit;

/// The present certificates; handshakes under way keep those that they began with.
pub(crate) struct Certificates {
    files: Tls,
    present: ArcSwap<ServerConfig>,
}

impl Certificates {
    /// Reads them, where `tls.cert` is set.
    ///
    /// # Errors
    /// Which file is wrong, and how.
    pub(crate) fn load(files: &Tls) -> Result<Option<Self>, Quit> {
        if files.cert.is_none() {
            return Ok(None);
        }
        let present = ArcSwap::from_pointee(read(files)?);
        Ok(Some(Self { files: files.clone(), present }))
    }

    /// Reads the files again; those in use stay when they are wrong.
    pub(crate) fn reload(&self) {
        match read(&self.files) {
            Ok(config) => {
                self.present.store(Arc::new(config));
                tracing::info!("certificates read again");
            }
            Err(quit) => tracing::error!("certificates not changed: {} ({})", quit.what, quit.hint),
        }
    }

    /// What new connections are accepted with.
    pub(crate) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        tokio_rustls::TlsAcceptor::from(self.present.load_full())
    }
}

fn read(files: &Tls) -> Result<ServerConfig, Quit> {
    let (Some(cert), Some(key)) = (&files.cert, &files.key) else {
        return Err(Quit::usage("tls.cert and tls.key belong together"));
    };
    let chain = certificates(cert)?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let failed = |error: rustls::Error| unusable(cert, &error.to_string());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(|error| unusable(path, &error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| unusable(path, &error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, secret).map_err(failed)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Quit> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let found = read().map_err(|error| unusable(path, &error.to_string()))?;
    if found.is_empty() { Err(unusable(path, "there is no certificate in it")) } else { Ok(found) }
}

fn unusable(path: &Path, why: &str) -> Quit {
    Quit::usage(format!("{} cannot be used: {why}", path.display()))
        .with_hint("name PEM files that the hub's user may read under `tls`")
}
