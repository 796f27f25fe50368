"""A compiler that is missing is a sentence, and one that is there changes nothing."""

import pytest
import torch
from torch._inductor.exc import InvalidCxxCompiler

from cmarr.device import compiled
from cmarr.errors import UserError


@pytest.fixture
def with_compiler(monkeypatch):
    """Let a function take the compiler's place; what is compiled is forgotten afterwards."""
    real = torch.compile

    def use(backend):
        monkeypatch.setattr(
            torch, "compile", lambda function, dynamic: real(function, dynamic=dynamic, backend=backend)
        )

    yield use
    torch._dynamo.reset()


def test_what_is_compiled_gives_the_same(with_compiler):
    graphs = []

    def traced(graph, inputs):
        graphs.append(graph)
        return graph

    with_compiler(traced)
    call = compiled(lambda x, shift: 2 * x + shift, "train.compile", dynamic=True)
    assert call(torch.ones(2), shift=1).tolist() == [3, 3]
    assert len(graphs) == 1


def test_a_missing_compiler_is_a_sentence(with_compiler):
    def missing(graph, inputs):
        raise InvalidCxxCompiler

    with_compiler(missing)
    call = compiled(lambda x: x.sin() + 1, "train.compile", dynamic=False)
    with pytest.raises(
        UserError, match=r"^train.compile: torch.compile failed \(.*\); install a C\+\+ compiler.*=false$"
    ):
        call(torch.ones(3))
