use wasm_encoder::{Component, CustomSection, Module, ModuleSection};

use super::LEAST;
use crate::{Manifest, ManifestError, embed};

fn section(data: &[u8]) -> CustomSection<'_> {
    CustomSection {
        name: "lm-plugin-manifest".into(),
        data: data.into(),
    }
}

#[test]
fn a_manifest_is_read_back_from_the_component_that_it_was_put_into() {
    let component = Component::new().finish();
    assert_eq!(Manifest::of_component(&component), Ok(None));
    let with = embed(LEAST, &component).unwrap();
    assert_eq!(
        Manifest::of_component(&with),
        Ok(Some(Manifest::parse(LEAST).unwrap()))
    );
    assert!(with.ends_with(LEAST.as_bytes()), "as it was written");
}

#[test]
fn a_manifest_that_is_there_is_replaced_and_the_rest_stays() {
    let mut component = Component::new();
    component.section(&section(LEAST.as_bytes()));
    component.section(&CustomSection {
        name: "producers".into(),
        data: b"\0".into(),
    });
    component.section(&ModuleSection(&Module::new()));
    let component = component.finish();
    let newer = LEAST.replace("0.1.0", "0.2.0");
    let with = embed(&newer, &component).unwrap();
    let manifest = Manifest::of_component(&with).unwrap().unwrap();
    assert_eq!(manifest.version.to_string(), "0.2.0");

    let mut expected = Component::new();
    expected.section(&CustomSection {
        name: "producers".into(),
        data: b"\0".into(),
    });
    expected.section(&ModuleSection(&Module::new()));
    expected.section(&section(newer.as_bytes()));
    assert_eq!(with, expected.finish());
}

#[test]
fn a_wrong_manifest_is_not_put_into_a_component() {
    let error = embed("id = 1", &Component::new().finish()).unwrap_err();
    assert!(matches!(error, ManifestError::Toml(_)), "{error}");
}

#[test]
fn two_manifests_are_none() {
    let mut component = Component::new();
    component.section(&section(LEAST.as_bytes()));
    component.section(&section(LEAST.as_bytes()));
    let component = component.finish();
    assert_eq!(
        Manifest::of_component(&component),
        Err(ManifestError::Several(2))
    );
    let mended = embed(LEAST, &component).unwrap();
    assert!(Manifest::of_component(&mended).is_ok());
}

#[test]
fn the_manifest_of_a_component_inside_does_not_count() {
    let inner = embed(LEAST, &Component::new().finish()).unwrap();
    let mut module = Module::new();
    module.section(&section(LEAST.as_bytes()));
    let mut outer = Component::new();
    outer.section(&wasm_encoder::RawSection {
        id: wasm_encoder::ComponentSectionId::Component.into(),
        data: &inner,
    });
    outer.section(&ModuleSection(&module));
    assert_eq!(Manifest::of_component(&outer.finish()), Ok(None));
}

#[test]
fn a_manifest_in_another_encoding_is_refused() {
    let mut component = Component::new();
    component.section(&section(b"id = \"\xff\""));
    assert_eq!(
        Manifest::of_component(&component.finish()),
        Err(ManifestError::NotUtf8)
    );
}

#[test]
fn bytes_that_are_no_component_are_refused_and_named() {
    let whole = embed(LEAST, &Component::new().finish()).unwrap();
    let module = Module::new().finish();
    let too_long = [whole.as_slice(), b"\0\xff\xff\xff\xff\x0f"].concat();
    let endless = [whole.as_slice(), b"\0\xff\xff\xff\xff\xff\xff\xff"].concat();
    for (bytes, expected) in [
        (b"" as &[u8], "it is empty"),
        (b"MZ", "it is not WebAssembly"),
        (b"  (component)", "text format"),
        (b";; me\n(component)", "text format"),
        (b"\0asm\x0a\0\x01\0", "this host does not know"),
        (
            &module,
            "it is a core module rather than a component: wrap it with `host plugin build`",
        ),
        (&whole[..3], "byte 3 is not its end"),
        (&whole[..9], "byte 9 is not its end"),
        (&whole[..8 + 5], "byte 13 is not its end"),
        (&whole[..whole.len() - 1], "is not its end"),
        (&too_long, "is not its end"),
        (&endless, "integer representation too long"),
    ] {
        for result in [
            Manifest::of_component(bytes).map(|_| ()),
            embed(LEAST, bytes).map(|_| ()),
        ] {
            let error = result.unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(
                matches!(error, ManifestError::NotAComponent(_)),
                "{error:?}"
            );
        }
    }
}
