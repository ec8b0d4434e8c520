//! Tokens that other systems give (OAuth 2.0, RFC 6749): how they are asked for, kept, and renewed.
//!
//! [`Provider`] speaks to a token endpoint, [`Keeper`] keeps one connection's token in force. Not its job:
//! pages in a browser (`api`), or where a token goes in a request (the connector).

mod discovery;
mod keeper;
mod pkce;
mod provider;
mod token;

use async_trait::async_trait;
use model::{Fault, Secret};

pub use discovery::{CLIENT_FIELD, Challenge, Found, Identity, Registered, client_document, discover};
pub use keeper::{Assert, Keeper, KeeperParts, Own, TOKENS_FIELD};
pub use pkce::Pkce;
pub use provider::{Ask, ClientProof, DeviceCode, Provider, Refusal, ResponsePaths, Signer};
pub use token::TokenSet;

/// Where a connection's token comes from.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// The token in force. One that is near its end is renewed first.
    ///
    /// # Errors
    /// When there is none and none can be had: with a link where somebody has to give leave.
    async fn current(&self) -> Result<Secret, Fault>;

    /// Leave for `scope` too is wanted by the server: it is asked for the next time.
    async fn wants(&self, scope: &str);

    /// Another token in the place of `spent`, which was refused. Nothing is asked for where another one has come
    /// in its place already.
    ///
    /// # Errors
    /// As [`Tokens::current`].
    async fn renew(&self, spent: &Secret) -> Result<Secret, Fault>;
}
