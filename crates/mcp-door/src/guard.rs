//! Before anything else: is the request from where it may come from, and who is it?

use std::sync::Arc;

use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use model::{Caller, Fault};

use crate::Door;

impl Door {
    /// Host and Origin, by the rules that all HTTP doors share.
    pub(crate) fn check_origin(&self, uri: &http::Uri, headers: &HeaderMap) -> Result<(), Fault> {
        let texts =
            |name: http::HeaderName| headers.get_all(name).into_iter().map(|v| v.to_str().unwrap_or("?"));
        self.origins.check(uri.authority().map(http::uri::Authority::as_str), texts(HOST), texts(ORIGIN))
    }

    /// Who is calling, from `Authorization: Bearer` or `X-Api-Key`.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Caller>, Fault> {
        self.parts().identity.authenticate(presented(headers)?, self.parts().clock.now())
    }
}

/// The key that a request presents, good or not.
pub(crate) fn presented(headers: &HeaderMap) -> Result<&str, Fault> {
    let text = |name: http::header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    identity::bearer(text(AUTHORIZATION), text(http::header::HeaderName::from_static("x-api-key")))
}
