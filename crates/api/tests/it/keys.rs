//! `/api/v1/keys`.

use http::Method;
use serde_json::{Value, json};

use crate::scene::{Hub, NOW, hub};

async fn opens(hub: &Hub, key: &str) -> bool {
    hub.ask(Method::GET, "/api/v1/tools").key(key).send().await.status == 200
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test]
async fn a_key_is_made_shown_once_used_rotated_and_revoked() {
    let hub = hub().await;
    let made = hub.post("/api/v1/keys", r#"{"name":"laptop","access":{"allow":["files__text"]}}"#).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let key = text(&made.json["key"]);
    assert_eq!(made.json["access"], json!({ "allow": ["files__text"], "deny": [], "manage": false }));
    assert!(opens(&hub, key).await);
    let listed = hub.get("/api/v1/keys").await;
    assert!(listed.text.contains("laptop") && !listed.text.contains(key), "{}", listed.text);
    assert!(!listed.text.contains("digest"));

    let id = text(&made.json["id"]);
    let rotated = hub.post(&format!("/api/v1/keys/{id}/rotate"), r#"{"overlap_ms":60000}"#).await;
    assert_eq!(rotated.status, 201, "{}", rotated.text);
    let next = text(&rotated.json["key"]);
    assert!(opens(&hub, key).await && opens(&hub, next).await, "both, for a while");
    hub.clock.advance_ms(60_000);
    assert!(!opens(&hub, key).await && opens(&hub, next).await);

    let next_id = text(&rotated.json["id"]);
    let revoked = hub.ask(Method::DELETE, &format!("/api/v1/keys/{next_id}")).key(&hub.root).send().await;
    assert_eq!((revoked.status.as_u16(), revoked.text.as_str()), (204, ""));
    assert!(!opens(&hub, next).await);
}

#[tokio::test]
async fn a_rotation_without_a_body_leaves_the_old_key_a_day() {
    let hub = hub().await;
    let made = hub.post("/api/v1/keys", r#"{"name":"a","access":{"allow":["*"]}}"#).await;
    let path = format!("/api/v1/keys/{}/rotate", text(&made.json["id"]));
    assert_eq!(hub.ask(Method::POST, &path).key(&hub.root).send().await.status, 201);
    hub.clock.advance_ms(24 * 60 * 60 * 1000 - 1);
    assert!(opens(&hub, text(&made.json["key"])).await);
    hub.clock.advance_ms(1);
    assert!(!opens(&hub, text(&made.json["key"])).await);
}

#[tokio::test]
async fn unfit_keys_are_refused_with_the_field_and_none_is_made() {
    let hub = hub().await;
    for (body, status, names) in [
        (r#"{"name":"a"}"#.to_owned(), 400, "access"),
        (r#"{"name":"a","access":{}}"#.to_owned(), 400, "allow"),
        (r#"{"name":"a","access":{"allow":["*"],"mange":true}}"#.to_owned(), 400, "mange"),
        (r#"{"name":"a","access":{"allow":["*"]},"expires":1}"#.to_owned(), 400, "expires"),
        (r#"{"name":"a","access":{"allow":["a b"]}}"#.to_owned(), 422, "access"),
        (r#"{"name":"","access":{"allow":["*"]}}"#.to_owned(), 422, "name"),
        (format!(r#"{{"name":"a","access":{{"allow":["*"]}},"expires_at":{}}}"#, NOW.0), 422, "expires_at"),
    ] {
        let answer = hub.post("/api/v1/keys", &body).await;
        assert_eq!(answer.status.as_u16(), status, "{body} {}", answer.text);
        assert!(text(&answer.json["detail"]).contains(names), "{body} {}", answer.text);
    }
    assert_eq!(hub.get("/api/v1/keys").await.json["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn keys_that_are_not_there_are_not_found() {
    let hub = hub().await;
    for id in ["key_00000000000000000000000000", "key_x", "call_00000000000000000000000000", "x"] {
        hub.ask(Method::DELETE, &format!("/api/v1/keys/{id}"))
            .key(&hub.root)
            .send()
            .await
            .is_problem(404, "TL-1101");
        hub.post(&format!("/api/v1/keys/{id}/rotate"), "{}").await.is_problem(404, "TL-1101");
    }
}

/// A key that may manage, use `files__*` but `files__delete_*`, and that ends when it is told to.
async fn narrow_manager(hub: &Hub, expires_at: Option<i64>) -> Value {
    let access = json!({ "allow": ["files__*"], "deny": ["*__delete_*"], "manage": true });
    let body = json!({ "name": "narrow", "access": access, "expires_at": expires_at });
    let made = hub.post("/api/v1/keys", &body.to_string()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.json
}

#[tokio::test]
async fn a_key_makes_no_key_that_may_do_more_than_itself() {
    let hub = hub().await;
    let narrow = narrow_manager(&hub, None).await;
    let make = async |access: Value| {
        let body = json!({ "name": "made", "access": access }).to_string();
        hub.ask(Method::POST, "/api/v1/keys").key(text(&narrow["key"])).json(&body).send().await
    };
    let count = async || hub.get("/api/v1/keys").await.json["keys"].as_array().unwrap().len();
    let before = count().await;
    for (access, names) in [
        (json!({ "allow": ["*"] }), "`*`"),
        (json!({ "allow": ["files__text", "mail__send"] }), "`mail__send`"),
        (json!({ "allow": ["files__*"] }), "`*__delete_*`"),
        (json!({ "allow": ["files__delete_all"], "manage": true }), "`*__delete_*`"),
    ] {
        let answer = make(access).await;
        assert!(text(&answer.json["detail"]).contains(names), "{}", answer.text);
        answer.is_problem(403, "TL-1002");
    }
    assert_eq!(count().await, before, "none of them was made");

    for access in [
        json!({ "allow": ["files__text"] }),
        json!({ "allow": ["files__*"], "deny": ["*__delete_*"], "manage": true }),
        json!({ "allow": [] }),
    ] {
        let made = make(access).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
}

#[tokio::test]
async fn rotating_a_wider_key_is_no_way_around_and_rotating_ones_own_works() {
    let hub = hub().await;
    let narrow = narrow_manager(&hub, None).await;
    let wide = hub.post("/api/v1/keys", r#"{"name":"wide","access":{"allow":["*"]}}"#).await.json;
    let rotate = async |id: &Value| {
        let path = format!("/api/v1/keys/{}/rotate", text(id));
        hub.ask(Method::POST, &path).key(text(&narrow["key"])).json(r#"{"overlap_ms":0}"#).send().await
    };
    rotate(&wide["id"]).await.is_problem(403, "TL-1002");
    assert!(opens(&hub, text(&wide["key"])).await, "it was not ended either");

    let own = rotate(&narrow["id"]).await;
    assert_eq!(own.status, 201, "{}", own.text);
    assert!(opens(&hub, text(&own.json["key"])).await && !opens(&hub, text(&narrow["key"])).await);
}

#[tokio::test]
async fn a_key_that_ends_makes_none_that_outlives_it() {
    let hub = hub().await;
    let narrow = narrow_manager(&hub, Some(NOW.0 + 1000)).await;
    for (expires_at, status) in [(Value::Null, 403), (json!(NOW.0 + 1001), 403), (json!(NOW.0 + 1000), 201)] {
        let body = json!({ "name": "made", "access": { "allow": [] }, "expires_at": expires_at }).to_string();
        let answer = hub.ask(Method::POST, "/api/v1/keys").key(text(&narrow["key"])).json(&body).send().await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    }
    let other = hub.post("/api/v1/keys", r#"{"name":"other","access":{"allow":[]}}"#).await.json;
    let path = format!("/api/v1/keys/{}/rotate", text(&other["id"]));
    hub.ask(Method::POST, &path).key(text(&narrow["key"])).json("{}").send().await.is_problem(403, "TL-1002");
}
