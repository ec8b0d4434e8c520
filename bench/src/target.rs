//! What a client connects to: an address of one of the doors, or a program to talk to over its standard streams.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, bail};
use tokio::net::{TcpSocket, TcpStream};

/// Where a client's messages go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Streamable HTTP.
    Http { address: SocketAddr, path: String },
    /// Newline JSON; the path names the endpoint in the first line.
    Tcp { address: SocketAddr, path: String },
    /// WebSocket with the subprotocol `mcp`.
    WebSocket { address: SocketAddr, path: String },
    /// A program started per connection, newline JSON on its standard streams.
    Stdio { command: Vec<String>, environment: Vec<(String, String)> },
}

impl Target {
    /// Reads `http://127.0.0.1:80/mcp`, `tcp://...` or `ws://...`. Hosts are addresses: the bench resolves no names.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").with_context(|| format!("{url} has no scheme"))?;
        let (host, path) = rest.find('/').map_or((rest, "/mcp"), |at| rest.split_at(at));
        let host = host.replace("localhost", "127.0.0.1");
        let address = host.parse().with_context(|| format!("{host} is not an address with a port"))?;
        let path = path.to_owned();
        match scheme {
            "http" => Ok(Self::Http { address, path }),
            "tcp" => Ok(Self::Tcp { address, path }),
            "ws" => Ok(Self::WebSocket { address, path }),
            other => bail!("{other}:// is not one of http, tcp, ws"),
        }
    }
}

/// Opens a socket to `to`, from the loopback address `from` if given, with small messages sent at once.
pub(crate) async fn dial(to: SocketAddr, from: Option<IpAddr>) -> Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(from) = from {
        // Ports that still cool down after an earlier connection to another server may be taken again.
        socket.set_reuseaddr(true)?;
        socket
            .bind(SocketAddr::new(from, 0))
            .with_context(|| format!("cannot use the source address {from}"))?;
    }
    let stream = socket.connect(to).await.with_context(|| format!("cannot connect to {to}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_and_without_a_path() {
        let address = "127.0.0.1:4780".parse().unwrap();
        assert_eq!(
            Target::parse("http://127.0.0.1:4780/mcp/c/up").unwrap(),
            Target::Http { address, path: "/mcp/c/up".to_owned() }
        );
        assert_eq!(
            Target::parse("tcp://localhost:4780").unwrap(),
            Target::Tcp { address, path: "/mcp".to_owned() }
        );
        assert!(Target::parse("https://127.0.0.1:1/").is_err(), "TLS is not spoken here");
        assert!(Target::parse("127.0.0.1:1").is_err());
    }
}
