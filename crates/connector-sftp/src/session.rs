//! One SSH session: dialled, the host's key held against the pins, signed in, and its channels for files.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{AuthMethod, Code, Fault};
use outbound::dial_tcp;
use russh::client::{self, Handle};
use russh::keys::PublicKeyOrCertificate;
use russh::keys::ssh_key::{Algorithm, HashAlg, PublicKey};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, decode_secret_key};
use russh::{Disconnect, Preferred};
use russh_sftp::client::RawSftpSession;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::files::kind;
use crate::path::real;
use crate::pin::{Pin, fingerprint};
use crate::trouble::Trouble;
use crate::{Plan, Settings};

/// How many channels a session has at once. OpenSSH allows ten unless told otherwise.
const CHANNELS_MAX: usize = 8;
/// A host that says nothing for so long is asked for a sign of life.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// How long a session in doubt has for a sign of life.
const PING: Duration = Duration::from_secs(1);
/// How long finding out which signatures the host takes may last.
const RSA_WAIT: Duration = Duration::from_secs(1);

/// See the head of the file.
pub(crate) struct Session {
    handle: Handle<Witness>,
    /// The folder, as the server spells it.
    pub(crate) root: String,
    idle: Mutex<Vec<Pipe>>,
    places: Arc<Semaphore>,
    step_s: u64,
    /// A call on it was given up: it may hang.
    doubted: AtomicBool,
    used: Mutex<Instant>,
}

/// One channel with the SFTP subsystem on it.
pub(crate) struct Pipe {
    pub(crate) sftp: Arc<RawSftpSession>,
    /// `fsync@openssh.com`
    pub(crate) has_fsync: bool,
    /// `posix-rename@openssh.com`
    pub(crate) has_posix_rename: bool,
}

/// A channel while a call has it. Dropped without [`Lease::give_back`] it is closed, and with it what the
/// server held open for the call.
pub(crate) struct Lease {
    pipe: Option<Pipe>,
    session: Arc<Session>,
    _place: OwnedSemaphorePermit,
}

/// Sees the host's key.
pub(crate) struct Witness {
    pins: Vec<Pin>,
    shown: Arc<Mutex<Option<PublicKey>>>,
}

impl client::Handler for Witness {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.clone());
        Ok(self.pins.iter().any(|pin| pin.fits(key)))
    }
}

/// What a session starts with.
pub(crate) struct Start<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) plan: &'a Plan,
    /// `None` for a password.
    pub(crate) key: Option<&'a Arc<PrivateKey>>,
}

/// Reads the private key, with its passphrase where it has one. Its errors quote nothing of it.
///
/// # Errors
/// Why it is of no use.
pub(crate) fn private_key(settings: &Settings) -> Result<Option<Arc<PrivateKey>>, Fault> {
    if settings.method != AuthMethod::SshKey {
        return Ok(None);
    }
    let Some(text) = settings.secrets.get("private_key") else { return Ok(None) };
    let passphrase = settings.secrets.get("passphrase").filter(|secret| !secret.is_empty());
    let key = decode_secret_key(text.expose(), passphrase.map(model::Secret::expose)).map_err(|error| {
        let (what, hint) = match (error, passphrase) {
            (russh::keys::Error::KeyIsEncrypted, None) => {
                ("is encrypted", "store auth.credentials.passphrase as well")
            }
            (_, Some(_)) => (
                "cannot be read with the passphrase",
                "check auth.credentials.passphrase; `ssh-keygen -y -f FILE` tries it out",
            ),
            _ => ("cannot be read", "the whole file as ssh-keygen wrote it, from -----BEGIN to END-----"),
        };
        Fault::new(Code::MISCONFIGURED, format!("auth.credentials.private_key: {what}")).with_hint(hint)
    })?;
    if matches!(key.algorithm(), Algorithm::Dsa) || matches!(key.algorithm(), Algorithm::Other(_)) {
        let what = "auth.credentials.private_key: is of a kind that is not taken";
        return Err(Fault::new(Code::MISCONFIGURED, what).with_hint("ed25519, ecdsa or rsa"));
    }
    Ok(Some(Arc::new(key)))
}

