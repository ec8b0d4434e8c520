//! One request on its way to a server, whatever it travels on.

use bytes::Bytes;
use connector::Ctx;
use tokio::time::Instant;

/// A request. `ctx` is `None` for the hub's own.
#[derive(Clone)]
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    /// Name, URI or task id, for the header that repeats it.
    pub(crate) target: &'a str,
    /// Raw `params`, ready for the server's era.
    pub(crate) params: Bytes,
    pub(crate) ctx: Option<&'a Ctx>,
    /// The token the client wants to hear of progress under.
    pub(crate) client_token: Option<Bytes>,
    pub(crate) deadline: Instant,
    pub(crate) is_replayable: bool,
}

impl Ask<'_> {
    /// A request of the hub's own.
    pub(crate) const fn own(method: &str, params: Bytes, deadline: Instant) -> Ask<'_> {
        Ask { method, target: "", params, ctx: None, client_token: None, deadline, is_replayable: true }
    }
}
