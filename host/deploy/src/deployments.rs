//! What is deployed, as a value: each change makes a new one or says why not, and touches no disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::Arc,
};

use artifact::Digest;

use crate::{
    error::DeployError,
    function::{Function, Rollout},
    name::FunctionName,
    route::Route,
    version::{Version, VersionNumber},
};

/// All functions of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployments {
    quota: Quota,
    functions: BTreeMap<FunctionName, Arc<Function>>,
    /// The last number of each function that was removed: should its name come back, the numbers go on from here.
    removed: BTreeMap<FunctionName, VersionNumber>,
}

/// How much may be deployed. A smaller quota than before takes nothing away until something is deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Most functions.
    pub max_functions: usize,
    /// How many versions of a function are kept, the newest ones. Those that are [live](crate::Live::versions) are kept besides.
    pub max_versions: NonZeroUsize,
    /// Most bytes of all components together.
    pub max_bytes: u64,
}

impl Deployments {
    /// Nothing is deployed.
    pub fn new(quota: Quota) -> Deployments {
        Deployments {
            quota,
            functions: BTreeMap::new(),
            removed: BTreeMap::new(),
        }
    }

    /// What was written down; the error says what contradicts itself.
    pub(crate) fn restore(
        quota: Quota,
        functions: Vec<Function>,
        removed: BTreeMap<FunctionName, VersionNumber>,
    ) -> Result<Deployments, String> {
        let mut restored = Deployments {
            removed,
            ..Deployments::new(quota)
        };
        for function in functions {
            let name = function.name();
            if restored.functions.contains_key(name) || restored.removed.contains_key(name) {
                return Err(format!("`{name}` is there twice"));
            }
            restored
                .refuse_taken(name, function.route())
                .map_err(|error| error.to_string())?;
            restored.insert(function);
        }
        Ok(restored)
    }

    /// All functions, by name.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = &Arc<Function>> {
        self.functions.values()
    }

    /// The last number of each function that was removed.
    pub(crate) fn removed(&self) -> &BTreeMap<FunctionName, VersionNumber> {
        &self.removed
    }

    /// How much may be deployed.
    pub fn quota(&self) -> &Quota {
        &self.quota
    }

    /// The function of this name. Fails if there is none, and lists those that there are.
    pub fn function(&self, name: &FunctionName) -> Result<&Function, DeployError> {
        let unknown = || DeployError::UnknownFunction {
            name: name.clone(),
            known: self.functions.keys().cloned().collect(),
        };
        self.functions
            .get(name)
            .map(Arc::as_ref)
            .ok_or_else(unknown)
    }

    /// The components of all versions that are kept.
    pub fn components(&self) -> BTreeSet<Digest> {
        let versions = self.functions().flat_map(|function| function.versions());
        versions.map(|(_, version)| version.component).collect()
    }

    /// Adds a version, with the next number, and with it the function where it is new.
    ///
    /// A function's first version is deployed in full. A deployment while a canary runs takes the canary's place: in full it
    /// becomes stable, as a canary it is tried in the other's stead; so a faulty canary is mended by deploying again.
    /// A full deployment can move a function to another route; a later rollback does not move it back.
    pub fn deploy(
        &self,
        name: &FunctionName,
        route: &Route,
        version: Version,
        how: Rollout,
    ) -> Result<Deployments, DeployError> {
        self.refuse_taken(name, route)?;
        let number = self.next_number(name)?;
        let function = match (self.functions.get(name), how) {
            (Some(function), _) => function.deploy(route, number, version, how, &self.quota)?,
            (None, Rollout::Canary(_)) => return Err(DeployError::NothingStable(name.clone())),
            (None, Rollout::Full) if self.functions.len() >= self.quota.max_functions => {
                return Err(DeployError::TooManyFunctions {
                    name: name.clone(),
                    max: self.quota.max_functions,
                });
            }
            (None, Rollout::Full) => Function::new(name.clone(), route.clone(), number, version),
        };
        let mut new = self.clone();
        new.removed.remove(name);
        new.insert(function);
        Ok(new)
    }

    /// Makes the canary the stable version. Fails if there is no canary.
    pub fn promote(&self, name: &FunctionName) -> Result<Deployments, DeployError> {
        let mut new = self.clone();
        new.insert(self.function(name)?.promote(&self.quota)?);
        Ok(new)
    }

    /// Takes back the last change of traffic: drops the canary, or else makes the version stable that was so before this
    /// one. Fails if there is neither, as after another rollback.
    pub fn rollback(&self, name: &FunctionName) -> Result<Deployments, DeployError> {
        let mut new = self.clone();
        new.insert(self.function(name)?.rollback(&self.quota)?);
        Ok(new)
    }

    /// Takes a function away with all its versions. Its name and route are free again; its version numbers are not.
    pub fn remove(&self, name: &FunctionName) -> Result<Deployments, DeployError> {
        let last = self.function(name)?.last();
        let mut new = self.clone();
        new.functions.remove(name);
        new.removed.extend(last.map(|last| (name.clone(), last)));
        Ok(new)
    }

    fn next_number(&self, name: &FunctionName) -> Result<VersionNumber, DeployError> {
        let last = match self.functions.get(name) {
            Some(function) => function.last(),
            None => self.removed.get(name).copied(),
        };
        let next = last.map_or(Some(VersionNumber::FIRST), VersionNumber::next);
        next.ok_or_else(|| DeployError::NumbersUsedUp(name.clone()))
    }

    /// Two functions cannot have the same route. Routes that overlap otherwise can be told apart: the closest one wins.
    fn refuse_taken(&self, name: &FunctionName, route: &Route) -> Result<(), DeployError> {
        let mut others = self.functions().filter(|other| other.name() != name);
        match others.find(|other| other.route() == route) {
            None => Ok(()),
            Some(other) => Err(DeployError::RouteTaken {
                route: route.clone(),
                by: other.name().clone(),
            }),
        }
    }

    fn insert(&mut self, function: Function) {
        let name = function.name().clone();
        self.functions.insert(name, Arc::new(function));
    }
}
