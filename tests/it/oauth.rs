//! Leave given in a browser, at a real OpenID provider (npm oidc-provider): the pages, the token in use, its
//! renewal while many call at once, over a restart, and its end.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use testkit::hub::Hub;
use testkit::program::Program;

use crate::browser::{self, get};

/// A hub and a provider that knows it, with a connection between them that nobody has given leave for.
struct Scene {
    hub: Hub,
    _provider: Program,
    provider_url: String,
}

async fn ask(hub: &Hub, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let reply = hub.http(method, path, body).await.unwrap();
    (reply.status.as_u16(), serde_json::from_str(&reply.text().await.unwrap()).unwrap_or_default())
}

async fn scene(ttl_s: u32, by_leave: bool) -> Scene {
    let hub = Hub::start("integrations: {}\n").await.unwrap();
    let (provider, url) = browser::provider(&hub, ttl_s).await;

    let mut config = json!({
        "base_url": url, "test_path": "api/me", "token_url": format!("{url}/token"), "scopes": "openid",
    });
    if by_leave {
        config["authorize_url"] = format!("{url}/auth").into();
    } else {
        config["scopes"] = "api".into();
    }
    let body = json!({
        "integration": "rest", "name": "Acme", "auth_method": "oauth", "egress_private": true,
        "connection_config": config,
    });
    let (status, made) = ask(&hub, Method::POST, "/api/v1/connections", &body).await;
    assert_eq!(status, 201, "{made}");
    for (field, value) in [("client_id", "hub"), ("client_secret", "hub-secret-hub-secret-hub-secret")] {
        let path = format!("/api/v1/connections/acme/credentials/auth.credentials.{field}");
        let (status, said) = ask(&hub, Method::PUT, &path, &json!({ "value": value })).await;
        assert!(status < 300, "{said}");
    }
    Scene { hub, _provider: provider, provider_url: url }
}

impl Scene {
    /// The page before the provider's: where it leads, and the cookie that it sets.
    async fn start_page(&self) -> (String, String) {
        self.start_page_of("acme").await
    }

    async fn start_page_of(&self, key: &str) -> (String, String) {
        let path = format!("/api/v1/connections/{key}/authorize");
        let (status, said) = ask(&self.hub, Method::POST, &path, &json!({})).await;
        assert_eq!(status, 200, "{said}");
        browser::open(said["url"].as_str().unwrap()).await.leads_to()
    }

    async fn through_the_provider(&self, link: &str) -> String {
        browser::give_leave(&self.provider_url, link, "ada").await
    }

    async fn give_leave(&self) {
        let (link, cookie) = self.start_page().await;
        let back = self.through_the_provider(&link).await;
        let reply = get(&back, &cookie).await;
        let (status, location) = (reply.status, reply.header("location").to_owned());
        assert_eq!(status, 303, "{}", reply.text().await.unwrap());
        assert!(!location.contains("code="), "{location}");
        let done = get(&location, "").await.text().await.unwrap();
        assert!(done.contains("<strong>acme</strong> has its leave"), "{done}");
    }

    async fn me(&self) -> (u16, Value) {
        ask(&self.hub, Method::POST, "/call/acme/check", &json!({})).await
    }

    async fn stats(&self) -> Value {
        get(&format!("{}/stats", self.provider_url), "").await.json().await.unwrap()
    }
}

#[tokio::test]
async fn leave_is_given_in_a_browser_and_the_connection_is_used() {
    let scene = scene(3600, true).await;
    let (_, refused) = ask(&scene.hub, Method::POST, "/api/v1/connections/acme/connect", &Value::Null).await;
    assert_eq!(refused["is_ok"], false);
    assert_eq!(refused["problem"]["code"], "TL-1409", "{refused}");
    assert!(refused["problem"]["hint"].as_str().unwrap().contains("connection authorize acme"), "{refused}");

    scene.give_leave().await;
    let (status, me) = scene.me().await;
    assert_eq!((status, &me["result"]), (200, &json!({ "who": "ada" })), "{me}");
    let (_, shown) = ask(&scene.hub, Method::GET, "/api/v1/connections/acme", &Value::Null).await;
    assert_eq!(shown["status"], "connected");
    // What the token is, nobody is shown.
    let (_, kept) = ask(&scene.hub, Method::GET, "/api/v1/connections/acme/credentials", &Value::Null).await;
    assert!(
        kept.to_string().contains("oauth.tokens") && !kept.to_string().contains("access_token"),
        "{kept}"
    );
}

#[tokio::test]
async fn an_answer_counts_only_in_the_browser_that_asked() {
    let scene = scene(3600, true).await;
    let (link, cookie) = scene.start_page().await;
    let back = scene.through_the_provider(&link).await;
    for (cookie, what) in [("", "no cookie"), ("trunkline_leave=00", "another one")] {
        let reply = get(&back, cookie).await;
        assert_eq!(reply.status, 404, "{what}");
        assert!(reply.text().await.unwrap().contains("not the browser in which leave was asked for"));
    }
    let forged = back.replace("state=", "state=x");
    assert_eq!(get(&forged, &cookie).await.status, 404);
    assert_eq!(get(&scene.hub.endpoint("/oauth/start?ticket=x"), "").await.status, 404);
    assert_eq!(scene.stats().await["token"], 0, "no code was traded");
    let (_, shown) = ask(&scene.hub, Method::GET, "/api/v1/connections/acme", &Value::Null).await;
    assert_eq!(shown["status"], "configuring");

    // And a person who says no is told so.
    let (state, _) = back
        .split_once("state=")
        .unwrap()
        .1
        .split_once('&')
        .unwrap_or((back.split_once("state=").unwrap().1, ""));
    let no = scene.hub.endpoint(&format!("/oauth/callback?error=access_denied&state={state}"));
    let reply = get(&no, &cookie).await;
    assert_eq!(reply.status, 401);
    assert!(reply.text().await.unwrap().contains("gave no leave: access_denied"));
}

