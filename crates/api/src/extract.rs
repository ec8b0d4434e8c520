//! Extractors whose refusals are problem JSON, like everything else that goes wrong.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::request::Parts;
use model::{Caller, Code};
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::body;
use crate::rescue::Problem;

/// The caller that the route's authorization put there.
pub(crate) struct Signed(pub(crate) Arc<Caller>);

/// Segments of the path, percent-decoded.
pub(crate) struct Segments<T>(pub(crate) T);

/// The query string.
pub(crate) struct Params<T>(pub(crate) T);

/// The body: JSON of at most `Settings::body_bytes_max` bytes; an empty one counts as `{}`.
pub(crate) struct Sent<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (head, body) = request.into_parts();
        body::json(&head.headers, body, app.parts.settings.body_bytes_max).await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Signed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Arc<Caller>>().cloned();
        caller.map(Self).ok_or_else(|| Problem::new(Code::BUG, "a handler needs a caller on an open route"))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(value)| Self(value)).map_err(|_| Problem::no_page(parts.uri.path()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(value)| Self(value)).map_err(|rejection| {
            Problem::bad_message(rejection.body_text(), "GET /openapi.json lists the parameters")
        })
    }
}

/// Checks a `limit` parameter against the most that one page holds.
pub(crate) fn limit_of(asked: Option<usize>, default: usize, max: usize) -> Result<usize, Problem> {
    match asked.unwrap_or(default) {
        limit if (1..=max).contains(&limit) => Ok(limit),
        limit => Err(Problem::bad_message(
            format!("`limit` is {limit}, and has to be between 1 and {max}"),
            "ask for fewer, and page on with what the answer offers",
        )),
    }
}
