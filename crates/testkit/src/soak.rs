//! The long run: clients of both generations call the hub for minutes or hours, come and go without saying goodbye,
//! and are told the truth or an error, never something else. In a chaotic run the upstream and the hub are killed
//! and restarted meanwhile. What is judged at the end: wrong answers, failures nobody caused, memory and open files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::RwLock;
use tokio::task::JoinSet;

use crate::client::{Generation, McpClient};
use crate::fixture::{Era, Peer};
use crate::hub::{Hub, binary};

/// How many calls a client makes before it vanishes.
const CALLS_PER_CLIENT: usize = 20;
/// The part of the run after which memory and files may no longer grow, as a share of its minutes.
const WARM_UP: f64 = 0.2;
/// Growth that is still no leak: allocators and buffers breathe.
const ALLOWED_GROWTH_KIB: u64 = 48 * 1024;
const ALLOWED_FILES: usize = 64;
/// Between two disturbances.
const CALM: Duration = Duration::from_secs(10);
/// A call that takes longer has failed, even if it would have come back.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// How long, how many, how rough.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many minutes to run.
    pub minutes: u32,
    /// How many clients at a time.
    pub clients: usize,
    /// Whether things are killed meanwhile.
    pub chaos: bool,
}

#[derive(Default)]
struct Counts {
    right: AtomicU64,
    failed: AtomicU64,
    wrong: AtomicU64,
}

/// Where the hub is now; it moves when it is restarted.
struct Place {
    url: String,
    key: String,
}

