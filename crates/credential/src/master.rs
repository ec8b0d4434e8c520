//! The master key: where it comes from, what a good one looks like, and the keys derived from it.
//!
//! Every other key of the hub is HKDF-SHA256 (RFC 5869) of this one, separated by a label. Losing it
//! loses every sealed value and every API key, so a wrong one is refused rather than replaced.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;

use aws_lc_rs::hkdf;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use model::{Blame, Code, Entropy, Fault, Secret};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::digest::KeyDigester;

/// Name of the generated key file in the data folder.
pub const KEY_FILE: &str = "master.key";

const KEY_BYTES: usize = 32;
/// A key file holds one line; anything longer is some other file.
const KEY_FILE_BYTES_MAX: u64 = 4096;
/// 32 random bytes have fewer than 16 different values once in 10^15 keys; typed ones usually do.
const DIFFERENT_BYTES_MIN: usize = 16;

/// What stands in front of the pepper of API keys that a rotated key has with it.
const PEPPER_MARK: &str = "pepper:";

/// 32 secret bytes, wiped on drop. Neither they nor anything derived can be printed.
pub struct MasterKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    /// What API keys are digested under, where that is an earlier master key's.
    pepper: Option<Zeroizing<[u8; KEY_BYTES]>>,
}

/// Runs a program and returns its standard output; handed in, because only `process` starts programs.
pub type RunCommand<'a> =
    &'a (dyn Fn(Vec<String>) -> Pin<Box<dyn Future<Output = Result<Secret, String>> + Send>> + Send + Sync);

/// Where to look, in this order: file, text, command, the data folder's own key file.
#[derive(Default)]
pub struct MasterKeySources<'a> {
    /// `TRUNKLINE_MASTER_KEY_FILE`.
    pub file: Option<PathBuf>,
    /// `TRUNKLINE_MASTER_KEY`.
    pub text: Option<Secret>,
    /// A program (and its arguments) that prints the key, with what runs it.
    pub command: Option<(Vec<String>, RunCommand<'a>)>,
    /// The data folder, which may hold [`KEY_FILE`]. `None` where the embedded default is not used.
    pub data_folder: Option<PathBuf>,
    /// Whether a missing [`KEY_FILE`] is made: only on the very first start, before anything is stored.
    pub may_make: bool,
}

/// Which source gave the key, to be said on start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasterKeyOrigin {
    /// The file that the environment names.
    File(PathBuf),
    /// The environment itself.
    Environment,
    /// The command.
    Command,
    /// The data folder's key file, made earlier.
    DataFolder(PathBuf),
    /// The data folder's key file, made just now.
    Made(PathBuf),
}

