"""The shaper as the host calls it: a request and its caller in, a request or a refusal out."""

import json
import tomllib
import unittest
from pathlib import Path
from unittest.mock import patch

from componentize_py_types import Err
from wit_world.exports.shaping import Caller
from wit_world.imports import types

import app
import house_style

SETTINGS = {"language": "de", "plans": {"free": 100, "pro": 1000}, "keys": {"alice": "pro"}, "default_plan": "free"}


def message(role, content):
    return types.Message(role, content, None, None, [], None)


def chat(*messages):
    return types.Input_Chat(types.Conversation(list(messages), [], types.ToolChoice_Auto(), True, True, False, None))


def request(*inputs, max_tokens=None, min_tokens=0):
    sampling = types.Sampling(max_tokens, min_tokens, *[None] * 7, [], None, [], [], False, None, None)
    return types.InferenceRequest("m", list(inputs) or [types.Input_Text("hi")], 1, sampling, False, False, 0, None)


def shape(asked, key_name=None, settings=SETTINGS):
    """The shaped request, and what was logged meanwhile."""
    with patch("wit_world.imports.config.read", lambda: json.dumps(settings)), patch("wit_world.imports.log.write") as log:
        return app.Shaping().shape(asked, Caller("r-1", "/v1/chat/completions", key_name)), log.call_args_list


class HouseStyle(unittest.TestCase):
    def test_a_conversation_begins_with_the_style_in_the_operators_language(self):
        shaped, _ = shape(request(chat(message("user", "Hello"))))
        conversation = shaped.inputs[0].value.messages
        self.assertEqual([turn.role for turn in conversation], ["system", "user"])
        self.assertEqual(conversation[0].content, house_style.STYLES["de"])

    def test_without_a_language_it_is_english(self):
        settings = {key: value for key, value in SETTINGS.items() if key != "language"}
        shaped, _ = shape(request(chat(message("user", "Hello"))), settings=settings)
        self.assertEqual(shaped.inputs[0].value.messages[0].content, house_style.STYLES["en"])

    def test_the_clients_own_instructions_come_after_it_in_the_same_message(self):
        for role in ("system", "developer"):
            shaped, _ = shape(request(chat(message(role, "Be a pirate."), message("user", "Hello"))))
            first, second = shaped.inputs[0].value.messages
            self.assertEqual(first.content, house_style.STYLES["de"] + "\n\nBe a pirate.")
            self.assertEqual((first.role, second.role), (role, "user"))

    def test_a_plain_text_passes_as_it_is(self):
        shaped, _ = shape(request(types.Input_Text("Once upon")))
        self.assertEqual(shaped.inputs, [types.Input_Text("Once upon")])

    def test_the_settings_schema_names_every_language(self):
        manifest = tomllib.loads((Path(__file__).parent.parent / "plugin.toml").read_text())
        languages = manifest["config"]["schema"]["properties"]["language"]["enum"]
        self.assertEqual(languages, list(house_style.STYLES))


class Plans(unittest.TestCase):
    def test_an_answer_is_as_long_as_the_keys_plan_allows(self):
        for key_name, asked, given in [("alice", 5000, 1000), ("alice", None, 1000), ("bob", 5000, 100), (None, None, 100)]:
            shaped, logged = shape(request(max_tokens=asked), key_name)
            self.assertEqual(shaped.sampling.max_tokens, given)
            self.assertEqual(len(logged), 1)

    def test_a_request_within_its_plan_is_left_alone(self):
        shaped, logged = shape(request(max_tokens=100, min_tokens=100))
        self.assertEqual((shaped.sampling.max_tokens, logged), (100, []))

    def test_a_request_that_must_be_longer_is_refused_by_the_name_of_its_field(self):
        with self.assertRaises(Err) as refused:
            shape(request(min_tokens=101))
        error = refused.exception.value
        self.assertEqual((error.status, error.param), (400, "min_tokens"))

    def test_a_plan_that_is_not_there_is_the_operators_mistake(self):
        with self.assertRaises(Err) as failed:
            shape(request(), "alice", {**SETTINGS, "plans": {"free": 100}})
        error = failed.exception.value
        self.assertEqual((error.status, error.code), (500, "invalid_plugin_config"))
        self.assertIn("`pro`", error.message)


if __name__ == "__main__":
    unittest.main()
