//! Connections on which everybody uses their own credentials: whoever has none is told where to give one, and nobody's
//! call ever goes out with somebody else's. What went out is asked of the system behind them.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use testkit::client::{Generation, McpClient, RpcError};
use testkit::http::{Reply, send};
use testkit::hub::Hub;
use testkit::program::Program;

use crate::browser::{self, authorise, get, give_leave, open};

/// How long something may take that is told.
const PATIENCE: Duration = Duration::from_secs(60);

/// A hub with a manager (whose key is the hub's) and two more users, and a system behind it that knows people.
struct Scene {
    hub: Hub,
    _provider: Program,
    url: String,
    bob: String,
    eve: String,
}

async fn scene(ttl_s: u32) -> Scene {
    let mut hub = Hub::start("integrations: {}\n").await.unwrap();
    let keys = hub.add_users(&["bob", "eve"]).await.unwrap();
    let (provider, url) = browser::provider(&hub, ttl_s).await;
    Scene { hub, _provider: provider, url, bob: keys[0].clone(), eve: keys[1].clone() }
}

async fn read(reply: Reply) -> (u16, Value) {
    (reply.status.as_u16(), serde_json::from_str(&reply.text().await.unwrap()).unwrap_or_default())
}

impl Scene {
    /// As the manager.
    async fn ask(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        read(self.hub.http(method, path, body).await.unwrap()).await
    }

