//! Client certificates and authorities against a real nginx that asks for them (`ssl_verify_client on`).
//! `make test` installs it; by itself: `cargo test -p outbound --test nginx`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails here fails"
)]

#[path = "../it/authority.rs"]
mod authority;

use std::time::Duration;

use authority::{Authority, Issued};
use model::Fault;
use outbound::{Client, EgressRule, Head, OutboundError, Outgoing, Response, Route, Target};
use testkit::nginx::Nginx;
use tokio::time::Instant;

const SERVER: &str = "
    ssl_certificate server.pem;
    ssl_certificate_key server.key;
    ssl_client_certificate clients.pem;
    ssl_verify_client on;
    location / { return 200 'come in, $ssl_client_verify'; }
";

fn route(trusted: &Authority, shown: Option<Issued>) -> Route {
    let builder = Route::builder(EgressRule { private_allowed: true }).root_certificates(&trusted.pem);
    match shown {
        Some(Issued { chain, key }) => builder.client_certificate(&chain, key).build().unwrap(),
        None => builder.build().unwrap(),
    }
}

async fn get(nginx: &Nginx, route: &Route) -> Result<Response, OutboundError> {
    let target = Target::parse(&format!("https://localhost:{}/", nginx.port), route).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let head = Head::new();
    let request = Outgoing { method: "GET", head: &head, body: &[], is_replayable: true, deadline };
    Client::new().send(&target, request).await
}

#[tokio::test]
async fn nginx_lets_in_whom_it_knows_and_says_to_the_others_what_is_missing() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let server = ours.issue(&["localhost"]);
    for protocol in ["TLSv1.3", "TLSv1.2"] {
        let block = format!("{SERVER}    ssl_protocols {protocol};\n");
        let files = [
            ("server.pem", &*server.chain),
            ("server.key", server.key.expose()),
            ("clients.pem", &*ours.pem),
        ];
        let nginx = Nginx::start_tls(&block, &files).await.unwrap();

        let right = route(&ours, Some(ours.issue(&["client.example"])));
        let response = get(&nginx, &right).await.unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(&response.body.collect(1000).await.unwrap()[..], b"come in, SUCCESS");

        for (route, detail, hint) in [
            (route(&ours, None), "has none", "give the connection a client certificate and its private key"),
            (
                route(&ours, Some(theirs.issue(&["client.example"]))),
                "refused this connection's client certificate",
                "from an authority that the server trusts",
            ),
            (
                route(&theirs, Some(ours.issue(&["client.example"]))),
                "UnknownIssuer",
                "certificate of the authority that signed the server's",
            ),
        ] {
            let error = get(&nginx, &route).await.unwrap_err();
            assert!(matches!(error, OutboundError::Tls { .. }), "{protocol}: {error:?}\n{}", nginx.log());
            let fault = Fault::from(error);
            assert!(fault.detail.contains("TLS with `localhost` failed"), "{}", fault.detail);
            assert!(fault.detail.contains(detail), "{protocol}: {}", fault.detail);
            assert!(fault.hint.contains(hint), "{protocol}: {}", fault.hint);
        }
    }
}
