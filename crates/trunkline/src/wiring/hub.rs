//! A running hub: everything wired together, once, in the order in which it depends on each other.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use call::Pipeline;
use connector::sources::{Asking, ReadRecord, Sources};
use ledger::Recorder;
use mcp_door::Door;
use model::{Access, Caller, Secret};
use tokio::sync::watch;

use super::catalogue::{Catalogue, folders};
use super::connections::{Changes, Connections, Shelf};
use super::facts::StoredFacts;
use super::house::House;
use super::http::Phase;
use super::manifests::Manifests;
use super::sources;
use crate::commands::env;
use crate::config::hub::Definer;
use crate::config::problem::{Problem, Severity};
use crate::config::secrets::Secrets;
use crate::config::{self, Config, Wanted, load_with};
use crate::say::Quit;

/// How long work in flight may go on once the hub stops.
const DRAIN: Duration = Duration::from_secs(10);

/// How often it is looked whether calls are still open.
const LOOK: Duration = Duration::from_millis(10);
/// How long a start waits for sources of secrets; connections that need them come later then.
const SOURCES_WAIT: Duration = Duration::from_secs(3);
/// How long answers may take to leave after the last call has ended.
const FLUSH: Duration = Duration::from_millis(100);

/// See the head of the file.
pub(crate) struct Hub {
    /// What it stands on.
    pub(crate) house: House,
    /// What can be connected.
    catalogue: Catalogue,
    /// What is connected.
    pub(crate) connections: Arc<Connections>,
    /// The one way to use it.
    pub(crate) pipeline: Arc<Pipeline>,
    /// MCP.
    pub(crate) door: Arc<Door>,
    /// The record of calls.
    pub(crate) recorder: Arc<Recorder>,
    /// Counts of calls.
    pub(crate) counters: Arc<api::Counters>,
    /// What happens, for those who follow it.
    live: Arc<api::Live>,
    /// Where it is in its life.
    pub(crate) phase: watch::Sender<Phase>,
    wanted: Wanted,
    /// What other systems keep for it.
    sources: Sources,
    /// What the file said of them when they were made.
    sources_said: Mutex<Secret>,
}

/// By which names the hub may be asked for.
struct Reached {
    /// Host names beside loopback's.
    hosts: Vec<String>,
    /// Origins beside loopback's.
    origins: Vec<String>,
}

// === impl Hub ===

impl Hub {
    /// Wires a hub. Nothing is connected and nothing listens yet. Has to be called inside the control
    /// runtime, which everything that outlives a request runs on.
    pub(crate) async fn new(house: House, config: &Config, wanted: Wanted) -> Result<Arc<Self>, Quit> {
        let recorder = Arc::new(house.recorder(config)?);
        let counters = Arc::new(api::Counters::new());
        let counting = Arc::clone(&counters);
        recorder.observe(move |record| counting.count(record));
        let live = api::Live::start(api::Sources {
            store: Arc::clone(&house.store),
            recorder: Arc::clone(&recorder),
            identity: Arc::clone(&house.identity),
            clock: Arc::clone(&house.clock),
            entropy: Arc::clone(&house.entropy),
        });
        let pipeline = Pipeline::new(call::Parts {
            clock: Arc::clone(&house.clock),
            entropy: Arc::clone(&house.entropy),
            recorder: Arc::clone(&recorder),
        });
        let guard = process::Guard::start(Path::new("/proc/self/exe"), super::GUARD_ARG)
            .map_err(|error| Quit::failed(format!("the guard of child processes does not start: {error}")))?;
        let facts = StoredFacts {
            store: Arc::clone(&house.store),
            owner: house.owner,
            clock: Arc::clone(&house.clock),
        };
        let upstream = mcp_upstream::Parts {
            clock: Arc::clone(&house.clock),
            entropy: Arc::clone(&house.entropy),
            client: outbound::Client::new(),
            guard: Arc::new(guard),
            facts: Some(Arc::new(facts)),
        };
        let apis = connector_http::Parts {
            clock: Arc::clone(&house.clock),
            entropy: Arc::clone(&house.entropy),
            sealer: Arc::clone(&house.sealer) as Arc<dyn model::Sealer>,
        };
        let manifests = Arc::new(Manifests::default());
        let catalogue = Catalogue {
            store: Arc::clone(&house.store),
            clock: Arc::clone(&house.clock),
            entropy: Arc::clone(&house.entropy),
            workspace: house.owner.workspace,
            manifests: Arc::clone(&manifests),
            last: tokio::sync::Mutex::default(),
        };
        let shelf = Shelf {
            store: Arc::clone(&house.store),
            credentials: Arc::clone(&house.credentials),
            manifests,
            workspace: house.owner.workspace,
        };
        let connections = Connections::new(Arc::clone(&pipeline), upstream, apis, config.hub.limits, shelf);
        let reached = reached(config);
        let door = Door::new(
            mcp_door::Parts {
                pipeline: Arc::clone(&pipeline),
                identity: Arc::clone(&house.identity),
                sealer: Arc::clone(&house.sealer) as Arc<dyn model::Sealer>,
                clock: Arc::clone(&house.clock),
                entropy: Arc::clone(&house.entropy),
            },
            mcp_door::Settings {
                listen: config.hub.listen.to_string(),
                allowed_hosts: reached.hosts,
                allowed_origins: reached.origins,
                body_bytes_max: config.hub.limits.body_bytes,
                line_bytes_max: config.hub.limits.line_bytes,
                has_websocket: config.hub.mcp.websocket,
                has_sse: config.hub.mcp.sse,
                ..mcp_door::Settings::default()
            },
        );
        let record = ReadRecord { recorder: Arc::clone(&recorder), entropy: Arc::clone(&house.entropy) };
        let systems = sources::of(&config.hub.secrets)?;
        let sources = Sources::new(systems, Some(record), Arc::clone(&house.clock));
        let sources_said = Mutex::new(sources::said(&config.hub.secrets));
        house.credentials.refer_to(sources.clone());
        tokio::spawn(Arc::clone(&house.identity).follow());
        let phase = watch::Sender::new(Phase::Running);
        Ok(Arc::new(Self {
            house,
            catalogue,
            connections,
            pipeline,
            door,
            recorder,
            counters,
            live,
            phase,
            wanted,
            sources,
            sources_said,
        }))
    }