fn all_kinds() -> [Algorithm; 6] {
    use russh::keys::ssh_key::EcdsaCurve::{NistP256, NistP384, NistP521};
    [
        Algorithm::Ed25519,
        Algorithm::Ecdsa { curve: NistP256 },
        Algorithm::Ecdsa { curve: NistP384 },
        Algorithm::Ecdsa { curve: NistP521 },
        Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
        Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
    ]
}

/// Kinds of host keys, the pinned ones first; never RSA with SHA-1.
fn host_key_kinds(pins: &[Pin]) -> Vec<Algorithm> {
    let mut kinds = all_kinds().to_vec();
    let is_rsa = |kind: &Algorithm| matches!(kind, Algorithm::Rsa { .. });
    let pinned = |kind: &Algorithm| {
        let all = pins.iter().filter_map(Pin::algorithm);
        all.into_iter().any(|one| one == *kind || (is_rsa(&one) && is_rsa(kind)))
    };
    kinds.sort_by_key(|kind| !pinned(kind));
    kinds
}

// === impl Session ===

impl Session {
    /// Dials, looks at the host's key, signs in, opens the folder.
    ///
    /// # Errors
    /// Which of these failed, and what to do.
    pub(crate) async fn open(start: Start<'_>) -> Result<Arc<Self>, Fault> {
        let Start { settings, plan, .. } = start;
        let wait = Duration::from_millis(settings.timeout_ms.into());
        let place = authority(plan);
        let stream = dial_tcp(&place, &settings.route).await?;
        let opening = Self::over(stream, start);
        tokio::time::timeout(wait, opening).await.unwrap_or_else(|_| {
            Err(Fault::new(
                Code::TIMEOUT,
                format!("SSH with `{place}`: no session within {} ms", wait.as_millis()),
            )
            .with_hint("is it an SSH server, and does it answer? The connection's `timeout` is the limit"))
        })
    }

    async fn over(stream: outbound::Stream, start: Start<'_>) -> Result<Arc<Self>, Fault> {
        let Start { settings, plan, key } = start;
        let place = authority(plan);
        let config = client::Config {
            preferred: Preferred { key: Cow::Owned(host_key_kinds(&plan.pins)), ..Preferred::DEFAULT },
            keepalive_interval: Some(KEEPALIVE),
            keepalive_max: 2,
            ..client::Config::default()
        };
        let shown = Arc::new(Mutex::new(None));
        let witness = Witness { pins: plan.pins.clone(), shown: Arc::clone(&shown) };
        let mut handle = match client::connect_stream(Arc::new(config), stream, witness).await {
            Ok(handle) => handle,
            Err(error) => {
                let shown = shown.lock().unwrap_or_else(PoisonError::into_inner).take();
                return Err(unmet(&place, plan, shown.as_ref(), &error));
            }
        };
        sign_in(&mut handle, settings, plan, key).await?;
        let mut session = Self {
            handle,
            root: String::new(),
            idle: Mutex::new(Vec::new()),
            places: Arc::new(Semaphore::new(CHANNELS_MAX)),
            step_s: u64::from(settings.timeout_ms).div_ceil(1_000).max(1),
            doubted: AtomicBool::new(false),
            used: Mutex::new(Instant::now()),
        };
        let pipe = session.pipe().await.map_err(|trouble| {
            let what = trouble.fault(&place, false).detail;
            Fault::new(
                Code::BAD_ANSWER,
                format!("`{place}` lets `{}` in, but gives no SFTP: {what}", plan.user),
            )
            .with_hint("the server needs the sftp subsystem, and the user has to be allowed to use it")
        })?;
        session.root = folder(&pipe.sftp, plan).await.map_err(|trouble| match trouble {
            Trouble::Refused(fault) => fault,
            trouble => {
                let what = trouble.fault(&place, false).detail;
                Fault::new(Code::MISCONFIGURED, format!("connection_config.root: `{}`: {what}", plan.root))
                    .with_hint("an existing folder that the user may read")
            }
        })?;
        session.idle.lock().unwrap_or_else(PoisonError::into_inner).push(pipe);
        Ok(Arc::new(session))
    }

