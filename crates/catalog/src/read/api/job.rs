//! `job` of a tool.

use super::super::fields::{Fields, Reading};
use super::paging::source;
use crate::api::{Job, Lead, Path, Source, State};

/// Seconds between two questions where nothing is said, and how many there are.
const EVERY_S: u64 = 2;
const POLLS: u64 = 60;

pub(super) fn read(tool: &mut Fields<'_>, reading: &mut Reading) -> Option<Job> {
    let mut fields = tool.map("job", "tools.job.", reading)?;
    if fields.node("from").is_none() {
        reading.error(fields.at, "tools.job.from", "missing", "header.NAME or body.PATH of the first answer");
    }
    let status = lead(&mut fields, "tools.job.", reading);
    let at = fields.text("state", 256, reading).map(|text| Path::parse(&text));
    let mut words = |key| fields.texts(key, reading).into_iter().map(|(_, word)| word).collect::<Vec<_>>();
    let (done, failed) = (words("done"), words("failed"));
    if at.is_some() == done.is_empty() {
        reading.error(
            fields.at,
            "tools.job.done",
            "goes with `state`, and `state` with it",
            "name both, or none",
        );
    }
    let result = fields.map("result", "tools.job.result.", reading).map(|mut result| {
        let lead = lead(&mut result, "tools.job.result.", reading);
        result.finish(reading);
        lead
    });
    let every = fields.count("every", 1, 3_600, reading).unwrap_or(EVERY_S);
    let polls = fields.count("polls", 1, 1_000, reading).unwrap_or(POLLS);
    fields.finish(reading);
    status.from.as_ref()?;
    Some(Job {
        status,
        state: at.map(|at| State { at, done, failed }),
        result,
        every_s: u32::try_from(every).ok()?,
        polls: u32::try_from(polls).ok()?,
    })
}

fn lead(fields: &mut Fields<'_>, key: &str, reading: &mut Reading) -> Lead {
    let from = fields.node("from").is_some().then(|| source(fields, reading)).flatten();
    if matches!(from, Some(Source::LastItem(_))) {
        reading.error(
            fields.line("from"),
            &format!("{key}from"),
            "is of no list",
            "header.NAME or body.PATH",
        );
    }
    let path = fields.text("path", 1_024, reading);
    if let Some(path) = &path
        && (!path.starts_with('/')
            || path.matches("{id}").count() != 1
            || path.replace("{id}", "").contains('{'))
    {
        reading.error(
            fields.line("path"),
            &format!("{key}path"),
            "is no path with one `{id}`",
            "/exports/{id}",
        );
    }
    if from.is_none() && path.is_none() {
        reading.error(fields.at, &format!("{key}from"), "missing, and there is no `path`", "name one");
    }
    Lead { from, path }
}
