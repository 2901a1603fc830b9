//! The sections of a component itself, without looking into what is nested in it.

use std::ops::Range;

use wasmparser::BinaryReader;

/// What every WebAssembly binary begins with, component or not.
pub(crate) const MAGIC: &[u8] = b"\0asm";

/// What a component begins with, as all tools write it now.
pub(crate) const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";

/// What a core module begins with.
const MODULE_HEADER: &[u8] = b"\0asm\x01\0\0\0";

/// One of the outermost sections.
pub(crate) struct Section<'a> {
    /// The number of its kind.
    pub(crate) kind: u8,
    /// Where it is, its number and length included.
    pub(crate) range: Range<usize>,
    /// What is in it.
    pub(crate) content: BinaryReader<'a>,
}

/// Bytes that are no component at all.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NotAComponent {
    /// Nothing.
    #[error("it is empty: build it again")]
    Empty,
    /// Something else.
    #[error("it is not WebAssembly: give the .wasm file that `host plugin build` writes")]
    NotWasm,
    /// WebAssembly as text.
    #[error(
        "it is WebAssembly in its text format: turn it into a binary first, as `wasm-tools parse` does"
    )]
    Text,
    /// A module without types.
    #[error("it is a core module rather than a component: wrap it with `host plugin build`")]
    CoreModule,
    /// A binary of another time.
    #[error(
        "it is WebAssembly in a binary format that this host does not know: build it with current tools"
    )]
    OtherFormat,
    /// Only the beginning of a component.
    #[error("it is truncated, as byte {len} is not its end: copy or build it again")]
    Truncated {
        /// How much of it is there, in bytes.
        len: usize,
    },
    /// A component with something in it that makes no sense.
    #[error("it is damaged at byte {offset}: {why}; build it again")]
    Damaged {
        /// Where, in bytes from its start.
        offset: u64,
        /// What is wrong there.
        why: String,
    },
}

/// The outermost sections in order; modules and components inside are one section each.
pub(crate) fn sections(wasm: &[u8]) -> Result<Vec<Section<'_>>, NotAComponent> {
    check_header(wasm)?;
    let truncated = || NotAComponent::Truncated { len: wasm.len() };
    let mut reader = BinaryReader::new(&wasm[HEADER.len()..], HEADER.len() as u64);
    let mut sections = Vec::new();
    while !reader.eof() {
        let start = wasm.len() - reader.bytes_remaining();
        let kind = reader.read_u8().map_err(damaged)?;
        let len = match reader.read_var_u32() {
            Ok(len) => len as usize,
            Err(_) if reader.eof() => return Err(truncated()),
            Err(e) => return Err(damaged(e)),
        };
        if len > reader.bytes_remaining() {
            return Err(truncated());
        }
        let offset = reader.original_position();
        let content = reader.read_bytes(len).map_err(damaged)?;
        sections.push(Section {
            kind,
            range: start..wasm.len() - reader.bytes_remaining(),
            content: BinaryReader::new(content, offset),
        });
    }
    Ok(sections)
}

fn check_header(wasm: &[u8]) -> Result<(), NotAComponent> {
    if wasm.starts_with(HEADER) {
        return Ok(());
    }
    Err(match wasm {
        [] => NotAComponent::Empty,
        _ if wasm.starts_with(MODULE_HEADER) => NotAComponent::CoreModule,
        _ if HEADER.starts_with(wasm) => NotAComponent::Truncated { len: wasm.len() },
        _ if wasm.starts_with(MAGIC) => NotAComponent::OtherFormat,
        _ if wasm.trim_ascii_start().starts_with(b"(") => NotAComponent::Text,
        _ if wasm.trim_ascii_start().starts_with(b";;") => NotAComponent::Text,
        _ => NotAComponent::NotWasm,
    })
}

pub(crate) fn damaged(error: wasmparser::BinaryReaderError) -> NotAComponent {
    NotAComponent::Damaged {
        offset: error.offset(),
        why: error.message().into(),
    }
}
