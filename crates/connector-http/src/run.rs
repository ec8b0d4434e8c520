//! One call of a tool, whatever carries its requests: build, sign, send, read, and the next page as long as the
//! caller wants more.

use catalog::api::{Api, Tool};
use credential::sign::sha256;
use model::{Clock, Code, Fault, Sealer, hex};
use serde_json::{Map, Value, json};

use crate::answer::{self, Failure};
use crate::authorize::Authorizer;
use crate::build::{self, Draft, Inputs};
use crate::job::is_replayable;
use crate::pages::{self, At};
use crate::rate::Pace;
use crate::{Answer, Outgoing, Sender};

/// The most pages that one call reads.
const PAGES_MAX: usize = 100;
/// What cursors are sealed for.
const PURPOSE: &str = "api-cursor";

/// Everything that a call needs beside itself.
pub(crate) struct Bench<'a> {
    /// What people call the API.
    pub(crate) name: &'a str,
    pub(crate) api: &'a Api,
    pub(crate) config: &'a Map<String, Value>,
    /// Origin and path of the base URL.
    pub(crate) base: (&'a str, &'a str),
    pub(crate) authorizer: &'a Authorizer,
    pub(crate) sender: &'a dyn Sender,
    pub(crate) pace: &'a Pace,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) sealer: &'a dyn Sealer,
}

/// What a tool answered, as an MCP tool result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) result: Vec<u8>,
    pub(crate) is_error: bool,
}

/// One call. `bound_to` is what a cursor is good for: this connection and this caller.
///
/// # Errors
/// A fault of the arguments, or of the way there; what the API itself refuses is a [`Done`] with `is_error`.
pub(crate) async fn run(
    bench: &Bench<'_>,
    tool: &Tool,
    mut arguments: Map<String, Value>,
    bound_to: &str,
) -> Result<Done, Fault> {
    for parameter in &tool.parameters {
        if let Some(default) = &parameter.default {
            arguments.entry(parameter.name.clone()).or_insert_with(|| default.clone());
        }
    }
    let Some(paging) = &tool.pagination else {
        let draft = bench.draft(tool, &arguments)?;
        return Ok(match bench.answer(tool, draft).await? {
            Ok((_, body)) => {
                let value = tool.from.find(&body).cloned().unwrap_or(Value::Null);
                Done { result: answer::result(&value), is_error: false }
            }
            Err(failure) => bench.told(tool, &failure),
        });
    };
    let max_items = arguments.remove("max_items").and_then(|value| value.as_u64());
    let cursor = arguments.remove("cursor");
    let bound_to = format!("{bound_to}/{}/{}", tool.name, hex(&sha256(canonical(&arguments).as_bytes())));
    let mut at = match cursor.as_ref().and_then(Value::as_str) {
        Some(cursor) => bench.open(cursor, &bound_to)?,
        None => pages::begin(paging, max_items, &arguments, bench.clock.now().0.div_euclid(1000)),
    };
    let wanted = usize::try_from(max_items.unwrap_or(0)).unwrap_or(usize::MAX);
    let mut items: Vec<Value> = Vec::new();
    let mut total = None;
    let mut is_over = false;
    for _ in 0..PAGES_MAX {
        let mut draft = bench.draft(tool, &arguments)?;
        pages::ask(paging, &at, &mut draft);
        let (answer, body) = match bench.exchange(draft, is_replayable(tool)).await? {
            Ok(answered) => answered,
            // What was gathered before is not thrown away with the page that failed.
            Err(failure) if items.is_empty() => return Ok(bench.told(tool, &failure)),
            Err(_) => break,
        };
        let page = pages::read(paging, &at, bench.base.0, &answer, &body)
            .map_err(|what| Fault::new(Code::BAD_ANSWER, format!("{}: {what}", bench.name)))?;
        total = page.total.or(total);
        let fresh = page.items.into_iter().skip(at.skip);
        let room = if wanted == 0 { usize::MAX } else { wanted - items.len() };
        let mut fresh: Vec<Value> = fresh.collect();
        if fresh.len() > room {
            fresh.truncate(room);
            at.skip += room;
            items.append(&mut fresh);
            break;
        }
        items.append(&mut fresh);
        match page.next {
            Some(next) => at = At { next: Some(next), skip: 0, ..at },
            None => {
                is_over = true;
                break;
            }
        }
        // Nobody said how many: one page, unless it was empty and there are more.
        if items.len() >= wanted.max(1) {
            break;
        }
    }
    let next_cursor = if is_over { Value::Null } else { bench.seal(&at, &bound_to)?.into() };
    let mut value = json!({ "items": items, "next_cursor": next_cursor });
    if let (Some(total), Some(members)) = (total, value.as_object_mut()) {
        members.insert("total".to_owned(), total.into());
    }
    Ok(Done { result: answer::result(&value), is_error: false })
}

