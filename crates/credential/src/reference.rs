//! Where a secret in the configuration really comes from: `${NAME}`, `${NAME:-default}`, `${file:/path}`, and what
//! other systems keep ([`External`]), inside a text. `$${` stands for a literal `${`.

use std::io::Read;
use std::path::Path;

use model::{Code, Fault, Secret};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{External, Looked};

/// The largest secret file, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why a reference gives no secret. Names the reference, never a value.
#[derive(Debug, Error)]
pub enum ReferenceError {
    /// The variable is not set (or empty), and there is no default.
    #[error("the environment variable {name} is not set")]
    Unset {
        /// Which variable.
        name: String,
    },
    /// `${` without `}`, an empty or misspelt name, a reference inside a default.
    #[error("`{reference}` is not a reference")]
    Malformed {
        /// The beginning of it.
        reference: String,
    },
    /// The file cannot be read.
    #[error("the secret file {path} cannot be read")]
    File {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no text or too large.
    #[error("the secret file {path} is not UTF-8 text of at most {FILE_BYTES_MAX} bytes")]
    NotText {
        /// Which file.
        path: String,
    },
    /// The system that keeps it has not given it.
    #[error("`{reference}`: {why}")]
    External {
        /// Which reference.
        reference: String,
        /// Why.
        why: String,
        /// What to do.
        hint: String,
        /// There was a value, which is too old to be used.
        is_expired: bool,
    },
}

/// True when the text takes something from elsewhere; a secret field without one is a literal secret.
#[must_use]
pub fn has_reference(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = rest.split_at(at);
        if !before.ends_with('$') {
            return true;
        }
        rest = after.get(2..).unwrap_or_default();
    }
    false
}

/// Replaces every reference in `text`. `env` looks up an environment variable.
///
/// A variable that is set to nothing counts as unset, as in the shell's `:-`.
///
/// # Errors
/// [`ReferenceError`], naming the variable or file. What other systems keep is an error here.
pub fn resolve_reference(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Secret, ReferenceError> {
    resolve_with(text, env, &|_| Looked::Failed {
        why: "what another system keeps cannot stand here".to_owned(),
        hint: "write ${NAME} or ${file:/absolute/path}; sources of secrets are for `integrations`".to_owned(),
        is_expired: false,
    })
}

/// The same where what other systems keep may stand: `outside` tells what they hold. What it has not looked up
/// becomes the reference itself.
///
/// # Errors
/// [`ReferenceError`], naming the variable, file or reference.
pub fn resolve_with(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
    outside: &dyn Fn(&External) -> Looked,
) -> Result<Secret, ReferenceError> {
    let mut out = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = rest.split_at(at);
        let after = after.get(2..).unwrap_or_default();
        if let Some(literal) = before.strip_suffix('$') {
            out.push_str(literal);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let (inner, behind) = after.split_once('}').ok_or_else(|| malformed(after))?;
        out.push_str(&resolve_one(inner, env, outside)?);
        rest = behind;
    }
    out.push_str(rest);
    Ok(Secret::new(std::mem::take(&mut *out)))
}

// === impl ReferenceError ===

impl ReferenceError {
    /// The same fact for every face.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let hint = match self {
            Self::Unset { name } => format!("set {name}, or write ${{{name}:-default}}"),
            Self::Malformed { .. } => "write ${NAME}, ${NAME:-default}, ${file:/absolute/path}, \
                                       ${vault:PATH#FIELD} or ${aws-sm:NAME#FIELD}; $${ is a literal ${"
                .to_owned(),
            Self::File { path, .. } | Self::NotText { path } => {
                format!("check that the hub's user may read {path} and that it holds only the secret")
            }
            Self::External { hint, .. } => hint.clone(),
        };
        let source = std::error::Error::source(self).map(|s| format!(": {s}")).unwrap_or_default();
        Fault::new(Code::MISCONFIGURED, format!("{self}{source}")).with_hint(hint)
    }
}

/// What stands between `${` and `}`.
fn resolve_one(
    inner: &str,
    env: &dyn Fn(&str) -> Option<String>,
    outside: &dyn Fn(&External) -> Looked,
) -> Result<Zeroizing<String>, ReferenceError> {
    // `:-` begins a default, also behind a variable that happens to be called `file`.
    let behind = |scheme: &str| inner.strip_prefix(scheme).filter(|rest| !rest.starts_with('-'));
    if let Some(path) = behind("file:") {
        return read_file(path);
    }
    if let Some(read) = External::read(inner) {
        let external = read.ok_or_else(|| malformed(inner))?;
        let reference = external.to_string();
        return match outside(&external) {
            Looked::Value(value) => Ok(Zeroizing::new(value.expose().to_owned())),
            Looked::Failed { why, hint, is_expired } => {
                Err(ReferenceError::External { reference, why, hint, is_expired })
            }
            Looked::Unread => Ok(Zeroizing::new(reference)),
        };
    }
    let (name, default) =
        inner.split_once(":-").map_or((inner, None), |(name, default)| (name, Some(default)));
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    if !is_name || default.is_some_and(|text| text.contains("${")) {
        return Err(malformed(inner));
    }
    let value = env(name).map(Zeroizing::new).filter(|value| !value.is_empty());
    match (value, default) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(Zeroizing::new(default.to_owned())),
        (None, None) => Err(ReferenceError::Unset { name: name.to_owned() }),
    }
}

