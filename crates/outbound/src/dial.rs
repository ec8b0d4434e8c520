//! Opening client sockets, always through the egress guard: resolve, judge, connect to the judged address.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::host::{Host, read_authority};
use crate::proxy::beyond_this_machine;
use crate::target::Origin;
use crate::{Http2, OutboundError, Proxy, Route, Stream, tls};

/// Least time that one of several addresses gets before the next one is tried.
const ATTEMPT_MIN: Duration = Duration::from_secs(1);

/// Connects to `host:port` (IPv6 in brackets), guarded.
///
/// # Errors
/// Which step failed: the text, the guard, the name, the proxy, the socket, the time.
pub async fn dial_tcp(address: &str, route: &Route) -> Result<Stream, OutboundError> {
    // With a user name in it there may be a password as well.
    let shown = if address.contains('@') { ".." } else { address };
    let bad = |why: &str| OutboundError::BadUrl { url: shown.to_owned(), why: why.to_owned() };
    let (host, port) = read_authority(address).map_err(bad)?;
    let port = port.ok_or_else(|| bad("expected host:port"))?;
    within(&host.to_string(), route.times().connect, tcp(&host, port, route)).await
}

/// Connects to a Unix socket. Paths come from configuration only, so there is no guard to pass.
///
/// # Errors
/// When nobody listens there.
pub async fn dial_unix(path: &Path, timeout: Duration) -> Result<Stream, OutboundError> {
    let host = path.display().to_string();
    #[expect(clippy::disallowed_methods, reason = "this room is where client sockets open")]
    let connecting = UnixStream::connect(path);
    let connecting = async {
        connecting
            .await
            .map_err(|error| OutboundError::Connect { host: host.clone(), why: error.to_string() })
    };
    within(&host, timeout, connecting).await.map(Stream::Unix)
}

/// Connects to an origin, with TLS where its scheme says so; and whether HTTP/2 is to be spoken on it. It is offered
/// where the route has it and `may_share` says that the request can do with it.
pub(crate) async fn dial_origin(origin: &Origin, may_share: bool) -> Result<(Stream, bool), OutboundError> {
    let (route, host) = (&origin.route, &origin.host);
    let socket = within(host, route.times().connect, tcp(&origin.place, origin.port, route)).await?;
    let is_prior = may_share && route.http2() == Http2::Always;
    if !origin.is_tls {
        return Ok((socket, is_prior));
    }
    let failed =
        |(why, advice): (String, &'static str)| OutboundError::Tls { host: host.clone(), why, advice };
    let offers_two = may_share && route.http2() != Http2::Never;
    let name = server_name(&origin.place).map_err(failed)?;
    let connector = TlsConnector::from(route.tls(origin.is_stranger, offers_two)?);
    let shaking = async {
        match socket {
            Stream::Tcp(socket) => {
                shake(&connector, name, socket).await.map(|(tls, two)| (Stream::Tls(tls), two))
            }
            Stream::Tls(socket) => {
                shake(&connector, name, *socket).await.map(|(tls, two)| (Stream::Nested(tls), two))
            }
            other => Ok((other, false)),
        }
    };
    let limit = route.times().tls;
    let (stream, is_two) = tokio::time::timeout(limit, shaking)
        .await
        .map_err(|_| {
            let why = format!("no handshake within {} ms", limit.as_millis());
            failed((why, "check that the port speaks TLS and that nothing on the way holds it up"))
        })?
        .map_err(|error| failed(tls::explain(&error, origin.shows_certificate())))?;
    if is_prior && !is_two {
        return Err(failed(("the server does not speak HTTP/2".to_owned(), "write `http2: auto`")));
    }
    Ok((stream, is_two))
}

/// The handshake, and whether the server chose HTTP/2 in it.
async fn shake<S: AsyncRead + AsyncWrite + Unpin>(
    connector: &TlsConnector,
    name: ServerName<'static>,
    socket: S,
) -> std::io::Result<(Box<TlsStream<S>>, bool)> {
    let stream = connector.connect(name, socket).await?;
    let is_two = stream.get_ref().1.alpn_protocol() == Some(tls::H2);
    Ok((Box::new(stream), is_two))
}

/// What the server's certificate has to be for.
fn server_name(host: &Host) -> Result<ServerName<'static>, (String, &'static str)> {
    match host {
        Host::Address(address) => Ok(ServerName::from(*address)),
        Host::Local(name) | Host::Name(name) => ServerName::try_from(name.clone())
            .map_err(|error| (error.to_string(), "certificates cannot be for such a name")),
    }
}

