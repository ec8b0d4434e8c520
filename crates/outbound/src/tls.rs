//! TLS of a route: whom it trusts, what it shows of itself, and what a failure means to whoever has to mend it.

use std::io;
use std::sync::{Arc, OnceLock};

use model::Secret;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, ClientConfig, Error, InconsistentKeys, RootCertStore};

use crate::OutboundError;

/// Certificates of one PEM text at most: more is a mistake, or a machine's whole store.
const CERTIFICATES_MAX: usize = 512;

/// The configurations of a route that has something of its own.
pub(crate) struct Tls {
    /// For the origins that the route was made for.
    own: Spoken,
    /// For origins that a redirect led to: the same trust, and no client certificate.
    strangers: Spoken,
    pub(crate) has_certificate: bool,
}

/// One configuration, by what is offered to the server (ALPN, RFC 7301). They share what sessions are resumed with.
#[derive(Clone)]
struct Spoken {
    /// HTTP/1.1 only.
    one: Arc<ClientConfig>,
    /// HTTP/2 and HTTP/1.1.
    two: Arc<ClientConfig>,
}

impl Spoken {
    fn new(mut config: ClientConfig) -> Self {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut two = config.clone();
        two.alpn_protocols = vec![H2.to_vec(), b"http/1.1".to_vec()];
        Self { one: Arc::new(config), two: Arc::new(two) }
    }

    fn config(&self, offers_two: bool) -> Arc<ClientConfig> {
        Arc::clone(if offers_two { &self.two } else { &self.one })
    }
}

/// What HTTP/2 over TLS is called in ALPN (RFC 9113 §3.2).
pub(crate) const H2: &[u8] = b"h2";

impl Tls {
    /// Reads what was given. It is told now, not at the first call, when something is wrong with it.
    pub(crate) fn build(
        roots: Option<&str>,
        is_alone: bool,
        identity: Option<(&str, &Secret)>,
    ) -> Result<Self, OutboundError> {
        let mut trusted = match (machine_roots(), roots) {
            (_, Some(_)) if is_alone => RootCertStore::empty(),
            (Ok(found), _) => found.clone(),
            (Err(_), Some(_)) => RootCertStore::empty(),
            (Err(why), None) => return Err(bad(MACHINE, why.clone())),
        };
        for certificate in roots.map_or(Ok(Vec::new()), |pem| certificates(ROOTS, pem))? {
            trusted.add(certificate).map_err(|error| bad(ROOTS, told(&error)))?;
        }
        let strangers = config(trusted.clone(), None)?;
        let own = match identity {
            None => strangers.clone(),
            Some((chain, key)) => {
                let chain = certificates(CERTIFICATE, chain)?;
                let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
                    .map_err(|error| bad(KEY, key_trouble(&error, key)))?;
                config(trusted, Some((chain, key)))?
            }
        };
        Ok(Self { own, strangers, has_certificate: identity.is_some() })
    }

    pub(crate) fn config(&self, is_stranger: bool, offers_two: bool) -> Arc<ClientConfig> {
        if is_stranger { &self.strangers } else { &self.own }.config(offers_two)
    }
}

const ROOTS: &str = "root certificates";
const CERTIFICATE: &str = "client certificate";
const KEY: &str = "private key";
const MACHINE: &str = "trust of this machine";

/// The configuration of every route that has nothing of its own: one for the whole program.
pub(crate) fn shared_config(offers_two: bool) -> Result<Arc<ClientConfig>, OutboundError> {
    static CONFIG: OnceLock<Result<Spoken, OutboundError>> = OnceLock::new();
    let spoken = CONFIG.get_or_init(|| {
        let roots = machine_roots().as_ref().map_err(|why| bad(MACHINE, why.clone()))?;
        config(roots.clone(), None)
    });
    spoken.as_ref().map(|spoken| spoken.config(offers_two)).map_err(Clone::clone)
}

