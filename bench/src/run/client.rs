//! Single questions, asked outside of any measured window: is a tool offered, what are the pages of the list.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::load::channel::{Channel, Opening};
use crate::message::{Message, Mode};
use crate::target::Target;
use crate::{clock, system};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(20);
/// Pages that are followed at most.
const PAGES_MAX: usize = 1_000;

/// What the whole tool list looked like.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// The cursor of each page; the first has none.
    pub(crate) cursors: Vec<Option<String>>,
    /// The names on all pages.
    pub(crate) tools: Vec<String>,
}

/// Follows the tool list from its first page to its last, over one connection.
pub(crate) fn list(target: &Target, key: Option<&str>) -> Result<Listed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::time::timeout(ANSWER, list_pages(target, key))
            .await
            .context("the tool list did not come in time")?
    })
}

/// Asks for the tool list again and again until `is_enough`, and returns it.
pub(crate) fn list_until(
    target: &Target,
    key: Option<&str>,
    wait_ms: u64,
    is_enough: impl Fn(&Listed) -> bool,
) -> Result<Listed> {
    let deadline = clock::now_us() + wait_ms * 1000;
    loop {
        let listed = list(target, key);
        match listed {
            Ok(listed) if is_enough(&listed) => return Ok(listed),
            Ok(listed) if clock::now_us() > deadline => {
                let some: Vec<_> = listed.tools.iter().take(8).collect();
                bail!("after {wait_ms} ms there are {} tools: {some:?}", listed.tools.len());
            }
            Err(error) if clock::now_us() > deadline => return Err(error),
            _ => system::pause(2),
        }
    }
}

async fn list_pages(target: &Target, key: Option<&str>) -> Result<Listed> {
    let mut channel = Channel::open(&Opening { target, key, from: None, buffer_bytes: 64 * 1024 }).await?;
    let (mut listed, mut cursor) = (Listed::default(), None);
    for _ in 0..PAGES_MAX {
        let request = channel.frame(&Message::list(Mode::Modern, cursor.as_deref()), Mode::Modern);
        let answer = json(channel.exchange(request.bytes()).await?)?;
        let page = answer.get("result").with_context(|| format!("the list was answered with {answer}"))?;
        let tools = page.get("tools").and_then(Value::as_array).context("the answer holds no tools")?;
        let names =
            tools.iter().filter_map(|tool| tool.get("name").and_then(Value::as_str).map(str::to_owned));
        listed.tools.extend(names);
        listed.cursors.push(cursor.take());
        match page.get("nextCursor").and_then(Value::as_str) {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(listed),
        }
    }
    bail!("the tool list has more than {PAGES_MAX} pages")
}

/// The answer in a body: plain JSON, or the last event of a stream.
fn json(body: &[u8]) -> Result<Value> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    let text = String::from_utf8_lossy(body);
    let last =
        text.lines().rev().find_map(|line| line.strip_prefix("data:")).context("the answer is not JSON")?;
    Ok(serde_json::from_str(last)?)
}