/// Why there is no usable master key. Says nothing of the key's text.
#[derive(Debug, Error)]
pub enum MasterKeyError {
    /// No source is configured and none may be made.
    #[error("there is no master key")]
    Missing,
    /// A key file cannot be read.
    #[error("the master key file {} cannot be read", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others on the machine may read the key file.
    #[error("the master key file {} has mode {mode:04o}: others may read it", path.display())]
    TooOpen {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not 32 bytes in a known spelling.
    #[error("the master key from {origin} is not 32 bytes as 64 hexadecimal digits or as base64")]
    Malformed {
        /// Which source.
        origin: String,
    },
    /// 32 bytes, but not random ones.
    #[error("the master key from {origin} is too regular to be random")]
    Weak {
        /// Which source.
        origin: String,
    },
    /// The command failed.
    #[error("the master key command failed: {detail}")]
    Command {
        /// What the runner said.
        detail: String,
    },
    /// The generated key file cannot be written.
    #[error("the master key file {} cannot be made", path.display())]
    CannotMake {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

// === impl MasterKey ===

impl MasterKey {
    /// Takes the key from the first source that is set; a source that is set but bad is an error, never
    /// a reason to try the next one.
    ///
    /// # Errors
    /// [`MasterKeyError`]: missing, unreadable, readable by others, malformed, weak.
    pub async fn load(
        sources: MasterKeySources<'_>,
        entropy: &dyn Entropy,
    ) -> Result<(Self, MasterKeyOrigin), MasterKeyError> {
        if let Some(path) = sources.file {
            return Ok((Self::read(&path)?, MasterKeyOrigin::File(path)));
        }
        if let Some(text) = sources.text {
            return Ok((Self::parse(text.expose(), "TRUNKLINE_MASTER_KEY")?, MasterKeyOrigin::Environment));
        }
        if let Some((argv, run)) = sources.command {
            let text = run(argv).await.map_err(|detail| MasterKeyError::Command { detail })?;
            return Ok((Self::parse(text.expose(), "the master key command")?, MasterKeyOrigin::Command));
        }
        let Some(path) = sources.data_folder.map(|folder| folder.join(KEY_FILE)) else {
            return Err(MasterKeyError::Missing);
        };
        // A link that leads nowhere counts as present: making a key there would split the store in two.
        if path.symlink_metadata().is_ok() {
            return Ok((Self::read(&path)?, MasterKeyOrigin::DataFolder(path)));
        }
        if !sources.may_make {
            return Err(MasterKeyError::Missing);
        }
        Ok((Self::make(&path, entropy)?, MasterKeyOrigin::Made(path)))
    }

    /// Reads a key as people hand it over: 64 hexadecimal digits, or base64 (either alphabet, padded or
    /// not), with white space around it. `origin` names the source in errors.
    ///
    /// # Errors
    /// [`MasterKeyError::Malformed`], [`MasterKeyError::Weak`].
    pub fn parse(text: &str, origin: &str) -> Result<Self, MasterKeyError> {
        let malformed = || MasterKeyError::Malformed { origin: origin.to_owned() };
        let text = text.trim();
        let (text, pepper) = match text.split_once(char::is_whitespace) {
            Some((key, rest)) if rest.trim_start().starts_with(PEPPER_MARK) => {
                let digits = rest.trim().strip_prefix(PEPPER_MARK).unwrap_or_default();
                let is_whole = digits.len() == 2 * KEY_BYTES;
                (key, Some(decode_hex(digits).filter(|_| is_whole).ok_or_else(malformed)?))
            }
            _ => (text, None),
        };
        let bytes = if text.len() == 2 * KEY_BYTES {
            decode_hex(text).ok_or_else(malformed)?
        } else {
            let bare = text.trim_end_matches('=');
            let decoded = STANDARD_NO_PAD.decode(bare).or_else(|_| URL_SAFE_NO_PAD.decode(bare));
            let decoded = Zeroizing::new(decoded.map_err(|_| malformed())?);
            Zeroizing::new(<[u8; KEY_BYTES]>::try_from(decoded.as_slice()).map_err(|_| malformed())?)
        };
        let mut seen = [false; 256];
        for byte in bytes.iter() {
            if let Some(slot) = seen.get_mut(usize::from(*byte)) {
                *slot = true;
            }
        }
        if seen.iter().filter(|is_seen| **is_seen).count() < DIFFERENT_BYTES_MIN {
            return Err(MasterKeyError::Weak { origin: origin.to_owned() });
        }
        Ok(Self { bytes, pepper })
    }

    /// What turns API keys into stored digests.
    #[must_use]
    pub fn key_digester(&self) -> KeyDigester {
        KeyDigester::new(&self.pepper())
    }

    fn pepper(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        self.pepper.clone().unwrap_or_else(|| self.derive("api key pepper", ""))
    }

    /// Reads the key in a file, which only its owner may read.
    ///
    /// # Errors
    /// [`MasterKeyError`]: unreadable, readable by others, malformed, weak.
    pub fn from_file(path: &Path) -> Result<Self, MasterKeyError> {
        Self::read(path)
    }

    /// Makes a key in a file that is not there yet, for its owner only.
    ///
    /// # Errors
    /// [`MasterKeyError::CannotMake`].
    pub fn make_file(path: &Path, entropy: &dyn Entropy) -> Result<Self, MasterKeyError> {
        Self::make(path, entropy)
    }

    /// The same key with the pepper of `old` beside it: API keys that were made under `old` stay good.
    #[must_use]
    pub fn with_pepper_of(&self, old: &Self) -> Self {
        Self { bytes: self.bytes.clone(), pepper: Some(old.pepper()) }
    }

    /// Writes the key (and its pepper, where it has one) in the place of a file, whole or not at all.
    ///
    /// # Errors
    /// [`MasterKeyError::CannotMake`].
    pub fn write(&self, path: &Path) -> Result<(), MasterKeyError> {
        let mut text = Zeroizing::new(String::with_capacity(256));
        push_hex(&mut text, self.bytes.as_slice());
        text.push('\n');
        if let Some(pepper) = &self.pepper {
            text.push_str(PEPPER_MARK);
            push_hex(&mut text, pepper.as_slice());
            text.push('\n');
        }
        write_private(path, text.as_bytes())
            .map_err(|source| MasterKeyError::CannotMake { path: path.to_owned(), source })
    }

    /// A derived key: HKDF-SHA256 with `label` and `detail` as separate info parts.
    pub(crate) fn derive(&self, label: &str, detail: &str) -> Zeroizing<[u8; 32]> {
        let mut out = Zeroizing::new([0; 32]);
        let key = hkdf::Salt::new(hkdf::HKDF_SHA256, b"trunkline").extract(self.bytes.as_slice());
        // Neither step can fail for 32 bytes; were it to, the zeros would be a known key, so we end.
        let filled = key
            .expand(&[label.as_bytes(), b"\0", detail.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(out.as_mut_slice()));
        if filled.is_err() {
            std::process::abort();
        }
        out
    }

    fn read(path: &Path) -> Result<Self, MasterKeyError> {
        let unreadable = |source| MasterKeyError::Unreadable { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        // The open file is asked, not the path: nobody can swap it in between.
        let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(MasterKeyError::TooOpen { path: path.to_owned(), mode });
        }
        let mut text = Zeroizing::new(String::with_capacity(128));
        file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
        Self::parse(&text, &path.display().to_string())
    }

    fn make(path: &Path, entropy: &dyn Entropy) -> Result<Self, MasterKeyError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        entropy.fill(bytes.as_mut_slice());
        let key = Self { bytes, pepper: None };
        key.write(path)?;
        Ok(key)
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(****)")
    }
}

// === impl MasterKeyError ===

impl MasterKeyError {
    /// The same fact for every face.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let hint = match self {
            Self::Missing => {
                "set TRUNKLINE_MASTER_KEY_FILE to the file with the key that this hub was first started with"
                    .to_owned()
            }
            Self::Unreadable { path, .. } => {
                format!("make {} a regular file that the hub's user may read", path.display())
            }
            Self::TooOpen { path, .. } => format!("chmod 600 {}", path.display()),
            Self::Malformed { .. } | Self::Weak { .. } => "make one with `openssl rand -hex 32`".to_owned(),
            Self::Command { .. } => {
                "run the command by hand; it must print the key and nothing else".to_owned()
            }
            Self::CannotMake { path, .. } => {
                format!("let the hub's user write to {}", path.parent().unwrap_or(path).display())
            }
        };
        let source = std::error::Error::source(self).map(|s| format!(": {s}")).unwrap_or_default();
        Fault::new(Code::MISCONFIGURED, format!("{self}{source}")).with_blame(Blame::Operator).with_hint(hint)
    }
}

/// Written beside and renamed: a crash leaves either no key file or a whole one.
fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("key.new");
    // Left over from a crash; nothing was sealed with it, because it never got its name.
    if beside.symlink_metadata().is_ok() {
        std::fs::remove_file(&beside)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn decode_hex(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut out = Zeroizing::new([0; KEY_BYTES]);
    let mut digits = text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()));
    for slot in out.iter_mut() {
        *slot = digits.next()?? << 4 | digits.next()??;
    }
    Some(out)
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push(hex_digit(byte >> 4));
        text.push(hex_digit(byte & 15));
    }
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}

#[cfg(test)]
mod tests;
