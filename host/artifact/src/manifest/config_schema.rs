//! What a plugin's settings have to be like: a JSON schema, written as TOML.

mod bounds;

use std::{fmt, sync::Arc};

use jsonschema::{Draft, PatternOptions, Validator};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

use crate::PluginId;

/// Most memory of one compiled regular expression, in bytes.
const MAX_PATTERN: usize = 256 << 10;

/// Most violations that an error lists.
const MAX_LISTED: usize = 20;

/// A JSON schema for a plugin's settings. It stands by itself: nothing is fetched to check by it.
#[derive(Clone)]
pub struct ConfigSchema {
    schema: Value,
    validator: Arc<Validator>,
}

/// Settings that a plugin does not take.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// They are not what the schema asks for: each place, as a JSON pointer, and what is wrong there. Values are left out,
    /// as some settings are secrets.
    #[error("the settings do not fit the plugin's schema: {}", list(.0))]
    Unfit(Vec<(String, String)>),
    /// The plugin reads no settings.
    #[error("the plugin `{0}` reads no settings: leave them out")]
    NoneRead(PluginId),
}

impl ConfigSchema {
    /// The schema as JSON.
    pub fn as_json(&self) -> &Value {
        &self.schema
    }

    /// Checks settings; the error has all that is wrong with them, up to a screenful.
    pub(super) fn check(&self, config: &Map<String, Value>) -> Result<(), ConfigError> {
        let config = Value::Object(config.clone());
        let unfit: Vec<_> = self
            .validator
            .iter_errors(&config)
            .take(MAX_LISTED)
            .map(|error| {
                (
                    error.instance_path().to_string(),
                    error.masked().to_string(),
                )
            })
            .collect();
        match unfit.is_empty() {
            true => Ok(()),
            false => Err(ConfigError::Unfit(unfit)),
        }
    }

    fn new(schema: Value) -> Result<ConfigSchema, String> {
        bounds::check(&schema)?;
        // An author's expressions take time that grows with the text and no faster.
        let patterns = PatternOptions::regex().size_limit(MAX_PATTERN);
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .offline()
            .with_pattern_options(patterns)
            .build(&schema)
            .map_err(|e| match e.instance_path().as_str() {
                "" => format!("`config.schema` is no JSON schema: {e}"),
                path => format!("`config.schema` is no JSON schema: at `{path}`, {e}"),
            })?;
        Ok(ConfigSchema {
            schema,
            validator: Arc::new(validator),
        })
    }
}

impl PartialEq for ConfigSchema {
    fn eq(&self, other: &ConfigSchema) -> bool {
        self.schema == other.schema
    }
}

impl fmt::Debug for ConfigSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConfigSchema").field(&self.schema).finish()
    }
}

impl<'de> Deserialize<'de> for ConfigSchema {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ConfigSchema, D::Error> {
        let table = toml::Table::deserialize(from)?;
        json(toml::Value::Table(table))
            .and_then(ConfigSchema::new)
            .map_err(serde::de::Error::custom)
    }
}

fn json(value: toml::Value) -> Result<Value, String> {
    Ok(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => match Number::from_f64(number) {
            Some(number) => number.into(),
            None => return Err(format!("`config.schema` has {number}, which JSON has not")),
        },
        toml::Value::Boolean(value) => value.into(),
        toml::Value::Datetime(time) => {
            return Err(format!(
                "`config.schema` has the time {time}, which JSON has not: write it as a string"
            ));
        }
        toml::Value::Array(values) => values.into_iter().map(json).collect::<Result<_, _>>()?,
        toml::Value::Table(table) => table
            .into_iter()
            .map(|(key, value)| Ok((key, json(value)?)))
            .collect::<Result<Map<_, _>, String>>()?
            .into(),
    })
}

fn list(unfit: &[(String, String)]) -> String {
    let lines = unfit.iter().map(|(path, what)| match path.as_str() {
        "" => what.clone(),
        _ => format!("at `{path}`, {what}"),
    });
    let rest = (unfit.len() == MAX_LISTED).then(|| "and perhaps more".into());
    lines.chain(rest).collect::<Vec<_>>().join("; ")
}
