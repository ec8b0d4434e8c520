//! MCP over bytes: newline-delimited JSON-RPC on a TCP address and a Unix socket. The door speaks; this
//! only accepts. The connections live on the control runtime: their pipes have one owner there.

use std::sync::Arc;
use std::time::Duration;

use mcp_door::{Door, LineAuth};
use tokio::net::{TcpListener, UnixListener};

use super::http::{Phase, Served, reached};

/// How long to wait when the system has no descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts on a TCP address until the hub stops.
pub(crate) async fn serve_tcp(listener: TcpListener, served: Served) {
    let mut phase = served.phase.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = reached(&mut phase, Phase::Draining) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                let (reader, writer) = stream.into_split();
                converse(&served, reader, writer);
            }
            Err(error) => pause(&error).await,
        }
    }
}

/// Accepts on a Unix socket until the hub stops.
pub(crate) async fn serve_unix(listener: UnixListener, served: Served) {
    let mut phase = served.phase.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = reached(&mut phase, Phase::Draining) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let (reader, writer) = stream.into_split();
                converse(&served, reader, writer);
            }
            Err(error) => pause(&error).await,
        }
    }
}

fn converse<R, W>(served: &Served, reader: R, writer: W)
where
    R: tokio::io::AsyncRead + Unpin + Send + 'static,
    W: tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    // A connection too many is closed at once: there is no line yet in which to say why.
    let Some(place) = served.places.take(served.limits.connections) else {
        return;
    };
    let door: Arc<Door> = Arc::clone(&served.faces.door);
    let mut phase = served.phase.clone();
    tokio::spawn(async move {
        let _place = place;
        tokio::select! {
            () = door.serve_lines(reader, writer, LineAuth::FirstLine) => {}
            () = reached(&mut phase, Phase::Over) => {}
        }
    });
}

async fn pause(error: &std::io::Error) {
    tracing::warn!(%error, "a connection was not accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