    /// Whether it can still be used. One in doubt is asked for a sign of life.
    pub(crate) async fn is_alive(&self) -> bool {
        if self.handle.is_closed() {
            return false;
        }
        if !self.doubted.load(Ordering::Acquire) {
            return true;
        }
        let answered = matches!(tokio::time::timeout(PING, self.handle.send_ping()).await, Ok(Ok(())));
        let is_alive = answered && !self.handle.is_closed();
        if is_alive {
            self.doubted.store(false, Ordering::Release);
        }
        is_alive
    }

    /// When it was last used.
    pub(crate) fn used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call has one of its channels.
    pub(crate) fn is_busy(&self) -> bool {
        self.places.available_permits() < CHANNELS_MAX
    }

    /// A channel: one that is free, or a new one.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn lease(self: &Arc<Self>) -> Result<Lease, Trouble> {
        let place = Arc::clone(&self.places);
        let place = place.acquire_owned().await.map_err(|_| Trouble::Lost("it was closed".to_owned()))?;
        let mut lease = Lease { pipe: None, session: Arc::clone(self), _place: place };
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        lease.pipe = Some(match idle {
            Some(pipe) => pipe,
            None => self.pipe().await?,
        });
        Ok(lease)
    }

    async fn pipe(&self) -> Result<Pipe, Trouble> {
        let lost = |error: russh::Error| Trouble::Lost(error.to_string());
        let channel = self.handle.channel_open_session().await.map_err(lost)?;
        channel.request_subsystem(true, "sftp").await.map_err(lost)?;
        let config = russh_sftp::client::Config {
            request_timeout_secs: self.step_s,
            ..russh_sftp::client::Config::default()
        };
        let sftp = RawSftpSession::new_with_config(channel.into_stream(), config);
        let version = sftp.init().await?;
        let has = |name: &str| version.extensions.contains_key(name);
        Ok(Pipe {
            has_fsync: has("fsync@openssh.com"),
            has_posix_rename: has("posix-rename@openssh.com"),
            sftp: Arc::new(sftp),
        })
    }

    /// Says goodbye.
    pub(crate) async fn close(&self) {
        self.places.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let parting = self.handle.disconnect(Disconnect::ByApplication, "", "en");
        let _ = tokio::time::timeout(PING, parting).await;
    }
}

async fn folder(sftp: &RawSftpSession, plan: &Plan) -> Result<String, Trouble> {
    let root = real(sftp, &plan.root).await?;
    if kind(&sftp.stat(root.as_str()).await?.attrs) != "folder" {
        return Err(Trouble::Refused(Fault::new(
            Code::MISCONFIGURED,
            format!("connection_config.root: `{}` is no folder", plan.root),
        )));
    }
    Ok(root)
}

/// `host:port`, IPv6 in brackets.
pub(crate) fn authority(plan: &Plan) -> String {
    let host = plan.host.as_str();
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{}", plan.port)
    } else {
        format!("{host}:{}", plan.port)
    }
}

/// Why there is no session: the host's key, or what came before it.
fn unmet(place: &str, plan: &Plan, shown: Option<&PublicKey>, error: &russh::Error) -> Fault {
    let Some(key) = shown.filter(|_| matches!(error, russh::Error::UnknownKey)) else {
        return Fault::new(Code::BAD_ANSWER, format!("SSH with `{place}`: no handshake: {error}"))
            .with_hint("is it an SSH server, and are its algorithms of this decade?");
    };
    let print = fingerprint(key);
    let kind = key.algorithm();
    if plan.pins.is_empty() {
        let what = format!(
            "host key: `{place}` showed {print} ({kind}), and no host key is pinned; nothing was sent to it"
        );
        return Fault::new(Code::MISCONFIGURED, what).with_hint(format!(
            "compare it with `ssh-keygen -lf /etc/ssh/ssh_host_{}_key.pub` on the server; if it is the same, set \
             connection_config.host_key to {print}",
            short(&kind)
        ));
    }
    let what = format!(
        "host key: `{place}` showed {print} ({kind}), which is not the pinned one; nothing was sent to it"
    );
    Fault::new(Code::UPSTREAM_REFUSED, what).with_hint(
        "another machine may answer in its place. Only if its keeper says that the key was changed: compare it \
         there, and set connection_config.host_key",
    )
}

