//! Files over SSH, through the real binary, against OpenSSH.

use hyper::Method;
use serde_json::{Value, json};
use testkit::hub::Hub;
use testkit::sshd::Sshd;

const HERE: &str = "/api/v1/connections/files";

struct Scene {
    hub: Hub,
    sshd: Sshd,
    key: String,
}

async fn ask(hub: &Hub, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let reply = hub.http(method, path, body).await.unwrap();
    (reply.status.as_u16(), serde_json::from_str(&reply.text().await.unwrap()).unwrap_or_default())
}

impl Scene {
    /// A server that lets in one key, and a connection that has the key and no pin.
    async fn unpinned(more: Value) -> Self {
        let sshd = Sshd::start().await.unwrap();
        let (key, public) = sshd.key("user", &["-t", "ed25519"], "").unwrap();
        sshd.authorize(&[&public]).unwrap();
        let scene = Self { hub: Hub::start("integrations: {}\n").await.unwrap(), sshd, key };
        let body = json!({
            "integration": "sftp", "name": "Files", "key": "files", "auth_method": "ssh_key",
            "egress_private": true, "connection_config": scene.config(more),
        });
        let (status, made) = ask(&scene.hub, Method::POST, "/api/v1/connections", &body).await;
        assert_eq!(status, 201, "{made}");
        scene.credential("private_key", &scene.key).await;
        scene
    }

    /// The same, pinned and connected.
    async fn connected(more: Value) -> Self {
        let scene = Self::unpinned(more.clone()).await;
        let mut more = more;
        more["host_key"] = scene.sshd.fingerprint().unwrap().into();
        scene.configure(more).await;
        let connected = scene.connect().await;
        assert_eq!(connected["is_ok"], true, "{connected}\n{}", scene.sshd.log());
        scene
    }

    fn config(&self, more: Value) -> Value {
        let mut config = json!({
            "host": "127.0.0.1", "port": self.sshd.port, "user": self.sshd.user,
            "root": self.sshd.files().display().to_string(),
        });
        let members = config.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        config
    }

    async fn configure(&self, more: Value) {
        let patch = json!({ "connection_config": self.config(more) });
        let (status, said) = ask(&self.hub, Method::PATCH, HERE, &patch).await;
        assert_eq!(status, 200, "{said}");
    }

    async fn credential(&self, name: &str, value: &str) {
        let path = format!("{HERE}/credentials/auth.credentials.{name}");
        let (status, said) = ask(&self.hub, Method::PUT, &path, &json!({ "value": value })).await;
        assert!(status < 300, "{said}");
        assert!(!said.to_string().contains("PRIVATE KEY"), "{said}");
    }

    async fn connect(&self) -> Value {
        ask(&self.hub, Method::POST, &format!("{HERE}/connect"), &Value::Null).await.1
    }

    async fn call(&self, tool: &str, arguments: Value) -> (u16, Value) {
        ask(&self.hub, Method::POST, &format!("/call/files/{tool}"), &arguments).await
    }

    /// What a tool answers, as structure.
    async fn answer(&self, tool: &str, arguments: Value) -> Value {
        let (status, said) = self.call(tool, arguments).await;
        assert_eq!(status, 200, "{said}\n{}", self.sshd.log());
        let answer = said.get("result");
        answer.unwrap_or_else(|| panic!("{said}")).clone()
    }

    fn put(&self, name: &str, content: &[u8]) {
        std::fs::write(self.sshd.files().join(name), content).unwrap();
    }
}

