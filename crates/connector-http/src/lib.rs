//! The connector of HTTP APIs that the catalogue describes: what a manifest says becomes requests, and answers
//! become results. REST, GraphQL and XML over HTTP go the same way.
//!
//! Building a request ([`build`]), reading an answer ([`answer`]) and finding the next page ([`pages`]) are
//! functions of values. What sends is handed in ([`Sender`]), so that recorded exchanges are replayed through
//! the very code that speaks to the vendor ([`replay`]). Not its job: getting tokens (`connector::oauth`) or
//! deciding whether a call may happen (`call`). Start reading at [`run::run`].

mod answer;
mod authorize;
mod build;
mod flat;
mod http;
mod inventory;
mod job;
mod oauth;
mod pages;
mod rate;
pub mod replay;
mod run;
mod sigv4;

pub use authorize::{Authorizer, lacking};
pub use catalog::api::Grant;
pub use http::{HttpApi, Parts, Settings};
pub use inventory::inventory;
pub use oauth::provider_of;
pub use replay::{Proof, verify};

use async_trait::async_trait;
use bytes::Bytes;
use model::Fault;

/// A request as it goes out.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The method.
    pub method: String,
    /// Scheme and authority: `https://api.example.com`.
    pub origin: String,
    /// Path and query, encoded.
    pub path: String,
    /// Header lines; they may be secret.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Sending it twice does no harm.
    pub is_replayable: bool,
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// What carries requests: the network, or a recording.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Sends one request and waits for the whole answer. Redirects are answers like any other.
    ///
    /// # Errors
    /// When no answer came.
    async fn send(&self, request: &Outgoing) -> Result<Answer, Fault>;

    /// Lets time pass between two requests of one call.
    async fn rest(&self, time: std::time::Duration) {
        tokio::time::sleep(time).await;
    }
}

impl Answer {
    /// A header by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests;
