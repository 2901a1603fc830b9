//! New plugins, keys and certificates while the server runs: on SIGHUP; plugins also when files change, and when an administrator
//! says so.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use futures_util::future::{BoxFuture, FutureExt};
use sandbox::{Loader, PluginSet};
use server::{App, Tls};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    keys::KeySource,
    plugins::{Fingerprint, PluginFile},
    tls::TlsFiles,
};

/// How often files are looked at, and how long they must have been left alone: a compiler writes in pieces.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);

/// Reads the operator's files again.
#[derive(Clone)]
pub(crate) struct Reloader {
    app: Arc<App>,
    loader: Loader,
    file: PluginFile,
    keys: KeySource,
    tls: Option<(TlsFiles, Arc<Tls>)>,
}

impl Reloader {
    pub(crate) fn new(
        app: Arc<App>,
        loader: Loader,
        file: PluginFile,
        keys: KeySource,
        tls: Option<(TlsFiles, Arc<Tls>)>,
    ) -> Self {
        Self {
            app,
            loader,
            file,
            keys,
            tls,
        }
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

    /// Reloads everything on SIGHUP, and the plugins whenever their files are not as they were when they were loaded, if that was looked at.
    pub(crate) fn start(&self, loaded: Option<Fingerprint>) -> Result<()> {
        let mut hangup = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
        let this = self.clone();
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                this.reload_all().await;
            }
        });
        if let Some(loaded) = loaded {
            tokio::spawn(self.clone().watch(loaded));
        }
        Ok(())
    }

    /// Each by itself: what fails leaves what is there of its kind, and the rest is new.
    async fn reload_all(&self) {
        self.reload_certificate();
        let early = self.reload_keys();
        self.reload().await;
        // Keys may have settings for a shaper that came just now.
        let keys = early.or_else(|_| self.reload_keys());
        if let Err(why) = keys {
            tracing::error!("keys not reloaded, those that were there were kept: {why:#}");
        }
    }

    fn reload_certificate(&self) {
        let Some((files, tls)) = &self.tls else {
            return;
        };
        match files.reload(tls) {
            Ok(()) => eprintln!("certificate reloaded"),
            Err(why) => {
                tracing::error!("certificate not reloaded, the old one was kept: {why:#}");
            }
        }
    }

    fn reload_keys(&self) -> Result<()> {
        if self.keys.file.is_none() {
            return Ok(());
        }
        let keys = self.keys.load()?;
        let num_keys = keys.len();
        let swapped = self.app.swap_keys(keys);
        swapped.with_context(|| self.keys.place())?;
        eprintln!("keys reloaded: {num_keys}");
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
