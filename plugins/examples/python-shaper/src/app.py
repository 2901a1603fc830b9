"""The component's entry: the class that the host calls, named after the exported interface `shaping`."""

import json

from wit_world import exports
from wit_world.imports import config

import house_style
import plans


class Shaping(exports.Shaping):
    def shape(self, request, caller):
        settings = json.loads(config.read())
        for prompt in request.inputs:
            house_style.require(prompt, settings.get("language", "en"))
        plans.apply(request.sampling, settings, caller.key_name)
        return request