/// The content of a secret file without its last line break. Only absolute paths: where a hub is
/// started from must not decide which secret it uses.
fn read_file(path: &str) -> Result<Zeroizing<String>, ReferenceError> {
    if !Path::new(path).is_absolute() {
        return Err(malformed(&format!("file:{path}")));
    }
    let failed = |source| ReferenceError::File { path: path.to_owned(), source };
    let not_text = || ReferenceError::NotText { path: path.to_owned() };
    let mut bytes = Zeroizing::new(Vec::new());
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(not_text());
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| not_text())?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(Zeroizing::new(text.strip_suffix('\r').unwrap_or(text).to_owned()))
}

fn malformed(inner: &str) -> ReferenceError {
    ReferenceError::Malformed { reference: format!("${{{}", shorten(inner)) }
}

fn shorten(text: &str) -> String {
    text.chars().take(48).collect()
}

#[cfg(test)]
mod tests {
    use model::Code;

    use super::{ReferenceError, has_reference, resolve_reference, resolve_with};
    use crate::Looked;

    fn env(name: &str) -> Option<String> {
        match name {
            "TOKEN" => Some("s3cret".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn resolved(text: &str) -> String {
        resolve_reference(text, &env).unwrap().expose().to_owned()
    }

    #[test]
    fn variables_and_defaults_are_put_into_the_text() {
        assert_eq!(resolved("Bearer ${TOKEN}!"), "Bearer s3cret!");
        assert_eq!(resolved("${TOKEN}${TOKEN:-x}${NONE:-y}${EMPTY:-z}${NONE:-}"), "s3crets3cretyz");
        assert_eq!(resolved("plain $5 {x}"), "plain $5 {x}");
        assert_eq!(resolved("$${TOKEN} ${TOKEN}"), "${TOKEN} s3cret");
    }

    #[test]
    fn an_unset_variable_is_named_and_no_value_is() {
        let error = resolve_reference("${TOKEN} ${NONE}", &env).unwrap_err();
        let fault = error.fault();
        assert_eq!(fault.code, Code::MISCONFIGURED);
        assert!(fault.detail.contains("NONE") && !fault.to_string().contains("s3cret"));
        assert!(matches!(resolve_reference("${EMPTY}", &env), Err(ReferenceError::Unset { .. })));
    }

    #[test]
    fn a_file_gives_its_text_without_the_last_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "a\nb\r\n").unwrap();
        assert_eq!(resolved(&format!("<${{file:{}}}>", path.display())), "<a\nb>");
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        let bad = resolve_reference(&format!("${{file:{}}}", path.display()), &env);
        assert!(matches!(bad, Err(ReferenceError::NotText { .. })));
        let gone = resolve_reference(&format!("${{file:{}.gone}}", path.display()), &env);
        assert!(matches!(gone, Err(ReferenceError::File { .. })));
    }

    #[test]
    fn misspelt_references_are_refused_and_never_taken_literally() {
        for text in [
            "${TOKEN",
            "${}",
            "${1A}",
            "${A B}",
            "${NONE:-${TOKEN}}",
            "${file:relative}",
            "${file:}",
            "${vault:secret/x}",
            "${aws-sm:}",
        ] {
            assert!(matches!(resolve_reference(text, &env), Err(ReferenceError::Malformed { .. })), "{text}");
        }
        let error = resolve_reference("${vault:secret/data/x#key}", &env).unwrap_err();
        assert!(
            matches!(error, ReferenceError::External { .. }) && error.fault().hint.contains("integrations")
        );
    }

    #[test]
    fn what_another_system_keeps_is_put_into_the_text_where_it_may_stand() {
        let kept = |external: &crate::External| match external.field.as_deref() {
            Some("key") => Looked::Value(model::Secret::new("kept".to_owned())),
            _ => Looked::Unread,
        };
        let text = "Bearer ${vault:a/b#key} ${TOKEN} ${aws-sm:c}";
        let value = resolve_with(text, &env, &kept).unwrap();
        assert_eq!(value.expose(), "Bearer kept s3cret ${aws-sm:c}");
    }

    #[test]
    fn a_literal_is_told_from_a_reference() {
        assert!(has_reference("Bearer ${TOKEN}"));
        assert!(has_reference("$${A} ${B}"));
        assert!(!has_reference("hunter2") && !has_reference("$${TOKEN}") && !has_reference("$x"));
    }
}
