//! Listening sockets: one per worker thread on the same address, spread by the kernel.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use socket2::{Domain, Protocol, Socket, Type};

use crate::say::Quit;

/// Connections that may wait to be accepted, per socket.
const BACKLOG: i32 = 1024;

/// Listens `count` times on one address. The first socket is bound as if it were the only one, so that
/// an address that another program holds is an error; only then the address is shared among ours.
pub(crate) fn listen(address: SocketAddr, count: usize) -> Result<Vec<TcpListener>, Quit> {
    let failed = |error: std::io::Error| busy(&address.to_string(), &error);
    let first = socket(address).map_err(failed)?;
    first.bind(&address.into()).map_err(failed)?;
    first.set_reuse_port(true).map_err(failed)?;
    first.listen(BACKLOG).map_err(failed)?;
    let first: TcpListener = first.into();
    // Port 0 has become a real one.
    let address = first.local_addr().map_err(failed)?;
    let mut sockets = vec![first];
    for _ in 1..count {
        let next = socket(address).map_err(failed)?;
        next.set_reuse_port(true).map_err(failed)?;
        next.bind(&address.into()).map_err(failed)?;
        next.listen(BACKLOG).map_err(failed)?;
        sockets.push(next.into());
    }
    Ok(sockets)
}

/// Listens on a Unix socket that only its owner may open. A socket that a dead hub left behind is replaced.
pub(crate) fn listen_unix(path: &Path) -> Result<std::os::unix::net::UnixListener, Quit> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    let failed = |error: std::io::Error| busy(&path.display().to_string(), &error);
    if let Ok(meta) = std::fs::symlink_metadata(path) {
        // The data folder's lock is held: no other hub of this folder is alive behind it. Another
        // program's socket answers, and is left alone.
        let is_left_behind = meta.file_type().is_socket() && is_dead(path);
        if !is_left_behind {
            return Err(Quit::failed(format!(
                "{} is there already and in use, or is no socket",
                path.display()
            ))
            .with_hint("choose another path for `mcp.unix`, or remove it"));
        }
        std::fs::remove_file(path).map_err(failed)?;
    }
    let listener = std::os::unix::net::UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

fn socket(address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of the hub before this one may linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Whether nobody listens behind a socket any more.
fn is_dead(path: &Path) -> bool {
    let Ok(address) = socket2::SockAddr::unix(path) else { return false };
    let Ok(socket) = Socket::new(Domain::UNIX, Type::STREAM, None) else { return false };
    matches!(socket.connect(&address), Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused)
}

fn busy(place: &str, error: &std::io::Error) -> Quit {
    let hint = match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "another program listens there: stop it, or name another address with --listen"
        }
        std::io::ErrorKind::PermissionDenied => {
            "use a port above 1023, or give the program CAP_NET_BIND_SERVICE"
        }
        std::io::ErrorKind::AddrNotAvailable => "this machine has no such address: see `ip address`",
        _ => "check the address",
    };
    Quit::failed(format!("cannot listen on {place}: {error}")).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::{listen, listen_unix};

    #[test]
    fn ours_share_an_address_and_nobody_else_gets_it() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let ours = listen(any, 3).unwrap();
        let address = ours[0].local_addr().unwrap();
        assert!(ours.iter().all(|socket| socket.local_addr().unwrap() == address) && address.port() != 0);
        let refused = listen(address, 1).unwrap_err();
        assert!(refused.what.contains("cannot listen") && refused.hint.contains("--listen"), "{refused:?}");
        drop(ours);
        assert_eq!(listen(address, 2).unwrap().len(), 2);
    }

    #[test]
    fn a_socket_left_behind_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.sock");
        let living = listen_unix(&path).unwrap();
        assert!(listen_unix(&path).is_err());
        drop(living);
        assert!(listen_unix(&path).is_ok());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "mine").unwrap();
        assert!(listen_unix(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }
}
