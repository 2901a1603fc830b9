//! From the operator's file to plugins that serve, at start and again whenever it is told to.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context, Result};
use artifact::{Disk, Lock};
use sandbox::{Loader, PluginSet};

use super::{Entries, Entry, Settings, component::LOCK_FILE};
use crate::builtin;

/// The operator's file, or the built-in plugins where there is none.
#[derive(Clone)]
pub(crate) struct PluginFile {
    pub(crate) path: Option<PathBuf>,
    /// Settings of the built-in shaper, which hold where the file names no shapers.
    pub(crate) shaper_config: Settings,
}

/// Files as they were when they were looked at.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fingerprint(Vec<Seen>);

/// One file; a newer one need not have a later time.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    path: PathBuf,
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
}

impl Seen {
    fn at(path: PathBuf) -> Self {
        let file = std::fs::metadata(&path).ok();
        Self {
            modified: file.as_ref().and_then(|file| file.modified().ok()),
            len: file.as_ref().map_or(0, |file| file.len()),
            inode: file.as_ref().map_or(0, |file| file.ino()),
            path,
        }
    }
}

impl PluginFile {
    /// Reads the file and loads all plugins side by side.
    pub(crate) async fn load(&self, loader: &Loader) -> Result<PluginSet> {
        let entries = self.read()?;
        let folder = self.folder();
        let router = entries
            .router
            .unwrap_or_else(|| Entry::builtin(&builtin::OPENAI_ROUTER));
        let template = entries
            .chat_template
            .unwrap_or_else(|| Entry::builtin(&builtin::CHAT_TEMPLATE));
        let shapers = entries.shaper.unwrap_or_else(|| {
            vec![Entry {
                config: self.shaper_config.clone(),
                ..Entry::builtin(&builtin::REQUEST_SHAPER)
            }]
        });

        let lock_path = folder.join(LOCK_FILE);
        let pinned = Lock::read(&lock_path)?;
        let mut lock = pinned.clone();
        let router_wasm = router.component(folder, &mut lock).await?;
        let template_wasm = template.component(folder, &mut lock).await?;
        let mut shaper_wasms = Vec::with_capacity(shapers.len());
        for shaper in &shapers {
            shaper_wasms.push(shaper.component(folder, &mut lock).await?);
        }

        let load_shapers = async {
            let mut loaded = Vec::with_capacity(shapers.len());
            for (shaper, wasm) in shapers.iter().zip(shaper_wasms) {
                loaded.push(loader.load_shaper(shaper.spec(), wasm).await?);
            }
            Ok(loaded)
        };
        let (router, shapers, template) = tokio::try_join!(
            loader.load_router(router.spec(), router_wasm),
            load_shapers,
            loader.load_template(template.spec(), template_wasm),
        )?;
        // Only what was seen running is worth keeping to.
        if lock != pinned {
            lock.write(&Disk::new(), &lock_path)?;
        }
        Ok(PluginSet {
            router,
            shapers,
            template,
        })
    }

    /// What tells that the file, or a component that it names by its path, is not the one that it was; `None` where there is
    /// nothing to watch.
    pub(crate) fn fingerprint(&self) -> Option<Fingerprint> {
        let path = self.path.clone()?;
        let entries = self.read().unwrap_or_default();
        let shapers = entries.shaper.unwrap_or_default();
        let components = [entries.router, entries.chat_template]
            .into_iter()
            .flatten()
            .chain(shapers)
            .filter_map(|entry| Some(self.folder().join(entry.path?)));
        let files = [path].into_iter().chain(components);
        Some(Fingerprint(files.map(Seen::at).collect()))
    }

    fn read(&self) -> Result<Entries> {
        let Some(path) = &self.path else {
            return Ok(Entries::default());
        };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("in {}", path.display()))
    }

    fn folder(&self) -> &Path {
        let parent = self.path.as_deref().and_then(Path::parent);
        parent.unwrap_or(Path::new(""))
    }
}

#[cfg(test)]
mod tests {
    use sandbox::{Limits, Sandbox};

    use super::*;

    fn loader() -> Loader {
        let few = |limits| Limits {
            max_instances: 8,
            ..limits
        };
        let sandbox = Sandbox::new(few(Limits::default()), few(Limits::for_functions()), None);
        Loader::new(sandbox.unwrap(), None)
    }

    /// Loads what a file with this text names, beside a copy of the built-in shaper.
    async fn load_text(text: &str) -> Result<PluginSet, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugins.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::write(folder.path().join("own.wasm"), builtin::REQUEST_SHAPER.wasm).unwrap();
        let file = PluginFile {
            path: Some(path),
            shaper_config: Settings::new(),
        };
        let loaded = file.load(&loader()).await;
        loaded.map_err(|error| format!("{error:#}"))
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
        let names: Vec<&str> = plugins.infos().map(|info| &*info.name).collect();
        assert_eq!(
            names,
            ["openai-router", "mine", "request-shaper", "chat-template"]
        );
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_file_is_said_by_name() {
        let other = format!("sha256:{}", "0".repeat(64));
        let other_digest =
            format!("[[shaper]]\nname = \"mine\"\npath = \"own.wasm\"\ndigest = \"{other}\"");
        let absent_digest = format!("[router]\nname = \"mine\"\ndigest = \"{other}\"");
        for (text, said) in [
            ("routers = 1", "routers"),
            ("[router]\nname = \"r\"\npaths = \"x\"", "paths"),
            (
                "[router]\nname = \"mine\"",
                "`mine` has no source and is not built in",
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
            (
                "[router]\nname = \"chat-template\"\ngrants = [\"config\", \"log\"]",
                "a router is wanted",
            ),
            (
                "[router]\nname = \"r\"\npath = \"x\"\noci = \"x/y:1\"",
                "leave one of them out",
            ),
            (
                "[[shaper]]\nname = \"request-shaper\"\ngrants = [\"log\", \"config\"]\nconfig = { max_tokens = 1 }",
                "max_tokens",
            ),
            (&*other_digest, "correct the digest"),
            (&*absent_digest, "pull it first"),
        ] {
            let error = load_text(text).await.err();
            let error = error.unwrap_or_else(|| panic!("{text} was taken"));
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