#[tokio::test]
async fn a_token_is_renewed_once_for_all_who_call_and_over_a_restart() {
    let mut scene = scene(4, true).await;
    scene.give_leave().await;
    // Half of its life is over: the next calls renew it, all of them together once.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let calls = (0..12).map(|_| scene.me());
    for (status, me) in futures_util::future::join_all(calls).await {
        assert_eq!((status, &me["result"]["who"]), (200, &json!("ada")), "{me}");
    }
    assert_eq!(scene.stats().await["refresh"], 1);

    scene.hub.restart().await.unwrap();
    scene.hub.wait_for_tools("/mcp/c/acme").await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let (status, me) = scene.me().await;
    assert_eq!((status, &me["result"]["who"]), (200, &json!("ada")), "{me}");
    assert_eq!(scene.stats().await["refresh"], 2);
    assert_eq!(scene.stats().await["refused"], 0);

    // The leave is taken back: told with what to do, and the provider is not asked again and again.
    get(&format!("{}/forget", scene.provider_url), "").await;
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    for _ in 0..3 {
        let (status, said) = scene.me().await;
        assert_eq!((status, &said["code"]), (401, &json!("TL-1409")), "{said}");
        assert!(said["detail"].as_str().unwrap().contains("invalid_grant"), "{said}");
    }
}

#[tokio::test]
async fn a_client_signs_in_as_itself() {
    let scene = scene(3600, false).await;
    let (status, connected) =
        ask(&scene.hub, Method::POST, "/api/v1/connections/acme/connect", &Value::Null).await;
    assert_eq!((status, &connected["is_ok"]), (200, &json!(true)), "{connected}");
    let (status, me) = scene.me().await;
    assert_eq!((status, &me["result"]), (200, &json!({ "who": "hub" })), "{me}");
    let (status, said) =
        ask(&scene.hub, Method::POST, "/api/v1/connections/acme/authorize", &json!({})).await;
    assert_eq!(status, 422, "{said}");
}

#[tokio::test]
async fn a_client_with_a_key_signs_for_itself_and_sends_no_secret() {
    let scene = scene(3600, false).await;
    let hub = &scene.hub;
    let key = get(&format!("{}/signing-key", scene.provider_url), "").await.text().await.unwrap();
    let put = async |field: &str, value: &str| {
        let path = format!("/api/v1/connections/acme/credentials/auth.credentials.{field}");
        let (status, said) = ask(hub, Method::PUT, &path, &json!({ "value": value })).await;
        assert!(status < 300 && !said.to_string().contains("PRIVATE"), "{said}");
    };
    put("client_id", "signer").await;
    put("key_id", "first").await;
    put("private_key", "no key").await;
    let (_, refused) = ask(hub, Method::POST, "/api/v1/connections/acme/connect", &Value::Null).await;
    assert!(refused.to_string().contains("cannot be signed"), "{refused}");
    // Another key than the one that the provider knows: told, and nobody is signed in.
    put("private_key", &rcgen::KeyPair::generate().unwrap().serialize_pem()).await;
    let (_, refused) = ask(hub, Method::POST, "/api/v1/connections/acme/connect", &Value::Null).await;
    assert_eq!(refused["is_ok"], false, "{refused}");
    assert!(refused.to_string().contains("invalid_client"), "{refused}");

    put("private_key", &key).await;
    let (_, connected) = ask(hub, Method::POST, "/api/v1/connections/acme/connect", &Value::Null).await;
    assert_eq!(connected["is_ok"], true, "{connected}");
    assert_eq!(scene.me().await.1["result"]["who"], "signer");
}

#[tokio::test]
async fn an_mcp_server_tells_how_it_is_signed_in_to_and_the_hub_registers_there() {
    let scene = scene(3600, true).await;
    let (hub, url) = (&scene.hub, format!("{}/mcp", scene.provider_url));
    let body = json!({
        "integration": "mcp-server", "name": "Guarded", "auth_method": "oauth", "egress_private": true,
        "connection_config": { "protocol": "http", "url": url },
    });
    let (status, made) = ask(hub, Method::POST, "/api/v1/connections", &body).await;
    assert_eq!(status, 201, "{made}");
    let (_, refused) = ask(hub, Method::POST, "/api/v1/connections/guarded/connect", &Value::Null).await;
    assert_eq!(refused["problem"]["code"], "TL-1409", "{refused}");

    let (link, cookie) = scene.start_page_of("guarded").await;
    // Asked for this server, at the client that was registered for it.
    assert!(link.contains("resource=") && link.contains("code_challenge_method=S256"), "{link}");
    assert!(link.contains("scope=mcp") && !link.contains("client_id=hub&"), "{link}");
    let back = scene.through_the_provider(&link).await;
    let reply = get(&back, &cookie).await;
    let status = reply.status;
    assert_eq!(status, 303, "{}", reply.text().await.unwrap());
    let tools = hub.wait_for_tools("/mcp/c/guarded").await.unwrap();
    assert_eq!(tools, ["who"]);
    let (status, said) = ask(hub, Method::POST, "/call/guarded/who", &json!({})).await;
    assert_eq!((status, &said["result"]), (200, &json!("ada by who")), "{said}");
    // Asking for leave once more does not register once more.
    let (again, _) = scene.start_page_of("guarded").await;
    let client = |link: &str| link.split("client_id=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    assert_eq!(client(&again), client(&link));
}
