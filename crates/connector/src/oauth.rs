//! Tokens that other systems give: how they are asked for, kept, and renewed.

use async_trait::async_trait;
use model::{Fault, Secret};

/// Where a connection's token comes from.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// The token in force. One that is near its end is renewed first.
    ///
    /// # Errors
    /// When there is none and none can be had: with a link where somebody has to give leave.
    async fn current(&self) -> Result<Secret, Fault>;

    /// Another token in the place of `spent`, which was refused. Nothing is asked for where another one has come
    /// in its place already.
    ///
    /// # Errors
    /// As [`Tokens::current`].
    async fn renew(&self, spent: &Secret) -> Result<Secret, Fault>;
}
