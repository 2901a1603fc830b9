//! What crosses a component's border, and whether it may.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use wasmparser::{Parser, Payload};

use crate::manifest::{Manifest, Role};

/// The names of a component's imports and exports.
pub(crate) struct Border {
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Border {
    /// Reads them, of the component itself and not of what is inside it.
    pub(crate) fn of(component: &[u8]) -> Result<Border> {
        let mut border = Border {
            imports: Vec::new(),
            exports: Vec::new(),
        };
        let mut depth = 0;
        for payload in Parser::new(0).parse_all(component) {
            match payload.context("the component cannot be parsed")? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth -= 1,
                Payload::ComponentImportSection(imports) if depth == 0 => {
                    for import in imports {
                        border.imports.push(import?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 0 => {
                    for export in exports {
                        border.exports.push(export?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(border)
    }

    /// Every import and export is an interface of `lm:plugin`.
    pub(crate) fn check_without_manifest(&self) -> Result<()> {
        let exports = self.exports.iter().map(|name| ("exports", name));
        for (verb, name) in exports.chain(self.imports.iter().map(|name| ("imports", name))) {
            ensure!(
                name.starts_with("lm:plugin/"),
                "the component {verb} `{name}`, and without a plugin.toml that says what it is for only interfaces of \
                 `lm:plugin` can cross the border"
            );
        }
        self.check_role()
    }

    /// The exports are those of its role, and the imports need exactly the capabilities that the manifest lists.
    pub(crate) fn check(&self, manifest: &Manifest) -> Result<()> {
        for name in &self.exports {
            ensure!(
                is_export_of(manifest.role, name),
                "the component exports `{name}`, which is not what its role says"
            );
        }
        let mut needed = BTreeSet::new();
        for name in &self.imports {
            needed.extend(capability(manifest.role, name)?.map(str::to_owned));
        }
        if let Some(missing) = needed.difference(&manifest.capabilities).next() {
            bail!("the component uses `{missing}`; add it to `capabilities`");
        }
        if let Some(idle) = manifest.capabilities.difference(&needed).next() {
            bail!("`capabilities` lists `{idle}`, which the component does not use; leave it out");
        }
        self.check_role()
    }

    fn check_role(&self) -> Result<()> {
        ensure!(
            !self.exports.is_empty(),
            "the plugin has no role; add `plugin_sdk::register!(…)` to its lib.rs"
        );
        Ok(())
    }
}

fn is_export_of(role: Role, name: &str) -> bool {
    let interfaces: &[&str] = match role {
        Role::Router => &["lm:plugin/routing@"],
        Role::Shaper => &["lm:plugin/shaping@"],
        Role::ChatTemplate => &["lm:plugin/templating@"],
        Role::Function => &["wasi:http/incoming-handler@0.2.", "wasi:http/handler@0.3."],
    };
    interfaces.iter().any(|prefix| name.starts_with(prefix))
}

/// What has to be granted for an import, if anything; an error where no host offers it.
fn capability(role: Role, name: &str) -> Result<Option<&'static str>> {
    let interface = name.split('@').next().unwrap_or(name);
    let capability = match interface {
        "lm:plugin/types" => None,
        "lm:plugin/log" => Some("log"),
        "lm:plugin/config" => Some("config"),
        "lm:plugin/clock" => Some("clock"),
        "lm:plugin/random" => Some("random"),
        "lm:plugin/key-value" => Some("key-value"),
        "lm:plugin/inference" if role == Role::Function => Some("inference"),
        _ if role != Role::Function => {
            bail!("the component imports `{name}`, which no host offers to a plugin of its role")
        }
        "wasi:http/types" => None,
        "wasi:http/outgoing-handler" | "wasi:http/client" => Some("outgoing-http"),
        "wasi:cli/stdout" | "wasi:cli/stderr" => Some("log"),
        _ => match interface.split('/').next() {
            Some("wasi:io" | "wasi:cli") => None,
            Some("wasi:clocks") => Some("clock"),
            Some("wasi:random") => Some("random"),
            _ => bail!("the component imports `{name}`, which no host offers to a function"),
        },
    };
    Ok(capability)
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

    fn manifest(role: &str, capabilities: &str) -> Manifest {
        let text = format!("role = \"{role}\"\ncapabilities = [{capabilities}]");
        Manifest::parse(&text).unwrap()
    }

    fn border(imports: &[&str], exports: &[&str]) -> Border {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Border {
            imports: owned(imports),
            exports: owned(exports),
        }
    }

    fn function(imports: &[&str]) -> Border {
        border(imports, &["wasi:http/incoming-handler@0.2.12"])
    }

    fn refusal(result: Result<()>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn an_import_from_elsewhere_is_refused_by_name() {
        let border = Border::of(&importing("wasi:cli/exit@0.2.6")).unwrap();
        let with = refusal(border.check(&manifest("shaper", "")));
        let without = refusal(border.check_without_manifest());
        for refusal in [with, without] {
            assert!(
                refusal.contains("imports `wasi:cli/exit@0.2.6`"),
                "{refusal}"
            );
        }
    }

    #[test]
    fn a_component_without_a_role_is_refused_even_if_its_imports_are_ours() {
        let border = Border::of(&importing("lm:plugin/log@0.1.0")).unwrap();
        let with = refusal(border.check(&manifest("shaper", r#""log""#)));
        let without = refusal(border.check_without_manifest());
        for refusal in [with, without] {
            assert!(refusal.contains("has no role"), "{refusal}");
        }
    }

    #[test]
    fn a_function_may_import_wasi_s_http_io_clocks_random_and_cli() {
        let border = function(&[
            "wasi:http/types@0.2.12",
            "wasi:io/streams@0.2.12",
            "wasi:clocks/wall-clock@0.2.12",
            "wasi:random/random@0.2.12",
            "wasi:cli/stdout@0.2.12",
            "wasi:cli/environment@0.2.12",
            "wasi:http/outgoing-handler@0.2.12",
        ]);
        let capabilities = r#""clock", "log", "outgoing-http", "random""#;
        border.check(&manifest("function", capabilities)).unwrap();
    }

    #[test]
    fn a_function_may_import_nothing_else_of_wasi_s() {
        for name in [
            "wasi:sockets/tcp@0.2.12",
            "wasi:filesystem/types@0.2.12",
            "lm:plugin/secrets@0.1.0",
        ] {
            let refusal = refusal(function(&[name]).check(&manifest("function", "")));
            assert!(refusal.contains(&format!("imports `{name}`")), "{refusal}");
        }
    }

    #[test]
    fn the_capabilities_are_those_that_the_component_uses_no_more_and_no_fewer() {
        let border = function(&["lm:plugin/types@0.1.0", "lm:plugin/inference@0.1.0"]);
        border
            .check(&manifest("function", r#""inference""#))
            .unwrap();
        let missing = refusal(border.check(&manifest("function", "")));
        assert!(missing.contains("uses `inference`"), "{missing}");
        let idle = refusal(border.check(&manifest("function", r#""inference", "log""#)));
        assert!(idle.contains("lists `log`"), "{idle}");
    }

    #[test]
    fn only_a_function_calls_the_model() {
        let border = border(&["lm:plugin/inference@0.1.0"], &["lm:plugin/shaping@0.1.0"]);
        let refusal = refusal(border.check(&manifest("shaper", r#""inference""#)));
        assert!(
            refusal.contains("no host offers to a plugin of its role"),
            "{refusal}"
        );
    }

    #[test]
    fn an_export_of_another_role_is_refused() {
        let refusal = refusal(function(&[]).check(&manifest("router", "")));
        assert!(refusal.contains("not what its role says"), "{refusal}");
    }
}
