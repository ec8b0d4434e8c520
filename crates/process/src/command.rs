//! What is to be run, as data: a program, a list of arguments, a listed environment. Never a shell line.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use model::Secret;

use crate::error::SpawnError;
use crate::lines::LINE_BYTES_MAX;

/// The hub's own variables that a child may see; `LC_*` comes on top. Everything else is listed or absent.
const INHERITED: &[&str] = &["PATH", "HOME", "LANG", "TMPDIR", "USER", "TZ"];

/// The search path of a hub that was started without one.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// A command to run. `Display` shows it to people, quoted like a shell would read it, without the
/// environment; `Debug` hides the values of the environment.
#[derive(Debug, Clone)]
pub struct Command {
    /// The connection it runs for; names it in traces.
    pub name: String,
    /// A name to look up in `PATH`, or a path. A relative path counts from `cwd`.
    pub program: String,
    /// The arguments, one by one; nothing in them is interpreted.
    pub args: Vec<String>,
    /// Variables beside the minimal environment; they win over inherited ones of the same name.
    pub env: Vec<(String, Secret)>,
    /// Where it runs; the hub's own directory when absent.
    pub cwd: Option<PathBuf>,
    /// What it may use up.
    pub limits: Limits,
    /// The longest line it may say, in bytes, without the newline.
    pub line_bytes_max: usize,
}

/// What one child may use up. Absent means: as much as the hub itself. A value above the hub's own hard
/// limit means that hard limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Address space in bytes, not resident memory: runtimes like Node.js reserve tens of gigabytes that
    /// they never touch, so this is for programs known to live with it.
    pub memory_bytes: Option<u64>,
    /// Processor seconds over the whole life of each process of the child.
    pub cpu_seconds: Option<u64>,
    /// Open files and sockets.
    pub open_files: Option<u64>,
    /// Processes and threads. Best effort: the system counts all of the user's, not only the child's, and
    /// does not hold root to it.
    pub processes: Option<u64>,
}

impl Command {
    /// A command with no arguments, the minimal environment and no limits.
    #[must_use]
    pub fn new(name: impl Into<String>, program: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            limits: Limits::default(),
            line_bytes_max: LINE_BYTES_MAX,
        }
    }

    /// Refuses text that the system cannot pass on unchanged.
    pub(crate) fn check_text(&self) -> Result<(), SpawnError> {
        let bad = |place: String| Err(SpawnError::BadText { place });
        if self.program.is_empty() || self.program.contains('\0') {
            return bad("the command".to_owned());
        }
        if let Some(at) = self.args.iter().position(|arg| arg.contains('\0')) {
            return bad(format!("argument {}", at + 1));
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.expose().contains('\0') {
                return bad(format!("environment variable {name:?}"));
            }
        }
        Ok(())
    }

    /// The child's whole environment, made from the hub's variables `own`.
    pub(crate) fn environment(
        &self,
        own: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Vec<(OsString, OsString)> {
        let mut env: Vec<(OsString, OsString)> = own
            .into_iter()
            .filter(|(name, _)| is_inherited(name))
            .filter(|(name, _)| !self.env.iter().any(|(listed, _)| OsStr::new(listed) == name))
            .collect();
        env.extend(self.env.iter().map(|(name, value)| (name.into(), value.expose().into())));
        if !env.iter().any(|(name, _)| name == "PATH") {
            env.push(("PATH".into(), PATH_DEFAULT.into()));
        }
        env
    }
}

fn is_inherited(name: &OsStr) -> bool {
    INHERITED.iter().any(|kept| name == *kept) || name.as_encoded_bytes().starts_with(b"LC_")
}

// === impl Display ===

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_word(f, &self.program)?;
        for arg in &self.args {
            f.write_str(" ")?;
            write_word(f, arg)?;
        }
        Ok(())
    }
}

fn write_word(f: &mut fmt::Formatter<'_>, word: &str) -> fmt::Result {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        f.write_str(word)
    } else if word.contains(char::is_control) {
        // What is approved must be what is seen: control characters could hide the rest of the line.
        write!(f, "$'{}'", word.escape_debug())
    } else {
        write!(f, "'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        list.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn the_environment_is_the_short_list_plus_what_is_listed() {
        let mut command = Command::new("notes", "server");
        command.env = vec![("TOKEN".into(), Secret::new("t")), ("LANG".into(), Secret::new("C"))];
        let own = pairs(&[
            ("PATH", "/bin"),
            ("LANG", "de_DE.UTF-8"),
            ("LC_TIME", "C"),
            ("TRUNKLINE_MASTER_KEY", "secret"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("LD_PRELOAD", "/tmp/x.so"),
        ]);
        let mut env = command.environment(own);
        env.sort();
        assert_eq!(env, pairs(&[("LANG", "C"), ("LC_TIME", "C"), ("PATH", "/bin"), ("TOKEN", "t")]));
    }

    #[test]
    fn a_hub_without_a_path_still_gives_one() {
        let env = Command::new("notes", "server").environment([]);
        assert_eq!(env, pairs(&[("PATH", PATH_DEFAULT)]));
    }

    #[test]
    fn people_see_every_argument_as_one_word() {
        let mut command = Command::new("files", "npx");
        command.args = vec!["-y".into(), "@x/files".into(), "/my notes".into(), "it's".into(), "a\nb".into()];
        assert_eq!(command.to_string(), r"npx -y @x/files '/my notes' 'it'\''s' $'a\nb'");
        command.env = vec![("TOKEN".into(), Secret::new("hunter2"))];
        assert!(!format!("{command:?} {command}").contains("hunter2"));
    }

    #[test]
    fn text_that_the_system_would_cut_is_refused() {
        let mut command = Command::new("notes", "server");
        assert!(command.check_text().is_ok());
        command.env = vec![("A=B".into(), Secret::new("c"))];
        assert!(command.check_text().is_err());
        command.env.clear();
        command.args = vec!["a\0b".into()];
        let refused = command.check_text().unwrap_err();
        assert!(refused.to_string().contains("argument 1"), "{refused}");
    }
}
