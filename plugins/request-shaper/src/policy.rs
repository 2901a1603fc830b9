use plugin_sdk::{ApiError, config};
use serde::Deserialize;

/// The config of this plugin, a JSON object. Every key may be left out; a key that is not here is an error.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// `max_tokens` for requests that give none.
    pub default_max_tokens: Option<u32>,
    /// The largest `max_tokens`; also what a request gets that gives none, where there is no default.
    pub max_max_tokens: Option<u32>,
    /// `temperature` for requests that give none.
    pub default_temperature: Option<f32>,
    /// Least and largest `temperature`. Needs `default_temperature`: the server's own default knows nothing of the range.
    pub temperature_range: Option<[f32; 2]>,
    /// `top_p` for requests that give none.
    pub default_top_p: Option<f32>,
    /// `top_k` for requests that give none; 0 means all.
    pub default_top_k: Option<u32>,
    /// The most characters (Unicode scalar values) of one prompt: the text of a conversation with its tools, or a plain
    /// text. Prompts of token ids have no characters and are not counted.
    pub max_prompt_chars: Option<usize>,
    /// What every conversation begins with. Put in front of the first message if that is a `system` or `developer` one,
    /// else inserted as a `system` message. Plain texts and token ids have no roles and pass as they are.
    pub required_system_prompt: Option<String>,
    /// What becomes of a value outside the limits: `"clamp"` (the default) or `"refuse"`.
    pub out_of_range: OutOfRange,
}

/// What becomes of a value outside the operator's limits.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum OutOfRange {
    /// It becomes the nearest allowed one.
    #[default]
    Clamp,
    /// The request fails with status 400.
    Refuse,
}

impl Policy {
    /// The operator's policy, if it makes sense; else a failure that names the key.
    pub fn read() -> Result<Policy, ApiError> {
        let policy: Policy = config::read()?;
        policy.check_max_tokens()?;
        policy.check_temperature()?;
        if policy
            .default_top_p
            .is_some_and(|top_p| !(top_p > 0.0 && top_p <= 1.0))
        {
            return Err(config::wrong(
                "default_top_p",
                "it must be above 0 and at most 1",
            ));
        }
        Ok(policy)
    }

    fn check_max_tokens(&self) -> Result<(), ApiError> {
        for (key, value) in [
            ("default_max_tokens", self.default_max_tokens),
            ("max_max_tokens", self.max_max_tokens),
        ] {
            if value == Some(0) {
                return Err(config::wrong(key, "it must be at least 1"));
            }
        }
        match (self.default_max_tokens, self.max_max_tokens) {
            (Some(default), Some(max)) if default > max => Err(config::wrong(
                "default_max_tokens",
                format!("{default} is above `max_max_tokens`, which is {max}"),
            )),
            _ => Ok(()),
        }
    }

    fn check_temperature(&self) -> Result<(), ApiError> {
        let [low, high] = self.temperature_range.unwrap_or([0.0, 2.0]);
        if !(0.0 <= low && low <= high && high <= 2.0) {
            return Err(config::wrong(
                "temperature_range",
                "it must be [least, largest], both from 0 to 2",
            ));
        }
        match self.default_temperature {
            Some(default) if !(low..=high).contains(&default) => Err(config::wrong(
                "default_temperature",
                format!("it must be from {low} to {high}"),
            )),
            None if self.temperature_range.is_some() => Err(config::wrong(
                "temperature_range",
                "it needs `default_temperature`, or a request without a temperature would escape it",
            )),
            _ => Ok(()),
        }
    }
}
