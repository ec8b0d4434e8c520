//! Paths that stay inside the connection's folder.

use model::{Code, Fault};
use russh_sftp::client::RawSftpSession;

use crate::trouble::Trouble;

/// The longest path, bytes.
const PATH_BYTES_MAX: usize = 4_096;
/// The longest name, bytes.
const NAME_BYTES_MAX: usize = 255;

/// The words of a path below the folder. A `/` in front means the folder itself, not the server's root.
///
/// # Errors
/// What cannot be a path below it, naming the argument.
pub(crate) fn words<'a>(argument: &str, path: &'a str) -> Result<Vec<&'a str>, Fault> {
    let bad = |what: String| {
        Fault::new(Code::BAD_ARGUMENTS, format!("arguments.{argument}: {what}"))
            .with_hint("a path below the connection's folder, such as `reports/may.csv`")
    };
    if path.len() > PATH_BYTES_MAX {
        return Err(bad(format!("has {} bytes, at most {PATH_BYTES_MAX} are taken", path.len())));
    }
    if path.chars().any(char::is_control) {
        return Err(bad("has control characters".to_owned()));
    }
    let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty() && *word != ".").collect();
    if words.contains(&"..") {
        return Err(bad("has `..`, which could lead out of the connection's folder".to_owned()));
    }
    if words.iter().any(|word| word.len() > NAME_BYTES_MAX) {
        return Err(bad(format!("has a name of more than {NAME_BYTES_MAX} bytes")));
    }
    Ok(words)
}

/// The path as answers show it: below the folder, without a `/` in front.
pub(crate) fn shown(words: &[&str]) -> String {
    if words.is_empty() { ".".to_owned() } else { words.join("/") }
}

pub(crate) fn join(folder: &str, name: &str) -> String {
    if folder.ends_with('/') { format!("{folder}{name}") } else { format!("{folder}/{name}") }
}

/// Whether a path that the server made absolute is the folder or below it.
pub(crate) fn is_inside(root: &str, real: &str) -> bool {
    let clean = !real.split('/').any(|word| word == "..");
    let below = real.strip_prefix(root.trim_end_matches('/'));
    clean && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Where something really is: symbolic links followed by the server, and the end inside of the folder.
pub(crate) async fn existing(sftp: &RawSftpSession, root: &str, words: &[&str]) -> Result<String, Trouble> {
    let mut asked = root.to_owned();
    for word in words {
        asked = join(&asked, word);
    }
    let real = real(sftp, &asked).await?;
    if is_inside(root, &real) { Ok(real) } else { Err(Trouble::Outside(shown(words))) }
}

/// Where something is or would be: its folder really is inside, and its own name is not followed.
pub(crate) async fn named(
    sftp: &RawSftpSession,
    root: &str,
    argument: &str,
    words: &[&str],
) -> Result<String, Trouble> {
    let Some((name, folder)) = words.split_last() else {
        let what = format!("arguments.{argument}: is the connection's folder itself");
        return Err(Trouble::Refused(
            Fault::new(Code::BAD_ARGUMENTS, what).with_hint("name something in it"),
        ));
    };
    Ok(join(&existing(sftp, root, folder).await?, name))
}

/// What the server says the path really is.
pub(crate) async fn real(sftp: &RawSftpSession, path: &str) -> Result<String, Trouble> {
    let names = sftp.realpath(path).await?;
    let real = names.files.into_iter().next().map(|file| file.filename);
    real.filter(|real| real.starts_with('/')).ok_or_else(|| Trouble::Odd("no absolute path".to_owned()))
}
