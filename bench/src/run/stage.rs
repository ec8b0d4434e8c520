//! Everything that stands ready while figures are measured: the upstream, nginx, the hub all HTTP figures share, and
//! folders for hubs of their own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use super::Args;
use super::hub::{Config, Hub};
use super::peer::Peer;
use crate::load::{self, Measured, Plan};
use crate::spawn::{self, Program};
use crate::target::Target;

/// How long the upstream may take to listen.
const READY: Duration = Duration::from_secs(10);

/// One of the things that take turns.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    /// Its name on the line.
    pub(crate) name: &'static str,
    /// The load it gets.
    pub(crate) plan: Plan,
    /// The processes whose CPU time and memory are its own.
    pub(crate) pids: Vec<u32>,
}

/// What one of them measured in each repetition.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) name: &'static str,
    pub(crate) windows: Vec<Measured>,
}

/// The measured upstream.
#[derive(Debug)]
pub(crate) struct Upstream {
    program: Program,
    /// Its HTTP face.
    pub(crate) http: String,
    /// Its TCP face.
    pub(crate) tcp: String,
}

/// What stands ready.
#[derive(Debug)]
pub(crate) struct Stage {
    // What stands in front ends first: fields are dropped in their order.
    hub: Option<Rc<Hub>>,
    pub(crate) args: Args,
    /// Files one process may have open.
    pub(crate) files: u64,
    /// This program.
    pub(crate) bench: PathBuf,
    pub(crate) nginx: Option<Peer>,
    pub(crate) upstream: Upstream,
    /// Which of the wished-for programs are not there.
    absent: Vec<String>,
    folder: TempDir,
    folders: usize,
}

impl Stage {
    /// Starts the upstream, and nginx if it is wished for and installed.
    pub(crate) fn set(args: &Args, files: u64) -> Result<Self> {
        let bench = std::env::current_exe().context("this program's own path is not known")?;
        let folder = tempfile::Builder::new().prefix("trunkline-bench-").tempdir()?;
        let upstream = Upstream::start(&bench, &args.out.join("upstream.log"))?;
        let mut absent = Vec::new();
        if !args.trunkline.is_file() {
            absent.push(format!(
                "trunkline is absent ({}): only its limits are measured",
                args.trunkline.display()
            ));
        }
        let nginx = if args.peers.iter().any(|peer| peer == "nginx") {
            let nginx = Peer::nginx(upstream.address()?, folder.path(), &args.out.join("nginx.log"))?;
            if nginx.is_none() {
                absent.push("nginx is absent (not installed): there are no ratios to it".to_owned());
            }
            nginx
        } else {
            None
        };
        for peer in ["mcp-proxy", "supergateway"] {
            if args.peers.iter().any(|wished| wished == peer) && spawn::find(peer).is_none() {
                absent.push(format!("{peer} is absent (not installed)"));
            }
        }
        let args = args.clone();
        Ok(Self { args, files, bench, upstream, nginx, absent, hub: None, folder, folders: 0 })
    }

    /// What is missing, one sentence each.
    pub(crate) fn absent(&self) -> &[String] {
        &self.absent
    }

    /// Whether there is a hub to measure.
    pub(crate) fn has_trunkline(&self) -> bool {
        self.args.trunkline.is_file()
    }

    /// Where the hub's errors go.
    pub(crate) fn hub_log(&self) -> PathBuf {
        self.args.out.join("trunkline.log")
    }

    /// The hub that most figures share, with one connection of each kind: `up` (HTTP, modern), `old` (HTTP, legacy),
    /// `line` (TCP) and `pipe` (standard streams).
    pub(crate) fn hub(&mut self) -> Result<Rc<Hub>> {
        if let Some(hub) = &self.hub {
            return Ok(Rc::clone(hub));
        }
        let config = Config::default()
            .http("up", &self.upstream.http, "modern")
            .http("old", &self.upstream.http, "legacy")
            .tcp("line", &self.upstream.tcp)
            .stdio("pipe", &self.bench, &["upstream-stdio"]);
        let hub = Rc::new(self.fresh_hub(&config)?);
        self.hub = Some(Rc::clone(&hub));
        Ok(hub)
    }

