//! What the tools do at the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{Code, Entropy, Fault};
use russh_sftp::client::RawSftpSession;
use russh_sftp::client::error::Error;
use russh_sftp::protocol::{FileAttributes, OpenFlags, Packet, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::path::{existing, join, named, shown, words};
use crate::session::Lease;
use crate::trouble::Trouble;

/// How many entries of a folder are looked at.
pub(crate) const LIST_MAX: usize = 10_000;
/// How many bytes one call reads at most.
pub(crate) const READ_MAX: usize = 4 * 1024 * 1024;
/// How many bytes one call reads where it does not say.
pub(crate) const READ_USUAL: usize = 256 * 1024;
/// How long `content` may be.
pub(crate) const WRITE_MAX: usize = 16 * 1024 * 1024;
/// How many bytes one packet carries: what every server takes.
const STEP: usize = 32 * 1024;
const POSIX_RENAME: &str = "posix-rename@openssh.com";

/// One call at work.
pub(crate) struct Work<'a> {
    pub(crate) lease: &'a Lease,
    pub(crate) entropy: &'a dyn Entropy,
    /// Set before the first request that changes anything.
    pub(crate) is_begun: &'a AtomicBool,
    pub(crate) result_bytes_max: usize,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    path: String,
    limit: Option<usize>,
    after: Option<String>,
}

#[derive(Deserialize)]
struct One {
    path: String,
    #[serde(default)]
    folder: bool,
}

#[derive(Deserialize)]
struct Read {
    path: String,
    #[serde(default)]
    offset: u64,
    length: Option<usize>,
    encoding: Option<String>,
}

#[derive(Deserialize)]
struct Write {
    path: String,
    content: String,
    encoding: Option<String>,
    #[serde(default)]
    overwrite: bool,
}

#[derive(Deserialize)]
struct Rename {
    from: String,
    to: String,
}

fn bad(what: impl Into<String>) -> Trouble {
    Trouble::Refused(Fault::new(Code::BAD_ARGUMENTS, format!("arguments.{}", what.into())))
}

fn parse<T: serde::de::DeserializeOwned>(arguments: Map<String, Value>) -> Result<T, Trouble> {
    serde_json::from_value(Value::Object(arguments))
        .map_err(|error| Trouble::Refused(Fault::new(Code::BAD_ARGUMENTS, format!("arguments: {error}"))))
}

fn below<'w>(argument: &str, path: &'w str) -> Result<Vec<&'w str>, Trouble> {
    words(argument, path).map_err(Trouble::Refused)
}

fn is_absent(error: &Error) -> bool {
    matches!(error, Error::Status(status) if status.status_code == StatusCode::NoSuchFile)
}

fn is_end(error: &Error) -> bool {
    matches!(error, Error::Status(status) if status.status_code == StatusCode::Eof)
}

/// What something is. By the whole type: the library's own questions look at single bits, and a link has those of
/// a file (`S_IFMT`, draft-ietf-secsh-filexfer-02 §5).
pub(crate) fn kind(attrs: &FileAttributes) -> &'static str {
    match attrs.permissions.unwrap_or_default() & 0o170_000 {
        0o120_000 => "link",
        0o040_000 => "folder",
        0o100_000 => "file",
        _ => "other",
    }
}

fn described(name: &str, value: &str, attrs: &FileAttributes) -> Value {
    json!({
        name: value,
        "type": kind(attrs),
        "size": attrs.size,
        "modified": attrs.mtime,
        "mode": attrs.permissions.map(|mode| format!("{:04o}", mode & 0o7777)),
    })
}

/// A file beside the one that is being written: removed where it does not get its name.
struct Draft {
    sftp: Arc<RawSftpSession>,
    path: Option<String>,
}

impl Drop for Draft {
    fn drop(&mut self) {
        let Some(path) = self.path.take() else { return };
        let sftp = Arc::clone(&self.sftp);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // Nothing depends on it: what stays is a file whose name says what it is.
                let _ = sftp.remove(path).await;
            });
        }
    }
}

// === impl Work ===

