//! DNS that changes its mind between the check and the connection: what was checked is what is dialled.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use model::SeededEntropy;
use outbound::{EgressRule, Head, OutboundError, Route, Target, dial_tcp, dial_websocket};
use tokio::time::Instant;

use crate::dns::Dns;
use crate::site::{get, listener};

/// Public by the guard's table, and nobody's: it lies in no block that was ever given out.
const NOBODY: &str = "3fff:1000::1";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn route(private_allowed: bool, dns: &Arc<Dns>) -> Route {
    let resolver = Arc::clone(dns) as Arc<dyn outbound::Resolver>;
    Route::builder(EgressRule { private_allowed })
        .connect_timeout(Duration::from_millis(400))
        .resolver(resolver)
        .build()
        .unwrap()
}

/// The three ways out that know names.
#[derive(Clone, Copy, Debug)]
enum Way {
    Http,
    WebSocket,
    Tcp,
}

const WAYS: [Way; 3] = [Way::Http, Way::WebSocket, Way::Tcp];

async fn dial(way: Way, authority: &str, route: &Route) -> Result<(), OutboundError> {
    match way {
        Way::Http => get(&format!("http://{authority}/"), route).await.map(|_| ()),
        Way::Tcp => dial_tcp(authority, route).await.map(|_| ()),
        Way::WebSocket => {
            let target = Target::parse(&format!("ws://{authority}/"), route)?;
            let deadline = Instant::now() + Duration::from_millis(800);
            let entropy = Arc::new(SeededEntropy::new(1));
            dial_websocket(&target, &Head::new(), "mcp", 1000, entropy, deadline).await.map(|_| ())
        }
    }
}

#[tokio::test]
async fn an_answer_that_turns_private_after_the_check_is_not_dialled() {
    let listener = listener("127.0.0.1:0").await;
    for way in WAYS {
        // Public at first, loopback from then on: who asks twice is led home.
        let dns = Arc::new(Dns::start(|n| vec![if n == 0 { ip(NOBODY) } else { ip("127.0.0.1") }]).await);
        let route = route(false, &dns);
        let authority = format!("rebind.example:{}", listener.port);
        let error = dial(way, &authority, &route).await.unwrap_err();
        assert!(matches!(error, OutboundError::Connect { .. }), "{way:?}: {error}");
        assert!(!error.to_string().contains("127.0.0.1"), "{way:?}: {error}");
        assert_eq!(dns.lookups(), 1, "{way:?}: one dial, one question");
        // The next dial asks anew, and what it is told then is judged.
        let error = dial(way, &authority, &route).await.unwrap_err();
        assert!(matches!(error, OutboundError::Refused { class: "loopback", .. }), "{way:?}: {error}");
        assert_eq!(dns.lookups(), 2, "{way:?}");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(listener.seen(), 0, "nobody came");
}

#[tokio::test]
async fn the_socket_goes_to_the_address_that_was_judged_and_to_no_other() {
    for way in WAYS {
        let judged = listener("127.0.0.2:0").await;
        let other = listener(&format!("127.0.0.1:{}", judged.port)).await;
        let dns =
            Arc::new(Dns::start(|n| vec![if n == 0 { ip("127.0.0.2") } else { ip("127.0.0.1") }]).await);
        let route = route(true, &dns);
        let authority = format!("rebind.example:{}", judged.port);
        let dialled = tokio::time::timeout(Duration::from_millis(500), dial(way, &authority, &route));
        // The listener says nothing, so HTTP and WebSocket go on waiting for it.
        let _ = dialled.await;
        judged.wait_for(1).await;
        assert_eq!((other.seen(), dns.lookups()), (0, 1), "{way:?}");
    }
}

#[tokio::test]
async fn a_private_address_beside_a_public_one_is_left_out() {
    let listener = listener("127.0.0.1:0").await;
    let dns = Arc::new(Dns::start(|_| vec![ip("127.0.0.1"), ip(NOBODY), ip("::1")]).await);
    for way in WAYS {
        let error =
            dial(way, &format!("mixed.example:{}", listener.port), &route(false, &dns)).await.unwrap_err();
        assert!(matches!(error, OutboundError::Connect { .. }), "{way:?}: {error}");
    }
    assert_eq!(listener.seen(), 0);
}

#[tokio::test]
async fn ten_thousand_rounds_let_nothing_private_through() {
    let dns = Arc::new(
        Dns::start(|n| match n % 5 {
            0 => vec![ip("1.1.1.1")],
            1 => vec![ip("127.0.0.1")],
            2 => vec![ip("10.0.0.1"), ip("1.1.1.1")],
            3 => vec![ip("1.1.1.1"), ip("169.254.169.254"), ip("::ffff:127.0.0.1")],
            _ => vec![],
        })
        .await,
    );
    let route = route(false, &dns);
    let mut passed = 0;
    for _ in 0..10_000 {
        if let Ok(found) = route.resolve("rebind.example", 80).await {
            passed += 1;
            assert_eq!(found, ["1.1.1.1:80".parse().unwrap()]);
        }
    }
    assert_eq!((passed, dns.lookups()), (6_000, 10_000));
}

#[tokio::test]
async fn name_servers_of_ones_own_are_asked_and_what_they_say_is_judged() {
    let dns = Dns::start(|_| vec!["127.0.0.1".parse().unwrap()]).await;
    let site = crate::site::Site::start_with(None, |_| crate::site::ok("hello")).await;
    let route = |private_allowed| {
        let servers = outbound::NameServers::new(&[dns.at()]).unwrap();
        Route::builder(EgressRule { private_allowed }).resolver(Arc::new(servers)).build().unwrap()
    };
    let url = format!("http://only.here.example:{}/", site.port);
    let response = crate::site::get(&url, &route(true)).await.unwrap();
    assert_eq!(crate::site::text(response).await, "hello");
    let error = crate::site::get(&url, &route(false)).await.unwrap_err();
    assert!(matches!(error, OutboundError::Refused { .. }), "{error:?}");
    assert!(dns.lookups() >= 2, "it was asked, and nobody else knows the name");
}
