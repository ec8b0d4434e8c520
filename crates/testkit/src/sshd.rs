//! A real OpenSSH server for a scene: in the foreground, on a port and in a folder of its own, with keys made for
//! it, ended by its process id.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::program::{Program, command};

/// How long a start may take, on a machine that is busy with other tests.
const START: Duration = Duration::from_secs(10);
/// It has to be started by its whole path.
const USUAL: &str = "/usr/sbin/sshd";

/// A running sshd that lets in whoever has a key of its `authorized` list, as the user that runs the test.
pub struct Sshd {
    program: Program,
    folder: TempDir,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// The user that it lets in.
    pub user: String,
}

impl Sshd {
    /// Starts it with a host key of its own and an empty folder `files`.
    ///
    /// # Errors
    /// When there is no sshd on this machine, or when it does not come up; the message holds what it said.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("trunkline-sshd-").tempdir()?;
        std::fs::create_dir(folder.path().join("files"))?;
        std::fs::write(folder.path().join("authorized"), "")?;
        keygen(&["-t", "ed25519", "-N", "", "-f"], &folder.path().join("host"))?;
        // Free a moment ago; whoever takes it in between makes the start fail, and the message says so.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let user = String::from_utf8(command("/usr/bin/id").arg("-un").output()?.stdout)?.trim().to_owned();
        let program = run(folder.path(), port)?;
        let mut started = Self { program, folder, port, user };
        started.program.listens(started.port, START).await?;
        Ok(started)
    }

    /// Starts it again, on the same port: with the host key that is in its folder now.
    ///
    /// # Errors
    /// As [`Sshd::start`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        self.program = run(self.folder.path(), self.port)?;
        self.program.listens(self.port, START).await
    }

    /// The processes of its sessions, which outlive the listener.
    pub fn sessions(&self) -> Vec<i32> {
        descendants(self.program.id())
    }

    /// Ends the listener and every session at once.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let sessions = self.sessions();
        self.program.stop()?;
        signal(&sessions, "-KILL")
    }

    /// Stops (`-STOP`) or continues (`-CONT`) the listener and every session.
    ///
    /// # Errors
    /// When that fails.
    pub fn signal_all(&self, name: &str) -> anyhow::Result<()> {
        let mut all = self.sessions();
        all.push(i32::try_from(self.program.id())?);
        signal(&all, name)
    }

    /// Makes a key pair; the private key's text and its public line.
    ///
    /// # Errors
    /// When ssh-keygen fails.
    pub fn key(&self, name: &str, kind: &[&str], passphrase: &str) -> anyhow::Result<(String, String)> {
        let path = self.folder.path().join(name);
        keygen(&[kind, &["-N", passphrase, "-f"]].concat(), &path)?;
        Ok((std::fs::read_to_string(&path)?, std::fs::read_to_string(path.with_extension("pub"))?))
    }

    /// Lets in these keys and no other.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn authorize(&self, lines: &[&str]) -> anyhow::Result<()> {
        Ok(std::fs::write(self.folder.path().join("authorized"), lines.concat())?)
    }

    /// Gives the host another key, from the next start on.
    ///
    /// # Errors
    /// When ssh-keygen fails.
    pub fn change_host_key(&self) -> anyhow::Result<()> {
        std::fs::remove_file(self.folder.path().join("host"))?;
        keygen(&["-t", "ed25519", "-N", "", "-f"], &self.folder.path().join("host"))
    }

    /// The fingerprint of its host key, as ssh-keygen tells it.
    ///
    /// # Errors
    /// When ssh-keygen fails.
    pub fn fingerprint(&self) -> anyhow::Result<String> {
        let told = command("ssh-keygen").arg("-lf").arg(self.folder.path().join("host.pub")).output()?;
        let told = String::from_utf8(told.stdout)?;
        told.split(' ').nth(1).map(str::to_owned).context("no fingerprint")
    }

    /// The folder that it serves.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// What it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.program.log()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.signal_all("-CONT");
        let _ = self.kill();
    }
}

fn run(folder: &Path, port: u16) -> anyhow::Result<Program> {
    if !Path::new(USUAL).is_file() {
        bail!("there is no sshd: `. scripts/test-env.sh` installs one");
    }
    // Where it separates privileges: made by the package's service, which does not run here.
    if !Path::new("/run/sshd").is_dir() {
        let _ = std::fs::create_dir("/run/sshd");
    }
    let place = folder.display();
    let path = folder.join("sshd_config");
    std::fs::write(
        &path,
        format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {place}/host\nPidFile none\n\
             AuthorizedKeysFile {place}/authorized\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin yes\nUseDNS no\nLogLevel VERBOSE\n\
             MaxAuthTries 20\nSubsystem sftp internal-sftp\n"
        ),
    )?;
    let mut starting = command(USUAL);
    starting.args(["-D", "-e", "-f"]).arg(&path);
    Program::start(starting)
}

fn keygen(arguments: &[&str], path: &Path) -> anyhow::Result<()> {
    let done = command("ssh-keygen").arg("-q").args(arguments).arg(path).output()?;
    if !done.status.success() {
        bail!("ssh-keygen: {}", String::from_utf8_lossy(&done.stderr));
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(())
}

fn signal(ids: &[i32], name: &str) -> anyhow::Result<()> {
    for id in ids {
        // One that has ended meanwhile is one that has ended.
        command("/bin/kill").arg(name).arg(id.to_string()).output()?;
    }
    Ok(())
}

/// The processes below one, from `/proc`.
fn descendants(id: u32) -> Vec<i32> {
    let parent = |entry: &std::fs::DirEntry| {
        let child: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let parent: i32 = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        Some((child, parent))
    };
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pairs: Vec<(i32, i32)> = entries.flatten().filter_map(|entry| parent(&entry)).collect();
    let mut found = vec![i32::try_from(id).unwrap_or_default()];
    let mut at = 0;
    while let Some(of) = found.get(at).copied() {
        found.extend(pairs.iter().filter(|(_, parent)| *parent == of).map(|(child, _)| *child));
        at += 1;
    }
    found.split_off(1)
}
