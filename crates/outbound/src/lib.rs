//! Every byte that leaves on a client socket: the egress guard, a lean HTTP/1.1 client and an HTTP/2 client with one
//! pool per core, TLS, and the raw dials (TCP, Unix, WebSocket) for protocols that speak for themselves.
//!
//! Not its job: retrying by meaning, authentication, what the bytes say. Redirects are followed only by
//! [`Client::send_following`], for callers that ask for it.
//! No other room opens client sockets. Start reading at [`Route`], [`Client::send`], then [`egress`].

pub mod client;
pub mod dial;
pub mod egress;
pub mod error;
pub mod head;
mod host;
mod http1;
mod http2;
pub mod nameservers;
mod network;
mod pool;
pub mod proxy;
pub mod redirect;
pub mod resolver;
pub mod response;
pub mod route;
pub mod stream;
pub mod target;
mod tls;
pub mod websocket;

pub use client::{Client, Outgoing};
pub use dial::{dial_tcp, dial_unix};
pub use egress::{EgressRule, Reach};
pub use error::OutboundError;
pub use head::Head;
pub use nameservers::NameServers;
pub use network::Network;
pub use proxy::{Bypass, Proxy};
pub use redirect::Followed;
pub use resolver::{Lookup, Resolver};
pub use response::{Body, Headers, Response};
pub use route::{Http2, Route, RouteBuilder, Times};
pub use stream::Stream;
pub use target::Target;
pub use websocket::{WsReader, WsWriter, dial_websocket};
