//! A plugin under test, whatever its role.

use sandbox::{Loader, PluginError, PluginSpec};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::timings::Timings;

/// A loaded plugin that can be given the inputs of its role.
pub(super) trait Subject: Sized {
    /// What stands in `input.json`.
    type Input: Clone + DeserializeOwned;

    /// Loads a component of this role.
    async fn load(loader: &Loader, spec: PluginSpec, wasm: Vec<u8>) -> Result<Self, PluginError>;

    /// Goes through all calls that a request with this input would come to.
    async fn call(&self, input: Self::Input, timings: &mut Timings) -> Result<Seen, PluginError>;

    /// Inputs that a plugin must stand. Some are made of those of the plugin's own cases.
    fn torture(&self, cases: &[Self::Input]) -> Vec<Torture<Self::Input>>;
}

/// What a plugin made of an input.
pub(super) struct Seen {
    /// What stands in `expected.json`.
    pub(super) snapshot: Value,
    /// The same in a few words.
    pub(super) summary: String,
}

/// Inputs of one kind.
pub(super) struct Torture<I> {
    /// What is special about them.
    pub(super) name: &'static str,
    /// One after the other, each for a fresh instance.
    pub(super) inputs: Vec<I>,
}

impl<I> Torture<I> {
    /// Inputs of one kind.
    pub(super) fn new(name: &'static str, inputs: impl IntoIterator<Item = I>) -> Torture<I> {
        Torture {
            name,
            inputs: inputs.into_iter().collect(),
        }
    }
}
