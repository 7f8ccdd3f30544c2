"""Whose call runs next, and what each tenant has spent.

Fair means: a free place goes to the tenants that wait, one call each in turn, whatever the calls
cost; within a tenant who came first runs first. A call that runs is never stopped for another.
Everything here belongs to one event loop and nothing waits between a look and what follows from
it, so there is no lock. Each step costs the same with one tenant and with ten thousand.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import anyio
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from sandbox.errors import BadCall, BudgetSpent, EngineFault, QueueFull, SandboxError

__all__ = [
    "DEFAULT_QUEUE_SIZE",
    "NAMELESS",
    "NOTHING",
    "Bounds",
    "Budget",
    "Spent",
    "Tenant",
    "Tenants",
    "tenant_name",
]

NAMELESS: Final = ""
"""The tenant of all calls that name none."""

DEFAULT_QUEUE_SIZE: Final = 10_000
MOST_NAME_CHARACTERS: Final = 256


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What each tenant may spend in all, over all its calls. It says all three: none is unlimited.

    calls: that got a place. cpu_seconds: processor time of whole process trees. output_bytes:
    stdout and stderr together; values and files are not counted. Raises BadCall for what is not
    above zero, or not finite.

    A budget is looked at before a call starts, so that the calls which then run may take it over
    by what their policy's quotas allow them. Over it, BudgetSpent is raised for every further call
    of that tenant, also for those that wait.
    """

    calls: int
    cpu_seconds: float
    output_bytes: int

    def __post_init__(self) -> None:
        """Check each."""
        for name, most in vars(self).items():
            if not 0 < most < math.inf:
                message = f"budget.{name} = {most!r}: give a number above zero"
                raise BadCall(message)

    def over(self, spent: "Spent") -> str:
        """Name what is spent to its end, "" if nothing is."""
        if spent.calls >= self.calls:
            return f"calls = {self.calls}"
        if spent.cpu_seconds >= self.cpu_seconds:
            return f"cpu_seconds = {self.cpu_seconds}"
        if spent.output_bytes >= self.output_bytes:
            return f"output_bytes = {self.output_bytes}"
        return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What a tenant has spent since its budget began, in the units of Budget."""

    calls: int = 0
    cpu_seconds: float = 0.0
    output_bytes: int = 0

    def plus(self, more: "Spent") -> "Spent":
        """Give the sum."""
        return Spent(
            calls=self.calls + more.calls,
            cpu_seconds=self.cpu_seconds + more.cpu_seconds,
            output_bytes=self.output_bytes + more.output_bytes,
        )


NOTHING: Final = Spent()
ONE_CALL: Final = Spent(calls=1)


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How many calls run and wait. Raises BadCall for what lets no call run.

    parallel: calls that run at once. tenant_parallel: ditto, of one tenant; by default as many as
    there are places. queue_size: calls that wait, of all tenants together; 10,000 by default.
    budget: without one nothing is counted.
    """

    parallel: int
    tenant_parallel: int | None = None
    queue_size: int = DEFAULT_QUEUE_SIZE
    budget: Budget | None = None

    def __post_init__(self) -> None:
        """Check each."""
        least = {"parallel": 1, "queue_size": 0}
        if self.tenant_parallel is not None:
            least["tenant_parallel"] = 1
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                message = f"{name} = {getattr(self, name)}: give {lowest} or more"
                raise BadCall(message)


def tenant_name(name: object) -> str:
    """Give the name of a tenant. Raises BadCall for what is no text, empty, or too long."""
    if not isinstance(name, str) or not 0 < len(name) <= MOST_NAME_CHARACTERS:
        message = f"a tenant is a text of 1 to {MOST_NAME_CHARACTERS} characters: name it"
        raise BadCall(message)
    return name


