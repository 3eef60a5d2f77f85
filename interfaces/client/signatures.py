"""What `help` says that a client's method returns: the answer itself, not the call that is made for it."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_args

F = TypeVar("F", bound=Callable[..., Any])


def returning(method: F, call: Callable[..., Any], each_in: Any = None) -> F:
    """The method, with the signature of the call. `each_in`: it gives the items of all pages, in one of these."""
    asked = inspect.signature(call)
    answer = get_args(asked.return_annotation)[-1]
    if each_in is not None:
        (page,) = get_args(answer)
        answer = each_in[get_args(page)[0]]
    method.__signature__ = asked.replace(return_annotation=answer)  # type: ignore[attr-defined]
    method.__annotations__ = {**method.__annotations__, "return": answer}
    return method