    /// Connects what the configuration and the store say, behind the start, and follows the store. What comes back
    /// changes whenever sources of secrets hold something else, which [`Self::reload`] then brings into force.
    pub(crate) async fn connect(&self, config: &Config) -> watch::Receiver<u64> {
        let (folders, is_named) = folders(config);
        self.catalogue.refresh(&folders, is_named).await;
        let mut seen = self.sources.changes();
        let reading = self.sources.clone();
        tokio::spawn(async move { reading.keep().await });
        if config.references.is_empty() {
            self.connections.apply(config);
        } else {
            self.sources.want(Asking::File, sources::wanted(config));
            self.sources.settle(SOURCES_WAIT).await;
            seen.mark_unchanged();
            self.connections.apply(&self.read_file());
        }
        // Before the store is read: what is answered meanwhile is news.
        let sources = self.sources.changes();
        self.connections.begin(self.house.clock.now()).await;
        let connections = Arc::clone(&self.connections);
        tokio::spawn(async move { connections.follow(sources).await });
        super::upkeep::begin(self, config.hub.upkeep);
        seen
    }

    /// Reads the catalogue's folders again, and what is connected with what they hold.
    pub(crate) async fn reread_catalogue(&self, config: &Config) {
        let (folders, is_named) = folders(config);
        if self.catalogue.refresh(&folders, is_named).await {
            self.connections.read_store().await;
        }
    }

    fn read_file(&self) -> Config {
        load_with(&self.wanted, &env, &|external| self.sources.look_up(external))
    }

    /// Reads the file again. What does not parse changes nothing.
    pub(crate) fn reload(&self, listening: &Config) {
        let config = self.read_file();
        for problem in &config.problems {
            match problem.severity {
                Severity::Error => tracing::error!("{problem}"),
                Severity::Warning => tracing::warn!("{problem}"),
            }
        }
        if config.is_fatal() {
            tracing::error!("the configuration is not changed: it has errors that concern the whole hub");
            return;
        }
        self.reload_sources(&config.hub.secrets);
        // Sources have just been taken in.
        let rest = |hub: &config::hub::Hub| {
            format!("{:?}", config::hub::Hub { secrets: Secrets::default(), ..hub.clone() })
        };
        if rest(&config.hub) != rest(&listening.hub) {
            tracing::warn!("settings of the whole hub have changed: they take effect with the next start");
        }
        self.sources.want(Asking::File, sources::wanted(&config));
        let Changes { added, changed, removed, kept } = self.connections.apply(&config);
        tracing::info!(?added, ?changed, ?removed, ?kept, "configuration read again");
        let sorts = [
            (&added, api::FileChange::Added),
            (&changed, api::FileChange::Changed),
            (&removed, api::FileChange::Removed),
        ];
        for (keys, change) in sorts {
            keys.iter().for_each(|key| self.live.tell_file(key, change));
        }
    }

