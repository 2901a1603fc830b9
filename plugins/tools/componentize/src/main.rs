//! Wraps a core module, as rustc writes it, into a component, and checks that the component asks its host for nothing
//! beyond `lm:plugin`. A step of `plugins/build`; it knows nothing of any particular plugin.

use std::{env, fs, process::ExitCode};

use anyhow::{Context, Result, ensure};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [input, output] = arguments.as_slice() else {
        eprintln!("usage: componentize MODULE.wasm COMPONENT.wasm");
        return ExitCode::from(2);
    };
    match componentize(input, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("componentize: {input}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn componentize(input: &str, output: &str) -> Result<()> {
    let module = fs::read(input).context("cannot read the module")?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .context("not a module that was built with the plugin SDK")?
        .encode()
        .context("cannot be wrapped into a component")?;
    check_border(&component)?;
    fs::write(output, component).with_context(|| format!("cannot write {output}"))
}

/// Every import and export is an interface of `lm:plugin`, and there is an export: a plugin without one has no role.
fn check_border(component: &[u8]) -> Result<()> {
    let mut num_exports = 0;
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(component) {
        match payload.context("the component cannot be parsed")? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    check_name("imports", import?.name.name)?;
                }
            }
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    check_name("exports", export?.name.name)?;
                    num_exports += 1;
                }
            }
            _ => {}
        }
    }
    ensure!(
        num_exports > 0,
        "the plugin has no role; add `plugin_sdk::register!(…)` to its lib.rs"
    );
    Ok(())
}

fn check_name(verb: &str, name: &str) -> Result<()> {
    ensure!(
        name.starts_with("lm:plugin/"),
        "the component {verb} `{name}`, which no host offers; only interfaces of `lm:plugin` can cross the border"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component that imports one function without parameters and results, and exports nothing.
    fn importing(name: &str) -> Vec<u8> {
        let function_type = [7, 5, 1, 0x40, 0, 1, 0];
        let len = u8::try_from(name.len()).unwrap();
        let import = [&[10, len + 5, 1, 0, len], name.as_bytes(), &[1, 0]].concat();
        [&b"\0asm\x0d\0\x01\0"[..], &function_type, &import].concat()
    }

    #[test]
    fn an_import_from_elsewhere_is_refused_by_name() {
        let refusal = check_border(&importing("wasi:cli/exit@0.2.6"))
            .unwrap_err()
            .to_string();
        assert!(
            refusal.contains("imports `wasi:cli/exit@0.2.6`"),
            "{refusal}"
        );
    }

    #[test]
    fn a_component_without_a_role_is_refused_even_if_its_imports_are_ours() {
        let refusal = check_border(&importing("lm:plugin/log@0.1.0"))
            .unwrap_err()
            .to_string();
        assert!(refusal.contains("has no role"), "{refusal}");
    }
}
