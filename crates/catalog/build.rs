//! Collects `integrations/` into a list that is compiled in: slug, manifest, icon, fixtures.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    // Asked when it runs, not when it is compiled: a copied checkout has its own.
    let own =
        env::var_os("CARGO_MANIFEST_DIR").ok_or_else(|| io::Error::other("CARGO_MANIFEST_DIR is not set"))?;
    let root = Path::new(&own).join("../../integrations");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut folders = Vec::new();
    for entry in fs::read_dir(&root)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    let mut list = String::from("&[\n");
    for folder in folders {
        let slug = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let manifest = folder.join("integration.yaml").canonicalize()?;
        let icon = folder.join("icon.svg").canonicalize()?;
        let mut fixtures = String::new();
        for file in fixture_files(&folder.join("fixtures"))? {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let _ = write!(fixtures, "({name:?}, include_str!({:?})), ", file.display().to_string());
        }
        let _ = writeln!(
            list,
            "    BuiltIn {{ slug: {slug:?}, manifest: include_str!({:?}), icon: include_str!({:?}), fixtures: &[{fixtures}] }},",
            manifest.display().to_string(),
            icon.display().to_string()
        );
    }
    list.push_str("]\n");
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("OUT_DIR is not set"))?;
    fs::write(Path::new(&out).join("built_in.rs"), list)
}

fn fixture_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "yaml") {
            files.push(path.canonicalize()?);
        }
    }
    files.sort();
    Ok(files)
}
