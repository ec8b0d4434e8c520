//! The zip file of a bundle, of which one file is read.

use std::io::{Cursor, Read as _};

use super::super::{BUNDLE_BYTES_MAX, Refused, refused};

/// The file that is looked for.
const MANIFEST: &str = "manifest.json";
/// The largest one, in bytes.
const MANIFEST_BYTES_MAX: u64 = 1024 * 1024;

/// The manifest inside of a zip file.
pub(super) fn manifest_of(bytes: &[u8]) -> Result<String, Refused> {
    if bytes.len() > BUNDLE_BYTES_MAX {
        return refused(format!("has {} bytes, at most {BUNDLE_BYTES_MAX} are read", bytes.len()));
    }
    let broken = |error: &dyn std::fmt::Display| Refused(format!("is no zip file that can be read: {error}"));
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| broken(&error))?;
    let file = archive.by_name(MANIFEST).map_err(|_| Refused(format!("is a zip file without {MANIFEST}")))?;
    let mut text = String::new();
    file.take(MANIFEST_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| broken(&error))?;
    if text.len() as u64 > MANIFEST_BYTES_MAX {
        return refused(format!("its {MANIFEST} has more than {MANIFEST_BYTES_MAX} bytes"));
    }
    Ok(text)
}