/// What this machine trusts, read once.
fn machine_roots() -> &'static Result<RootCertStore, String> {
    static ROOTS: OnceLock<Result<RootCertStore, String>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a trust anchor of this machine cannot be read");
        }
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(
                "this machine has no trusted certificates; install its ca-certificates package".to_owned()
            );
        }
        Ok(roots)
    })
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn config(roots: RootCertStore, identity: Option<Identity>) -> Result<Spoken, OutboundError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad("TLS versions", error.to_string()))?
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(|error| bad(CERTIFICATE, told(&error)))?
        }
    };
    Ok(Spoken::new(config))
}

fn bad(what: &'static str, why: String) -> OutboundError {
    OutboundError::BadRoute { what, why }
}

fn certificates(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, OutboundError> {
    let read: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).take(CERTIFICATES_MAX + 1).collect();
    match read {
        Ok(found) if found.is_empty() => {
            Err(bad(what, "there is no certificate in it; it has to be PEM text".to_owned()))
        }
        Ok(found) if found.len() > CERTIFICATES_MAX => {
            Err(bad(what, format!("more than {CERTIFICATES_MAX} certificates")))
        }
        Ok(found) => Ok(found),
        // The library quotes the line that it stumbled over, which may be part of a key.
        Err(_) => Err(bad(what, "the PEM text is damaged".to_owned())),
    }
}

fn key_trouble(error: &PemError, key: &Secret) -> String {
    let why = match error {
        PemError::NoItemsFound if key.expose().contains("BEGIN ENCRYPTED PRIVATE KEY") => {
            "it is encrypted with a passphrase; decrypt it first (`openssl pkey`)"
        }
        PemError::NoItemsFound => "there is no private key in it; it has to be PEM text",
        // As above: never quoted.
        _ => "the PEM text is damaged",
    };
    why.to_owned()
}

fn told(error: &Error) -> String {
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "the private key does not belong to the certificate".to_owned()
        }
        other => other.to_string(),
    }
}

/// What a failed handshake means: why, and what to do about it.
pub(crate) fn explain(error: &io::Error, has_certificate: bool) -> (String, &'static str) {
    let Some(inner) = inner(error) else {
        return (error.to_string(), "check that the port speaks TLS");
    };
    if let Some(found) = refusal(inner, has_certificate) {
        return found;
    }
    let advice = match inner {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "give the connection the certificate of the authority that signed the server's"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "use the name that stands in the server's certificate",
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "have the server's certificate renewed, or check this machine's clock"
        }
        Error::InvalidMessage(_) => "check the scheme: the port does not seem to speak TLS",
        _ => "check the certificate and the scheme",
    };
    (inner.to_string(), advice)
}

/// An alert about the client's own certificate. In TLS 1.3 it may come after the handshake, in place of an answer;
/// the server has then read nothing of the request.
pub(crate) fn late_refusal(error: &io::Error, has_certificate: bool) -> Option<(String, &'static str)> {
    refusal(inner(error)?, has_certificate)
}

fn inner(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn refusal(error: &Error, has_certificate: bool) -> Option<(String, &'static str)> {
    use AlertDescription as Alert;
    let Error::AlertReceived(alert) = error else { return None };
    match alert {
        Alert::NoCertificate
        | Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied
        | Alert::DecryptError
        | Alert::CertificateRequired => Some(wanted(&format!("{alert:?}"), has_certificate)),
        // What servers of TLS 1.2 say when they miss a certificate, and of much else.
        Alert::HandshakeFailure if !has_certificate => Some((
            "the server broke the handshake off (HandshakeFailure)".to_owned(),
            "give the connection a client certificate if the server asks for one; else check its TLS versions",
        )),
        _ => None,
    }
}

/// The server minds the client's certificate, or that there is none.
pub(crate) fn wanted(said: &str, has_certificate: bool) -> (String, &'static str) {
    if has_certificate {
        (
            format!("the server refused this connection's client certificate ({said})"),
            "give the connection a client certificate from an authority that the server trusts",
        )
    } else {
        (
            format!("the server wants a client certificate, and this connection has none ({said})"),
            "give the connection a client certificate and its private key",
        )
    }
}
