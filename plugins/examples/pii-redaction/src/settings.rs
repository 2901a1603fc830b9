use plugin_sdk::{ApiError, config};
use serde::Deserialize;

use crate::Kind;

/// The config of this plugin, a JSON object. Every key may be left out; a key that is not here is an error.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What is looked for. All but `digits` by default.
    pub kinds: Vec<Kind>,
    /// What becomes of what is found.
    pub mode: Mode,
    /// What becomes of prompts of token ids, which cannot be read.
    pub tokens: Tokens,
    /// The shortest run of digits that counts for `digits`, from 4 to 64.
    pub min_digits: usize,
}

/// What becomes of what is found.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A placeholder takes its place.
    Redact,
    /// The request fails with status 400.
    Refuse,
}

/// What becomes of prompts of token ids.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Tokens {
    /// They pass unread.
    Allow,
    /// The request fails with status 400.
    Refuse,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            kinds: vec![Kind::Email, Kind::Phone, Kind::Card, Kind::Iban, Kind::Ip],
            mode: Mode::Redact,
            tokens: Tokens::Refuse,
            min_digits: 9,
        }
    }
}

impl Settings {
    /// The operator's settings, if they make sense; else a failure that names the key.
    pub fn read() -> Result<Settings, ApiError> {
        let settings: Settings = config::read()?;
        if settings.kinds.is_empty() {
            let why = "it names nothing to look for; leave the plugin out instead";
            return Err(config::wrong("kinds", why));
        }
        if !(4..=64).contains(&settings.min_digits) {
            return Err(config::wrong("min_digits", "it must be from 4 to 64"));
        }
        Ok(settings)
    }
}