class Tenants:
    """Admits calls: to a place if one is free, into a bounded queue if not."""

    def __init__(self, bounds: Bounds) -> None:
        """All places are free."""
        self._bounds = bounds
        self._most_running = min(bounds.tenant_parallel or bounds.parallel, bounds.parallel)
        self._free = bounds.parallel
        self._present: dict[str, Tenant] = {}
        self._ready = OrderedDict[Tenant, None]()
        self._queue = _Queue()
        self._accounts = _Accounts(bounds.budget)

    async def enter(self, name: str) -> "Tenant":
        """Wait for a place and take it; leave() must follow. Raises QueueFull, BudgetSpent."""
        await checkpoint_if_cancelled()  # what is given up already is never started
        tenant = self._present.get(name) or Tenant(name)
        must_wait = not self._free or tenant.running >= self._most_running
        try:
            self._check_budget(name)
            if must_wait:
                self._make_room(tenant)
        except (BudgetSpent, QueueFull):
            await checkpoint()  # who tries again and again must not stop the loop
            raise
        self._present[name] = tenant
        if must_wait:
            await self._wait_for_turn(tenant)
        else:
            self._start(tenant)
        return tenant

    def leave(self, tenant: "Tenant", spent: Spent) -> None:
        """Give a place back, charge for it, and pass it on."""
        tenant.running -= 1
        self._free += 1
        self._charge(tenant, spent)
        self._settle(tenant)
        self._pass_on()

    def spent(self, name: str) -> Spent:
        """Say what a tenant has spent. Raises BadCall where no budget is: nothing is counted."""
        return self._accounts.spent(name)

    def renew(self, name: str) -> None:
        """Begin the budget of a tenant anew. Raises BadCall where no budget is."""
        self._accounts.renew(name)

    def close(self) -> None:
        """Refuse all that wait, with EngineFault."""
        for tenant in list(self._present.values()):
            while tenant.waiting:
                fault = EngineFault("the sandbox was closed while this call waited: make another")
                self._queue.take_first(tenant).refuse(fault)
            self._settle(tenant)

    @property
    def present(self) -> int:
        """How many tenants wait or run: no other has any memory here, but for what it has spent."""
        return len(self._present)

    def _check_budget(self, name: str) -> None:
        if refusal := self._accounts.refusal(name):
            raise refusal

    async def _wait_for_turn(self, tenant: "Tenant") -> None:
        turn = _Turn()
        self._queue.add(tenant, turn)
        self._settle(tenant)
        try:
            await turn.wait()
            await checkpoint_if_cancelled()
        except BaseException:
            self._give_up(tenant, turn)
            raise

    def _give_up(self, tenant: "Tenant", turn: "_Turn") -> None:
        """Leave the queue; a place that came in the same moment passes on."""
        if turn.has_place:
            self.leave(tenant, NOTHING)
        elif turn in tenant.waiting:
            self._queue.remove(tenant, turn)
            self._settle(tenant)

    def _make_room(self, tenant: "Tenant") -> None:
        """Let the newest call of who waits most go, or raise QueueFull if that is the tenant."""
        if self._queue.size < self._bounds.queue_size:
            return
        if len(tenant.waiting) + 1 >= self._queue.longest:
            raise self._queue_full(tenant)
        greedy = self._queue.greediest()
        fault = self._queue_full(greedy)
        self._queue.take_last(greedy).refuse(fault)

    def _queue_full(self, tenant: "Tenant") -> QueueFull:
        waiting = f"{self._queue.size} calls wait, {len(tenant.waiting)} of them"
        what_to_do = "try again later, or raise queue_size"
        return QueueFull(f"the queue is full: {waiting} {_whose(tenant.name)}: {what_to_do}")

    def _pass_on(self) -> None:
        """Give the place that came free to whose turn it is."""
        if self._ready:
            tenant, _ = self._ready.popitem(last=False)
            self._queue.take_first(tenant).give_place()
            self._start(tenant)
            self._settle(tenant)

    def _start(self, tenant: "Tenant") -> None:
        self._free -= 1
        tenant.running += 1
        self._charge(tenant, ONE_CALL)

    def _charge(self, tenant: "Tenant", spent: Spent) -> None:
        """Note what was spent; when that was the last of it, refuse all that wait."""
        self._accounts.charge(tenant.name, spent)
        while tenant.waiting and (refusal := self._accounts.refusal(tenant.name)):
            self._queue.take_first(tenant).refuse(refusal)

    def _settle(self, tenant: "Tenant") -> None:
        """Put a tenant behind those whose turn it is, or take it out; forget who is gone."""
        if tenant.waiting and tenant.running < self._most_running:
            self._ready[tenant] = None  # one that is there keeps its turn
        else:
            self._ready.pop(tenant, None)
        if not tenant.waiting and not tenant.running:
            self._present.pop(tenant.name, None)


