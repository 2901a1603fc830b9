//! Wraps a core module, as rustc writes it, into a component, puts its `plugin.toml` into it, and checks that it asks its host
//! for nothing but what that file says. A step of `plugins/build`; it knows nothing of any particular plugin.

mod border;
mod manifest;

use std::{env, fs, process::ExitCode};

use anyhow::{Context, Result};
use border::Border;
use manifest::Manifest;
use wasm_encoder::{ComponentSection, CustomSection};
use wit_component::ComponentEncoder;

/// Where a component carries the text of its `plugin.toml`.
const MANIFEST_SECTION: &str = "lm-plugin-manifest";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (input, output, check) = match arguments.as_slice() {
        [input, output] => (input, output, Check::Imports),
        [input, output, flag] if flag == "--unchecked" => (input, output, Check::Nothing),
        [input, output, manifest] => (input, output, Check::Manifest(manifest)),
        _ => {
            eprintln!("usage: componentize MODULE.wasm COMPONENT.wasm [PLUGIN.toml | --unchecked]");
            return ExitCode::from(2);
        }
    };
    match componentize(input, output, check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("componentize: {input}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What the component is held to.
enum Check<'a> {
    /// Its `plugin.toml`, which is put into it.
    Manifest(&'a str),
    /// It has none, so it may import what any plugin may.
    Imports,
    /// For the host's tests, which have to refuse by themselves what this tool would.
    Nothing,
}

fn componentize(input: &str, output: &str, check: Check<'_>) -> Result<()> {
    let module = fs::read(input).context("cannot read the module")?;
    let mut component = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .context("not a module that was built with the plugin SDK")?
        .encode()
        .context("cannot be wrapped into a component")?;
    let border = Border::of(&component)?;
    match check {
        Check::Manifest(path) => {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
            Manifest::parse(&text)
                .and_then(|manifest| border.check(&manifest))
                .with_context(|| format!("{path} is not true of the component"))?;
            embed(&mut component, &text);
        }
        Check::Imports => border.check_without_manifest()?,
        Check::Nothing => {}
    }
    fs::write(output, component).with_context(|| format!("cannot write {output}"))
}

fn embed(component: &mut Vec<u8>, manifest: &str) {
    let section = CustomSection {
        name: MANIFEST_SECTION.into(),
        data: manifest.as_bytes().into(),
    };
    section.append_to_component(component);
}

#[cfg(test)]
mod tests {
    use wasmparser::{Parser, Payload};

    use super::*;

    #[test]
    fn a_component_carries_the_text_of_its_manifest_as_it_was_written() {
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        embed(&mut component, "id = \"a\"  # ü\n");
        let sections: Vec<_> = Parser::new(0)
            .parse_all(&component)
            .filter_map(|payload| match payload.unwrap() {
                Payload::CustomSection(section) => Some((section.name(), section.data())),
                _ => None,
            })
            .collect();
        assert_eq!(
            sections,
            [("lm-plugin-manifest", "id = \"a\"  # ü\n".as_bytes())]
        );
    }
}
