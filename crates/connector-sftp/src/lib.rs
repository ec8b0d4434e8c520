//! The connector of SFTP servers: files of one folder over SSH, to a host whose key was pinned.
//!
//! The socket is dialled by `outbound`, so that the egress guard judges it as any other; SSH runs over it. A
//! session is kept and shared, each call has a channel of its own while it runs. Nothing of the user is sent before
//! the host has shown the pinned key ([`pin`]). Not its job: deciding whether a call may happen (`call`), or where
//! keys are kept (`connector::Credentials`). Start reading at [`Sftp`].

mod files;
mod path;
pub mod pin;
mod session;
mod sftp;
mod tools;
mod trouble;

use std::collections::BTreeMap;

use model::{AuthMethod, Key, Secret};
use outbound::Route;
use serde_json::{Map, Value};

pub use sftp::{Sftp, check};

/// The port where an entry says none.
const PORT: u16 = 22;

/// What a connection says.
pub struct Settings {
    /// Its key.
    pub key: Key,
    /// What its user filled in: `host`, `port`, `user`, `root`, `allow_writes`, `host_key`.
    pub config: Map<String, Value>,
    /// How it proves itself: [`AuthMethod::SshKey`] or [`AuthMethod::Basic`].
    pub method: AuthMethod,
    /// Its secrets, by name: `private_key` and `passphrase`, or `password`.
    pub secrets: BTreeMap<String, Secret>,
    /// How long one step at the server may take, milliseconds.
    pub timeout_ms: u32,
    /// The largest answer, bytes.
    pub result_bytes_max: usize,
    /// A test has passed before; otherwise it is `testing` until one has.
    pub is_proven: bool,
    /// How it is reached.
    pub route: Route,
}

/// The same, read.
pub(crate) struct Plan {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) root: String,
    pub(crate) allow_writes: bool,
    pub(crate) pins: Vec<pin::Pin>,
}

/// A secret that is still to be stored before anything can be tried.
#[must_use]
pub fn lacking(settings: &Settings) -> Option<String> {
    let name = match settings.method {
        AuthMethod::SshKey => "private_key",
        AuthMethod::Basic => "password",
        _ => return Some("auth.type: is one of ssh_key, basic".to_owned()),
    };
    let is_there = settings.secrets.get(name).is_some_and(|secret| !secret.is_empty());
    (!is_there).then(|| format!("needs auth.credentials.{name}"))
}

#[cfg(test)]
mod tests;
