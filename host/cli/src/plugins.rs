//! The operator's plugin file: which components serve, what they may import, and their settings.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sandbox::{Grants, Loader, PluginSet, PluginSpec};
use serde::Deserialize;

use crate::builtin::{self, Builtin};

/// The file as written; without one, everything is as if it were empty.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PluginsFile {
    router: Option<Entry>,
    chat_template: Option<Entry>,
    /// In the order in which they run; absent: the built-in request-shaper.
    shaper: Option<Vec<Entry>>,
}

/// One plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    /// Its name in logs, errors and metrics; that of a built-in plugin makes `path` needless.
    name: String,
    /// The component, relative to the file's folder.
    path: Option<PathBuf>,
    /// What it may import, besides nothing.
    #[serde(default)]
    grants: Vec<Grant>,
    /// Its settings.
    #[serde(default)]
    config: Settings,
}

/// A plugin's settings: any JSON object, which the plugin itself checks.
pub(crate) type Settings = serde_json::Map<String, serde_json::Value>;

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Grant {
    Log,
    Config,
}

impl Entry {
    /// A built-in plugin with what it asks for.
    fn builtin(builtin: &Builtin) -> Self {
        let grants = vec![Grant::Log, Grant::Config];
        Self {
            name: builtin.name.into(),
            path: None,
            grants,
            config: Settings::new(),
        }
    }

    fn wasm(&self, folder: &Path) -> Result<Vec<u8>> {
        if let Some(path) = &self.path {
            let path = folder.join(path);
            return std::fs::read(&path).with_context(|| {
                format!("cannot read plugin `{}` at {}", self.name, path.display())
            });
        }
        match builtin::ALL
            .iter()
            .find(|builtin| builtin.name == self.name)
        {
            Some(builtin) => Ok(builtin.wasm.to_vec()),
            None => {
                let known = builtin::ALL.map(|builtin| builtin.name).join(", ");
                bail!(
                    "plugin `{}` has no path and is not built in (built in are {known}): add path = \"…\"",
                    self.name
                )
            }
        }
    }

    fn spec(&self) -> PluginSpec {
        let granted = |grant| self.grants.contains(&grant);
        PluginSpec {
            name: self.name.as_str().into(),
            grants: Grants {
                log: granted(Grant::Log),
                config: granted(Grant::Config),
            },
            config: self.config.clone(),
        }
    }
}

/// Reads the operator's file, or takes the built-in plugins where there is none, and loads them all side by side. Settings of
/// the built-in shaper hold where the file names no shapers.
pub(crate) async fn load(
    loader: &Loader,
    file: Option<&Path>,
    shaper_config: Settings,
) -> Result<PluginSet> {
    let (entries, folder) = match file {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let entries =
                toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
            (entries, path.parent().unwrap_or(Path::new("")))
        }
        None => (PluginsFile::default(), Path::new("")),
    };
    let router = entries
        .router
        .unwrap_or_else(|| Entry::builtin(&builtin::OPENAI_ROUTER));
    let template = entries
        .chat_template
        .unwrap_or_else(|| Entry::builtin(&builtin::CHAT_TEMPLATE));
    let shapers = entries.shaper.unwrap_or_else(|| {
        vec![Entry {
            config: shaper_config,
            ..Entry::builtin(&builtin::REQUEST_SHAPER)
        }]
    });
    let load_shapers = async {
        let mut loaded = Vec::with_capacity(shapers.len());
        for shaper in &shapers {
            loaded.push(
                loader
                    .load_shaper(shaper.spec(), shaper.wasm(folder)?)
                    .await?,
            );
        }
        Ok::<_, anyhow::Error>(loaded)
    };
    let load_router = async {
        Ok::<_, anyhow::Error>(
            loader
                .load_router(router.spec(), router.wasm(folder)?)
                .await?,
        )
    };
    let load_template = async {
        Ok::<_, anyhow::Error>(
            loader
                .load_template(template.spec(), template.wasm(folder)?)
                .await?,
        )
    };
    let (router, shapers, template) = tokio::try_join!(load_router, load_shapers, load_template)?;
    Ok(PluginSet {
        router,
        shapers,
        template,
    })
}

#[cfg(test)]
mod tests {
    use sandbox::{Limits, Sandbox};

    use super::*;

    /// Loads what a file with this text, in the folder of the built components, names.
    async fn load_text(text: &str) -> Result<PluginSet, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plugins.toml");
        std::fs::write(&file, text).unwrap();
        std::fs::write(folder.path().join("own.wasm"), builtin::REQUEST_SHAPER.wasm).unwrap();
        let sandbox = Sandbox::new(Limits {
            max_instances: 8,
            ..Limits::default()
        })
        .unwrap();
        load(&Loader::new(sandbox, None), Some(&file), Settings::new())
            .await
            .map_err(|error| format!("{error:#}"))
    }

    #[tokio::test]
    async fn shapers_run_in_the_order_of_the_file_and_the_rest_is_built_in() {
        let text = r#"
            [[shaper]]
            name = "mine"
            path = "own.wasm"
            grants = ["log", "config"]
            config = { max_max_tokens = 4 }
            [[shaper]]
            name = "request-shaper"
            grants = ["log", "config"]
        "#;
        let plugins = load_text(text).await.unwrap();
        let names: Vec<&str> = plugins
            .shapers
            .iter()
            .map(|shaper| &*shaper.info().name)
            .collect();
        assert_eq!(names, ["mine", "request-shaper"]);
        assert_eq!(&*plugins.router.info().name, "openai-router");
        assert_eq!(&*plugins.template.info().name, "chat-template");
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_file_is_said_by_name() {
        for (text, said) in [
            ("routers = 1", "routers"),
            ("[router]\nname = \"r\"\npaths = \"x\"", "paths"),
            (
                "[router]\nname = \"mine\"",
                "`mine` has no path and is not built in",
            ),
            (
                "[router]\nname = \"mine\"\npath = \"none.wasm\"",
                "none.wasm",
            ),
            ("[router]\nname = \"openai-router\"", "`config`"),
            (
                "[router]\nname = \"openai-router\"\ngrants = [\"network\"]",
                "network",
            ),
            ("[router]\nname = \"chat-template\"", "router"),
        ] {
            let error = load_text(text)
                .await
                .err()
                .unwrap_or_else(|| panic!("{text} was taken"));
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
