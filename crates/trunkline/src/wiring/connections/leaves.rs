//! Tokens for MCP servers that sign in with OAuth, as MCP has it: the server is asked how, the hub becomes a
//! client at its authorization server, and somebody gives leave, or the hub signs in as itself.

use std::sync::Arc;

use async_trait::async_trait;
use connector::NewCredential;
use connector::oauth::{
    CLIENT_FIELD, Identity, Keeper, KeeperParts, Own, Registered, TOKENS_FIELD, TokenSet, Tokens, discover,
};
use mcp_upstream::Leave;
use model::id::UserId;
use model::{Code, Fault, Key, Secret};
use outbound::{EgressRule, Route};
use store::ConnectionRow;
use tokio::sync::OnceCell;

use super::Connections;
use crate::config::entry::{Delegation, McpEntry, Transport};

impl Connections {
    /// Where the tokens of an MCP server come from, where it signs in with them.
    pub(super) fn mcp_tokens(&self, key: &Key, mcp: &McpEntry, route: &Route) -> Option<Leave> {
        let delegation = mcp.delegation.as_ref()?;
        let tokens: Arc<dyn Tokens> = match (&delegation.row, &delegation.registered) {
            (None, _) => Arc::new(Machine {
                url: url_of(mcp).unwrap_or_default(),
                route: route.clone(),
                identity: identity_of(delegation, ""),
                key: key.clone(),
                parts: self.keeper_parts(None, None),
                keeper: OnceCell::new(),
            }),
            (Some(row), Some(registered)) => {
                let provider = registered.provider(key.as_str(), route.clone());
                let parts = self.keeper_parts(Some(row), delegation.user);
                Arc::new(Keeper::new(provider, Own::Leave, key.to_string(), parts))
            }
            (Some(_), None) => Arc::new(Wanting(key.clone())),
        };
        Some(Leave(tokens))
    }

    /// What asking for leave for an MCP server needs. With `is_fresh` the server is asked how it is signed in to,
    /// and the hub becomes a client where it is none yet.
    pub(super) async fn mcp_leave_of(
        &self,
        row: &ConnectionRow,
        mcp: &McpEntry,
        public_url: &str,
        is_fresh: bool,
    ) -> Result<api::Leave, Fault> {
        let delegation = mcp.delegation.as_ref().ok_or_else(|| {
            Fault::new(Code::BAD_ARGUMENTS, "it does not sign in with OAuth")
                .with_hint("make the connection with `--auth oauth`")
        })?;
        let url = url_of(mcp).ok_or_else(|| {
            Fault::new(
                Code::BAD_ARGUMENTS,
                "OAuth is for servers with a URL; programs take their secrets in `env`",
            )
        })?;
        let identity = identity_of(delegation, public_url);
        let registered = match (&delegation.registered, is_fresh) {
            (Some(registered), false) => {
                let wanted = self.wanted(row, delegation.user).await?;
                registered.clone().wanting(wanted.as_deref().unwrap_or_default())
            }
            _ => self.become_client(row, mcp, delegation, &url, &identity).await?,
        };
        let provider = registered.provider(row.key.as_str(), self.route_of(mcp)?);
        let parts = self.keeper_parts(Some(row), delegation.user);
        let has_device = provider.device_url.is_some();
        let has_browser = !provider.authorization_url.is_empty();
        let name = row.name.clone();
        let keeper = Arc::new(Keeper::new(provider, Own::Leave, row.key.to_string(), parts));
        Ok(api::Leave { name, keeper, has_browser, has_device })
    }

    /// How a server is reached, and whoever gives tokens for it.
    fn route_of(&self, mcp: &McpEntry) -> Result<Route, Fault> {
        let rule = EgressRule { private_allowed: mcp.private_allowed };
        Ok(mcp.egress.build(&self.egress(), rule, None)?)
    }

