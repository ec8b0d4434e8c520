//! The `_meta` of a modern request (2026-07-28, basic): who speaks, which revision, what it can do.

use std::borrow::Cow;

use crate::object::{NotAnObject, Object};

pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
pub const PROGRESS_TOKEN: &str = "progressToken";

/// The members of `_meta` that the hub reads. All raw JSON but the two texts.
#[derive(Debug, Clone, Default)]
pub struct Meta<'a> {
    /// The whole object, for rewriting.
    pub raw: Option<&'a [u8]>,
    /// The key is there, whatever its value: the request claims to be modern.
    pub is_claim: bool,
    /// The revision that is claimed, when it is a string.
    pub protocol_version: Option<Cow<'a, str>>,
    /// Raw object; `None` when absent or no object.
    pub client_capabilities: Option<&'a [u8]>,
    /// Raw object.
    pub client_info: Option<&'a [u8]>,
    /// `debug`..`emergency`.
    pub log_level: Option<Cow<'a, str>>,
    /// Raw string or number.
    pub progress_token: Option<&'a [u8]>,
}

impl<'a> Meta<'a> {
    /// Reads `params._meta`.
    ///
    /// # Errors
    /// When `_meta` is there but no object, or repeats a key.
    pub fn of(params: &Object<'a>) -> Result<Self, NotAnObject> {
        let Some(raw) = params.get("_meta") else { return Ok(Self::default()) };
        let meta = Object::scan(raw)?;
        let object = |key| meta.get(key).filter(|value: &&[u8]| value.first() == Some(&b'{'));
        Ok(Self {
            raw: Some(raw),
            is_claim: meta.get(PROTOCOL_VERSION).is_some(),
            protocol_version: meta.get_str(PROTOCOL_VERSION),
            client_capabilities: object(CLIENT_CAPABILITIES),
            client_info: object(CLIENT_INFO),
            log_level: meta.get_str(LOG_LEVEL),
            progress_token: meta.get(PROGRESS_TOKEN),
        })
    }
}