/// Runs the plan; `report` gets a line a minute.
///
/// # Errors
/// When something could not be started, or the run shows one of the faults it looks for.
pub async fn run(plan: Plan, mut report: impl FnMut(String)) -> anyhow::Result<()> {
    let mut fixture = Peer::start(Era::Both).await?;
    let pipe =
        json!({ "type": "mcp", "protocol": "stdio", "command": binary("mcp-fixture")?, "args": ["--stdio"] });
    let config = format!(
        "integrations:\n  net: {{ type: mcp, protocol: http, url: \"{}\" }}\n  pipe: {pipe}\n",
        fixture.url
    );
    let mut hub = Hub::start(&config).await?;
    wait_for_both(&hub).await?;

    let counts = Arc::new(Counts::default());
    let place = Arc::new(RwLock::new(Place { url: hub.url.clone(), key: hub.key.clone() }));
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..plan.clients {
        clients.spawn(client(number, Arc::clone(&place), Arc::clone(&counts), Arc::clone(&stop)));
    }

    let mut first = None;
    for minute in 1..=plan.minutes {
        if plan.chaos {
            disturb(minute, &mut hub, &mut fixture, &place).await?;
        } else {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        let usage = Usage::of(hub.program().id())?;
        report(format!(
            "minute {minute}: {} right, {} failed, {} wrong; {} MiB, {} files",
            counts.right.load(Ordering::Relaxed),
            counts.failed.load(Ordering::Relaxed),
            counts.wrong.load(Ordering::Relaxed),
            usage.memory_kib / 1024,
            usage.files,
        ));
        ensure!(counts.wrong.load(Ordering::Relaxed) == 0, "an answer was wrong\n{}", hub.log());
        if f64::from(minute) >= f64::from(plan.minutes) * WARM_UP && first.is_none() {
            first = Some(usage);
        } else if let Some(first) = first.as_ref().filter(|_| !plan.chaos) {
            ensure!(
                usage.memory_kib <= first.memory_kib + ALLOWED_GROWTH_KIB,
                "memory grows: {first:?} to {usage:?}"
            );
            ensure!(usage.files <= first.files + ALLOWED_FILES, "open files grow: {first:?} to {usage:?}");
        }
    }
    stop.store(true, Ordering::Relaxed);
    while clients.join_next().await.is_some() {}
    if !plan.chaos {
        ensure!(
            counts.failed.load(Ordering::Relaxed) == 0,
            "calls failed that nobody disturbed\n{}",
            hub.log()
        );
    }
    ensure!(counts.right.load(Ordering::Relaxed) > 0, "nothing was ever answered");
    wait_for_both(&hub).await?;
    ensure!(hub.program().stop()?.success(), "the hub did not end cleanly\n{}", hub.log());
    Ok(())
}

async fn wait_for_both(hub: &Hub) -> anyhow::Result<()> {
    hub.wait_for_tools("/mcp/c/net").await?;
    hub.wait_for_tools("/mcp/c/pipe").await?;
    Ok(())
}

/// A minute of trouble: the upstream is killed and comes back, the hub is told to reload, the hub is killed and comes
/// back. After each, everything has to work again before the next.
async fn disturb(
    minute: u32,
    hub: &mut Hub,
    fixture: &mut Peer,
    place: &RwLock<Place>,
) -> anyhow::Result<()> {
    tokio::time::sleep(CALM).await;
    let address = fixture.url.trim_start_matches("http://").trim_end_matches("/mcp").to_owned();
    fixture.program().signal(Signal::KILL)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    *fixture = Peer::start_at(Era::Both, &address).await.context("the upstream comes back")?;
    wait_for_both(hub).await.with_context(|| format!("minute {minute}, after the upstream was killed"))?;

    tokio::time::sleep(CALM).await;
    hub.program().signal(Signal::HUP)?;
    wait_for_both(hub).await.with_context(|| format!("minute {minute}, after a reload"))?;

    tokio::time::sleep(CALM).await;
    hub.program().signal(Signal::KILL)?;
    hub.restart().await.with_context(|| format!("minute {minute}, after the hub was killed"))?;
    place.write().await.url.clone_from(&hub.url);
    wait_for_both(hub).await.with_context(|| format!("minute {minute}, after the hub was killed"))?;
    tokio::time::sleep(CALM).await;
    Ok(())
}

/// One place in the crowd: client after client, of alternating generations, none of which says goodbye.
async fn client(number: usize, place: Arc<RwLock<Place>>, counts: Arc<Counts>, stop: Arc<AtomicBool>) {
    for round in number.. {
        let generation = if round % 2 == 0 { Generation::Modern } else { Generation::Legacy };
        let path = if round % 4 < 2 { "/mcp/c/net" } else { "/mcp/c/pipe" };
        let mut client = {
            let place = place.read().await;
            McpClient::new(&format!("{}{path}", place.url), Some(&place.key), generation)
                .answering("elicitation/create", json!({ "action": "accept", "content": { "name": "Ada" } }))
        };
        if client.connect().await.is_err() {
            counts.failed.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(200)).await;
        } else {
            for call in 0..CALLS_PER_CLIENT {
                let (tool, expected) = match call % 5 {
                    0 => ("test_input_required_result_elicitation", "Hello, Ada!"),
                    _ => ("test_simple_text", "Plain words, for a test."),
                };
                let counter = match tokio::time::timeout(CALL_LIMIT, client.call(tool, json!({}))).await {
                    Ok(Ok(result)) if result.get("isError") == Some(&json!(true)) => &counts.failed,
                    Ok(Ok(result)) if says(&result, expected) => &counts.right,
                    Ok(Ok(_)) => &counts.wrong,
                    Ok(Err(_)) | Err(_) => &counts.failed,
                };
                counter.fetch_add(1, Ordering::Relaxed);
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

fn says(result: &Value, expected: &str) -> bool {
    result.pointer("/content/0/text").and_then(Value::as_str) == Some(expected)
}

/// What a process holds at one moment.
#[derive(Debug)]
struct Usage {
    memory_kib: u64,
    files: usize,
}

impl Usage {
    fn of(process: u32) -> anyhow::Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let memory_kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse().ok())
            .context("VmRSS")?;
        Ok(Self { memory_kib, files: std::fs::read_dir(format!("/proc/{process}/fd"))?.count() })
    }
}
