//! Where a secret in the configuration really comes from: `${NAME}`, `${NAME:-default}` and
//! `${file:/path}` inside a text. `$${` stands for a literal `${`.

use std::io::Read;
use std::path::Path;

use model::{Code, Fault, Secret};
use thiserror::Error;
use zeroize::Zeroizing;

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
    /// External vaults are not served yet.
    #[error("`{reference}` names an external vault, which this version cannot read")]
    Vault {
        /// Which reference.
        reference: String,
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
/// [`ReferenceError`], naming the variable or file.
pub fn resolve_reference(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Secret, ReferenceError> {
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
        out.push_str(&resolve_one(inner, env)?);
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
            Self::Malformed { .. } => {
                "write ${NAME}, ${NAME:-default} or ${file:/absolute/path}; $${ is a literal ${".to_owned()
            }
            Self::File { path, .. } | Self::NotText { path } => {
                format!("check that the hub's user may read {path} and that it holds only the secret")
            }
            Self::Vault { .. } => {
                "vault references come with the credentials work; use ${NAME} or ${file:/path} until then"
                    .to_owned()
            }
        };
        let source = std::error::Error::source(self).map(|s| format!(": {s}")).unwrap_or_default();
        Fault::new(Code::MISCONFIGURED, format!("{self}{source}")).with_hint(hint)
    }
}

/// What stands between `${` and `}`.
fn resolve_one(
    inner: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Zeroizing<String>, ReferenceError> {
    // `:-` begins a default, also behind a variable that happens to be called `file` or `vault`.
    let behind = |scheme: &str| inner.strip_prefix(scheme).filter(|rest| !rest.starts_with('-'));
    if let Some(path) = behind("file:") {
        return read_file(path);
    }
    if behind("vault:").is_some() {
        return Err(ReferenceError::Vault { reference: format!("${{{}}}", shorten(inner)) });
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

    use super::{ReferenceError, has_reference, resolve_reference};

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
    fn misspelt_references_and_vaults_are_refused_and_never_taken_literally() {
        for text in ["${TOKEN", "${}", "${1A}", "${A B}", "${NONE:-${TOKEN}}", "${file:relative}", "${file:}"]
        {
            assert!(matches!(resolve_reference(text, &env), Err(ReferenceError::Malformed { .. })), "{text}");
        }
        let error = resolve_reference("${vault:secret/data/x#key}", &env).unwrap_err();
        assert!(matches!(error, ReferenceError::Vault { .. }));
        assert!(error.fault().hint.contains("credentials work"));
    }

    #[test]
    fn a_literal_is_told_from_a_reference() {
        assert!(has_reference("Bearer ${TOKEN}"));
        assert!(has_reference("$${A} ${B}"));
        assert!(!has_reference("hunter2") && !has_reference("$${TOKEN}") && !has_reference("$x"));
    }
}
