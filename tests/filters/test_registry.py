"""Filters by name, their parameters, and strangers' filters."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from dpip.errors import BadParameter, FilterFailed, UnknownFilter
from dpip.filters import engine, registry
from dpip.filters.registry import Filter, Parameter
from tests.frames import encoded

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)

MIRROR = Filter(name="mirror", summary="Left and right exchanged.", function=lambda array: array[:, ::-1])
MISNAMED = Filter(name="other", summary="", function=lambda array: array)
NOT_A_FILTER = 5


class Finding(TestCase):
    def test_unknown_name_lists_what_exists(self) -> None:
        problem = self.assertRaises(UnknownFilter, registry.find, "blurr")
        self.assertEqual(problem.members["available"], registry.names())
        self.assertIn("blurr", problem.detail)
        self.assertIn("grayscale", problem.detail)

    def test_names_that_are_not_text_are_unknown(self) -> None:
        for name in (None, 5, ["blur"], {"name": "blur"}):
            self.assertRaises(UnknownFilter, registry.find, name)

    def test_description_is_json_and_complete(self) -> None:
        described = json.loads(json.dumps(registry.describe(), allow_nan=False))
        self.assertEqual([each["name"] for each in described], registry.names())
        blur = next(each for each in described if each["name"] == "blur")
        self.assertEqual(
            blur["parameters"],
            [
                {
                    "name": "sigma",
                    "type": "float",
                    "default": 5.0,
                    "minimum": 0.3,
                    "maximum": 100,
                    "description": "Standard deviation of the Gaussian, in pixels.",
                }
            ],
        )

    def test_every_default_is_acceptable_or_optional(self) -> None:
        for name in registry.names():
            for parameter in registry.find(name).parameters:
                self.assertEqual(
                    parameter.parse(parameter.default), parameter.default, (name, parameter.name)
                )

    def test_the_controller_pays_for_no_numba(self) -> None:
        code = (
            "import sys, dpip.filters, dpip.filters.codec\n"
            "from dpip.filters import registry\n"
            "registry.describe(); registry.validate('blur', {})\n"
            "print({'numba', 'numpy', 'PIL'} & set(sys.modules))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout.strip(), "set()")


class Parameters(TestCase):
    def test_defaults_are_filled_in(self) -> None:
        self.assertEqual(registry.validate("blur", {}), {"sigma": 5.0})
        self.assertEqual(registry.validate("blur", None), {"sigma": 5.0})
        self.assertEqual(registry.validate("grayscale", {}), {})

    def test_numbers_as_forms_send_them(self) -> None:
        for given_value in (3, 3.0, "3", " 3.0 "):
            value = registry.validate("blur", {"sigma": given_value})["sigma"]
            self.assertEqual(value, 3.0)
            self.assertIsInstance(value, float)

    def test_refusals_name_parameter_range_and_value(self) -> None:
        for bad in (
            0,
            0.29,
            101,
            -1,
            "wide",
            None,
            True,
            [],
            {},
            math.nan,
            math.inf,
            "nan",
            10**400,
            "1e999",
        ):
            problem = self.assertRaises(BadParameter, registry.validate, "blur", {"sigma": bad})
            self.assertEqual(problem.members["parameter"], "sigma")
            for part in ("sigma", "from 0.3 to 100"):
                self.assertIn(part, problem.detail)

    def test_unknown_parameter(self) -> None:
        problem = self.assertRaises(BadParameter, registry.validate, "blur", {"radius": 3})
        self.assertIn("has sigma; 'radius' was given", problem.detail)
        problem = self.assertRaises(BadParameter, registry.validate, "grayscale", {"sigma": 3})
        self.assertIn("has no parameters", problem.detail)

    def test_params_that_are_no_object(self) -> None:
        for bad in ([], "sigma", 5, [("sigma", 3)]):
            self.assertRaises(BadParameter, registry.validate, "blur", bad)

    @given(st.sampled_from(registry.names()), JSON)
    def test_nothing_but_our_errors_escapes(self, name: str, params: Any) -> None:
        try:
            registry.validate(name, params)
        except BadParameter as problem:
            self.assertLess(len(problem.detail), 300)

    def test_a_parameter_of_an_unknown_type_cannot_be_made(self) -> None:
        self.assertRaises(ValueError, Parameter, "limit", "int", 128, "")


class Output(TestCase):
    def test_defaults(self) -> None:
        nothing = {
            "format": None,
            "quality": None,
            "metadata": "keep",
            "colour": "keep",
            "max_bytes": None,
            "raw": "camera",
        }
        self.assertEqual(registry.validate_output(None), nothing)
        self.assertEqual(registry.validate_output({}), nothing)

    def test_spellings_of_formats(self) -> None:
        for spelling, name in {
            "jpg": "JPEG",
            "jpeg": "JPEG",
            "png": "PNG",
            "Tif": "TIFF",
            "WebP": "WEBP",
        }.items():
            self.assertEqual(registry.validate_output({"format": spelling})["format"], name)

    def test_refusals(self) -> None:
        for bad in (
            {"format": "pdf"},
            {"quality": 0},
            {"quality": 101},
            {"metadata": "some"},
            {"size": 3},
            {"max_bytes": 499},
            7,
            "x",
        ):
            self.assertRaises(BadParameter, registry.validate_output, bad)

    @given(JSON)
    def test_nothing_but_our_errors_escapes(self, output: Any) -> None:
        try:
            accepted = registry.validate_output(output)
        except BadParameter:
            return
        self.assertEqual(set(accepted), {"format", "quality", "metadata", "colour", "max_bytes", "raw"})


class Steps(TestCase):
    def test_a_chain(self) -> None:
        steps = [{"name": "grayscale"}, {"name": "blur", "sigma": "3"}]
        self.assertEqual(registry.validate_steps(steps), [("grayscale", {}), ("blur", {"sigma": 3.0})])

    def test_the_step_at_fault_is_named(self) -> None:
        problem = self.assertRaises(
            BadParameter, registry.validate_steps, [{"name": "blur"}, {"name": "blur", "x": 1}]
        )
        self.assertEqual(problem.members["step"], 1)
        unknown = self.assertRaises(UnknownFilter, registry.validate_steps, [{"name": "nosuch"}])
        self.assertEqual(unknown.members["step"], 0)

    def test_refusals(self) -> None:
        for bad in (
            [],
            "blur",
            None,
            {"name": "blur"},
            [{}],
            [{"name": 5}],
            ["blur"],
            [{"name": "blur"}] * 33,
        ):
            self.assertRaises(BadParameter, registry.validate_steps, bad)


class ThirdParties(TestCase):
    """Entry points as an installed package would have them."""

    def _with(self, **values: str) -> None:
        found = [EntryPoint(name, value, registry.GROUP) for name, value in values.items()]
        patched = mock.patch.object(registry, "entry_points", return_value=found)
        patched.start()
        self.addCleanup(patched.stop)
        registry._third_party.cache_clear()
        self.addCleanup(registry._third_party.cache_clear)

    def test_a_good_one_is_found(self) -> None:
        self._with(mirror=f"{__name__}:MIRROR")
        self.assertIs(registry.find("mirror"), MIRROR)
        self.assertIn("mirror", registry.names())
        self.assertEqual(registry.broken(), {})

    def test_broken_ones_harm_nobody(self) -> None:
        self._with(
            mirror=f"{__name__}:MIRROR",
            gone="no_such_module:FILTER",
            text=f"{__name__}:NOT_A_FILTER",
            wrong=f"{__name__}:MISNAMED",
            blur=f"{__name__}:MIRROR",
        )
        self.assertEqual(set(registry.broken()), {"gone", "text", "wrong", "blur"})
        self.assertIn("no_such_module", registry.broken()["gone"])
        self.assertEqual(registry.names()[-1], "mirror")
        self.assertEqual(registry.find("blur").name, "blur")
        self.assertRaises(UnknownFilter, registry.find, "gone")

    def test_what_a_beginner_does_wrong_is_told_in_words(self) -> None:
        for function, words in (
            (lambda array: array * 0.5, "The filter mirror must return an array of uint8 or uint16"),
            (lambda array: array * 0.5, "it returned one of float64"),
            (lambda array: array[None], "it returned one of the shape (1, 6, 8, 3)"),
            (lambda array: None, "it returned a NoneType"),
            (
                lambda array: {}["limit"],
                "The filter mirror raised KeyError: 'limit' (test_registry.py, line ",
            ),
            (lambda: None, "The filter mirror raised TypeError: "),
        ):
            wrong = Filter(name="mirror", summary="", function=function)
            with self.subTest(words=words), mock.patch.object(registry, "find", return_value=wrong):
                problem = self.assertRaises(FilterFailed, engine.process, encoded(1, 8, 6), "mirror")
                self.assertEqual(problem.code, "filter-error")
                self.assertIn(words, problem.detail)