    /// Ends the shared hub, so that it takes no part in what follows.
    pub(crate) fn end_hub(&mut self) {
        self.hub = None;
    }

    /// A hub of its own, on a data folder nothing has used.
    pub(crate) fn fresh_hub(&mut self, config: &Config) -> Result<Hub> {
        let folder = self.fresh_folder()?;
        Hub::start(&self.args.trunkline, config, &folder, &self.hub_log())
    }

    /// An empty folder, removed at the end.
    pub(crate) fn fresh_folder(&mut self) -> Result<PathBuf> {
        self.folders += 1;
        let folder = self.folder.path().join(format!("hub-{}", self.folders));
        std::fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// The processes that a tool call passes: the upstream, nginx with its workers, the shared hub.
    pub(crate) fn all_pids(&self) -> Vec<u32> {
        let nginx = self.nginx.iter().flat_map(Peer::pids);
        [self.upstream.program.pid()]
            .into_iter()
            .chain(nginx)
            .chain(self.hub.iter().map(|hub| hub.pid()))
            .collect()
    }

    /// Lets `turns` follow each other in every repetition (A B A B), so that the noise of the machine meets them all.
    pub(crate) fn interleave(&self, turns: &[Turn]) -> Result<Vec<Taken>> {
        let mut all: Vec<_> =
            turns.iter().map(|turn| Taken { name: turn.name, windows: Vec::new() }).collect();
        for repetition in 1..=self.args.repeat {
            for (turn, taken) in turns.iter().zip(&mut all) {
                let measured = load::run(&turn.plan, &turn.pids)
                    .with_context(|| format!("{} in repetition {repetition}", turn.name))?;
                taken.windows.push(measured);
            }
        }
        Ok(all)
    }
}

// === impl Upstream ===

impl Upstream {
    fn start(bench: &Path, log: &Path) -> Result<Self> {
        let mut command = spawn::command(bench, Some(log));
        command.args(["upstream", "--listen", "127.0.0.1:0", "--tcp", "127.0.0.1:0"]);
        let (program, ready) =
            Program::start_and_hear(&mut command, READY).context("the upstream did not start")?;
        let text = |name: &str| {
            let value = ready.get(name).and_then(Value::as_str);
            value.map(str::to_owned).with_context(|| format!("the upstream does not tell its {name} address"))
        };
        Ok(Self { http: text("http")?, tcp: text("tcp")?, program })
    }

    /// A load of it alone, without a gateway.
    pub(crate) fn direct(&self, like: &Plan) -> Result<Turn> {
        let mut plan = like.clone();
        plan.target = Target::parse(&self.http)?;
        plan.key = None;
        Ok(Turn { name: "direct", plan, pids: vec![self.program.pid()] })
    }

    fn address(&self) -> Result<SocketAddr> {
        match Target::parse(&self.http)? {
            Target::Http { address, .. } => Ok(address),
            other => anyhow::bail!("the upstream serves {other:?}"),
        }
    }
}

// === impl Taken ===

impl Taken {
    /// One number of every repetition.
    pub(crate) fn each(&self, number: impl Fn(&Measured) -> f64) -> Vec<f64> {
        self.windows.iter().map(number).collect()
    }

    /// Calls a second.
    pub(crate) fn rates(&self) -> Vec<f64> {
        self.each(|window| window.calls_per_s)
    }

    /// CPU time per call of the watched processes; empty when none was watched.
    pub(crate) fn cpu_us(&self) -> Vec<f64> {
        self.windows.iter().filter_map(|window| window.cpu_us_per_call).collect()
    }

    /// Resident memory in MB of the watched processes.
    pub(crate) fn resident_mb(&self) -> Vec<f64> {
        self.windows.iter().filter_map(|window| window.resident_kb).map(|kb| kb as f64 / 1024.0).collect()
    }
}

/// The one of `all` that is called `name`.
pub(crate) fn named<'a>(all: &'a [Taken], name: &str) -> Option<&'a Taken> {
    all.iter().find(|taken| taken.name == name)
}