/// Arguments as one text, whatever their order.
fn canonical(arguments: &Map<String, Value>) -> String {
    let mut all: Vec<(&String, String)> =
        arguments.iter().map(|(name, value)| (name, value.to_string())).collect();
    all.sort();
    format!("{all:?}")
}

// === impl Bench ===

impl Bench<'_> {
    fn draft(&self, tool: &Tool, arguments: &Map<String, Value>) -> Result<Draft, Fault> {
        build::build(self.api, tool, self.base, Inputs { config: self.config, arguments })
    }

    /// Sends a tool's request; and, where that is only an order, waits for its result.
    async fn answer(&self, tool: &Tool, draft: Draft) -> Result<Result<(Answer, Value), Failure>, Fault> {
        let Some(job) = &tool.job else { return self.exchange(draft, is_replayable(tool)).await };
        match self.exchange(draft.clone(), is_replayable(tool)).await? {
            Ok(ordered) => self.result_of(job, &draft, ordered).await,
            Err(failure) => Ok(Err(failure)),
        }
    }

    /// Signs, sends and reads; once more with another token where the first was refused. The outer error is a
    /// fault, the inner one what the API refused.
    pub(crate) async fn exchange(
        &self,
        draft: Draft,
        is_replayable: bool,
    ) -> Result<Result<(Answer, Value), Failure>, Fault> {
        let mut is_second = false;
        // Signed anew with another token; without one there is nothing to keep it for.
        let mut kept = self.authorizer.can_renew().then(|| draft.clone());
        let mut next = Some(draft);
        loop {
            self.pace.enter().await.map_err(|wait| {
                let message = "its rate limit is used up (told here, nothing was sent)".to_owned();
                let failure = Failure { status: 429, code: None, message };
                answer::rate_limited(answer::said(self.name, &failure), wait)
            })?;
            let Some(mut signed) = next.take() else {
                return Err(Fault::new(Code::BUG, "a request was to be sent a third time"));
            };
            let token = self.authorizer.apply(&mut signed).await?;
            let answer = self.sender.send(&finish(signed, is_replayable)).await?;
            let wait = answer::wait(self.api, &answer, self.clock.now());
            if answer.status == 429 || answer::is_used_up(self.api, &answer) {
                self.pace.hold(wait.unwrap_or(std::time::Duration::from_secs(1)));
            }
            let body = answer::body(&answer);
            let Some(failure) = answer::failure(self.api, &answer, &body) else {
                return Ok(Ok((answer, body)));
            };
            // A refused token was not used for anything: asking again with another one does nothing twice.
            if failure.status == 401
                && !is_second
                && self.authorizer.can_renew()
                && let Some(token) = token
            {
                self.authorizer.renew(&token).await?;
                is_second = true;
                next = kept.take();
                continue;
            }
            return match answer::fault(self.name, &failure, wait, is_replayable) {
                Some(fault) => Err(fault),
                None => Ok(Err(failure)),
            };
        }
    }

    fn told(&self, tool: &Tool, failure: &Failure) -> Done {
        Done { result: answer::told(self.name, tool, failure), is_error: true }
    }

    fn seal(&self, at: &At, bound_to: &str) -> Result<String, Fault> {
        let plain = serde_json::to_vec(at).map_err(|error| Fault::new(Code::BUG, error.to_string()))?;
        self.sealer
            .seal(PURPOSE, bound_to, &plain)
            .map_err(|error| Fault::new(Code::BUG, format!("a cursor cannot be sealed: {error}")))
    }

    fn open(&self, cursor: &str, bound_to: &str) -> Result<At, Fault> {
        let plain = self.sealer.open(PURPOSE, bound_to, cursor).ok();
        plain.and_then(|plain| serde_json::from_slice(&plain).ok()).ok_or_else(|| {
            Fault::new(Code::STALE_STATE, "cursor: is none of this tool's, or not with these arguments")
                .with_hint("give `next_cursor` of the last answer, with the other arguments as they were")
        })
    }
}

fn finish(mut draft: Draft, is_replayable: bool) -> Outgoing {
    let (body, kind) = draft.body_bytes();
    let query = draft.query_text();
    let path = if query.is_empty() { draft.path.clone() } else { format!("{}?{query}", draft.path) };
    let has = |draft: &Draft, name: &str| draft.headers.iter().any(|(known, _)| known == name);
    if let Some(kind) = kind
        && !has(&draft, "content-type")
    {
        draft.put_header("content-type", kind.to_owned());
    }
    if !has(&draft, "accept") {
        draft.put_header("accept", "application/json".to_owned());
    }
    if !has(&draft, "user-agent") {
        draft.put_header("user-agent", concat!("trunkline/", env!("CARGO_PKG_VERSION")).to_owned());
    }
    Outgoing { method: draft.method, origin: draft.origin, path, headers: draft.headers, body, is_replayable }
}
