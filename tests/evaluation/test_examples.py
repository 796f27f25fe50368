"""The examples in the docstrings of metrics, analyses and the report's numbers are true."""

import doctest
import importlib
import pkgutil

import cmarr.analyses
import cmarr.evaluation
import cmarr.report

MODULES = [
    found.name
    for package in (cmarr.analyses, cmarr.evaluation, cmarr.report)
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
]
WITH_EXAMPLES = 9
"""Modules that have one, at least."""


def test_every_example_holds():
    results = {name: doctest.testmod(importlib.import_module(name)) for name in MODULES}
    assert {name: found.failed for name, found in results.items() if found.failed} == {}
    assert sum(found.attempted > 0 for found in results.values()) >= WITH_EXAMPLES
