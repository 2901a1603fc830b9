//! The manifest inside a component: the text of `plugin.toml` in a custom section of the outermost component.

use wasm_encoder::{ComponentSection as _, CustomSection};

use super::{Manifest, ManifestError};
use crate::outermost::{HEADER, NotAComponent, Section, damaged, sections};

/// The name of the section.
const NAME: &str = "lm-plugin-manifest";

/// The kind of all custom sections.
const CUSTOM: u8 = 0;

/// Puts a manifest into a component, in place of one that is there. Fails if the manifest's text is wrong.
pub fn embed(manifest: &str, component: &[u8]) -> Result<Vec<u8>, ManifestError> {
    Manifest::parse(manifest)?;
    let mut with = HEADER.to_vec();
    for section in sections(component)? {
        if manifest_in(&section)?.is_none() {
            with.extend_from_slice(&component[section.range]);
        }
    }
    let section = CustomSection {
        name: NAME.into(),
        data: manifest.as_bytes().into(),
    };
    section.append_to_component(&mut with);
    Ok(with)
}

/// The text of the manifest that a component carries, if any.
pub(super) fn text_of(wasm: &[u8]) -> Result<Option<&str>, ManifestError> {
    let mut manifests = Vec::new();
    for section in sections(wasm)? {
        manifests.extend(manifest_in(&section)?);
    }
    match manifests[..] {
        [] => Ok(None),
        [text] => std::str::from_utf8(text)
            .map(Some)
            .map_err(|_| ManifestError::NotUtf8),
        _ => Err(ManifestError::Several(manifests.len())),
    }
}

/// The text of a manifest, if this is a section with one.
fn manifest_in<'a>(section: &Section<'a>) -> Result<Option<&'a [u8]>, NotAComponent> {
    if section.kind != CUSTOM {
        return Ok(None);
    }
    let mut content = section.content.clone();
    match content.read_string().map_err(damaged)? {
        NAME => {
            let text = content.read_bytes(content.bytes_remaining());
            text.map(Some).map_err(damaged)
        }
        _ => Ok(None),
    }
}