    async fn ask_as(&self, key: &str, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let authorization = format!("Bearer {key}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        read(send(method, &self.hub.endpoint(path), &headers, body).await.unwrap()).await
    }

    async fn call_as(&self, key: &str, path: &str) -> (u16, Value) {
        self.ask_as(key, Method::POST, path, &json!({})).await
    }

    async fn make(&self, body: &Value) {
        let (status, made) = self.ask(Method::POST, "/api/v1/connections", body).await;
        assert_eq!((status, &made["is_per_user"]), (201, &json!(true)), "{made}");
    }

    /// An API with OAuth of which everybody uses their own account, connected with the manager's (`ada`'s).
    async fn acme(&self) {
        let url = &self.url;
        self.make(&json!({
            "integration": "rest", "name": "Acme", "auth_method": "oauth", "egress_private": true, "is_per_user": true,
            "connection_config": {
                "base_url": url, "test_path": "api/me", "token_url": format!("{url}/token"), "scopes": "openid",
                "authorize_url": format!("{url}/auth"),
            },
        }))
        .await;
        for (field, value) in [("client_id", "hub"), ("client_secret", "hub-secret-hub-secret-hub-secret")] {
            let path = format!("/api/v1/connections/acme/credentials/auth.credentials.{field}");
            let (status, said) = self.ask(Method::PUT, &path, &json!({ "value": value })).await;
            assert_eq!((status, &said["is_own"]), (200, &json!(false)), "the client is everybody's: {said}");
        }
        self.authorise_manager("acme").await;
    }

    /// An MCP server that takes tokens made for it only.
    async fn guarded(&self) {
        self.make(&json!({
            "integration": "mcp-server", "name": "Guarded", "auth_method": "oauth", "egress_private": true,
            "is_per_user": true, "connection_config": { "protocol": "http", "url": format!("{}/mcp", self.url) },
        }))
        .await;
        self.authorise_manager("guarded").await;
        assert_eq!(self.hub.wait_for_tools("/mcp/c/guarded").await.unwrap(), ["who"]);
    }

    async fn authorise_manager(&self, key: &str) {
        let path = format!("/api/v1/connections/{key}/authorize");
        let (status, said) = self.ask(Method::POST, &path, &json!({})).await;
        assert_eq!(status, 200, "{said}");
        authorise(&self.url, said["url"].as_str().unwrap(), "ada").await;
        let (_, shown) = self.ask(Method::GET, &format!("/api/v1/connections/{key}"), &Value::Null).await;
        assert_eq!(shown["status"], "connected", "{shown}");
    }

    /// How many calls of this person were served; `nobody` are those that were refused.
    async fn served(&self, who: &str) -> u64 {
        let stats = get(&format!("{}/stats", self.url), "").await.json().await.unwrap();
        stats["served"][who].as_u64().unwrap_or(0)
    }

    fn modern(&self, key: &str) -> McpClient {
        McpClient::new(&self.hub.endpoint("/mcp"), Some(key), Generation::Modern)
    }
}

/// The link of a refusal over HTTP.
fn link_of((status, said): &(u16, Value)) -> String {
    assert_eq!((*status, &said["code"]), (401, &json!("TL-1410")), "{said}");
    said["link"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn who_has_not_authorised_is_sent_there_and_the_same_call_passes_then() {
    let scene = scene(3600).await;
    scene.acme().await;
    let (status, me) = scene.call_as(&scene.hub.key, "/call/acme/check").await;
    assert_eq!((status, &me["result"]), (200, &json!({ "who": "ada" })), "{me}");

    let before = (scene.served("ada").await, scene.served("nobody").await);
    let refused = scene.call_as(&scene.bob, "/call/acme/check").await;
    let link = link_of(&refused);
    assert_eq!(before, (scene.served("ada").await, scene.served("nobody").await), "nothing went out");
    // The page says who asks; the link works in one browser, and once.
    let page = open(&link).await;
    assert!(page.html.contains("key of bob") && page.html.contains("acting in your name"), "{}", page.html);
    let (there, cookie) = page.leads_to();
    let back = give_leave(&scene.url, &there, "bob").await;
    assert_eq!(get(&back, "").await.status, 404, "another browser's answer");
    assert_eq!(get(&back, &cookie).await.status, 303);
    let again = get(&link, "").await;
    assert_eq!(again.status, 404);
    assert!(again.text().await.unwrap().contains("the link has been used"));

    let (status, me) = scene.call_as(&scene.bob, "/call/acme/check").await;
    assert_eq!((status, &me["result"]), (200, &json!({ "who": "bob" })), "{me}");
    let (_, me) = scene.call_as(&scene.hub.key, "/call/acme/check").await;
    assert_eq!(me["result"], json!({ "who": "ada" }), "{me}");
    // The record has no link in it, and the list of credentials nobody else's.
    let (_, calls) = scene.ask(Method::GET, "/api/v1/calls", &Value::Null).await;
    assert!(calls.to_string().contains("TL-1410") && !calls.to_string().contains("ticket="), "{calls}");
    let (_, kept) = scene.ask(Method::GET, "/api/v1/connections/acme/credentials", &Value::Null).await;
    let kept = kept["credentials"].as_array().unwrap().clone();
    let own: Vec<_> = kept.iter().filter(|one| one["is_own"] == true).collect();
    assert_eq!((own.len(), kept.len()), (1, 3), "{kept:?}");

    // Withdrawn: asked again, and no other user notices.
    let token = "/api/v1/connections/acme/credentials/oauth.tokens";
    assert_eq!(scene.ask(Method::DELETE, token, &Value::Null).await.0, 204);
    let ada = scene.served("ada").await;
    link_of(&scene.call_as(&scene.hub.key, "/call/acme/check").await);
    let (_, me) = scene.call_as(&scene.bob, "/call/acme/check").await;
    assert_eq!(me["result"], json!({ "who": "bob" }), "{me}");
    assert_eq!(scene.served("ada").await, ada, "nothing of ada's went out");
    let (_, shown) = scene.ask(Method::GET, "/api/v1/connections/acme", &Value::Null).await;
    assert_eq!(shown["status"], "connected", "{shown}");
}

#[tokio::test]
async fn another_account_takes_the_place_of_the_one_before_with_the_next_call() {
    let scene = scene(3600).await;
    scene.acme().await;
    let refused = scene.call_as(&scene.bob, "/call/acme/check").await;
    authorise(&scene.url, &link_of(&refused), "bob").await;
    assert_eq!(scene.call_as(&scene.bob, "/call/acme/check").await.1["result"]["who"], "bob");
    let (_, said) = scene.ask(Method::POST, "/api/v1/connections/acme/authorize", &json!({})).await;
    authorise(&scene.url, said["url"].as_str().unwrap(), "lovelace").await;
    assert_eq!(scene.call_as(&scene.hub.key, "/call/acme/check").await.1["result"]["who"], "lovelace");
    assert_eq!(scene.call_as(&scene.bob, "/call/acme/check").await.1["result"]["who"], "bob");
}

#[tokio::test]
async fn the_command_line_prints_the_link_and_fails() {
    let scene = scene(3600).await;
    scene.acme().await;
    let run = |arguments: &[&str]| {
        let mut command = scene.hub.command(arguments).unwrap();
        command.env("TRUNKLINE_KEY", &scene.bob);
        command.output().unwrap()
    };
    let said = run(&["call", "acme", "check"]);
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert_eq!((said.status.code(), &*out), (Some(1), ""), "{err}");
    assert!(err.contains("[TL-1410]") && !err.contains("opens nothing"), "{err}");
    let link = err.lines().find_map(|line| line.trim().strip_prefix("http")).unwrap();
    authorise(&scene.url, &format!("http{link}"), "bob").await;
    let said = run(&["call", "acme", "check"]);
    assert_eq!(said.status.code(), Some(0), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(String::from_utf8_lossy(&said.stdout).contains("bob"));
    assert_eq!(scene.served("bob").await, 2, "the test and the call");
}

#[tokio::test]
async fn a_token_is_renewed_for_its_user_alone() {
    let scene = scene(4).await;
    scene.acme().await;
    let refused = scene.call_as(&scene.bob, "/call/acme/check").await;
    authorise(&scene.url, &link_of(&refused), "bob").await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    // Both run out; bob calls much, ada not at all.
    let calls = (0..8).map(|_| scene.call_as(&scene.bob, "/call/acme/check"));
    for (status, me) in futures_util::future::join_all(calls).await {
        assert_eq!((status, &me["result"]["who"]), (200, &json!("bob")), "{me}");
    }
    let stats = get(&format!("{}/stats", scene.url), "").await.json().await.unwrap();
    assert_eq!((&stats["refresh"], &stats["refused"]), (&json!(1), &json!(0)), "{stats}");
    assert_eq!(scene.call_as(&scene.hub.key, "/call/acme/check").await.1["result"]["who"], "ada");
}

#[tokio::test]
async fn a_modern_client_is_asked_with_a_page_and_goes_on_when_it_comes_again() {
    let scene = scene(3600).await;
    scene.guarded().await;
    let mut bob = scene.modern(&scene.bob).opening_pages();
    // What there is, he sees before he has an account there.
    assert_eq!(bob.tool_names().await.unwrap(), ["guarded__who"]);
    let call = json!({ "name": "guarded__who", "arguments": {} });
    let asked = bob.request("tools/call", call.clone()).await.unwrap();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let question = &asked["inputRequests"]["authorise"];
    assert_eq!(question["method"], "elicitation/create", "{asked}");
    assert_eq!(question["params"]["mode"], "url", "{asked}");
    assert!(question["params"].get("elicitationId").is_none(), "2026-07-28 has none: {asked}");
    let link = question["params"]["url"].as_str().unwrap().to_owned();
    let back = |action: &str| {
        let mut call = call.clone();
        call["requestState"] = asked["requestState"].clone();
        call["inputResponses"] = json!({ "authorise": { "action": action } });
        call
    };

    // The state is good for this caller and this call.
    let mut eve = scene.modern(&scene.eve).opening_pages();
    let error = eve.request("tools/call", back("accept")).await.unwrap_err();
    assert!(format!("{error:#}").contains("requestState"), "{error:#}");
    // Who does not want to gets the fault, with the link in words.
    let declined = bob.request("tools/call", back("decline")).await.unwrap();
    assert_eq!(declined["isError"], true, "{declined}");
    assert!(declined["content"][0]["text"].as_str().unwrap().contains("/oauth/start?ticket="), "{declined}");

    // It comes back while its user is still on the page: the call waits for that.
    let going = bob.request("tools/call", back("accept"));
    let giving = authorise(&scene.url, &link, "bob");
    let (done, ()) = tokio::join!(going, giving);
    let done = done.unwrap();
    assert_eq!(done["content"][0]["text"], "bob by who", "{done}");
    assert_eq!((scene.served("bob").await, scene.served("ada").await), (1, 0), "whose calls went out");

    // A client that cannot open pages is told in words.
    let told = scene.modern(&scene.eve).call("guarded__who", json!({})).await.unwrap();
    assert_eq!(told["isError"], true, "{told}");
    let text = told["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("TL-1410") && text.contains("Authorise here: http"), "{text}");
    assert_eq!((scene.served("bob").await, scene.served("eve").await), (1, 0));
}

#[tokio::test]
async fn a_legacy_client_is_sent_to_the_page_and_hears_when_it_is_done() {
    let mut scene = scene(3600).await;
    scene.guarded().await;
    let url = scene.hub.endpoint("/mcp/c/guarded");
    let mut bob = McpClient::new(&url, Some(&scene.bob), Generation::Legacy).opening_pages();
    bob.connect().await.unwrap();
    let authorization = format!("Bearer {}", scene.bob);
    let headers = [
        ("authorization", authorization.as_str()),
        ("accept", "text/event-stream"),
        ("mcp-protocol-version", "2025-11-25"),
        ("mcp-session-id", bob.session().unwrap()),
    ];
    let mut stream = send(Method::GET, &url, &headers, "").await.unwrap();
    let call = json!({ "name": "who", "arguments": {} });
    let error = bob.request("tools/call", call.clone()).await.unwrap_err();
    let error = error.downcast::<RpcError>().unwrap();
    assert_eq!(error.code, -32042, "{error}");
    let page = &error.data["elicitations"][0];
    assert_eq!((&page["mode"], page["message"].is_string()), (&json!("url"), true), "{error}");

    authorise(&scene.url, page["url"].as_str().unwrap(), "bob").await;
    let heard = loop {
        let event = tokio::time::timeout(PATIENCE, stream.event()).await;
        let event = event.unwrap_or_else(|_| panic!("nothing is heard\n{}", scene.hub.log()));
        let event: Value = serde_json::from_str(&event.unwrap().unwrap()).unwrap();
        if event["method"] == "notifications/elicitation/complete" {
            break event;
        }
    };
    assert_eq!(heard["params"]["elicitationId"], page["elicitationId"], "{heard}");
    let done = bob.request("tools/call", call.clone()).await.unwrap();
    assert_eq!(done["content"][0]["text"], "bob by who", "{done}");
    assert_eq!((scene.served("bob").await, scene.served("ada").await), (1, 0));

    // One without the ability gets it in words, and nobody's account is used for it.
    let mut eve = McpClient::new(&url, Some(&scene.eve), Generation::Legacy);
    eve.connect().await.unwrap();
    let told = eve.request("tools/call", call).await.unwrap();
    assert!(told["content"][0]["text"].as_str().unwrap().contains("Authorise here: http"), "{told}");
    assert_eq!((scene.served("bob").await, scene.served("ada").await), (1, 0));

    // What it offers is known after a restart, without anybody's account.
    scene.hub.restart().await.unwrap();
    assert_eq!(scene.hub.wait_for_tools("/mcp/c/guarded").await.unwrap(), ["who"]);
    let (status, said) = scene.call_as(&scene.bob, "/call/guarded/who").await;
    assert_eq!((status, &said["result"]), (200, &json!("bob by who")), "{said}");
}

#[tokio::test]
async fn keys_are_entered_on_a_page_or_stored_by_their_user_and_never_cross_over() {
    let scene = scene(3600).await;
    let config = json!({ "base_url": scene.url, "test_path": "keyed", "header": "X-Api-Key", "prefix": "" });
    let mut body = json!({
        "integration": "rest", "name": "Keyed", "egress_private": true, "is_per_user": true,
        "connection_config": config,
    });
    // With nothing that could be a user's own it makes no sense.
    let (status, said) = scene.ask(Method::POST, "/api/v1/connections", &body).await;
    assert_eq!(status, 422, "{said}");
    assert!(said["detail"].as_str().unwrap().starts_with("is_per_user: "), "{said}");
    body["auth_method"] = "api_key".into();
    scene.make(&body).await;
    let place = "/api/v1/connections/keyed/credentials/auth.credentials.key";
    let (status, said) = scene.ask(Method::PUT, place, &json!({ "value": "key-ada" })).await;
    assert_eq!((status, &said["is_own"]), (200, &json!(true)), "{said}");
    let (_, connected) = scene.ask(Method::POST, "/api/v1/connections/keyed/connect", &Value::Null).await;
    assert_eq!(connected["is_ok"], true, "{connected}");

    let ada = scene.served("ada").await;
    let refused = scene.call_as(&scene.bob, "/call/keyed/check").await;
    assert_eq!(scene.served("ada").await, ada, "nothing went out");
    let page = open(&link_of(&refused)).await;
    assert!(page.html.contains("type=\"password\" name=\"auth.credentials.key\""), "{}", page.html);
    let enter = async |cookie: &str, value: &str| {
        let headers = [("cookie", cookie), ("content-type", "application/x-www-form-urlencoded")];
        let form = format!("state={}&auth.credentials.key={value}", page.state());
        send(Method::POST, &scene.hub.endpoint("/oauth/enter"), &headers, form).await.unwrap()
    };
    assert_eq!(enter("", "key-eve").await.status, 404, "another browser's form");
    assert_eq!(enter(&page.cookie, "key-bob").await.status, 303);
    assert_eq!(enter(&page.cookie, "key-eve").await.status, 404, "a form is good once");

    for (key, who) in [(&scene.bob, "bob"), (&scene.hub.key, "ada"), (&scene.bob, "bob")] {
        let (status, me) = scene.call_as(key, "/call/keyed/check").await;
        assert_eq!((status, &me["result"]), (200, &json!({ "who": who })), "{me}");
    }
    link_of(&scene.call_as(&scene.eve, "/call/keyed/check").await);
    assert_eq!((scene.served("eve").await, scene.served("nobody").await), (0, 0));

    // Another key takes the place of the one before; one that is refused upstream says where to enter another.
    let (status, said) = scene.ask(Method::PUT, place, &json!({ "value": "spent" })).await;
    assert_eq!(status, 200, "{said}");
    let (_, said) = scene.call_as(&scene.hub.key, "/call/keyed/check").await;
    assert_eq!(said["code"], "TL-1405", "{said}");
    assert!(said["link"].as_str().unwrap().contains("/oauth/start?ticket="), "{said}");
    assert_eq!(scene.call_as(&scene.bob, "/call/keyed/check").await.1["result"]["who"], "bob");
    assert_eq!(scene.ask(Method::DELETE, place, &Value::Null).await.0, 204);
    link_of(&scene.call_as(&scene.hub.key, "/call/keyed/check").await);
    assert_eq!(scene.call_as(&scene.bob, "/call/keyed/check").await.1["result"]["who"], "bob");

    // As everybody's again, nobody's own is used.
    let shared = json!({ "is_per_user": false });
    let (status, said) = scene.ask(Method::PATCH, "/api/v1/connections/keyed", &shared).await;
    assert_eq!((status, &said["is_per_user"]), (200, &json!(false)), "{said}");
    let (bob, nobody) = (scene.served("bob").await, scene.served("nobody").await);
    let (_, said) = scene.call_as(&scene.bob, "/call/keyed/check").await;
    assert_eq!(said["code"], "TL-1501", "{said}");
    assert_eq!((scene.served("bob").await, scene.served("nobody").await), (bob, nobody));
}
