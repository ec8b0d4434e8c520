//! Which operations become tools.

use serde_json::Value;

use super::super::names::{cut, line};
use super::super::{Options, Refused, members, refused, text};
use super::servers::Base;
use super::{Reading, TOOLS_MAX, TOOLS_USUAL};

/// The most operations of a document.
const OPERATIONS_MAX: usize = 10_000;
const METHODS: &[&str] = &["get", "post", "put", "patch", "delete", "head"];
/// What an API is not used with.
const UNUSED: &[&str] = &["options", "trace"];

/// One operation.
#[derive(Debug, Clone)]
pub(super) struct Operation<'d> {
    /// In capitals.
    pub(super) method: String,
    pub(super) path: &'d str,
    /// What its path says for all of its operations.
    pub(super) item: &'d Value,
    pub(super) own: &'d Value,
    pub(super) id: Option<String>,
    /// `operationId`, or `METHOD /path`: what it is picked by.
    pub(super) label: String,
    /// Where it stands.
    pub(super) place: String,
}

/// Those that were picked, or the first ones.
pub(super) fn picked<'d>(
    options: &Options,
    base: &Base,
    reading: &mut Reading<'d>,
) -> Result<Vec<Operation<'d>>, Refused> {
    let all = all(reading)?;
    if all.is_empty() {
        return refused("has no operations");
    }
    let picks = &options.operations;
    if picks.len() > TOOLS_MAX {
        return refused(format!("{} operations are picked, at most {TOOLS_MAX} can be", picks.len()));
    }
    for pick in picks.iter().filter(|pick| !all.iter().any(|one| one.is(pick))) {
        let near = crate::nearest(pick, all.iter().map(|one| one.label.as_str()));
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        reading.report.add("paths", format!("there is no operation `{}`{hint}", line(pick)));
    }
    let (mut out, mut rest) = (Vec::new(), Vec::new());
    for one in all {
        let is_wanted = if picks.is_empty() {
            out.len() < TOOLS_USUAL && one.method != "HEAD"
        } else {
            picks.iter().any(|pick| one.is(pick))
        };
        if !is_wanted {
            rest.push(one.label);
            continue;
        }
        match one.elsewhere(base) {
            Some(url) => {
                let what = format!("is left out: it has a server of its own, {}", line(cut(&url, 120)));
                reading.report.add(&one.place, what);
            }
            None => out.push(one),
        }
    }
    if out.is_empty() && !picks.is_empty() {
        return refused("none of the operations that were picked is there, or can be used");
    }
    if picks.is_empty() && !rest.is_empty() {
        let what = "no tool was made of it: only the first 100 operations become tools where none are picked, and HEAD never does";
        rest.iter().for_each(|label| reading.report.add(label, what));
    }
    Ok(out)
}

/// All that there are, in the order of their paths.
fn all<'d>(reading: &mut Reading<'d>) -> Result<Vec<Operation<'d>>, Refused> {
    let document = reading.document;
    let mut out = Vec::new();
    for (path, item) in members(&document.root, "paths") {
        if path.starts_with("x-") {
            continue;
        }
        let place = format!("paths.{}", line(path));
        let Some(item) = document.resolve(item, &place, &mut reading.report) else { continue };
        for method in UNUSED.iter().filter(|method| item.get(method).is_some()) {
            reading.report.add(&place, format!("`{method}` is no operation that is used"));
        }
        for method in METHODS {
            let Some(own) = item.get(method).filter(|own| own.is_object()) else { continue };
            let id = text(own, "operationId").map(|id| line(&id));
            let method = method.to_ascii_uppercase();
            let shown = format!("{method} {}", line(path));
            let label = id.clone().unwrap_or_else(|| shown.clone());
            out.push(Operation { method, path, item, own, id, label, place: shown });
            if out.len() > OPERATIONS_MAX {
                return refused(format!("has more than {OPERATIONS_MAX} operations"));
            }
        }
    }
    Ok(out)
}

// === impl Operation ===

impl Operation<'_> {
    fn is(&self, pick: &str) -> bool {
        let pick = pick.trim();
        let by_path = || {
            let (method, path) = pick.split_once(char::is_whitespace)?;
            Some(method.eq_ignore_ascii_case(&self.method) && path.trim() == self.path)
        };
        self.id.as_deref() == Some(pick) || by_path().unwrap_or(false)
    }

    /// Its own server, where it has one that is not the entry's.
    fn elsewhere(&self, base: &Base) -> Option<String> {
        let servers = [self.own, self.item].iter().find_map(|value| value.get("servers")?.as_array());
        let urls: Vec<String> =
            servers?.iter().filter_map(|one| Some(text(one, "url")?.into_owned())).collect();
        let is_same = |url: &String| url.trim_end_matches('/') == base.raw.trim_end_matches('/');
        if urls.iter().any(is_same) { None } else { urls.into_iter().next() }
    }
}
