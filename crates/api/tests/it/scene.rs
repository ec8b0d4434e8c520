//! A hub without listeners: requests go straight into its router.

use std::sync::Arc;

use api::{Counters, Live, Parts, Settings, Sources};
use axum::Router;
use axum::body::Body;
use call::{Mount, MountSettings, Pipeline, ToolLists};
use connector::Credentials;
use credential::{MasterKey, SystemEntropy};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use identity::{Identity, NewKey};
use ledger::{CallFilter, Recorder};
use model::id::{UserId, WorkspaceId};
use model::{Access, Clock, Entropy, ManualClock, Owner, SeededEntropy, Timestamp};
use serde_json::Value;
use store::{MemoryStore, NewOwner, Owners, Store};
use tower::ServiceExt;

use crate::fake::{Fake, FakeDirectory};

pub(crate) const NOW: Timestamp = Timestamp(1_790_000_000_000);
const PEPPER: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

pub(crate) struct Hub {
    pub(crate) router: Router,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) upstream: Arc<Fake>,
    pub(crate) directory: Arc<FakeDirectory>,
    pub(crate) recorder: Arc<Recorder>,
    /// The owner's key.
    pub(crate) root: String,
    identity: Arc<Identity>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) owner: Owner,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// The body as JSON; null when it is none.
    pub(crate) json: Value,
}

/// One request being written.
pub(crate) struct Ask<'a> {
    hub: &'a Hub,
    builder: http::request::Builder,
    body: Body,
}

pub(crate) fn settings() -> Settings {
    Settings {
        allowed_hosts: vec!["hub.internal".to_owned()],
        allowed_origins: vec!["https://console.example.com".to_owned()],
        body_bytes_max: 1000,
        version: "1.2.3".to_owned(),
        started_at: NOW,
        listen: "127.0.0.1:4780".to_owned(),
        public_url: "https://hub.example.com".to_owned(),
        may_define_commands: true,
        is_metrics_open: false,
    }
}

/// A hub with the connection `files` (and an entry `broken` that is none).
pub(crate) async fn hub() -> Hub {
    let hub = hub_with(settings()).await;
    hub.mount();
    hub
}

/// A hub on which nothing is mounted yet.
pub(crate) async fn hub_with(settings: Settings) -> Hub {
    let clock = Arc::new(ManualClock::at(NOW));
    let store = Arc::new(MemoryStore::new());
    let owner = Owner {
        workspace: WorkspaceId::new(&*clock, &SystemEntropy),
        user: UserId::new(&*clock, &SystemEntropy),
    };
    let new = NewOwner { owner, workspace_name: "home".into(), user_name: "ada".into(), created_at: NOW };
    store.bootstrap_owner(new).await.unwrap();
    let mut hub = hub_over(settings, store, owner, clock).await;
    hub.root = hub.key(Access::everything()).await;
    hub
}

/// A node over that store.
async fn hub_over(settings: Settings, store: Arc<MemoryStore>, owner: Owner, clock: Arc<ManualClock>) -> Hub {
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(7));
    let digester = MasterKey::parse(PEPPER, "test").unwrap().key_digester();
    let time = || Arc::clone(&clock) as Arc<dyn Clock>;
    let identity =
        Identity::load(Arc::clone(&store) as Arc<dyn Store>, digester, time(), Arc::new(SystemEntropy))
            .await
            .unwrap();
    let identity = Arc::new(identity);
    let recorder = Arc::new(Recorder::memory().unwrap());
    let counters = Arc::new(Counters::new());
    let counting = Arc::clone(&counters);
    recorder.observe(move |record| counting.count(record));
    let pipeline = Pipeline::new(call::Parts {
        clock: time(),
        entropy: Arc::clone(&entropy),
        recorder: Arc::clone(&recorder),
    });
    let directory = Arc::new(FakeDirectory::default());
    let wrapping = MasterKey::parse(PEPPER, "test").unwrap().wrapping_key();
    let stored = Arc::clone(&store) as Arc<dyn Store>;
    let credentials = Arc::new(Credentials::new(stored, wrapping, time(), Arc::clone(&entropy)));
    let parts = Parts {
        credentials: Arc::clone(&credentials),
        sealer: Arc::new(credential::AeadSealer::new(
            MasterKey::parse(PEPPER, "test").unwrap(),
            Arc::new(SystemEntropy),
        )),
        pipeline: Arc::clone(&pipeline),
        identity: Arc::clone(&identity),
        store: Arc::clone(&store) as Arc<dyn Store>,
        recorder: Arc::clone(&recorder),
        clock: time(),
        entropy,
        directory: Arc::clone(&directory) as Arc<dyn api::Directory>,
        counters,
        live: Live::start(Sources {
            store: Arc::clone(&store) as Arc<dyn Store>,
            recorder: Arc::clone(&recorder),
            identity: Arc::clone(&identity),
            clock: time(),
            entropy: Arc::new(SystemEntropy),
        }),
        settings,
    };
    let router = api::router(parts);
    let upstream = Fake::new();
    Hub {
        router,
        clock,
        pipeline,
        upstream,
        directory,
        recorder,
        root: String::new(),
        identity,
        store,
        credentials,
        owner,
    }
}

