//! Opening client sockets, always through the egress guard.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::target::Origin;
use crate::{EgressRule, OutboundError, Stream};

/// Connects to `host:port`, guarded.
///
/// # Errors
/// Which step failed: the text, the guard, the name, the socket, the time.
pub async fn dial_tcp(address: &str, rule: EgressRule, timeout: Duration) -> Result<Stream, OutboundError> {
    let bad = || OutboundError::BadUrl { url: address.to_owned(), why: "expected host:port".to_owned() };
    let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
    let port: u16 = port.parse().map_err(|_| bad())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    within(host, timeout, tcp(host, port, rule)).await.map(Stream::Tcp)
}

/// Connects to a Unix socket. Paths come from configuration only, so there is no guard to pass.
///
/// # Errors
/// When nobody listens there.
pub async fn dial_unix(path: &Path, timeout: Duration) -> Result<Stream, OutboundError> {
    let host = path.display().to_string();
    #[expect(clippy::disallowed_methods, reason = "this room is where client sockets open")]
    let connecting = UnixStream::connect(path);
    let connecting = async {
        connecting
            .await
            .map_err(|error| OutboundError::Connect { host: host.clone(), why: error.to_string() })
    };
    within(&host, timeout, connecting).await.map(Stream::Unix)
}

/// Connects to an origin, with TLS where its scheme says so.
pub(crate) async fn dial_origin(origin: &Origin) -> Result<Stream, OutboundError> {
    let connecting = async {
        let socket = tcp(&origin.host, origin.port, origin.rule).await?;
        if !origin.is_tls {
            return Ok(Stream::Tcp(socket));
        }
        let failed = |why: String| OutboundError::Tls { host: origin.host.clone(), why };
        let name = ServerName::try_from(origin.host.clone()).map_err(|error| failed(error.to_string()))?;
        let connector = TlsConnector::from(tls_config()?);
        let stream = connector.connect(name, socket).await.map_err(|error| failed(error.to_string()))?;
        Ok(Stream::Tls(Box::new(stream)))
    };
    within(&origin.host, origin.connect_timeout, connecting).await
}

async fn within<T>(
    host: &str,
    timeout: Duration,
    connecting: impl Future<Output = Result<T, OutboundError>>,
) -> Result<T, OutboundError> {
    tokio::time::timeout(timeout, connecting).await.unwrap_or_else(|_| {
        Err(OutboundError::Connect {
            host: host.to_owned(),
            why: format!("no connection within {} ms", timeout.as_millis()),
        })
    })
}

async fn tcp(host: &str, port: u16, rule: EgressRule) -> Result<TcpStream, OutboundError> {
    let mut last = None;
    for address in rule.resolve(host, port).await? {
        #[expect(
            clippy::disallowed_methods,
            reason = "this room is where client sockets open, after the guard"
        )]
        match TcpStream::connect(address).await {
            Ok(socket) => {
                // Small requests must not wait for the previous one's acknowledgement.
                let _ = socket.set_nodelay(true);
                return Ok(socket);
            }
            Err(error) => last = Some(error.to_string()),
        }
    }
    Err(OutboundError::Connect {
        host: host.to_owned(),
        why: last.unwrap_or_else(|| "no address".to_owned()),
    })
}

/// One TLS configuration for the whole program: the machine's own trust, HTTP/1.1 only.
fn tls_config() -> Result<Arc<rustls::ClientConfig>, OutboundError> {
    static CONFIG: OnceLock<Result<Arc<rustls::ClientConfig>, String>> = OnceLock::new();
    CONFIG
        .get_or_init(|| {
            let mut roots = rustls::RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(%error, "a trust anchor of this machine cannot be read");
            }
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err("this machine has no trusted certificates; install its ca-certificates package"
                    .to_owned());
            }
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let mut config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .map_err(|error| error.to_string())?
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok(Arc::new(config))
        })
        .clone()
        .map_err(|why| OutboundError::Tls { host: "any host".to_owned(), why })
}
