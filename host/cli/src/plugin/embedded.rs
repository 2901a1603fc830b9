//! The files that `build.rs` put into the binary, and how they get out of it.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// A path with `/` between its parts, and the text of the file.
pub(crate) type File = (&'static str, &'static str);

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// Writes a file, and the folders that it lies in.
pub(super) fn write(folder: &Path, path: &str, text: &str) -> Result<()> {
    let path = folder.join(path);
    let parent = path.parent().unwrap_or(folder);
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
