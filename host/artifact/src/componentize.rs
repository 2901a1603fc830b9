//! Wraps the core module that a compiler writes into a component.

use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use crate::outermost::MAGIC;

/// What the SDK's bindings leave in a module: sections with the types of its imports and exports.
const TYPES: &str = "component-type";

/// The module that programs import which were built for WASI before there were components.
const PREVIEW_1: &str = "wasi_snapshot_preview1";

/// A module that cannot be made a component.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ComponentizeError {
    /// No core module, or a damaged one.
    #[error("it is not a WebAssembly module: {0}")]
    NotAModule(String),
    /// A component already.
    #[error("it is a component already: use it as it is")]
    AlreadyAComponent,
    /// A module that says nothing of interfaces.
    #[error(
        "it is not a module that was built with the plugin SDK: it has no `{TYPES}` section; register the plugin's type with \
         the SDK's macro, and build it as a `cdylib`"
    )]
    NoTypes,
    /// A module for another system.
    #[error(
        "it was built for WASI preview 1 (it imports `{PREVIEW_1}`): build it for wasm32-unknown-unknown, or a function for wasm32-wasip2"
    )]
    Preview1,
    /// A module that is not what its types say.
    #[error(
        "it does not fit the interfaces that it names: {0}; build it again, with one version of the SDK"
    )]
    Misfit(String),
}

/// Makes a component of a core module that was built with the plugin SDK.
pub fn componentize(core_module: &[u8]) -> Result<Vec<u8>, ComponentizeError> {
    check(core_module)?;
    let mut encoder = ComponentEncoder::default();
    encoder
        .validate(true)
        .module(core_module)
        .and_then(|encoder| encoder.encode())
        .map_err(|e| ComponentizeError::Misfit(format!("{e:#}")))
}

/// Says what is the matter in words of ours where the encoder's would not help.
fn check(core_module: &[u8]) -> Result<(), ComponentizeError> {
    if !core_module.starts_with(MAGIC) {
        let why = "it does not begin like one".into();
        return Err(ComponentizeError::NotAModule(why));
    }
    let broken = |e: wasmparser::BinaryReaderError| ComponentizeError::NotAModule(e.to_string());
    let mut has_types = false;
    for payload in Parser::new(0).parse_all(core_module) {
        match payload.map_err(broken)? {
            Payload::Version {
                encoding: wasmparser::Encoding::Component,
                ..
            } => {
                return Err(ComponentizeError::AlreadyAComponent);
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    if import.map_err(broken)?.module == PREVIEW_1 {
                        return Err(ComponentizeError::Preview1);
                    }
                }
            }
            Payload::CustomSection(section) => has_types |= section.name().starts_with(TYPES),
            _ => {}
        }
    }
    match has_types {
        true => Ok(()),
        false => Err(ComponentizeError::NoTypes),
    }
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{Component, EntityType, ImportSection, MemoryType, Module};

    use super::*;
    use crate::{Role, inspect, samples};

    #[test]
    fn a_module_of_each_world_becomes_a_component_of_its_role() {
        for (world, role) in [
            ("router", Role::Router),
            ("shaper", Role::Shaper),
            ("chat-template", Role::ChatTemplate),
        ] {
            let component = componentize(&samples::core_module(world)).unwrap();
            let inspection = inspect(&component).unwrap();
            assert_eq!(inspection.role, role);
            let ours = |name: &String| name.starts_with("lm:plugin/");
            assert!(inspection.imports.iter().all(ours), "{inspection:?}");
        }
    }

    #[test]
    fn what_the_sdk_did_not_build_is_refused_in_words() {
        let whole = samples::core_module("shaper");
        let mut preview_1 = Module::new();
        let memory = MemoryType {
            minimum: 1,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        };
        let mut imports = ImportSection::new();
        imports.import(PREVIEW_1, "memory", EntityType::Memory(memory));
        preview_1.section(&imports);
        for (bytes, expected) in [
            (b"" as &[u8], "it is not a WebAssembly module: "),
            (b"(module)", "it is not a WebAssembly module: "),
            (
                &whole[..whole.len() / 2],
                "it is not a WebAssembly module: ",
            ),
            (
                &Module::new().finish(),
                "not a module that was built with the plugin SDK",
            ),
            (&preview_1.finish(), "built for WASI preview 1"),
            (&Component::new().finish(), "it is a component already"),
        ] {
            let error = componentize(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_module_that_lacks_what_its_types_promise_is_a_misfit() {
        let hollow = samples::with_types(Module::new().finish(), "shaper");
        let error = componentize(&hollow).unwrap_err();
        assert!(matches!(error, ComponentizeError::Misfit(_)), "{error}");
        assert!(
            error.to_string().contains("lm:plugin/shaping@0.1.0"),
            "{error}"
        );
    }
}