/// Access to what matches `allow`, and to nothing of the management API.
pub(crate) fn only(allow: &[&str]) -> Access {
    Access { allow: allow.iter().map(|text| (*text).to_owned()).collect(), deny: Vec::new(), manage: false }
}

impl Hub {
    /// Another node over the same store, or this one started again: only what was stored is known.
    pub(crate) async fn again(&self) -> Self {
        let clock = Arc::clone(&self.clock);
        let mut hub = hub_over(settings(), Arc::clone(&self.store), self.owner, clock).await;
        hub.root.clone_from(&self.root);
        hub.mount();
        hub
    }

    pub(crate) fn mount(&self) {
        let lists = ToolLists { allow: None, deny: vec!["hidden".to_owned()] };
        let mount = Mount {
            key: "files".parse().unwrap(),
            connector: Arc::clone(&self.upstream) as Arc<dyn call::Connector>,
            settings: MountSettings { tools: lists, ..MountSettings::default() },
        };
        self.pipeline.mount(vec![mount], Vec::new());
    }

    /// A fresh key with that access.
    pub(crate) async fn key(&self, access: Access) -> String {
        let new = NewKey { owner: self.owner, name: "test".to_owned(), access, expires_at: None };
        self.identity.make_key(new).await.unwrap().secret.expose().to_owned()
    }

    /// A request from this machine, without a key.
    pub(crate) fn ask(&self, method: Method, path: &str) -> Ask<'_> {
        let builder = Request::builder().method(method).uri(path).header("host", "127.0.0.1:4780");
        Ask { hub: self, builder, body: Body::empty() }
    }

    /// A GET with the owner's key.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path).key(&self.root).send().await
    }

    /// A POST of JSON with the owner's key.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask(Method::POST, path).key(&self.root).json(body).send().await
    }

    /// What was recorded, newest first.
    pub(crate) async fn records(&self) -> Vec<Value> {
        self.recorder.search(CallFilter::default()).await.unwrap()
    }
}

impl Ask<'_> {
    pub(crate) fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    pub(crate) fn json(self, body: &str) -> Self {
        let mut with = self.header("content-type", "application/json");
        with.body = Body::from(body.to_owned());
        with
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = Body::from(body.to_owned());
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        // A second Host would be another scene.
        if name == "host" {
            self.builder.headers_mut().unwrap().remove("host");
        }
        self.builder = self.builder.header(name, value);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.builder.headers_mut().unwrap().remove(name);
        self
    }

    pub(crate) async fn send(self) -> Answer {
        let request = self.builder.body(self.body).unwrap();
        let response = self.hub.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let json = serde_json::from_str(&text).unwrap_or_default();
        Answer { status: head.status, headers: head.headers, text, json }
    }
}

impl Answer {
    /// Holds when it is a whole problem of that status and code.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), &self.json["code"]), (status, &Value::from(code)), "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.json["status"], status);
        assert_eq!(self.json["type"], format!("/errors/{code}"));
        for member in ["title", "detail", "blame", "retry", "hint"] {
            assert!(self.json[member].is_string(), "{member}: {self:?}");
        }
        assert!(self.json.get("call_id").is_some(), "{self:?}");
    }
}
