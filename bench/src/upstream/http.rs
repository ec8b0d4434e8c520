//! The HTTP face of the measured upstream: one hyper connection per client, on the core that accepted it.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::answer::{Mirrored, SESSION_PREFIX, Server};

const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// Serves what `listener` accepts, for ever.
pub(crate) async fn serve(listener: TcpListener, server: Arc<Server>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        // A connection that fails while it is accepted is its client's matter.
        let Ok((stream, _)) = listener.accept().await else { continue };
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let service = service_fn(|request| respond(Arc::clone(&server), request));
            // The client going away is how a measurement ends.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn respond(
    server: Arc<Server>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    if parts.method == Method::GET && parts.uri.path() == "/plain" {
        return Ok(response(StatusCode::OK, Bytes::from_static(PLAIN), "text/plain"));
    }
    if parts.method == Method::DELETE {
        return Ok(response(StatusCode::NO_CONTENT, Bytes::new(), "application/json"));
    }
    if parts.method != Method::POST {
        return Ok(response(StatusCode::METHOD_NOT_ALLOWED, Bytes::new(), "application/json"));
    }
    let Ok(body) = body.collect().await else {
        return Ok(response(StatusCode::BAD_REQUEST, Bytes::new(), "application/json"));
    };
    let answer = server.answer(&body.to_bytes(), Some(mirrored(&parts.headers)));
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = response(status, answer.body, "application/json");
    if answer.begins_session {
        response.headers_mut().insert(SESSION, next_session());
    }
    Ok(response)
}

/// What `GET /plain` answers: about as many bytes as an echo.
const PLAIN: &[u8] = &[b'.'; 300];

fn response(status: StatusCode, body: Bytes, kind: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn mirrored(headers: &HeaderMap) -> Mirrored<'_> {
    let read = |name: HeaderName| headers.get(name).map(HeaderValue::as_bytes);
    Mirrored { version: read(VERSION), method: read(METHOD), name: read(NAME), session: read(SESSION) }
}

fn next_session() -> HeaderValue {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let session = format!("{SESSION_PREFIX}{}", NEXT.fetch_add(1, Ordering::Relaxed));
    HeaderValue::from_str(&session).unwrap_or(HeaderValue::from_static("bench-session-0"))
}
