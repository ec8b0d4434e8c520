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
use outbound::{Client, EgressRule, Head, Http2, OutboundError, Outgoing, Response, Route, Target};
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
    get_of(&Target::parse(&format!("https://localhost:{}/", nginx.port), route).unwrap()).await
}

async fn get_of(target: &Target) -> Result<Response, OutboundError> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let head = Head::new();
    let request = Outgoing { method: "GET", head: &head, body: &[], is_replayable: true, deadline };
    Client::new().send(target, request).await
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

#[tokio::test]
async fn nginx_that_has_http_2_is_spoken_to_in_it_unless_the_route_says_no() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let server = ours.issue(&["localhost"]);
    let files =
        [("server.pem", &*server.chain), ("server.key", server.key.expose()), ("clients.pem", &*ours.pem)];
    let block =
        SERVER.replace("come in, $ssl_client_verify", "$server_protocol $connection $ssl_client_verify");
    for protocol in ["TLSv1.3", "TLSv1.2"] {
        let block = format!("{block}    ssl_protocols {protocol};\n");
        let nginx = Nginx::start_http2(&block, &files).await.unwrap();
        let builder = || {
            let Issued { chain, key } = ours.issue(&["client.example"]);
            let rule = EgressRule { private_allowed: true };
            Route::builder(rule).root_certificates(&ours.pem).client_certificate(&chain, key)
        };
        let target =
            |route: &Route| Target::parse(&format!("https://localhost:{}/", nginx.port), route).unwrap();
        let two = target(&builder().build().unwrap());
        let mut said = std::collections::BTreeSet::new();
        for _ in 0..5 {
            let response = get_of(&two).await.unwrap();
            let text = response.body.collect(1000).await.unwrap();
            said.insert(String::from_utf8(text.to_vec()).unwrap());
        }
        let said: Vec<_> = said.into_iter().collect();
        assert_eq!(said.len(), 1, "all on one connection: {said:?}");
        assert!(said[0].starts_with("HTTP/2.0 ") && said[0].ends_with(" SUCCESS"), "{said:?}");

        let one = target(&builder().http2(Http2::Never).build().unwrap());
        let text = get_of(&one).await.unwrap().body.collect(1000).await.unwrap();
        assert!(text.starts_with(b"HTTP/1.1 "), "{text:?}");

        for (route, detail) in [
            (route(&ours, None), "has none"),
            (
                route(&ours, Some(theirs.issue(&["client.example"]))),
                "refused this connection's client certificate",
            ),
        ] {
            let error = get_of(&target(&route)).await.unwrap_err();
            assert!(matches!(error, OutboundError::Tls { .. }), "{protocol}: {error:?}\n{}", nginx.log());
            assert!(error.to_string().contains(detail), "{protocol}: {error}");
        }
    }
}
