//! From a name to addresses, which have yet to be judged.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;

/// What a resolver is asked for.
pub type Lookup<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Looks names up. Where a route has none the system's resolver is used; tests hand in one that lies.
///
/// It decides nothing: every address that it gives is judged, and a judged address is dialled without asking it
/// a second time.
pub trait Resolver: Send + Sync {
    /// The addresses of `name`, in the order in which they are to be tried.
    fn look_up<'a>(&'a self, name: &'a str) -> Lookup<'a>;
}
