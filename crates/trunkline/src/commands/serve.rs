//! `trunkline serve`: the story of a hub from its start to its end.

mod announce;

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::cli::Shared;
use crate::commands::{configuration, env};
use crate::config::{Config, Wanted, data_folder};
use crate::say::{Quit, note};
use crate::wiring::catalogue::folders;
use crate::wiring::clients::Clients;
use crate::wiring::house::{self, Purpose};
use crate::wiring::http::{self, Faces, Places, Served};
use crate::wiring::hub::{Hub, tell};
use crate::wiring::lines::Listeners;
use crate::wiring::tls::Certificates;
use crate::wiring::watch::{FileWatch, FolderWatch};
use crate::wiring::{sockets, telemetry};

/// Threads for what happens outside of requests: connectors, the file, the ledger.
const CONTROL_THREADS: usize = 2;

/// Open files beside those of connections: the store, logs, pipes of child processes.
const OWN_FILES: u64 = 1024;

/// Signals to stop that come so close together are one.
const ONE_BREATH: std::time::Duration = std::time::Duration::from_secs(1);

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(shared: &Shared, listen: Option<&str>) -> Result<(), Quit> {
    let config = configuration(shared, listen);
    if config.is_fatal() {
        for problem in &config.problems {
            note(&problem.to_string());
        }
        return Err(Quit::silent(2));
    }
    telemetry::start(&config.hub.log);
    tell(&config.problems);
    let control = control_runtime()?;
    let wanted = Wanted { file: config.file.clone(), listen: listen.map(str::to_owned) };
    let result = control.block_on(live(shared, &config, wanted));
    // What is left are detached helpers: nothing that was promised waits for them.
    control.shutdown_background();
    result
}

/// The runtime of everything that outlives a request.
pub(crate) fn control_runtime() -> Result<tokio::runtime::Runtime, Quit> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| Quit::failed(format!("no runtime: {error}")))
}

async fn live(shared: &Shared, config: &Config, wanted: Wanted) -> Result<(), Quit> {
    // Signals first: one that comes during the start must not kill what has begun.
    let mut signals = Signals::new()?;
    raise_open_files(config.hub.limits.connections);
    let certificates = Certificates::load(&config.hub.tls)?.map(Arc::new);
    let house = house::enter(config, &data_folder(shared.data.as_deref(), &env), Purpose::Run).await?;
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let http_sockets = sockets::listen(config.hub.listen, workers)?;
    let address =
        http_sockets.first().and_then(|socket| socket.local_addr().ok()).unwrap_or(config.hub.listen);
    let tcp = config.hub.mcp.tcp.map(|address| sockets::listen(address, workers)).transpose()?;
    let tcp = tcp.unwrap_or_default();
    let tcp_address = tcp.first().and_then(|socket| socket.local_addr().ok());
    let unix = config.hub.mcp.unix.as_deref().map(sockets::listen_unix).transpose()?;

    let hub = Hub::new(house, config, wanted).await?;
    let addresses = announce::Addresses::new(config, address, tcp_address);
    let served = Served {
        faces: Arc::new(Faces {
            door: Arc::clone(&hub.door),
            router: hub.api(config, &address.to_string(), &addresses.base),
            clients: Clients::new(config.hub.trusted_proxies.clone(), Arc::clone(&hub.house.clock)),
        }),
        limits: config.hub.limits,
        certificates: certificates.clone(),
        places: Places::default(),
        phase: hub.phase.subscribe(),
    };
    let mut secrets = hub.connect(config).await;
    let lines = Listeners::spread(tcp, unix.as_ref(), workers)?;
    let threads = http::start(http_sockets, lines, &served)?;
    // Made last: a start that fails must not leave a key behind that nobody has seen.
    let first_key = hub.house.first_key().await?;
    announce::announce(shared.json, config, &hub, &addresses, first_key.as_ref());

    attend(&hub, config, certificates.as_deref(), &mut secrets, &mut signals).await;

    tracing::info!("stopping");
    tokio::select! {
        () = end(&hub, threads) => {}
        () = signals.insisted() => return Err(Quit::failed("stopped at once: a second signal came")),
    }
    if let Some(path) = &config.hub.mcp.unix {
        // Gone already is fine.
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

/// Reloads when the file or a secret changes or SIGHUP comes; returns when the hub is to stop.
async fn attend(
    hub: &Hub,
    config: &Config,
    certificates: Option<&Certificates>,
    secrets: &mut watch::Receiver<u64>,
    signals: &mut Signals,
) {
    let mut watch = config.file.as_deref().and_then(|path| {
        match FileWatch::start(path, config.text.expose().as_bytes()) {
            Ok(watch) => Some(watch),
            Err(error) => {
                tracing::warn!(%error, "the configuration file is not watched: send SIGHUP after a change");
                None
            }
        }
    });
    let mut catalogue = FolderWatch::start(folders(config).0);
    // What changed between the start and the watch.
    hub.reread_catalogue(config).await;
    let Signals { terminate, interrupt, reload } = signals;
    loop {
        let changed = async {
            match watch.as_mut() {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = changed => hub.reload(config),
            Ok(()) = secrets.changed() => hub.reload(config),
            () = catalogue.changed() => hub.reread_catalogue(config).await,
            Some(()) = reload.recv() => {
                if let Some(certificates) = certificates {
                    certificates.reload();
                }
                hub.reload(config);
                hub.reread_catalogue(config).await;
            }
            _ = terminate.recv() => return,
            _ = interrupt.recv() => return,
        }
    }
}

/// Drains, waits for the workers, and lets go of everything.
async fn end(hub: &Hub, threads: Vec<std::thread::JoinHandle<()>>) {
    hub.drain().await;
    let joined = tokio::task::spawn_blocking(move || threads.into_iter().all(|thread| thread.join().is_ok()));
    if !matches!(joined.await, Ok(true)) {
        tracing::error!("a worker ended badly");
    }
    hub.close().await;
}

/// How many open files a hub needs that holds so many client connections.
pub(crate) fn least_open_files(connections: usize) -> u64 {
    u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OWN_FILES)
}

/// Each connection is an open file, and so is each upstream's: asks the system for as many as it allows.
fn raise_open_files(connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let least = least_open_files(connections);
    let wanted = least.saturating_mul(2);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let possible = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum });
    if raised.is_err() || possible < least {
        let now = getrlimit(Resource::Nofile).current.unwrap_or(possible);
        tracing::warn!(
            open_files = now,
            wanted = least,
            "limits.connections may not be reached: raise `ulimit -n`"
        );
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Signals {
    fn new() -> Result<Self, Quit> {
        let listen = |kind| signal(kind).map_err(|error| Quit::failed(format!("no signals: {error}")));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            reload: listen(SignalKind::hangup())?,
        })
    }

    /// Somebody asks again. Process groups, `timeout` and the like ask twice in one breath: that is one asking.
    async fn insisted(&mut self) {
        let first = tokio::time::Instant::now();
        loop {
            self.stop().await;
            if first.elapsed() > ONE_BREATH {
                return;
            }
        }
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
