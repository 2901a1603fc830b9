"""The component's entry: the class that the host calls, named after the exported interface `shaping`. Begin here."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import config, log
from wit_world.imports.types import ApiError


class Shaping(exports.Shaping):
    def shape(self, request, caller):
        """The request as it is to be run: unchanged, changed, or refused by raising `Err`."""
        most = json.loads(config.read())["max_samples"]
        if request.n <= most:
            return request
        log.write(log.Level.INFO, f"{caller.key_name or 'somebody'} asked for {request.n} samples")
        message = f"`n` is {request.n}; this server draws at most {most} samples"
        raise Err(ApiError(400, "invalid_request_error", message, "n", None, None))
