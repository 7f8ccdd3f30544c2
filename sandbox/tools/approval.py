"""Approval: somebody says yes or no to a call before it runs, and can change nothing else."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from sandbox.tools.hooks import Asked, HookFault, settled

__all__ = ["Approve", "refusal_of"]

_LOG: Final = logging.getLogger(__name__)

Approve: TypeAlias = Callable[[Asked], bool | str | Awaitable[bool | str]]
"""Decides about a call of a tool that needs approval; `def` or `async def`.

True: it runs. A text: it does not, for that reason. Anything else: it does not.
"""

NOBODY: Final = "this call needs an approval, and nobody is here to give it"
REFUSED: Final = "this call was not approved"


async def refusal_of(approve: Approve | None, asked: Asked) -> str | None:
    """Ask for an approval: None if it is given, else why not, in words for the model.

    Only True approves. Raises HookFault when the callback raises: the call must not run.
    """
    if approve is None:
        return NOBODY
    try:
        decision: object = await settled(approve(asked))
    except Exception as error:
        fields = {"call": asked.call.id, "tool": asked.tool}
        _LOG.exception("an approval failed", extra=fields)
        message = f"the approval raised {type(error).__name__}: nothing was run"
        raise HookFault(message) from error
    if decision is True:
        return None
    return f"{REFUSED}: {decision}" if isinstance(decision, str) and decision else REFUSED