class Tenant:
    """Who runs or waits: what enter() gives and leave() takes."""

    __slots__ = ("name", "running", "waiting")

    def __init__(self, name: str) -> None:
        """Neither yet."""
        self.name = name
        self.running = 0
        self.waiting = OrderedDict[_Turn, None]()


class _Turn:
    """A call that waits."""

    def __init__(self) -> None:
        self.has_place = False
        self._refusal: SandboxError | None = None
        self._is_over = anyio.Event()

    def give_place(self) -> None:
        self.has_place = True
        self._is_over.set()

    def refuse(self, refusal: SandboxError) -> None:
        self._refusal = refusal
        self._is_over.set()

    async def wait(self) -> None:
        """Return when it has its place. Raises what it was refused with."""
        await self._is_over.wait()
        if self._refusal:
            raise self._refusal


class _Queue:
    """All calls that wait; it knows at once which tenant has most of them."""

    def __init__(self) -> None:
        self.size = 0
        self.longest = 0
        """How many calls the tenant has that has most."""
        self._by_length: dict[int, OrderedDict[Tenant, None]] = {}

    def add(self, tenant: Tenant, turn: _Turn) -> None:
        tenant.waiting[turn] = None
        self._changed(tenant, by=1)

    def take_first(self, tenant: Tenant) -> _Turn:
        return self._take(tenant, last=False)

    def take_last(self, tenant: Tenant) -> _Turn:
        return self._take(tenant, last=True)

    def remove(self, tenant: Tenant, turn: _Turn) -> None:
        del tenant.waiting[turn]
        self._changed(tenant, by=-1)

    def greediest(self) -> Tenant:
        """Give a tenant that has most waiting; somebody must wait."""
        return next(iter(self._by_length[self.longest]))

    def _take(self, tenant: Tenant, *, last: bool) -> _Turn:
        turn, _ = tenant.waiting.popitem(last=last)
        self._changed(tenant, by=-1)
        return turn

    def _changed(self, tenant: Tenant, *, by: int) -> None:
        """Move a tenant from those with as many calls as before to those with as many as now."""
        now = len(tenant.waiting)
        before = now - by
        self.size += by
        if now:
            self._by_length.setdefault(now, OrderedDict())[tenant] = None
        if before:
            del self._by_length[before][tenant]
            if not self._by_length[before]:
                del self._by_length[before]
        if now > self.longest or (before == self.longest and before not in self._by_length):
            self.longest = now


class _Accounts:
    """What each tenant has spent, where there is a budget."""

    def __init__(self, budget: Budget | None) -> None:
        self._budget = budget
        self._spent: dict[str, Spent] = {}

    def charge(self, name: str, more: Spent) -> None:
        if self._budget:
            self._spent[name] = self._spent.get(name, NOTHING).plus(more)

    def refusal(self, name: str) -> BudgetSpent | None:
        """Say why no further call of a tenant may start; None if it may."""
        if not self._budget or not (over := self._budget.over(self._spent.get(name, NOTHING))):
            return None
        message = f"the calls {_whose(name)} have spent their budget, {over}: renew or raise it"
        return BudgetSpent(message)

    def spent(self, name: str) -> Spent:
        """Raises BadCall where no budget is."""
        self._check_budget()
        return self._spent.get(name, NOTHING)

    def renew(self, name: str) -> None:
        """Forget what was spent. Raises BadCall where no budget is."""
        self._check_budget()
        self._spent.pop(name, None)

    def _check_budget(self) -> None:
        if not self._budget:
            message = "this sandbox has no budget, so that nothing is counted: give it budget="
            raise BadCall(message)


def _whose(name: str) -> str:
    return f"of tenant {name!r}" if name else "without a tenant"
