"""The shaper as the host calls it: a request and its caller in, a request or a refusal out."""

import unittest
from unittest.mock import patch

from componentize_py_types import Err
from wit_world.exports.shaping import Caller
from wit_world.imports import types

import app


def shape(n):
    """What becomes of a request for `n` samples, and how many lines were logged."""
    sampling = types.Sampling(None, 0, *[None] * 7, [], None, [], [], False, None, None)
    request = types.InferenceRequest("m", [types.Input_Text("hi")], n, sampling, False, False, 0, None)
    with patch("wit_world.imports.config.read", lambda: '{"max_samples": 2}'), patch("wit_world.imports.log.write") as log:
        try:
            outcome = app.Shaping().shape(request, Caller("r-1", "/v1/completions", "alice"))
        except Err as refused:
            outcome = refused.value
    return outcome, log.call_count


class Samples(unittest.TestCase):
    def test_as_many_samples_as_allowed_pass(self):
        request, logged = shape(2)
        self.assertEqual((request.n, logged), (2, 0))

    def test_one_sample_more_is_refused_by_the_name_of_its_field(self):
        error, logged = shape(3)
        self.assertEqual((error.status, error.param, logged), (400, "n", 1))


if __name__ == "__main__":
    unittest.main()
