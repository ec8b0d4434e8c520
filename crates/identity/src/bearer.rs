//! Finding the key among the headers of a request, whichever door they came through.

use model::{Code, Fault};

const HINT: &str = "send Authorization: Bearer trk_... ; `trunkline key new` makes one";

/// The key in the values of `Authorization: Bearer x` (the scheme in any case) or `X-Api-Key: x`. Both may
/// be present when they agree.
///
/// # Errors
/// [`Code::UNAUTHENTICATED`]: neither is present, the scheme is another one, or they disagree. What was
/// presented is never repeated.
pub fn bearer<'a>(authorization: Option<&'a str>, x_api_key: Option<&'a str>) -> Result<&'a str, Fault> {
    let x_api_key = x_api_key.map(str::trim).filter(|key| !key.is_empty());
    let Some(authorization) = authorization.map(str::trim).filter(|value| !value.is_empty()) else {
        return x_api_key.ok_or_else(|| fault("no API key was presented"));
    };
    let (scheme, key) = authorization.split_once(' ').unwrap_or((authorization, ""));
    let key = key.trim();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(fault("the Authorization header has another scheme than Bearer"));
    }
    if key.is_empty() {
        return Err(fault("the Authorization header has no key in it"));
    }
    match x_api_key {
        Some(other) if !credential::same(key.as_bytes(), other.as_bytes()) => {
            Err(fault("Authorization and X-Api-Key present different keys; send one"))
        }
        _ => Ok(key),
    }
}

/// What every key that opens nothing is answered, for whichever reason.
pub(crate) fn refused() -> Fault {
    fault("the API key that was presented opens nothing here")
}

fn fault(detail: &str) -> Fault {
    Fault::new(Code::UNAUTHENTICATED, detail).with_hint(HINT)
}

#[cfg(test)]
mod tests {
    use model::Code;

    use super::bearer;

    #[test]
    fn either_header_will_do_and_both_when_they_agree() {
        for scheme in ["Bearer", "bearer", "BEARER"] {
            assert_eq!(bearer(Some(&format!("{scheme}  trk_a ")), None).unwrap(), "trk_a");
        }
        assert_eq!(bearer(None, Some(" trk_a")).unwrap(), "trk_a");
        assert_eq!(bearer(Some("Bearer trk_a"), Some("trk_a")).unwrap(), "trk_a");
        assert_eq!(bearer(Some(""), Some("trk_a")).unwrap(), "trk_a");
    }

    #[test]
    fn nothing_another_scheme_and_disagreement_are_refused_with_the_way_out() {
        for (authorization, x_api_key) in [
            (None, None),
            (Some("Bearer"), None),
            (Some("Bearer "), Some("trk_b")),
            (Some("Basic dXNlcjpwYXNz"), Some("trk_b")),
            (Some("trk_a"), None),
            (Some("Bearer trk_a"), Some("trk_b")),
        ] {
            let fault = bearer(authorization, x_api_key).unwrap_err();
            assert_eq!(fault.code, Code::UNAUTHENTICATED);
            assert!(fault.hint.contains("trunkline key new"));
            assert!(!fault.detail.contains("trk_") && !fault.detail.contains("dXNl"), "{fault}");
        }
    }
}
