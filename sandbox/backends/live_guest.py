"""A guest that was given its call, of whichever kind: how it is held to its time."""

from abc import ABC, abstractmethod

from sandbox.backends.base import Limit
from sandbox.backends.heard import Heard
from sandbox.policy import Quota

__all__ = ["LiveGuest"]


class LiveGuest(ABC):
    """What a guest beside the host and one in a container have in common."""

    _quota: Quota
    _heard: Heard
    _asked_at: float
    _ended_at: float
    _stopped_by: Limit | None
    _is_asked_to_end: bool

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether nothing of the call runs any more."""

    @abstractmethod
    async def _step(self, until: float) -> None:
        """Wait for what comes next, at most until then, and handle it."""

    @abstractmethod
    def _next_moment(self) -> float:
        """Give when something must be done though nothing happens."""

    @abstractmethod
    def _keep_time(self) -> None:
        """Act on what is due."""

    @abstractmethod
    def _ask_to_end(self) -> None:
        """Send it SIGTERM."""

    @abstractmethod
    def _kill(self) -> None:
        """Kill all of it."""

    @abstractmethod
    async def _wait_closely(self) -> None:
        """Wait for a moment without sleeping, where that is of use."""

    def _deadline(self) -> float:
        grace = self._quota.grace_seconds if self._is_asked_to_end else 0.0
        return self._asked_at + self._quota.wall_seconds + grace

    def _stop_for_time(self) -> None:
        """At the deadline ask it to end, if the policy gives grace; then kill."""
        self._stopped_by = self._stopped_by or "wall"
        if self._is_asked_to_end or not self._quota.grace_seconds:
            self._kill()
            return
        self._is_asked_to_end = True
        self._ask_to_end()