    async fn become_client(
        &self,
        row: &ConnectionRow,
        mcp: &McpEntry,
        delegation: &Delegation,
        url: &str,
        identity: &Identity,
    ) -> Result<Registered, Fault> {
        let route = self.route_of(mcp)?;
        let challenge = mcp_upstream::challenge_of(url, &route).await?.unwrap_or_default();
        let found = discover(url, &challenge, &route).await?;
        let before = delegation.registered.as_ref();
        let registered = match before.filter(|before| before.is_good_for(&found, identity)) {
            Some(before) => before.clone(),
            None => found.register(identity, &route).await?,
        };
        let credentials = self.stored.credentials();
        let wanted = self.wanted(row, delegation.user).await?;
        let registered =
            registered.wanting(&delegation.scopes).wanting(wanted.as_deref().unwrap_or_default());
        if before.is_some_and(|before| before.issuer != registered.issuer) {
            // Another authorization server: what the old one gave is nothing to the new one.
            credentials.remove(row, delegation.user, TOKENS_FIELD).await?;
        }
        let new = NewCredential {
            field: CLIENT_FIELD.to_owned(),
            user: None,
            value: registered.to_secret(),
            expires_at: None,
            overlap_ms: 0,
        };
        credentials.put(row, new).await?;
        Ok(registered)
    }

    /// Leave that was found to be wanting.
    async fn wanted(&self, row: &ConnectionRow, user: Option<UserId>) -> Result<Option<String>, Fault> {
        let open = self.stored.credentials().open_of(row, user).await?;
        Ok(open.get(TOKENS_FIELD).and_then(TokenSet::from_secret).and_then(|set| set.wanted))
    }
}

/// The server's URL, as HTTP has it.
fn url_of(mcp: &McpEntry) -> Option<String> {
    match &mcp.transport {
        Transport::Http(url) | Transport::Sse(url) => Some(url.clone()),
        Transport::WebSocket(url) => Some(url.replacen("ws", "http", 1)),
        Transport::Stdio { .. } | Transport::Tcp { .. } | Transport::Unix(_) => None,
    }
}

fn identity_of(delegation: &Delegation, public_url: &str) -> Identity {
    let public_url = public_url.trim_end_matches('/');
    Identity {
        client_id: delegation.client_id.clone(),
        client_secret: delegation.client_secret.clone(),
        // Others read it from outside: an address of this machine would be nobody's to them.
        document: public_url.starts_with("https://").then(|| format!("{public_url}/oauth/client.json")),
        redirect_uri: format!("{public_url}/oauth/callback"),
    }
}

/// A connection that nobody has given leave for.
struct Wanting(Key);

impl Wanting {
    fn fault(&self) -> Fault {
        Fault::new(
            Code::LEAVE_NEEDED,
            format!("`{}` needs somebody's leave: nobody has given it yet", self.0),
        )
        .with_hint(format!("`trunkline connection authorize {}` gives the link", self.0))
    }
}

#[async_trait]
impl Tokens for Wanting {
    async fn current(&self) -> Result<Secret, Fault> {
        Err(self.fault())
    }

    async fn wants(&self, _scope: &str) {}

    async fn renew(&self, _spent: &Secret) -> Result<Secret, Fault> {
        Err(self.fault())
    }
}

/// A hub that signs in as itself, with a client that somebody made for it: found out how when it is first needed.
struct Machine {
    url: String,
    route: Route,
    identity: Identity,
    key: Key,
    parts: KeeperParts,
    keeper: OnceCell<Keeper>,
}

impl Machine {
    async fn keeper(&self) -> Result<&Keeper, Fault> {
        self.keeper
            .get_or_try_init(|| async {
                let challenge = mcp_upstream::challenge_of(&self.url, &self.route).await?.unwrap_or_default();
                let found = discover(&self.url, &challenge, &self.route).await?;
                let client = found.register(&self.identity, &self.route).await?;
                let provider = client.provider(self.key.as_str(), self.route.clone());
                Ok(Keeper::new(provider, Own::Client, self.key.to_string(), self.parts.clone()))
            })
            .await
    }
}

#[async_trait]
impl Tokens for Machine {
    async fn current(&self) -> Result<Secret, Fault> {
        self.keeper().await?.current().await
    }

    async fn wants(&self, _scope: &str) {}

    async fn renew(&self, spent: &Secret) -> Result<Secret, Fault> {
        self.keeper().await?.renew(spent).await
    }
}
