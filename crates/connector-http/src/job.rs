//! Orders whose result comes later: asked for again and again, a bounded number of times, at the pace that the API asks
//! for. The call's own time bounds it too.

use std::time::Duration;

use catalog::api::{Job, Lead, Source, Tool};
use model::{Code, Fault, Retry};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::Answer;
use crate::answer::{self, Failure};
use crate::build::Draft;
use crate::pages::{go_to, path_of};
use crate::run::Bench;

/// How the status of an order reads.
enum Stands {
    NotYet,
    Done,
    Failed(String),
}

impl Bench<'_> {
    /// Waits for the result of the order that `answer` confirmed. `ordered` is the request that made it.
    pub(crate) async fn result_of(
        &self,
        job: &Job,
        ordered: &Draft,
        (answer, body): (Answer, Value),
    ) -> Result<Result<(Answer, Value), Failure>, Fault> {
        let bad = |what: &str| Fault::new(Code::BAD_ANSWER, format!("{}: {what}", self.name));
        let id = found(&job.status, &answer, &body)
            .ok_or_else(|| bad("its answer does not say where its job is"))?;
        let status = self.path_to(&job.status, &id)?;
        let mut pause = answer::wait(self.api, &answer, self.clock.now());
        for _ in 0..job.polls {
            self.sender.rest(next_pause(job, pause)).await;
            let mut draft = question(ordered);
            go_to(&mut draft, &status);
            let (answer, body) = match self.exchange(draft, true).await {
                Ok(Ok(answered)) => answered,
                Ok(Err(failure)) => return Ok(Err(failure)),
                // It asks for patience, or is away for a moment: the job goes on without us.
                Err(Fault { retry: Retry::AfterMs(ms), .. }) => {
                    pause = Some(Duration::from_millis(ms.into()));
                    continue;
                }
                Err(fault) => return Err(fault),
            };
            pause = answer::wait(self.api, &answer, self.clock.now());
            match stands(job, &answer, &body) {
                Stands::NotYet => {}
                Stands::Failed(word) => {
                    let said = self.api.errors.message.iter().find_map(|path| path.find(&body)?.as_str());
                    let message = said.map_or_else(|| format!("its job ended as `{word}`"), str::to_owned);
                    return Ok(Err(Failure { status: answer.status, code: Some(word), message }));
                }
                Stands::Done => {
                    let Some(lead) = &job.result else { return Ok(Ok((answer, body))) };
                    let at = match &lead.from {
                        Some(_) => found(lead, &answer, &body).ok_or_else(|| {
                            bad("its job is done, and its answer does not say where the result is")
                        })?,
                        None => id,
                    };
                    let mut draft = question(ordered);
                    go_to(&mut draft, &self.path_to(lead, &at)?);
                    return self.exchange(draft, true).await;
                }
            }
        }
        let what = format!("{}: its job is not done after it was asked {} times", self.name, job.polls);
        Err(Fault::new(Code::TIMEOUT, what)
            .with_retry(Retry::OutcomeUnknown)
            .with_hint("it may still finish: look there before ordering again"))
    }

    /// The path that `value` leads to; in the same origin, for the credential goes there.
    fn path_to(&self, lead: &Lead, value: &str) -> Result<String, Fault> {
        if let Some(path) = &lead.path {
            // Encoded whole, so that it is one segment; these two would still not be.
            if matches!(value, "" | "." | "..") {
                return Err(Fault::new(Code::BAD_ANSWER, format!("{}: its job has no usable id", self.name)));
            }
            let id = utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
            return Ok(format!("{}{}", self.base.1, path.replace("{id}", &id)));
        }
        path_of(self.base.0, value).map(str::to_owned).ok_or_else(|| {
            let what = "its job would be on another host, where its credential does not go";
            Fault::new(Code::BAD_ANSWER, format!("{}: {what}", self.name))
        })
    }
}

/// How long it rests: as often as the catalogue says, and never earlier than the API asked.
fn next_pause(job: &Job, asked: Option<Duration>) -> Duration {
    let usual = Duration::from_secs(job.every_s.into());
    asked.map_or(usual, |asked| asked.max(usual))
}

/// What the answer says where a lead looks.
fn found(lead: &Lead, answer: &Answer, body: &Value) -> Option<String> {
    match lead.from.as_ref()? {
        Source::Header(name) => answer.header(name).map(str::to_owned),
        Source::Body(path) => match path.find(body)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        },
        Source::LastItem(_) => None,
    }
}

fn stands(job: &Job, answer: &Answer, body: &Value) -> Stands {
    let Some(state) = &job.state else {
        return if answer.status == 202 { Stands::NotYet } else { Stands::Done };
    };
    let word = match state.at.find(body) {
        Some(Value::String(word)) => word.clone(),
        Some(Value::Null) | None => return Stands::NotYet,
        Some(other) => other.to_string(),
    };
    if state.done.contains(&word) {
        Stands::Done
    } else if state.failed.contains(&word) {
        Stands::Failed(word)
    } else {
        Stands::NotYet
    }
}

/// A request that asks: as the order went, without what was ordered.
fn question(ordered: &Draft) -> Draft {
    Draft { method: "GET".to_owned(), body: None, query: Vec::new(), ..ordered.clone() }
}

/// Whether doing a tool's request twice does no harm.
pub(crate) fn is_replayable(tool: &Tool) -> bool {
    tool.effect == catalog::api::Effect::Read || tool.is_idempotent
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use catalog::api::{Job, Lead};

    use super::next_pause;

    #[test]
    fn it_is_never_asked_earlier_than_the_api_wants() {
        let job =
            Job { status: Lead { from: None, path: None }, state: None, result: None, every_s: 2, polls: 1 };
        let seconds = Duration::from_secs;
        assert_eq!(next_pause(&job, None), seconds(2));
        assert_eq!(next_pause(&job, Some(seconds(30))), seconds(30));
        assert_eq!(next_pause(&job, Some(seconds(1))), seconds(2));
    }
}