async fn within<T>(
    host: &str,
    timeout: Duration,
    connecting: impl Future<Output = Result<T, OutboundError>>,
) -> Result<T, OutboundError> {
    tokio::time::timeout(timeout, connecting).await.unwrap_or_else(|_| {
        Err(OutboundError::Connect {
            host: host.to_owned(),
            why: format!("no connection within {} ms", timeout.as_millis()),
        })
    })
}

/// The one place where TCP sockets open. The name is looked up once; what is dialled is what was judged.
/// TLS only to a proxy that wants it.
async fn tcp(host: &Host, port: u16, route: &Route) -> Result<Stream, OutboundError> {
    let name = host.to_string();
    let judged = route.find(host, port, route.rule()).await?;
    match route.proxy(host) {
        None => connect(&name, &judged, route.times().connect).await.map(Stream::Tcp),
        Some(proxy) => through(proxy, &beyond_this_machine(&name, judged)?, route).await,
    }
}

/// A tunnel through the proxy to the first of the addresses that it can reach.
async fn through(proxy: &Proxy, judged: &[SocketAddr], route: &Route) -> Result<Stream, OutboundError> {
    let name = proxy.host.to_string();
    let of_proxy = route.find(&proxy.host, proxy.port, proxy.rule).await?;
    let mut last = None;
    for address in judged {
        let socket = connect(&name, &of_proxy, route.times().connect).await?;
        let mut socket =
            if proxy.is_tls { to_proxy(proxy, socket, route).await? } else { Stream::Tcp(socket) };
        match proxy.tunnel(&mut socket, *address).await {
            Ok(()) => return Ok(socket),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| no_address(&name)))
}

/// TLS with the proxy itself. It is trusted as targets are, and sees no client certificate.
async fn to_proxy(proxy: &Proxy, socket: TcpStream, route: &Route) -> Result<Stream, OutboundError> {
    let failed = |why: String| OutboundError::Proxy { proxy: proxy.host.to_string(), why };
    let name = server_name(&proxy.host).map_err(|(why, _)| failed(why))?;
    let connector = TlsConnector::from(route.tls(true, false)?);
    match connector.connect(name, socket).await {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err(error) => Err(failed(format!("TLS with it failed: {}", tls::explain(&error, false).0))),
    }
}

/// Connects to the first address that answers. Each gets a share of the time, so that a silent one does not keep
/// the others from being tried.
async fn connect(host: &str, judged: &[SocketAddr], timeout: Duration) -> Result<TcpStream, OutboundError> {
    let count = u32::try_from(judged.len()).unwrap_or(u32::MAX).max(1);
    let share = (timeout / count).max(ATTEMPT_MIN);
    let mut last = None;
    for address in judged {
        #[expect(
            clippy::disallowed_methods,
            reason = "this room is where client sockets open, after the guard"
        )]
        let connecting = TcpStream::connect(*address);
        let why = match tokio::time::timeout(share, connecting).await {
            Ok(Ok(socket)) => {
                // Small requests must not wait for the previous one's acknowledgement.
                let _ = socket.set_nodelay(true);
                return Ok(socket);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no connection within {} ms", share.as_millis()),
        };
        last = Some(OutboundError::Connect { host: host.to_owned(), why: format!("{why} (at {address})") });
    }
    Err(last.unwrap_or_else(|| no_address(host)))
}

fn no_address(host: &str) -> OutboundError {
    OutboundError::Connect { host: host.to_owned(), why: "no address".to_owned() }
}
