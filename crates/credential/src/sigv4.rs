//! AWS Signature Version 4, as docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
//! has it.

use model::{Secret, Timestamp, hex};

use crate::sign::{Hash, keyed_hash, sha256};

/// Whose request it is.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    /// Names the key.
    pub access_key_id: &'a Secret,
    /// The key.
    pub secret_access_key: &'a Secret,
    /// The token of temporary keys; it has to be among the headers.
    pub session_token: Option<&'a Secret>,
}

/// What is signed: the parts of the canonical request.
#[derive(Debug)]
pub struct Signed<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, encoded as the service wants it.
    pub path: &'a str,
    /// The query: encoded, sorted, joined.
    pub query: &'a str,
    /// The headers that are signed, names in lower case, `host` and `x-amz-date` among them.
    pub headers: Vec<(String, String)>,
    /// The hex SHA-256 of the body.
    pub digest: &'a str,
}

/// A moment as `x-amz-date` has it.
#[must_use]
pub fn amz_date(now: Timestamp) -> String {
    now.to_rfc3339().chars().filter(|c| !matches!(c, '-' | ':')).collect()
}

/// The value of the `authorization` header. `time` is that of `x-amz-date`.
#[must_use]
pub fn authorization(
    mut request: Signed<'_>,
    keys: &Keys<'_>,
    service: &str,
    region: &str,
    time: &str,
) -> Secret {
    let day = time.get(..8).unwrap_or_default();
    request.headers.sort();
    let names = request.headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let lines: String = request.headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let Signed { method, path, query, digest, .. } = request;
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{digest}");
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&sha256(canonical.as_bytes())));
    let mut key = format!("AWS4{}", keys.secret_access_key.expose()).into_bytes();
    for part in [day, region, service, "aws4_request"] {
        key = keyed_hash(Hash::Sha256, &key, part.as_bytes());
    }
    let signature = hex(&keyed_hash(Hash::Sha256, &key, text.as_bytes()));
    let id = keys.access_key_id.expose();
    Secret::new(format!(
        "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
    ))
}
