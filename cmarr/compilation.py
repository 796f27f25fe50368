"""`torch.compile` that says what to do where nothing can be compiled."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch

from cmarr.errors import UserError

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F, key: str, *, dynamic: bool) -> F:
    """`torch.compile(function, dynamic=dynamic)`; the compiler is only called when the function first is.

    Raises, then, UserError that names the setting `key`, where there is no compiler or it fails.
    """
    from torch._dynamo.exc import BackendCompilerFailed  # a second that only those who compile need spend

    inner = torch.compile(function, dynamic=dynamic)

    def call(*arguments: Any, **named: Any) -> Any:
        try:
            return inner(*arguments, **named)
        except BackendCompilerFailed as error:
            reason = str(error).splitlines()[0].removesuffix(".")
            raise UserError(
                f"{key}: torch.compile failed ({reason}); install a C++ compiler, or name it in the environment "
                f"variable CXX, or set {key}=false"
            ) from error

    return cast(F, call)