#[tokio::test]
async fn a_host_is_not_trusted_before_its_key_is_pinned_nor_after_it_changed() {
    let mut scene = Scene::unpinned(json!({})).await;
    let print = scene.sshd.fingerprint().unwrap();
    let refused = scene.connect().await;
    let said = refused.to_string();
    assert_eq!(refused["is_ok"], false, "{said}");
    assert!(said.contains(&print) && said.contains("connection_config.host_key"), "{said}");

    let wrong = json!({ "host_key": format!("SHA256:{}", "A".repeat(43)) });
    scene.configure(wrong).await;
    let said = scene.connect().await.to_string();
    assert!(said.contains("is not the pinned one") && said.contains(&print), "{said}");
    // Neither of them told the server who would have come.
    let log = scene.sshd.log();
    assert!(!log.contains(&format!("user {}", scene.sshd.user)) && !log.contains("publickey"), "{log}");

    scene.configure(json!({ "host_key": print })).await;
    let connected = scene.connect().await;
    assert_eq!(connected["is_ok"], true, "{connected}\n{}", scene.sshd.log());
    assert!(scene.sshd.log().contains("Accepted publickey"), "{}", scene.sshd.log());

    scene.sshd.change_host_key().unwrap();
    scene.sshd.restart().await.unwrap();
    let (status, said) = scene.call("list_directory", json!({})).await;
    assert_eq!(status, 502, "{said}");
    assert!(said.to_string().contains("is not the pinned one"), "{said}");
    assert!(!scene.sshd.log().contains("publickey"), "{}", scene.sshd.log());

    // A whole public key, and both for a change that was announced.
    let public = std::fs::read_to_string(scene.sshd.files().join("../host.pub")).unwrap();
    scene.configure(json!({ "host_key": format!("{print}\n[127.0.0.1]:22 {public}") })).await;
    assert_eq!(scene.connect().await["is_ok"], true);
    let (status, said) = {
        let patch = json!({ "connection_config": scene.config(json!({ "host_key": "SHA256:short" })) });
        ask(&scene.hub, Method::PATCH, HERE, &patch).await
    };
    assert!(status == 422 && said.to_string().contains("host_key: line 1"), "{status} {said}");
}

#[tokio::test]
async fn files_are_listed_and_read_in_parts_and_nothing_is_written_unless_it_is_allowed() {
    let scene = Scene::connected(json!({})).await;
    scene.put("b.txt", "grüß".as_bytes());
    scene.put("a.bin", &[0xff, 0x00, 0x01]);
    scene.put("big", &vec![b'x'; 3_000_000]);
    let page = scene.answer("list_directory", json!({ "limit": 2 })).await;
    assert_eq!(page["entries"][0]["name"], "a.bin", "{page}");
    assert_eq!((&page["next_after"], &page["truncated"]), (&json!("b.txt"), &json!(false)), "{page}");
    let page = scene.answer("list_directory", json!({ "limit": 2, "after": "b.txt" })).await;
    assert_eq!((page["entries"].as_array().unwrap().len(), &page["next_after"]), (1, &Value::Null), "{page}");
    let found = scene.answer("stat", json!({ "path": "/b.txt" })).await;
    assert_eq!((&found["type"], &found["size"]), (&json!("file"), &json!(6)), "{found}");
    let read = scene.answer("read_file", json!({ "path": "b.txt" })).await;
    assert_eq!((&read["content"], &read["truncated"]), (&json!("grüß"), &json!(false)), "{read}");
    // Cut in the middle of a letter: it comes whole with the next part.
    let read = scene.answer("read_file", json!({ "path": "b.txt", "length": 3 })).await;
    assert_eq!(
        (&read["content"], &read["truncated"], &read["next_offset"]),
        (&json!("gr"), &json!(true), &json!(2))
    );
    let read = scene.answer("read_file", json!({ "path": "a.bin" })).await;
    assert_eq!((&read["encoding"], &read["content"]), (&json!("base64"), &json!("/wAB")), "{read}");
    let read = scene.answer("read_file", json!({ "path": "big" })).await;
    assert_eq!((&read["length"], &read["truncated"]), (&json!(262_144), &json!(true)));
    // Over MCP the same, with what the tools say of themselves.
    let mut client = scene.hub.mcp_modern("/mcp");
    let tools = client.tools().await.unwrap();
    assert_eq!(tools.len(), 3, "{tools:?}");
    assert!(tools.iter().all(|tool| tool["annotations"]["readOnlyHint"] == true), "{tools:?}");
    let text = client.call_for_text("files__read_file", json!({ "path": "b.txt" })).await.unwrap();
    assert!(text.contains("grüß"), "{text}");
    // What is not offered is not done.
    let (status, said) = scene.call("write_file", json!({ "path": "new", "content": "x" })).await;
    assert_eq!(status, 404, "{said}");
    assert!(!scene.sshd.files().join("new").exists());
    let (_, said) = scene.call("read_file", json!({ "path": "nowhere" })).await;
    assert!(said.to_string().contains("there is no such file"), "{said}");
    let (status, said) = scene.call("read_file", json!({ "path": 7 })).await;
    assert_eq!(status, 422, "{said}");
}

