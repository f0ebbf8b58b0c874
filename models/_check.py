"""The checks of `veribayes.checked` where what is wrong is the specification of a model: they raise
`ModelError`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from veribayes import checked
from veribayes.checked import shown as shown
from veribayes.errors import InputError, ModelError

P = ParamSpec("P")
T = TypeVar("T")


def _of_a_model(check: Callable[P, T]) -> Callable[P, T]:
    """The same check, whose refusal is a model's."""

    @wraps(check)
    def checked_field(*arguments: P.args, **limits: P.kwargs) -> T:
        try:
            return check(*arguments, **limits)
        except InputError as error:
            raise ModelError(error.expected, error.got, error.remedy) from None

    return checked_field


number = _of_a_model(checked.number)
integer = _of_a_model(checked.integer)
text = _of_a_model(checked.text)
sequence = _of_a_model(checked.sequence)
mapping = _of_a_model(checked.mapping)
choice = _of_a_model(checked.choice)