    /// Asks other systems for secrets from now on, where the file says so.
    fn reload_sources(&self, secrets: &Secrets) {
        let now = sources::said(secrets);
        let mut said = self.sources_said.lock().unwrap_or_else(PoisonError::into_inner);
        if credential::same(now.expose().as_bytes(), said.expose().as_bytes()) {
            return;
        }
        match sources::of(secrets) {
            Ok(systems) => {
                self.sources.replace(systems);
                *said = now;
                tracing::info!("the sources of secrets have changed: what they keep is read anew");
            }
            Err(fault) => tracing::error!("the sources of secrets are not changed: {fault}"),
        }
    }

    /// The manifests behind the catalogue.
    pub(crate) fn manifests(&self) -> Arc<Manifests> {
        Arc::clone(&self.catalogue.manifests)
    }

    /// The operator at the machine itself: whoever may read the data folder.
    pub(crate) fn operator(&self) -> Arc<Caller> {
        Arc::new(Caller {
            owner: self.house.owner,
            api_key: None,
            principal: "operator".into(),
            access: Arc::new(Access::everything()),
        })
    }

    /// The rooms that only the API needs.
    pub(crate) fn api(&self, config: &Config, listen: &str, public_url: &str) -> axum::Router {
        let reached = reached(config);
        self.connections.reached_by(api::Links::new(
            Arc::clone(&self.house.sealer) as Arc<dyn model::Sealer>,
            Arc::clone(&self.house.clock),
            Arc::clone(&self.house.entropy),
            public_url,
        ));
        api::router(api::Parts {
            pipeline: Arc::clone(&self.pipeline),
            identity: Arc::clone(&self.house.identity),
            store: Arc::clone(&self.house.store),
            credentials: Arc::clone(&self.house.credentials),
            sealer: Arc::clone(&self.house.sealer) as Arc<dyn model::Sealer>,
            recorder: Arc::clone(&self.recorder),
            clock: Arc::clone(&self.house.clock),
            entropy: Arc::clone(&self.house.entropy),
            directory: Arc::clone(&self.connections) as Arc<dyn api::Directory>,
            counters: Arc::clone(&self.counters),
            live: Arc::clone(&self.live),
            settings: api::Settings {
                allowed_hosts: reached.hosts,
                allowed_origins: reached.origins,
                body_bytes_max: config.hub.limits.body_bytes,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                started_at: self.house.clock.now(),
                listen: listen.to_owned(),
                public_url: public_url.to_owned(),
                may_define_commands: config.hub.definer() == Definer::Admin,
                is_metrics_open: false,
            },
        })
    }

    /// Takes no new work, lets what is in flight finish for a while, and then ends what is left.
    pub(crate) async fn drain(&self) {
        self.connections.drain();
        self.live.end();
        self.phase.send_replace(Phase::Draining);
        let finished = async {
            while self.pipeline.open_calls().values().sum::<usize>() > 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(DRAIN, finished).await.is_err() {
            tracing::warn!("calls in flight are ended: they had {} s", DRAIN.as_secs());
        }
        // The last answers are on their way to the sockets.
        tokio::time::sleep(FLUSH).await;
        self.phase.send_replace(Phase::Over);
    }

    /// Lets go of everything, what is recorded last.
    pub(crate) async fn close(&self) {
        self.connections.close().await;
        self.recorder.close().await;
        self.house.leave().await;
    }
}

/// Says what is wrong on the log, once at the start.
pub(crate) fn tell(problems: &[Problem]) {
    for problem in problems {
        match problem.severity {
            Severity::Error => tracing::error!("{problem}"),
            Severity::Warning => tracing::warn!("{problem}"),
        }
    }
}

/// `public_url` and the listen address are places by which the hub may be asked for, beside what is listed.
fn reached(config: &Config) -> Reached {
    let mut hosts = config.hub.allowed_hosts.clone();
    let mut origins = config.hub.allowed_origins.clone();
    if let Some(url) = &config.hub.public_url
        && let Ok(uri) = url.to_ascii_lowercase().parse::<::http::Uri>()
        && let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority())
    {
        // A browser names scheme, host and port, never a path.
        origins.push(format!("{scheme}://{authority}"));
        hosts.push(authority.host().to_owned());
    }
    let ip = config.hub.listen.ip();
    if !ip.is_loopback() && !ip.is_unspecified() {
        hosts.push(if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() });
    }
    Reached { hosts, origins }
}
