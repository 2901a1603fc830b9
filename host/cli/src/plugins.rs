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
