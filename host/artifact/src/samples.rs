//! Components and modules to test with.

use std::{fs, path::Path};

use wasm_encoder::{
    Component, ComponentExportKind, ComponentExportSection, ComponentImportSection,
    ComponentInstanceSection, ComponentTypeRef, ComponentTypeSection, InstanceType,
};
use wit_component::{StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve, WorldId};

/// One of the components that come with the host.
pub(crate) fn shipped(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/dist");
    let path = Path::new(folder).join(name);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The least component with these imports and exports, all of which are interfaces with nothing in them.
pub(crate) fn component(imports: &[&str], exports: &[&str]) -> Vec<u8> {
    let mut types = ComponentTypeSection::new();
    types.instance(&InstanceType::new());
    let mut component_imports = ComponentImportSection::new();
    for import in imports {
        component_imports.import(*import, ComponentTypeRef::Instance(0));
    }
    let mut instances = ComponentInstanceSection::new();
    let nothing: [(&str, ComponentExportKind, u32); 0] = [];
    instances.export_items(nothing);
    let mut component_exports = ComponentExportSection::new();
    for export in exports {
        // The imported instances come first.
        let empty = imports.len() as u32;
        component_exports.export(*export, ComponentExportKind::Instance, empty, None);
    }
    let mut component = Component::new();
    component.section(&types);
    component.section(&component_imports);
    component.section(&instances);
    component.section(&component_exports);
    component.finish()
}

/// A core module of one of the package's worlds, as a compiler writes it, with functions that trap.
pub(crate) fn core_module(world: &str) -> Vec<u8> {
    let (resolve, id) = wit(world);
    with_types(
        dummy_module(&resolve, id, ManglingAndAbi::Standard32),
        world,
    )
}

/// A core module with a section that says it is of one of the package's worlds.
pub(crate) fn with_types(mut module: Vec<u8>, world: &str) -> Vec<u8> {
    let (resolve, id) = wit(world);
    embed_component_metadata(&mut module, &resolve, id, StringEncoding::UTF8).unwrap();
    module
}

fn wit(world: &str) -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/v0.1");
    let (package, _) = resolve.push_dir(folder).unwrap();
    let id = resolve.select_world(&[package], Some(world)).unwrap();
    (resolve, id)
}
