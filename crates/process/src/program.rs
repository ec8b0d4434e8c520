//! Finding the program before it is started, so that a failure names what is wrong: `execve` itself says
//! only "no such file" for a missing program, a missing interpreter and a missing directory alike.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::error::SpawnError;

/// The programs that stdio servers are usually started with, and what they come with.
const REMEDIES: &[(&[&str], &str)] = &[
    (&["npx", "node", "npm"], "install Node.js"),
    (&["uvx", "uv"], "install uv"),
    (&["python", "python3", "pip", "pipx"], "install Python"),
    (&["bunx", "bun"], "install Bun"),
    (&["deno"], "install Deno"),
    (&["docker"], "install Docker"),
    (&["podman"], "install Podman"),
];

/// The path to start for `program`: itself when it has a slash (counted from `cwd`), else the first
/// executable of that name in `search_path`.
///
/// # Errors
/// [`SpawnError::NotFound`] and [`SpawnError::NotExecutable`].
pub(crate) fn find(program: &str, search_path: &OsStr, cwd: Option<&Path>) -> Result<PathBuf, SpawnError> {
    if program.contains('/') {
        let path = cwd.map_or_else(|| PathBuf::from(program), |cwd| cwd.join(program));
        let path = std::path::absolute(&path).unwrap_or(path);
        return match state(&path) {
            State::Executable => Ok(path),
            State::Other => Err(SpawnError::NotExecutable { path }),
            State::Absent => {
                let hint = "check the path".to_owned();
                Err(SpawnError::NotFound { program: program.to_owned(), hint })
            }
        };
    }
    let mut second_best = None;
    // An empty entry would mean the current directory; that is a trap, so it means nothing here.
    for folder in std::env::split_paths(search_path).filter(|folder| folder.is_absolute()) {
        let path = folder.join(program);
        match state(&path) {
            State::Executable => return Ok(path),
            State::Other if path.is_file() => second_best = second_best.or(Some(path)),
            State::Other | State::Absent => {}
        }
    }
    Err(match second_best {
        Some(path) => SpawnError::NotExecutable { path },
        None => not_found(program, search_path),
    })
}

/// Refuses a working directory that is none or may not be entered.
///
/// # Errors
/// [`SpawnError::BadCwd`].
pub(crate) fn check_cwd(cwd: &Path) -> Result<(), SpawnError> {
    let bad = |source| SpawnError::BadCwd { cwd: cwd.to_owned(), source };
    if !std::fs::metadata(cwd).map_err(bad)?.is_dir() {
        return Err(bad(io::ErrorKind::NotADirectory.into()));
    }
    access(cwd, Access::EXEC_OK).map_err(|errno| bad(errno.into()))
}

enum State {
    Executable,
    Other,
    Absent,
}

fn state(path: &Path) -> State {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() && access(path, Access::EXEC_OK).is_ok() => State::Executable,
        Ok(_) => State::Other,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => State::Other,
        Err(_) => State::Absent,
    }
}

fn not_found(program: &str, search_path: &OsStr) -> SpawnError {
    let known = REMEDIES.iter().find(|(names, _)| names.contains(&program));
    let remedy = known.map_or("install it", |(_, remedy)| remedy);
    let hint =
        format!("{remedy} or give the full path of `{program}`; looked in {}", search_path.to_string_lossy());
    SpawnError::NotFound { program: program.to_owned(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_and_a_path_is_taken() {
        let path = OsStr::new(":relative:/nonexistent:/usr/bin:/bin");
        assert!(find("sh", path, None).unwrap().ends_with("sh"));
        assert_eq!(find("/bin/sh", OsStr::new(""), None).unwrap(), Path::new("/bin/sh"));
        assert_eq!(find("./sh", OsStr::new(""), Some(Path::new("/bin"))).unwrap(), Path::new("/bin/sh"));
    }

    #[test]
    fn a_missing_launcher_says_what_to_install() {
        let error = find("npx", OsStr::new("/nonexistent"), None).unwrap_err();
        let fault = error.fault();
        assert_eq!(fault.code, model::Code::MISCONFIGURED);
        assert!(fault.detail.contains("`npx`"), "{fault}");
        assert!(fault.hint.contains("install Node.js") && fault.hint.contains("/nonexistent"), "{fault}");
    }

    #[test]
    fn a_file_that_may_not_run_is_not_called_missing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("server"), "").unwrap();
        let refused = |result: Result<_, _>| matches!(result, Err(SpawnError::NotExecutable { .. }));
        assert!(refused(find("server", folder.path().as_os_str(), None)));
        assert!(refused(find("./server", OsStr::new(""), Some(folder.path()))));
        assert!(refused(find("/", OsStr::new(""), None)));
    }

    #[test]
    fn a_working_directory_must_be_one() {
        assert!(check_cwd(Path::new("/")).is_ok());
        for bad in ["/nonexistent", "/etc/passwd"] {
            let fault = check_cwd(Path::new(bad)).unwrap_err().fault();
            assert!(fault.detail.contains(bad), "{fault}");
        }
    }
}