#[tokio::test]
async fn files_are_written_whole_renamed_and_deleted() {
    let scene = Scene::connected(json!({ "allow_writes": true })).await;
    let content = "y".repeat(100_000);
    let done = scene.answer("write_file", json!({ "path": "new.txt", "content": content })).await;
    assert_eq!((&done["bytes"], &done["synced"]), (&json!(100_000), &json!(true)), "{done}");
    assert_eq!(std::fs::read_to_string(scene.sshd.files().join("new.txt")).unwrap(), content);
    let (_, said) = scene.call("write_file", json!({ "path": "new.txt", "content": "z" })).await;
    assert!(said.to_string().contains("there already"), "{said}");
    let over = json!({ "path": "new.txt", "content": "eg==", "encoding": "base64", "overwrite": true });
    scene.answer("write_file", over).await;
    assert_eq!(std::fs::read_to_string(scene.sshd.files().join("new.txt")).unwrap(), "z");
    scene.answer("make_directory", json!({ "path": "sub" })).await;
    scene.answer("rename", json!({ "from": "new.txt", "to": "sub/old.txt" })).await;
    scene.put("taken", b"keep");
    let (_, said) = scene.call("rename", json!({ "from": "sub/old.txt", "to": "taken" })).await;
    assert!(said.to_string().contains("there already"), "{said}");
    assert_eq!(std::fs::read(scene.sshd.files().join("taken")).unwrap(), b"keep");
    scene.answer("delete_file", json!({ "path": "sub/old.txt" })).await;
    scene.answer("delete_file", json!({ "path": "sub", "folder": true })).await;
    let left: Vec<_> =
        std::fs::read_dir(scene.sshd.files()).unwrap().flatten().map(|one| one.file_name()).collect();
    assert_eq!(left, ["taken"], "nothing half-written stays");
}

#[tokio::test]
async fn no_name_and_no_link_leads_out_of_the_folder() {
    let scene = Scene::connected(json!({ "allow_writes": true })).await;
    let outside = scene.sshd.files().join("../secret");
    std::fs::write(&outside, "outside").unwrap();
    let sibling = scene.sshd.files().join("../files-of-others");
    std::fs::create_dir(&sibling).unwrap();
    std::os::unix::fs::symlink(&outside, scene.sshd.files().join("link")).unwrap();
    std::os::unix::fs::symlink("..", scene.sshd.files().join("up")).unwrap();
    std::os::unix::fs::symlink(&sibling, scene.sshd.files().join("sideways")).unwrap();
    for path in ["../secret", "up/secret", "link", "a/../../secret", "/../secret", "up", "sideways"] {
        let (status, said) = scene.call("read_file", json!({ "path": path })).await;
        assert!(status == 422 && !said.to_string().contains("outside\""), "{path}: {status} {said}");
    }
    let (status, said) = scene.call("list_directory", json!({ "path": "sideways" })).await;
    assert_eq!(status, 422, "{said}");
    for (tool, arguments) in [
        ("write_file", json!({ "path": "link", "content": "x", "overwrite": true })),
        ("write_file", json!({ "path": "up/new", "content": "x" })),
        ("make_directory", json!({ "path": "sideways/new" })),
        ("rename", json!({ "from": "up/secret", "to": "mine" })),
        ("rename", json!({ "from": "link", "to": "up/moved" })),
        ("delete_file", json!({ "path": "up/secret" })),
        ("delete_file", json!({ "path": "." })),
        ("make_directory", json!({ "path": "a\nb" })),
    ] {
        let (status, said) = scene.call(tool, arguments).await;
        assert_eq!(status, 422, "{tool}: {said}");
    }
    // A link itself is inside: it goes, and what it points to stays.
    scene.answer("delete_file", json!({ "path": "link" })).await;
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "outside");
    assert_eq!(std::fs::read_dir(&sibling).unwrap().count(), 0);
    assert!(!scene.sshd.files().join("../new").exists());
}

