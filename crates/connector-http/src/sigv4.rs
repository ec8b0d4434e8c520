//! Puts an AWS signature (`credential::sigv4`) on a request.

use credential::sign::sha256;
use credential::sigv4::{Signed, amz_date, authorization};
use model::{Timestamp, hex};

use crate::build::Draft;
use crate::flat::encoded;

pub(crate) use credential::sigv4::Keys;

/// Adds `x-amz-date`, `x-amz-content-sha256`, the session token and the signature.
pub(crate) fn sign(draft: &mut Draft, keys: &Keys<'_>, service: &str, region: &str, now: Timestamp) {
    let time = amz_date(now);
    let (body, kind) = draft.body_bytes();
    let digest = hex(&sha256(&body));
    if let Some(kind) = kind
        && !draft.headers.iter().any(|(name, _)| name == "content-type")
    {
        draft.put_header("content-type", kind.to_owned());
    }
    draft.put_header("x-amz-date", time.clone());
    draft.put_header("x-amz-content-sha256", digest.clone());
    if let Some(token) = keys.session_token {
        draft.put_header("x-amz-security-token", token.expose().to_owned());
    }
    let host = draft.origin.split("://").nth(1).unwrap_or_default().to_owned();
    let headers: Vec<(String, String)> = draft
        .headers
        .iter()
        .filter(|(name, _)| name.starts_with("x-amz-") || name == "content-type")
        .map(|(name, value)| (name.clone(), value.split_whitespace().collect::<Vec<_>>().join(" ")))
        .chain([("host".to_owned(), host)])
        .collect();
    let mut query: Vec<String> =
        draft.query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    query.sort();
    // S3 signs its paths as they are; the others encode them once more.
    let path = if service == "s3" {
        draft.path.clone()
    } else {
        draft.path.split('/').map(encoded).collect::<Vec<_>>().join("/")
    };
    let request =
        Signed { method: &draft.method, path: &path, query: &query.join("&"), headers, digest: &digest };
    let value = authorization(request, keys, service, region, &time).expose().to_owned();
    draft.put_header("authorization", value);
}

#[cfg(test)]
mod tests {
    use model::{Secret, Timestamp};

    use super::{Keys, sign};
    use crate::build::Draft;

    /// The GET object example of docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html signs a
    /// `range` header too, which is not signed here; its bucket listing signs what is signed here.
    #[test]
    fn the_published_example_comes_out() {
        let mut draft = Draft {
            method: "GET".to_owned(),
            origin: "https://examplebucket.s3.amazonaws.com".to_owned(),
            path: "/".to_owned(),
            query: vec![("max-keys".to_owned(), "2".to_owned()), ("prefix".to_owned(), "J".to_owned())],
            headers: Vec::new(),
            body: None,
        };
        let (id, secret) = (
            Secret::new("AKIAIOSFODNN7EXAMPLE".to_owned()),
            Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned()),
        );
        let keys = Keys { access_key_id: &id, secret_access_key: &secret, session_token: None };
        let time = Timestamp::from_rfc3339("2013-05-24T00:00:00Z").unwrap();
        sign(&mut draft, &keys, "s3", "us-east-1", time);
        let (_, value) = draft.headers.iter().find(|(name, _)| name == "authorization").unwrap();
        assert!(
            value.ends_with("Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
            "{value}"
        );
    }
}
