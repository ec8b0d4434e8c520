//! Whom a route trusts, what it shows of itself, and what is said when either side minds.

use std::sync::Arc;
use std::time::Duration;

use model::{Fault, Secret, SeededEntropy};
use outbound::{EgressRule, Head, OutboundError, Route, Target, dial_websocket};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::authority::{Authority, Issued};
use crate::site::{Site, get, ok, text};

/// Whether a server asks for a client certificate.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Asks {
    Never,
    /// And does without, as nginx does at this layer.
    Politely,
    Firmly,
}

/// A server with this certificate, that trusts `clients`.
pub(crate) fn acceptor(server: &Issued, clients: &Authority, asks: Asks) -> TlsAcceptor {
    acceptor_of(server, clients, asks, rustls::DEFAULT_VERSIONS)
}

fn acceptor_of(
    server: &Issued,
    clients: &Authority,
    asks: Asks,
    versions: &[&'static SupportedProtocolVersion],
) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(clients.pem.as_bytes()).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier = match asks {
        Asks::Politely => verifier.allow_unauthenticated().build().unwrap(),
        Asks::Firmly => verifier.build().unwrap(),
        Asks::Never => WebPkiClientVerifier::no_client_auth(),
    };
    let chain = vec![CertificateDer::from_pem_slice(server.chain.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(server.key.expose().as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

pub(crate) const OPEN: EgressRule = EgressRule { private_allowed: true };

/// What a person is told: which layer it was, why, and what to do.
fn told(error: OutboundError) -> (String, String) {
    assert!(matches!(error, OutboundError::Tls { .. }), "{error:?}");
    assert!(error.is_unsent());
    let fault = Fault::from(error);
    (fault.detail.clone(), fault.hint.clone())
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_where_it_was_given_and_nowhere_else() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let tls = acceptor(&ours.issue(&["127.0.0.1"]), &ours, Asks::Never);
    let site = Site::start_with(Some(tls), |_| ok("hello")).await;
    let url = format!("https://127.0.0.1:{}/", site.port);

    let trusting = Route::builder(OPEN).root_certificates(&ours.pem).build().unwrap();
    assert_eq!(text(get(&url, &trusting).await.unwrap()).await, "hello");
    // Several in one text, as authorities hand them out.
    let both = format!("{}\n{}", theirs.pem, ours.pem);
    let both = Route::builder(OPEN).root_certificates(&both).build().unwrap();
    assert_eq!(text(get(&url, &both).await.unwrap()).await, "hello");
    assert_eq!(site.log().len(), 2);

    let elsewhere = Route::builder(OPEN).root_certificates(&theirs.pem).build().unwrap();
    let plain = Route::builder(OPEN).build().unwrap();
    for route in [elsewhere, plain] {
        let (detail, hint) = told(get(&url, &route).await.unwrap_err());
        assert!(
            detail.contains("TLS with `127.0.0.1` failed") && detail.contains("UnknownIssuer"),
            "{detail}"
        );
        assert!(hint.contains("certificate of the authority"), "{hint}");
    }
    assert_eq!(site.log().len(), 2, "nothing was sent to a server that is not trusted");
}

#[tokio::test]
async fn a_certificate_for_somebody_else_or_out_of_date_is_told_apart() {
    let ours = Authority::new("ours");
    let route = Route::builder(OPEN).root_certificates(&ours.pem).build().unwrap();
    for (issued, wanted) in
        [(ours.issue(&["other.example"]), "use the name"), (ours.issue_expired(&["127.0.0.1"]), "renewed")]
    {
        let site = Site::start_with(Some(acceptor(&issued, &ours, Asks::Never)), |_| ok("")).await;
        let error = get(&format!("https://127.0.0.1:{}/", site.port), &route).await.unwrap_err();
        let (_, hint) = told(error);
        assert!(hint.contains(wanted), "{hint}");
        assert!(site.log().is_empty());
    }
    // And a port that speaks no TLS at all.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    let (_, hint) = told(get(&format!("https://127.0.0.1:{port}/"), &route).await.unwrap_err());
    assert!(hint.contains("check the scheme"), "{hint}");
}

#[tokio::test]
async fn a_client_certificate_opens_what_asks_for_one() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let server = ours.issue(&["127.0.0.1"]);
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let tls = acceptor_of(&server, &ours, Asks::Firmly, versions);
        let site = Site::start_with(Some(tls), |_| ok("come in")).await;
        let url = format!("https://127.0.0.1:{}/", site.port);
        let with = |issued: Option<Issued>| {
            let builder = Route::builder(OPEN).root_certificates(&ours.pem);
            match issued {
                Some(Issued { chain, key }) => builder.client_certificate(&chain, key).build().unwrap(),
                None => builder.build().unwrap(),
            }
        };
        let right = with(Some(ours.issue(&["client.example"])));
        assert_eq!(text(get(&url, &right).await.unwrap()).await, "come in");
        assert_eq!(*site.certified.lock().unwrap(), [true]);

        let (detail, hint) = told(get(&url, &with(None)).await.unwrap_err());
        assert!(detail.contains("TLS with `127.0.0.1` failed"), "{detail}");
        assert!(hint.contains("a client certificate"), "{hint}");

        let wrong = with(Some(theirs.issue(&["client.example"])));
        let (detail, hint) = told(get(&url, &wrong).await.unwrap_err());
        assert!(detail.contains("refused this connection's client certificate"), "{detail}");
        assert!(hint.contains("from an authority that the server trusts"), "{hint}");
        assert_eq!(site.log().len(), 1, "the server has read one request");
    }
}

#[tokio::test]
async fn a_websocket_goes_the_same_way() {
    let ours = Authority::new("ours");
    let tls = acceptor(&ours.issue(&["127.0.0.1"]), &ours, Asks::Firmly);
    // It does not speak WebSocket: that it answers at all is what counts here.
    let site = Site::start_with(Some(tls), |_| ok("no")).await;
    let dial = async |route: &Route| {
        let target = Target::parse(&format!("wss://127.0.0.1:{}/", site.port), route).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        let entropy = Arc::new(SeededEntropy::new(1));
        dial_websocket(&target, &Head::new(), "mcp", 1000, entropy, deadline).await.map(|_| ()).unwrap_err()
    };
    let client = ours.issue(&["client.example"]);
    let right = Route::builder(OPEN)
        .root_certificates(&ours.pem)
        .client_certificate(&client.chain, client.key)
        .build()
        .unwrap();
    let error = dial(&right).await;
    assert!(matches!(error, OutboundError::Upgrade { status: 200, .. }), "{error}");
    assert_eq!(*site.certified.lock().unwrap(), [true]);
    told(dial(&Route::builder(OPEN).root_certificates(&ours.pem).build().unwrap()).await);
    told(dial(&Route::builder(OPEN).build().unwrap()).await);
    assert_eq!(site.log().len(), 1);
}

/// A page of nginx.
fn page(title: &str) -> String {
    let body = format!("<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n</body>\r\n</html>\r\n");
    let head = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/html\r\nconnection: close";
    format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_server_that_minds_the_certificate_in_a_page_is_understood_and_other_400s_are_answers() {
    let ours = Authority::new("ours");
    let server = ours.issue(&["127.0.0.1"]);
    let route = Route::builder(OPEN).root_certificates(&ours.pem).build().unwrap();
    let at = async |answer: String, tls: bool| {
        let tls = tls.then(|| acceptor(&server, &ours, Asks::Politely));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let site = Site::start_with(tls, move |_| answer.clone()).await;
        get(&format!("{scheme}://127.0.0.1:{}/", site.port), &route).await
    };
    let (detail, hint) = told(at(page("400 No required SSL certificate was sent"), true).await.unwrap_err());
    assert!(detail.contains("wants a client certificate, and this connection has none"), "{detail}");
    assert!(hint.contains("give the connection a client certificate"), "{hint}");
    told(at(page("400 The SSL certificate error"), true).await.unwrap_err());

    let json = r#"{"error":"400 No required SSL certificate was sent"}"#;
    let json_answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{json}",
        json.len()
    );
    for (answer, tls, body) in [
        (page("400 Bad Request"), true, "<title>400 Bad Request</title>"),
        (page("400 No required SSL certificate was sent"), false, "No required"),
        (json_answer, true, json),
    ] {
        let response = at(answer, tls).await.unwrap();
        assert_eq!(response.status, 400);
        let whole = text(response).await;
        assert!(whole.contains(body), "nothing of it was lost: {whole}");
    }
}

#[test]
fn what_cannot_be_used_is_told_when_the_route_is_made_and_no_key_is_shown() {
    let ours = Authority::new("ours");
    let (one, two) = (ours.issue(&["a"]), ours.issue(&["b"]));
    let made = |roots: Option<&str>, chain: &str, key: &str| {
        let builder = Route::builder(OPEN).client_certificate(chain, Secret::new(key));
        let builder = match roots {
            Some(pem) => builder.root_certificates(pem),
            None => builder,
        };
        builder.build()
    };
    let key = one.key.expose();
    let secret_line = key.lines().nth(1).unwrap();
    // A key whose text was damaged on the way.
    let damaged = key.replace(secret_line, &format!("{secret_line}!!"));
    let headless = key.replace("-----END PRIVATE KEY-----", "");
    // As it comes out of an environment variable that has lost its line ends.
    let on_one_line = key.replace('\n', "");
    // A library may print bytes instead of letters.
    let as_bytes: Vec<String> = secret_line.bytes().take(8).map(|byte| byte.to_string()).collect();
    let as_bytes = as_bytes.join(", ");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (roots, chain, key, what) in [
        (Some("nonsense"), &*one.chain, key, "root certificates"),
        (Some(""), &one.chain, key, "root certificates"),
        (Some(key), &one.chain, key, "root certificates"),
        (None, "", key, "client certificate"),
        (None, key, key, "client certificate"),
        (None, &two.chain, key, "does not belong to the certificate"),
        (None, &one.chain, "", "private key"),
        (None, &one.chain, &one.chain, "private key"),
        (None, &one.chain, &damaged, "private key"),
        (None, &one.chain, &headless, "private key"),
        (None, &one.chain, &on_one_line, "private key"),
        (None, &one.chain, encrypted, "passphrase"),
    ] {
        let error = made(roots, chain, key).unwrap_err();
        assert!(matches!(error, OutboundError::BadRoute { .. }), "{error:?}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(what), "{what}: {shown}");
        assert!(!shown.contains(secret_line.get(..16).unwrap()) && !shown.contains(&as_bytes), "{shown}");
    }
    let route = made(Some(&ours.pem), &one.chain, key).unwrap();
    let shown = format!("{route:?}");
    assert!(!shown.contains(secret_line) && shown.contains("client_certificate: true"), "{shown}");
}
