//! What cargo knows of the workspace: its rooms, who depends on whom, and every package outside it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// A member of the workspace.
#[derive(Debug, Clone, Default)]
pub(super) struct Room {
    /// Its package name.
    pub(super) name: String,
    /// Its manifest, as a path from the root.
    pub(super) manifest: String,
    /// What it depends on, normally or in its build script.
    pub(super) normal: Vec<String>,
    /// What only its tests depend on.
    pub(super) dev: Vec<String>,
}

/// A package from outside, or a room.
#[derive(Debug, Clone)]
pub(super) struct Package {
    /// Its name.
    pub(super) name: String,
    /// Its licence, as an SPDX expression.
    pub(super) licence: Option<String>,
    /// The registry or repository that it comes from; `None` for rooms.
    pub(super) source: Option<String>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The members of the workspace.
    pub(super) rooms: Vec<Room>,
    /// Every package in the resolved graph, rooms included.
    pub(super) packages: Vec<Package>,
    /// The resolved normal dependencies of every package, by name (dev-dependencies left out).
    pub(super) edges: BTreeMap<String, Vec<String>>,
}

/// Asks `cargo metadata`, without touching the lock file.
pub(super) fn read(root: &Path) -> anyhow::Result<Facts> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .other_options(["--locked".to_owned()])
        .exec()
        .context("cargo metadata (is Cargo.lock up to date with the manifests?)")?;
    Ok(Facts { rooms: rooms(&metadata), packages: packages(&metadata), edges: edges(&metadata) })
}

/// The packages that the binary is built from by default, one name per line.
#[expect(clippy::disallowed_methods, reason = "`process` is for the product; this tool asks cargo itself")]
pub(super) fn default_graph(root: &Path) -> anyhow::Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = std::process::Command::new(cargo)
        .args(["tree", "--locked", "--package", "trunkline", "--edges", "normal,build"])
        .args(["--prefix", "none", "--no-dedupe", "--format", "{p}"])
        .current_dir(root)
        .output()
        .context("running cargo tree")?;
    anyhow::ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn rooms(metadata: &Metadata) -> Vec<Room> {
    let of = |package: &&cargo_metadata::Package| {
        let manifest = package.manifest_path.strip_prefix(&metadata.workspace_root);
        let mut room = Room {
            name: package.name.to_string(),
            manifest: manifest.map_or_else(|_| package.manifest_path.to_string(), ToString::to_string),
            ..Room::default()
        };
        for dependency in &package.dependencies {
            let list =
                if dependency.kind == DependencyKind::Development { &mut room.dev } else { &mut room.normal };
            list.push(dependency.name.clone());
        }
        room
    };
    metadata.workspace_packages().iter().map(of).collect()
}

fn packages(metadata: &Metadata) -> Vec<Package> {
    let of = |package: &cargo_metadata::Package| Package {
        name: package.name.to_string(),
        licence: package.license.clone(),
        source: package.source.as_ref().map(ToString::to_string),
    };
    metadata.packages.iter().map(of).collect()
}

fn edges(metadata: &Metadata) -> BTreeMap<String, Vec<String>> {
    let names: BTreeMap<_, _> = metadata.packages.iter().map(|p| (&p.id, p.name.to_string())).collect();
    let mut edges: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in metadata.resolve.iter().flat_map(|r| &r.nodes) {
        let Some(from) = names.get(&node.id) else { continue };
        let wanted = |dep: &&cargo_metadata::NodeDep| {
            dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
        };
        let to = node.deps.iter().filter(wanted).filter_map(|dep| names.get(&dep.pkg).cloned());
        edges.entry(from.clone()).or_default().extend(to);
    }
    edges
}