#[tokio::test]
async fn a_server_that_hangs_costs_a_timeout_and_one_that_comes_back_is_found_again() {
    let mut scene = Scene::connected(json!({ "timeout": 2 })).await;
    scene.put("a", b"1");
    scene.answer("read_file", json!({ "path": "a" })).await;
    scene.sshd.signal_all("-STOP").unwrap();
    let (status, said) = scene.call("read_file", json!({ "path": "a" })).await;
    assert_eq!(status, 504, "{said}");
    scene.sshd.signal_all("-CONT").unwrap();
    let read = scene.answer("read_file", json!({ "path": "a" })).await;
    assert_eq!(read["content"], "1");

    scene.sshd.kill().unwrap();
    let (status, said) = scene.call("read_file", json!({ "path": "a" })).await;
    assert_eq!(status, 502, "{said}");
    scene.sshd.restart().await.unwrap();
    let read = scene.answer("read_file", json!({ "path": "a" })).await;
    assert_eq!(read["content"], "1", "the first call after it is back");
}

#[tokio::test]
async fn keys_of_every_kind_sign_in_are_rotated_and_a_wrong_one_is_told() {
    let scene = Scene::connected(json!({})).await;
    let (other, public) = scene.sshd.key("other", &["-t", "ecdsa"], "").unwrap();
    scene.credential("private_key", &other).await;
    let said = scene.connect().await.to_string();
    assert!(
        said.contains("did not accept the credential")
            && said.contains("authorized_keys needs ecdsa SHA256:"),
        "{said}"
    );
    scene.sshd.authorize(&[&public]).unwrap();
    assert_eq!(scene.connect().await["is_ok"], true);

    let (locked, public) = scene.sshd.key("locked", &["-t", "rsa", "-b", "2048"], "a long word").unwrap();
    scene.sshd.authorize(&[&public]).unwrap();
    scene.credential("private_key", &locked).await;
    let said = scene.connect().await.to_string();
    assert!(said.contains("auth.credentials.passphrase"), "{said}");
    scene.credential("passphrase", "another word").await;
    let said = scene.connect().await.to_string();
    assert!(said.contains("cannot be read with the passphrase") && !said.contains("another word"), "{said}");
    scene.credential("passphrase", "a long word").await;
    let connected = scene.connect().await;
    assert_eq!(connected["is_ok"], true, "{connected}\n{}", scene.sshd.log());
    assert!(!scene.sshd.log().contains("ssh-rsa "), "no SHA-1: {}", scene.sshd.log());

    let said = format!("{}{}", scene.hub.log(), ask(&scene.hub, Method::GET, HERE, &Value::Null).await.1);
    assert!(!said.contains("PRIVATE KEY") && !said.contains("a long word"), "{said}");
    // The first key opens nothing any more.
    scene.credential("private_key", &scene.key).await;
    assert_eq!(scene.connect().await["is_ok"], false);
}

#[tokio::test]
async fn each_layer_says_which_it_is() {
    let scene = Scene::connected(json!({})).await;
    let print = scene.sshd.fingerprint().unwrap();
    let missing = scene.sshd.files().join("missing");
    for (more, said) in [
        (json!({ "host": "no-such-host.invalid" }), "no-such-host.invalid"),
        (json!({ "port": 1 }), "refused"),
        (
            json!({ "port": scene.hub.url.rsplit(':').next().unwrap().parse::<u16>().unwrap() }),
            "no handshake",
        ),
        (json!({ "user": "nobody-here" }), "did not accept the credential"),
        (json!({ "root": missing }), "connection_config.root"),
    ] {
        let mut more = more;
        more["host_key"] = print.clone().into();
        scene.configure(more.clone()).await;
        let told = scene.connect().await;
        assert_eq!(told["is_ok"], false, "{more}: {told}");
        assert!(told.to_string().to_lowercase().contains(said), "{more}: {told}");
    }
}
