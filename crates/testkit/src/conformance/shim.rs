//! A loopback proxy that adds the hub's key and changes nothing else.
//! The suite has no way to send one. Host and Origin pass as they are: a scenario that sends foreign ones has to be
//! refused by the hub itself.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONNECTION, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::http::exchange;

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

/// A running shim; dropping it closes its listener.
pub struct Shim {
    /// `http://127.0.0.1:port`, without a path.
    pub url: String,
    accepting: JoinHandle<()>,
}

impl Shim {
    /// Listens on a free port and passes everything on to `authority` with the key.
    ///
    /// # Errors
    /// When no port can be had or the key cannot stand in a header.
    pub async fn start(authority: &str, key: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let key = HeaderValue::from_str(&format!("Bearer {key}"))?;
        let authority = authority.to_owned();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (authority, key) = (authority.clone(), key.clone());
                tokio::spawn(async move {
                    let handle = hyper::service::service_fn(move |request| {
                        let (authority, key) = (authority.clone(), key.clone());
                        async move { Ok::<_, Infallible>(pass(&authority, key, request).await) }
                    });
                    // A client that hangs up takes its exchange with the hub along.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), handle)
                        .await;
                });
            }
        });
        Ok(Self { url, accepting })
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(authority: &str, key: HeaderValue, mut request: Request<Incoming>) -> Answer {
    request.headers_mut().remove(CONNECTION);
    request.headers_mut().entry(AUTHORIZATION).or_insert(key);
    match exchange(authority, request).await {
        Ok(response) => {
            let (mut head, body) = response.into_parts();
            head.headers.remove(CONNECTION);
            Response::from_parts(head, body.boxed())
        }
        Err(error) => {
            let body = Full::new(Bytes::from(format!("the hub did not answer: {error:#}")));
            let mut response = Response::new(body.map_err(|never| match never {}).boxed());
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        }
    }
}