fn short(kind: &Algorithm) -> &'static str {
    match kind {
        Algorithm::Rsa { .. } => "rsa",
        Algorithm::Ecdsa { .. } => "ecdsa",
        _ => "ed25519",
    }
}

async fn sign_in(
    handle: &mut Handle<Witness>,
    settings: &Settings,
    plan: &Plan,
    key: Option<&Arc<PrivateKey>>,
) -> Result<(), Fault> {
    let place = authority(plan);
    let broke = |error: russh::Error| {
        Fault::new(Code::UPSTREAM_REFUSED, format!("authentication: `{place}` broke off: {error}"))
            .with_hint("the server's log says why; too many attempts are one reason")
    };
    let result = match key {
        Some(key) => {
            let hash = if matches!(key.algorithm(), Algorithm::Rsa { .. }) {
                let asked = tokio::time::timeout(RSA_WAIT, handle.best_supported_rsa_hash()).await;
                // SHA-1 is what `Some(None)` would mean; it is not used.
                asked.ok().and_then(Result::ok).flatten().flatten().or(Some(HashAlg::Sha512))
            } else {
                None
            };
            let key = PrivateKeyWithHashAlg::new(Arc::clone(key), hash);
            handle.authenticate_publickey(plan.user.as_str(), key).await.map_err(broke)?
        }
        None => {
            let password = settings.secrets.get("password").map(model::Secret::expose).unwrap_or_default();
            handle.authenticate_password(plan.user.as_str(), password).await.map_err(broke)?
        }
    };
    if result.success() {
        return Ok(());
    }
    let client::AuthResult::Failure { remaining_methods, partial_success } = result else { return Ok(()) };
    let ways: Vec<String> = remaining_methods.iter().map(|way| <&str>::from(way).to_owned()).collect();
    let what = if partial_success {
        format!("authentication: `{place}` wants more than one proof of `{}`", plan.user)
    } else {
        format!("authentication: `{place}` did not accept the credential of `{}`", plan.user)
    };
    let hint = match key {
        Some(key) => format!(
            "the user's authorized_keys needs {} {}",
            short(&key.algorithm()),
            fingerprint(key.public_key())
        ),
        None => "check connection_config.user and auth.credentials.password".to_owned(),
    };
    let taken =
        if ways.is_empty() { String::new() } else { format!("; the server takes {}", ways.join(", ")) };
    Err(Fault::new(Code::UPSTREAM_REFUSED, what).with_hint(format!("{hint}{taken}")))
}

// === impl Lease ===

impl Lease {
    /// The channel.
    pub(crate) fn pipe(&self) -> Result<&Pipe, Trouble> {
        self.pipe.as_ref().ok_or_else(|| Trouble::Lost("the channel was given back".to_owned()))
    }

    /// The folder.
    pub(crate) fn root(&self) -> &str {
        &self.session.root
    }

    /// The call is over, and the server has nothing open for it.
    pub(crate) fn give_back(mut self) {
        if let Some(pipe) = self.pipe.take() {
            *self.session.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            self.session.idle.lock().unwrap_or_else(PoisonError::into_inner).push(pipe);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.pipe.take().is_some() {
            self.session.doubted.store(true, Ordering::Release);
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // The subsystem ends with its input, and lets go of its handles.
        let _ = self.sftp.close_session();
    }
}
