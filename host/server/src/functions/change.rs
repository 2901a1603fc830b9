//! Changes of what is deployed: each is loaded and tried out first, then written down, and then serves.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use artifact::Digest;
use deploy::{
    DeployError, Deployments, FunctionName, Rollout, Route, Store, StoreError, UnixMillis, Version,
    VersionNumber,
};
use sandbox::PluginError;

use super::{Functions, Live, Loaded, spec};
use crate::{app::App, health};

/// Why a change was refused or failed. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error("this server keeps no functions: start it with --data-dir, the folder to keep them in")]
    NoStore,
    #[error("there is no component {0} here: upload it first")]
    NoComponent(Digest),
    #[error("the component is {actual}, not {said}: it was damaged on its way, or is another one")]
    OtherDigest { said: Digest, actual: Digest },
    #[error("`{0}` is the name of a plugin of this server: choose another")]
    NameOfPlugin(FunctionName),
    #[error(transparent)]
    Refused(#[from] DeployError),
    #[error(transparent)]
    Unfit(#[from] PluginError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "the change stopped half-way ({0}); what is deployed is as it was or as it was to be: look"
    )]
    Stopped(String),
}

/// A deployment that is asked for.
pub(crate) struct Order {
    pub(crate) name: FunctionName,
    pub(crate) route: Route,
    pub(crate) version: Version,
    pub(crate) how: Rollout,
}

/// A deployment that serves.
pub(crate) struct Deployed {
    pub(crate) number: VersionNumber,
    /// From the order to a component that has been seen running: mostly compiling.
    pub(crate) loading: Duration,
    /// From then on to the moment from which requests reach it.
    pub(crate) going_live: Duration,
}

impl Functions {
    /// Keeps a component until it is deployed.
    pub(crate) async fn upload(&self, said: Digest, component: Vec<u8>) -> Result<(), ChangeError> {
        let actual = Digest::of(&component);
        if actual != said {
            return Err(ChangeError::OtherDigest { said, actual });
        }
        self.with_store(move |store| Ok(store.put(&component).map(drop)?))
            .await
    }

    /// Loads a version, writes it down, and lets it serve.
    pub(crate) async fn deploy(&self, app: &App, order: Order) -> Result<Deployed, ChangeError> {
        let started = Instant::now();
        self.check_free(app, &order)?;
        let digest = order.version.component;
        let component = self
            .with_store(move |store| Ok(store.component(&digest)?))
            .await?;
        let component = component.ok_or(ChangeError::NoComponent(digest))?;
        let spec = spec(&order.name, &order.version);
        let loaded = self.loader.load_function(spec, component.clone()).await?;
        let loading = started.elapsed();

        let name = order.name.clone();
        let changing = self.changing.lock().await;
        let (deployments, number) = self
            .with_store(move |store| {
                // Another change may have swept the component away meanwhile, as nothing named it yet.
                store.put(&component)?;
                let Order {
                    name,
                    route,
                    version,
                    how,
                } = order;
                store.commit(|now| {
                    now.deploy(&name, &route, version, how)
                        .map_err(ChangeError::from)
                })?;
                let live = store.deployments().function(&name)?.live();
                let number = live.canary.map_or(live.stable, |canary| canary.version);
                Ok((store.deployments().clone(), number))
            })
            .await?;
        self.serve(&deployments, Loaded::from([((name, number), Ok(loaded))]));
        drop(changing);
        Ok(Deployed {
            number,
            loading,
            going_live: started.elapsed() - loading,
        })
    }

    /// The canary becomes stable, the canary or the last version is taken back, or the function is removed.
    pub(crate) async fn change(
        &self,
        what: impl FnOnce(&Deployments) -> Result<Deployments, DeployError> + Send + 'static,
    ) -> Result<(), ChangeError> {
        let _changing = self.changing.lock().await;
        let deployments = self
            .with_store(move |store| {
                store.commit(|now| what(now).map_err(ChangeError::from))?;
                Ok(store.deployments().clone())
            })
            .await?;
        self.serve(&deployments, Loaded::new());
        Ok(())
    }

    /// Works on the store on a thread that may wait for the disk.
    async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, ChangeError> + Send + 'static,
    ) -> Result<T, ChangeError> {
        let store = self.store.clone().ok_or(ChangeError::NoStore)?;
        let work = move || work(&mut store.lock().unwrap_or_else(PoisonError::into_inner));
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|stopped| Err(ChangeError::Stopped(stopped.to_string())))
    }

    /// The first of these routes that a function has.
    pub(crate) fn takes(&self, routes: &[sandbox::Route]) -> Option<String> {
        let live = self.live.load();
        let mut clashes = live
            .deployments
            .functions()
            .map(|function| function.route().as_str())
            .filter(|route| routes.iter().any(|other| other.path == *route));
        clashes.next().map(str::to_owned)
    }

    fn serve(&self, deployments: &Deployments, loaded: Loaded) {
        let before = self.live.load();
        self.live
            .store(Arc::new(Live::new(deployments, &before, loaded)));
    }

    /// Names and routes that are the server's own.
    fn check_free(&self, app: &App, order: &Order) -> Result<(), ChangeError> {
        let plugins = app.plugins.current();
        let plugins = &plugins.plugins;
        let mut names = plugins
            .infos()
            .chain(self.builtin())
            .map(|info| &*info.name);
        if names.any(|name| name == order.name.as_str()) {
            return Err(ChangeError::NameOfPlugin(order.name.clone()));
        }
        let of_router = plugins
            .router
            .routes()
            .iter()
            .map(|route| route.path.as_str());
        let of_builtin = self
            .builtin
            .iter()
            .flat_map(|builtin| builtin.what.paths.iter().copied());
        let reserved = health::PATHS.into_iter().chain(of_router).chain(of_builtin);
        let free = order.route.refuse_reserved(reserved);
        free.map_err(|reserved| DeployError::from(reserved).into())
    }
}

/// Now, for a version's record.
pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixMillis(since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }))
}
