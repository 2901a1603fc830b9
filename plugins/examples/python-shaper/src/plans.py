"""How long an answer may be: by the plan of the API key."""

from componentize_py_types import Err
from wit_world.imports import log
from wit_world.imports.types import ApiError


def apply(sampling, settings, key_name):
    """Lowers `max_tokens` to the plan's limit. Raises `Err` where the request asks for more at least, or no such plan is there."""
    plan = settings.get("keys", {}).get(key_name, settings["default_plan"])
    limit = settings["plans"].get(plan)
    if limit is None:
        message = f"python-shaper: the plan `{plan}` is not among the configured `plans`: add it, or correct `keys` and `default_plan`"
        raise Err(ApiError(500, "server_error", message, None, "invalid_plugin_config", None))
    if sampling.min_tokens > limit:
        message = f"`min_tokens` is {sampling.min_tokens}, and your plan `{plan}` allows answers of {limit} tokens"
        raise Err(ApiError(400, "invalid_request_error", message, "min_tokens", None, None))
    if sampling.max_tokens is None or sampling.max_tokens > limit:
        log.write(log.Level.DEBUG, f"plan {plan}: max_tokens is {limit} in place of {sampling.max_tokens}")
        sampling.max_tokens = limit
