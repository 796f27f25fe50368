"""The examples in docstrings of layers and losses run and show what they say."""

import doctest
import importlib
import inspect
import pkgutil

import torch

import cmarr.layers
import cmarr.losses

MODULES = [
    importlib.import_module(f"{package.__name__}.{found.name}")
    for package in (cmarr.layers, cmarr.losses)
    for found in pkgutil.iter_modules(package.__path__)
]


def test_examples_show_what_comes_out():
    torch.manual_seed(0)
    failed = [m.__name__ for m in MODULES if doctest.testmod(m, extraglobs={"torch": torch}).failed]
    assert not failed, "the output above tells what"


def test_every_public_layer_and_loss_has_an_example():
    lacking = [
        f"{module.__name__}.{name}"
        for module in MODULES
        for name, thing in vars(module).items()
        if inspect.getmodule(thing) is module and not name.startswith("_") and callable(thing)
        if ">>>" not in (thing.__doc__ or "") and not hasattr(thing, "__dataclass_fields__")
    ]
    assert not lacking
