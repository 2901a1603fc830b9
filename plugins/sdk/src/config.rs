//! The operator's settings of this plugin.

use serde::de::DeserializeOwned;

use crate::ApiError;

/// The settings, read as `T`; `{}` where the operator gave none.
///
/// Give `T` the attribute `#[serde(default, deny_unknown_fields)]`: then a misspelt key is an error and not a setting
/// without effect. Settings that do not fit fail with status 500 and a message that names the key, to be returned as it is.
pub fn read<T: DeserializeOwned>() -> Result<T, ApiError> {
    let json = read_json();
    let mut deserializer = serde_json::Deserializer::from_str(&json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let key = error.path().to_string();
        wrong(&key, error.into_inner())
    })
}

/// The failure for a setting that has the right shape and a senseless value. `key` is spelt as the operator spells it.
pub fn wrong(key: &str, why: impl std::fmt::Display) -> ApiError {
    ApiError::server(format!("the plugin's config is wrong at `{key}`: {why}"))
        .with_code("invalid_plugin_config")
}

#[cfg(target_arch = "wasm32")]
fn read_json() -> String {
    crate::bindings::shared::lm::plugin::config::read()
}

#[cfg(not(target_arch = "wasm32"))]
fn read_json() -> String {
    crate::mock::config()
}
