//! The operator's settings of this plugin.

use std::fmt::Display;

use serde::de::DeserializeOwned;

use crate::ApiError;

/// The settings, read as `T`; `{}` where the operator gave none.
///
/// Give `T` the attribute `#[serde(default, deny_unknown_fields)]`: then a misspelt key is an error and not a setting
/// without effect. Settings that do not fit fail with status 500 and a message that names the key, to be returned as it is.
pub fn read<T: DeserializeOwned>() -> Result<T, ApiError> {
    let json = read_json();
    let mut deserializer = serde_json::Deserializer::from_str(&json);
    let settings = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let key = error.path().to_string();
        wrong(&key, error.into_inner())
    })?;
    deserializer.end().map_err(|error| wrong(".", error))?;
    Ok(settings)
}

/// The failure for a setting that has the right shape and a senseless value. `key` is spelt as the operator spells it;
/// `.` is the config as a whole.
pub fn wrong(key: &str, why: impl Display) -> ApiError {
    let place = if key == "." {
        String::new()
    } else {
        format!(" at `{key}`")
    };
    ApiError::server(format!("the plugin's config is wrong{place}: {why}"))
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

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use crate::{config, mock};

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Settings {
        limits: Vec<u32>,
    }

    fn failure(json: &str) -> String {
        mock::set_config(json);
        config::read::<Settings>()
            .expect_err("the config must be refused")
            .message
    }

    #[test]
    fn a_plugin_without_settings_reads_an_empty_object() {
        // On a thread that no other test has given settings to.
        let settings = std::thread::spawn(config::read::<Settings>).join().unwrap();
        assert_eq!(settings, Ok(Settings::default()));
    }

    #[test]
    fn settings_are_read_as_the_plugin_s_own_type() {
        mock::set_config(r#"{"limits": [1, 2]}"#);
        assert_eq!(
            config::read::<Settings>(),
            Ok(Settings { limits: vec![1, 2] })
        );
    }

    #[test]
    fn a_wrong_value_is_named_by_its_path() {
        let message = failure(r#"{"limits": [1, -2]}"#);
        assert!(
            message.starts_with("the plugin's config is wrong at `limits[1]`: invalid value"),
            "{message}"
        );
    }

    #[test]
    fn a_text_that_is_not_one_json_object_is_refused_as_a_whole() {
        for json in ["", "[]]", "{} {}", "7"] {
            let message = failure(json);
            assert!(
                message.starts_with("the plugin's config is wrong: "),
                "{json}: {message}"
            );
        }
    }
}
