//! New plugins while the server runs: on SIGHUP, when files change, and when an administrator says so.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use futures_util::future::{BoxFuture, FutureExt};
use sandbox::{Loader, PluginSet};
use server::App;
use tokio::signal::unix::{SignalKind, signal};

use crate::plugins::{Fingerprint, PluginFile};

/// How often files are looked at, and how long they must have been left alone: a compiler writes in pieces.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);

/// Loads the plugins of the operator's file again.
#[derive(Clone)]
pub(crate) struct Reloader {
    app: Arc<App>,
    loader: Loader,
    file: PluginFile,
}

impl Reloader {
    pub(crate) fn new(app: Arc<App>, loader: Loader, file: PluginFile) -> Self {
        Self { app, loader, file }
    }

    /// The plugins as the file has them now.
    pub(crate) fn load(&self) -> BoxFuture<'static, Result<PluginSet, String>> {
        let this = self.clone();
        async move {
            let loaded = this.file.load(&this.loader).await;
            loaded.map_err(|error| format!("{error:#}"))
        }
        .boxed()
    }

    /// Reloads on SIGHUP, and whenever files are not as they were when they were loaded, if that was looked at.
    pub(crate) fn start(&self, loaded: Option<Fingerprint>) -> Result<()> {
        let mut hangup = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
        let this = self.clone();
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                this.reload().await;
            }
        });
        if let Some(loaded) = loaded {
            tokio::spawn(self.clone().watch(loaded));
        }
        Ok(())
    }

    async fn watch(self, mut loaded: Fingerprint) {
        let mut seen = None;
        loop {
            tokio::time::sleep(WATCH_INTERVAL).await;
            let Some(now) = self.file.fingerprint() else {
                return;
            };
            if seen.as_ref() == Some(&now) && now != loaded {
                loaded = now.clone();
                self.reload().await;
            }
            seen = Some(now);
        }
    }

    /// What fails leaves the plugins that serve where they are.
    async fn reload(&self) {
        let swapped = match self.load().await {
            Ok(plugins) => self.app.swap_plugins(plugins),
            Err(why) => Err(why),
        };
        match swapped {
            Ok(generation) => eprintln!("plugins reloaded: generation {generation}"),
            Err(why) => tracing::error!("plugins not reloaded, those that serve were kept: {why}"),
        }
    }
}
