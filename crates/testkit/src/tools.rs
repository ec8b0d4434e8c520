//! Other people's programs that scenes talk to: reference servers, official SDKs. `scripts/test-env.sh` puts them into
//! a cache at pinned versions; a scene started without it being sourced runs it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::program::command;

/// Where the programs are.
pub struct Tools {
    /// Node, 22 or newer.
    pub node: PathBuf,
    /// The `node_modules` folder with the servers and SDKs.
    pub modules: PathBuf,
    /// Python, with the servers and the SDK importable.
    pub python: PathBuf,
}

impl Tools {
    /// Takes them from the environment, else from `scripts/test-env.sh`, which installs what is missing.
    ///
    /// # Errors
    /// When something is missing that the script cannot install; the message is the script's.
    pub fn find() -> anyhow::Result<Self> {
        let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
        if let (Some(node), Some(modules), Some(python)) =
            (named("TRUNKLINE_TEST_NODE"), named("TRUNKLINE_TEST_NPM"), named("TRUNKLINE_TEST_PYTHON"))
        {
            return Ok(Self { node, modules, python });
        }
        let output = command(root()?.join("scripts/test-env.sh")).output().context("scripts/test-env.sh")?;
        if !output.status.success() {
            bail!("scripts/test-env.sh failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        let printed = String::from_utf8(output.stdout)?;
        let all: BTreeMap<&str, &str> =
            printed.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('=')).collect();
        let get = |name: &str| all.get(name).map(PathBuf::from).with_context(|| format!("no {name}"));
        Ok(Self {
            node: get("TRUNKLINE_TEST_NODE")?,
            modules: get("TRUNKLINE_TEST_NPM")?,
            python: get("TRUNKLINE_TEST_PYTHON")?,
        })
    }

    /// The start script of an npm package, such as `@modelcontextprotocol/server-memory/dist/index.js`.
    #[must_use]
    pub fn npm(&self, script: &str) -> PathBuf {
        self.modules.join(script)
    }

    /// A command for one of the scripts below `tests/`: `script("clients/python_client.py")`.
    ///
    /// # Errors
    /// When the checkout cannot be found.
    pub fn script(&self, path: &str) -> anyhow::Result<Command> {
        let runtime = if Path::new(path).extension().is_some_and(|kind| kind == "py") {
            &self.python
        } else {
            &self.node
        };
        let mut script = command(runtime);
        script.arg(root()?.join("tests").join(path)).env("TRUNKLINE_TEST_NPM", &self.modules);
        Ok(script)
    }
}

/// Runs a command to its end and reads the last line that it printed as JSON.
///
/// # Errors
/// When it fails, with what it said, or prints no JSON.
pub async fn json_of(mut command: Command) -> anyhow::Result<Value> {
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{}:\n{printed}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_str(printed.lines().last().unwrap_or_default())
        .with_context(|| format!("printed: {printed}"))
}

/// The checkout that this was built from.
fn root() -> anyhow::Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("crates/testkit lies two folders deep")
}