impl Work<'_> {
    /// Does what the tool is for; its structured result.
    pub(crate) async fn run(&self, tool: &str, arguments: Map<String, Value>) -> Result<Value, Trouble> {
        match tool {
            "list_directory" => self.list(parse(arguments)?).await,
            "stat" => self.stat(parse(arguments)?).await,
            "read_file" => self.read(parse(arguments)?).await,
            "write_file" => self.write(parse(arguments)?).await,
            "make_directory" => self.make(parse(arguments)?).await,
            "rename" => self.rename(parse(arguments)?).await,
            "delete_file" => self.delete(parse(arguments)?).await,
            _ => Err(Trouble::Refused(Fault::new(Code::NOT_FOUND, format!("there is no tool `{tool}`")))),
        }
    }

    fn begin(&self) {
        self.is_begun.store(true, Ordering::Release);
    }

    async fn list(&self, given: List) -> Result<Value, Trouble> {
        let words = below("path", &given.path)?;
        let sftp = &self.lease.pipe()?.sftp;
        let folder = existing(sftp, self.lease.root(), &words).await?;
        let handle = sftp.opendir(folder).await?.handle;
        let mut found = Vec::new();
        let mut is_cut = false;
        let read = loop {
            match sftp.readdir(handle.as_str()).await {
                Ok(names) => {
                    found.extend(
                        names.files.into_iter().filter(|one| !matches!(one.filename.as_str(), "." | "..")),
                    );
                    if found.len() > LIST_MAX {
                        found.truncate(LIST_MAX);
                        is_cut = true;
                        break Ok(());
                    }
                }
                Err(error) if is_end(&error) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        sftp.close(handle).await?;
        read?;
        found.sort_by(|one, other| one.filename.cmp(&other.filename));
        let limit = given.limit.unwrap_or(100).clamp(1, 1_000);
        let after = given.after.as_deref();
        let mut rest = found.iter().filter(|one| after.is_none_or(|after| one.filename.as_str() > after));
        let page: Vec<_> = rest.by_ref().take(limit).collect();
        let next = rest.next().and(page.last()).map(|last| last.filename.clone());
        let entries: Vec<Value> =
            page.iter().map(|one| described("name", &one.filename, &one.attrs)).collect();
        Ok(json!({ "path": shown(&words), "entries": entries, "next_after": next, "truncated": is_cut }))
    }

    async fn stat(&self, given: One) -> Result<Value, Trouble> {
        let words = below("path", &given.path)?;
        let sftp = &self.lease.pipe()?.sftp;
        let place = if words.is_empty() {
            self.lease.root().to_owned()
        } else {
            named(sftp, self.lease.root(), "path", &words).await?
        };
        let attrs = sftp.lstat(place).await?.attrs;
        Ok(described("path", &shown(&words), &attrs))
    }

    async fn read(&self, given: Read) -> Result<Value, Trouble> {
        let words = below("path", &given.path)?;
        // JSON may need six bytes for one, and the text stands in the answer twice.
        let most = READ_MAX.min(self.result_bytes_max / 14).max(1);
        let length = given.length.unwrap_or(READ_USUAL).clamp(1, most);
        let sftp = &self.lease.pipe()?.sftp;
        let place = existing(sftp, self.lease.root(), &words).await?;
        let attrs = sftp.lstat(place.as_str()).await?.attrs;
        if kind(&attrs) != "file" {
            // Opening a pipe or a device could hang, or do something.
            return Err(bad(format!("path: `{}` is no file but a {}", shown(&words), kind(&attrs))));
        }
        let handle = sftp.open(place, OpenFlags::READ, FileAttributes::empty()).await?.handle;
        let mut content: Vec<u8> = Vec::new();
        // One byte more than is asked for tells whether there is more.
        let read = loop {
            let wanted = (length + 1).saturating_sub(content.len()).min(STEP);
            if wanted == 0 {
                break Ok(());
            }
            let at = given.offset.saturating_add(content.len() as u64);
            match sftp.read(handle.as_str(), at, u32::try_from(wanted).unwrap_or(u32::MAX)).await {
                Ok(data) if data.data.is_empty() => break Ok(()),
                Ok(data) => content.extend_from_slice(&data.data),
                Err(error) if is_end(&error) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        sftp.close(handle).await?;
        read?;
        let is_cut = content.len() > length;
        content.truncate(length);
        let (encoding, content, length) = encoded(content, given.encoding.as_deref(), is_cut)?;
        let next = is_cut.then(|| given.offset.saturating_add(length as u64));
        Ok(json!({
            "path": shown(&words),
            "size": attrs.size,
            "offset": given.offset,
            "length": length,
            "truncated": is_cut,
            "next_offset": next,
            "encoding": encoding,
            "content": content,
        }))
    }

    async fn write(&self, given: Write) -> Result<Value, Trouble> {
        let words = below("path", &given.path)?;
        if given.content.len() > WRITE_MAX {
            return Err(bad(format!(
                "content: has {} bytes, at most {WRITE_MAX} are taken",
                given.content.len()
            )));
        }
        let content = match given.encoding.as_deref() {
            Some("base64") => STANDARD
                .decode(&given.content)
                .map_err(|_| bad("content: is no base64 (RFC 4648, padded)"))?,
            _ => given.content.into_bytes(),
        };
        let pipe = self.lease.pipe()?;
        let sftp = &pipe.sftp;
        let place = named(sftp, self.lease.root(), "path", &words).await?;
        let before = match sftp.lstat(place.as_str()).await {
            Ok(found) => Some(found.attrs),
            Err(error) if is_absent(&error) => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(attrs) = &before {
            if kind(attrs) != "file" {
                return Err(bad(format!("path: `{}` is there, and is a {}", shown(&words), kind(attrs))));
            }
            if !given.overwrite {
                let what = format!("path: `{}` is there already; `overwrite` replaces it", shown(&words));
                return Err(bad(what));
            }
            if !pipe.has_posix_rename {
                let what = format!("the server cannot replace a file at once ({POSIX_RENAME})");
                return Err(Trouble::Refused(
                    Fault::new(Code::UNSUPPORTED, what).with_hint("write under another name"),
                ));
            }
        }
        let folder = place.rsplit_once('/').map_or("", |(folder, _)| folder);
        let beside = join(folder, &format!(".trunkline-{}.part", self.mark()));
        self.begin();
        let flags = OpenFlags::CREATE | OpenFlags::EXCLUDE | OpenFlags::WRITE;
        let mut draft = Draft { sftp: Arc::clone(sftp), path: Some(beside.clone()) };
        let handle = sftp.open(beside.as_str(), flags, FileAttributes::empty()).await?.handle;
        let written = self.fill(&handle, &content, before.as_ref(), pipe.has_fsync).await;
        let closed = sftp.close(handle).await;
        written?;
        closed?;
        if before.is_some() {
            self.replace(&beside, &place).await?;
        } else {
            // The protocol's own renaming refuses where somebody has taken the name meanwhile.
            sftp.rename(beside, place).await?;
        }
        draft.path = None;
        Ok(json!({ "path": shown(&words), "bytes": content.len(), "synced": pipe.has_fsync }))
    }

    async fn fill(
        &self,
        handle: &str,
        content: &[u8],
        before: Option<&FileAttributes>,
        has_fsync: bool,
    ) -> Result<(), Trouble> {
        let sftp = &self.lease.pipe()?.sftp;
        let mut at = 0_u64;
        for part in content.chunks(STEP) {
            sftp.write(handle, at, part.to_vec()).await?;
            at += part.len() as u64;
        }
        if let Some(mode) = before.and_then(|attrs| attrs.permissions) {
            let attrs = FileAttributes { permissions: Some(mode & 0o777), ..FileAttributes::empty() };
            sftp.fsetstat(handle, attrs).await?;
        }
        if has_fsync {
            sftp.fsync(handle).await?;
        }
        Ok(())
    }

    /// Renames over what is there, at once.
    async fn replace(&self, from: &str, to: &str) -> Result<(), Trouble> {
        let mut data = Vec::new();
        for text in [from, to] {
            let length = u32::try_from(text.len()).map_err(|_| bad("path: is too long"))?;
            data.extend_from_slice(&length.to_be_bytes());
            data.extend_from_slice(text.as_bytes());
        }
        match self.lease.pipe()?.sftp.extended(POSIX_RENAME, data).await? {
            Packet::Status(status) if status.status_code == StatusCode::Ok => Ok(()),
            Packet::Status(status) => Err(Trouble::Said(status.status_code, status.error_message)),
            _ => Err(Trouble::Odd("no status".to_owned())),
        }
    }

    async fn make(&self, given: One) -> Result<Value, Trouble> {
        let words = below("path", &given.path)?;
        let sftp = &self.lease.pipe()?.sftp;
        let place = named(sftp, self.lease.root(), "path", &words).await?;
        self.begin();
        sftp.mkdir(place, FileAttributes::empty()).await?;
        Ok(json!({ "path": shown(&words) }))
    }

    async fn rename(&self, given: Rename) -> Result<Value, Trouble> {
        let (from, to) = (below("from", &given.from)?, below("to", &given.to)?);
        let sftp = &self.lease.pipe()?.sftp;
        let old = named(sftp, self.lease.root(), "from", &from).await?;
        let new = named(sftp, self.lease.root(), "to", &to).await?;
        match sftp.lstat(new.as_str()).await {
            Ok(_) => return Err(bad(format!("to: `{}` is there already", shown(&to)))),
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(error.into()),
        }
        self.begin();
        sftp.rename(old, new).await?;
        Ok(json!({ "from": shown(&from), "to": shown(&to) }))
    }

    async fn delete(&self, given: One) -> Result<Value, Trouble> {
        let words = below("path", &given.path)?;
        let sftp = &self.lease.pipe()?.sftp;
        let place = named(sftp, self.lease.root(), "path", &words).await?;
        self.begin();
        if given.folder {
            sftp.rmdir(place).await?
        } else {
            sftp.remove(place).await?
        };
        Ok(json!({ "path": shown(&words) }))
    }

    fn mark(&self) -> String {
        let mut bytes = [0_u8; 8];
        self.entropy.fill(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The content as it was asked for, and how many bytes of the file are in it: text ends before a letter that
/// was cut in two.
fn encoded(
    content: Vec<u8>,
    encoding: Option<&str>,
    is_cut: bool,
) -> Result<(&'static str, String, usize), Trouble> {
    if encoding == Some("base64") {
        return Ok(("base64", STANDARD.encode(&content), content.len()));
    }
    let whole = match std::str::from_utf8(&content) {
        Ok(_) => content.len(),
        Err(error) if is_cut && error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        Err(_) if encoding == Some("text") => {
            return Err(bad("encoding: this is no UTF-8 text; ask for `base64`"));
        }
        Err(_) => return Ok(("base64", STANDARD.encode(&content), content.len())),
    };
    let text = String::from_utf8_lossy(content.get(..whole).unwrap_or_default()).into_owned();
    Ok(("text", text, whole))
}
