use std::fmt::Display;

use plugin_sdk::{ApiError, Sampling, log};

use crate::{OutOfRange, Policy};

/// Fills in what the client left open, and holds what it gave within the operator's limits.
pub(crate) fn shape(policy: &Policy, sampling: &mut Sampling) -> Result<(), ApiError> {
    sampling.max_tokens = sampling
        .max_tokens
        .or(policy.default_max_tokens)
        .or(policy.max_max_tokens);
    sampling.temperature = sampling.temperature.or(policy.default_temperature);
    sampling.top_p = sampling.top_p.or(policy.default_top_p);
    sampling.top_k = sampling.top_k.or(policy.default_top_k);

    if let (Some(asked), Some(max)) = (&mut sampling.max_tokens, policy.max_max_tokens)
        && *asked > max
    {
        settle(
            policy,
            "max_tokens",
            asked,
            max,
            format_args!("at most {max}"),
        )?;
        // A shortened answer cannot keep a longer minimum.
        sampling.min_tokens = sampling.min_tokens.min(max);
    }
    if let (Some(asked), Some([low, high])) = (&mut sampling.temperature, policy.temperature_range)
        && !(low..=high).contains(asked)
    {
        let nearest = if *asked < low { low } else { high };
        settle(
            policy,
            "temperature",
            asked,
            nearest,
            format_args!("{low} to {high}"),
        )?;
    }
    Ok(())
}

/// Brings a value back to `nearest`, or refuses it, as the operator wishes.
fn settle<T: Copy + Display>(
    policy: &Policy,
    param: &str,
    asked: &mut T,
    nearest: T,
    allowed: impl Display,
) -> Result<(), ApiError> {
    match policy.out_of_range {
        OutOfRange::Refuse => {
            let message = format!("`{param}` is {asked}, and this server allows {allowed}");
            Err(ApiError::invalid(param, message).with_code("invalid_value"))
        }
        OutOfRange::Clamp => {
            log::debug(format!("{param} {asked} became {nearest}"));
            *asked = nearest;
            Ok(())
        }
    }
}
