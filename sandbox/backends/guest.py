"""One guest from the host's side: brought up, given its call, held to its time, ended.

Two sockets of ours tell about it: the zygote says when it is cloned and when it is reaped, its
PID 1 says when it is locked down and how its main process ended. All else is the guest's own.
"""

import os
import signal
import socket
import time
from contextlib import closing, suppress
from functools import partial
from typing import Final, get_args

import anyio

from sandbox.backends.alarm import make_alarm, set_alarm
from sandbox.backends.base import Limit, OnOutput, OnPartial, Sighting, Stream
from sandbox.backends.cgroups import CallGroup
from sandbox.backends.channels import Channels
from sandbox.backends.heard import Heard
from sandbox.backends.last_look import LastLook, prepare_last_look
from sandbox.backends.limits import backstop_seconds
from sandbox.backends.live_guest import LiveGuest
from sandbox.backends.meter import Meter, TreeUsage, parse_usage
from sandbox.backends.payload import encode_call
from sandbox.backends.processes import signal_main
from sandbox.backends.processors import Processors, here
from sandbox.backends.returned import files_to_return
from sandbox.backends.status import parse_end, receive
from sandbox.backends.waiting import is_only_call, under_way
from sandbox.backends.zygote import Zygote
from sandbox.call import Call, quota_of
from sandbox.collect import Collected, DiskUse, usage
from sandbox.errors import EngineFault
from sandbox.result import Usage
from sandbox.wire import InitReport, Malformed

__all__ = ["Guest"]

LAUNCH_SECONDS: Final = 30.0
DEATH_SECONDS: Final = 10.0
STRAGGLER_SECONDS: Final = 0.1
"""How long what the main process left behind may go on, for the last of its output."""
COIN_SECONDS: Final = 0.05
"""So near its deadline a call that used up its processor time counts as late."""


class Guest(LiveGuest):
    """A guest for one call: launch() brings it up, run() gives it the call, close() ends it.

    Between launch() and run() it waits, locked down and ready, and may do so for long.
    """

    _encode = staticmethod(encode_call)
    processors: Processors = ()

    def __init__(self, zygote: Zygote, group: CallGroup | None) -> None:
        """Prepare it. Nothing is started. The group is the guest's from here on."""
        self._zygote = zygote
        self._quota = zygote.plan.policy.quota
        self._group = group
        self._channels = Channels()
        self._status, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._status.setblocking(False)
        self._channels.on_ready(self._status.fileno(), self._take_status)
        self._pidfd = self._work_folder = self._alarm = -1
        self._begun_at = self._asked_at = self._ended_at = self._gone_at = self._linger_until = 0.0
        self._is_locked_down = self._is_killed = self._is_given_back = False
        self._is_reaped = self._is_asked_to_end = self._is_alone = False
        self._fault = ""
        self._ended: InitReport | None = None
        self._stopped_by: Limit | None = None
        self._listener = b""  # of a watched guest: where its PID 1 has what to watch it by
        self._used_by_the_dead = TreeUsage()
        self._meter: Meter | None = None
        self._last_look: LastLook | None = None
        self._heard = Heard(self._quota)

    # Bringing it up

    async def launch(self, processors: Processors) -> None:
        """Ask the zygote for it; it comes up by itself. Raises EngineFault."""
        self.processors = processors
        theirs = self._make_pipes()
        try:
            self._alarm = make_alarm()
            if self._group:
                self._group.open_counters()
                theirs += self._group.open_entrances()
            await self._zygote.request(processors, [self._theirs.fileno(), self._alarm, *theirs])
            self._channels.listen()
        except OSError as error:
            message = f"a guest cannot be started: {error}"
            raise EngineFault(message) from error
        finally:
            for descriptor in theirs:
                os.close(descriptor)
            self._theirs.close()

    def _make_pipes(self) -> list[int]:
        """Make its pipes; give its ends: stdin, stdout, stderr, payload, answer."""
        self._stdin, stdin = self._channels.make_writer(has_name=True)
        takers = [partial(self._take_output, name) for name in get_args(Stream)]
        outputs = [self._channels.make_reader(take, has_name=True) for take in takers]
        self._payload, payload = self._channels.make_writer()
        return [stdin, *outputs, payload, self._make_answer_channel()]

    def _make_answer_channel(self) -> int:
        return self._channels.make_reader(self._take_answer)

    @property
    def is_usable(self) -> bool:
        """Whether it still waits for its call: one that was killed while it waited is not."""
        self._channels.handle()
        return not self._fault and not self._is_reaped and self._ended is None

    @property
    def is_over(self) -> bool:
        """Whether nothing of the call runs any more: at most its PID 1, which is ours, does."""
        return self._is_reaped or (self._is_alone and not self._is_killed)

    @property
    def _is_ready(self) -> bool:
        return self._is_locked_down and self._pidfd >= 0 and self._work_folder >= 0

    # Giving it the call

    async def start(
        self, call: Call, on_output: OnOutput | None, on_partial: OnPartial | None
    ) -> None:
        """Wait until it is ready, then start its clock and hand the call over."""
        self._begun_at = time.monotonic()
        self._heard.on_output, self._heard.on_partial = on_output, on_partial
        while not self._is_ready:
            await self._step(self._last_moment())
        self._asked_at = time.monotonic()
        self._quota = quota_of(call, self._quota)
        self._meter = Meter(self._quota, self._zygote.cpus, self._group, self._pidfd)
        self._channels.send(self._stdin, call.stdin)
        self._channels.send(self._payload, self._encode(call, self._quota))
        self._let_live(backstop_seconds(self._quota))

    def _let_live(self, seconds: float) -> None:
        """Have the zygote end it after so long, whatever becomes of this program."""
        if self._alarm >= 0:
            set_alarm(self._alarm, seconds)

    async def finish(self) -> Sighting:
        """See the call through until nobody of it can act any more, and say what was seen."""
        with under_way():
            await self._wait_closely()
            while not self.is_over:
                await self._step(self._next_moment())
                self._keep_time()
        self._channels.drain()
        self._heard.end()
        self._gone_at = time.monotonic()
        used = usage(self._work_folder)
        return self._sighting(used, await files_to_return(self._work_folder, used, self._quota))

    async def _wait_closely(self) -> None:
        """Wait for a moment without sleeping, where the guest runs on another processor."""
        if here() not in self.processors:
            await self._channels.spin(
                lambda: self._heard.is_answered or self.is_over or self._is_killed
            )

    async def _step(self, until: float) -> None:
        """Wait for what comes next. Raises EngineFault for what must not happen."""
        await self._channels.wait(until)
        if self._is_reaped and not self._is_ready:
            self._fault = self._fault or "a guest ended while it was being locked down"
        if not self._fault and not self._is_reaped and time.monotonic() >= self._last_moment():
            what = "die" if self._is_killed else "start"
            self._fault = f"a guest did not {what} in time: this host is overloaded or stuck"
        if self._fault:
            raise EngineFault(self._fault, started="unknown" if self._asked_at else "no")

    def _last_moment(self) -> float:
        """Give when patience with our own side ends."""
        if self._is_killed:
            return self._ended_at + DEATH_SECONDS
        return float("inf") if self._is_ready else self._begun_at + LAUNCH_SECONDS

    def _next_moment(self) -> float:
        """Give when something must be done though nothing happens."""
        if self._is_killed:
            return self._last_moment()
        next_look = self._meter.next_look if self._meter else 0.0
        if self._ended:
            return min(self._linger_until, next_look) if not self._group else self._linger_until
        return min(self._deadline(), next_look)

    def _keep_time(self) -> None:
        """Act on what is due: a look at the counters, the deadline, the end of what lingers."""
        now = time.monotonic()
        if self._is_killed or self.is_over or not self._meter:
            return
        if self._ended:
            self._look_at_the_rest()
            if now >= self._linger_until:
                self._kill()
            return
        if now >= self._deadline():
            self._stop_for_time()
        elif now >= self._meter.next_look:
            self._meter.look(usage(self._work_folder).bytes)
            for limit in self._meter.over:
                # What is out of both at once is out of time: a verdict must not be a coin's.
                if limit != "cpu" or self._deadline() - now > COIN_SECONDS:
                    self._stop(limit)

    def _ask_to_end(self) -> None:
        signal_main(self._pidfd, signal.SIGTERM)

    def _stop(self, limit: Limit) -> None:
        """End the call for a limit; the first one is the reason."""
        if self._is_killed or self._ended:
            return
        self._stopped_by = self._stopped_by or limit
        self._kill()

    def _kill(self) -> None:
        """Kill PID 1: the kernel kills all that is in its namespace with it, pid_namespaces(7)."""
        if self._is_killed or self._pidfd < 0:
            return
        self._is_killed = True
        self._ended_at = self._ended_at or time.monotonic()
        self._channels.wake()
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    # What comes from it

    def _take_status(self) -> None:
        """Take every message of the zygote's and of PID 1's that has come."""
        with suppress(BlockingIOError):
            while not self._fault and not self._is_reaped:
                self._take_message()
        if self._fault or self._is_reaped:
            self._channels.stop_handling(self._status.fileno())  # its end would be news for ever

    def _take_message(self) -> None:
        try:
            message, descriptors = receive(self._status)
        except ConnectionResetError:
            # The other side went without reading all of ours; what it said last is still there.
            return
        match message[:1]:
            case b"W" if len(descriptors) == 2:
                self._work_folder, self._pidfd = descriptors
                return
            case b"R":
                self._is_locked_down, self._listener = True, message[1:]
                if self._group and self._zygote.plan.ends_are_plain:
                    self._last_look = prepare_last_look(self._pidfd, self._group)
            case b"\x01":
                self._take_end(message)
            case b"X":
                self._is_reaped = True
                self._used_by_the_dead = parse_usage(message[1:])
                self._ended_at = self._ended_at or time.monotonic()
            case b"F":
                reason = message[1:].decode(errors="replace")
                self._fault = f"a guest could not be locked down: {reason}"
            case _:
                self._zygote.is_usable = False
                words = self._zygote.last_words()
                self._fault = f"the zygote ended, and its guests with it: {words or 'killed'}"
        self._channels.wake()

    def _take_end(self, message: bytes) -> None:
        try:
            ended, is_alone, self._used_by_the_dead = parse_end(message)
        except Malformed as reason:
            self._fault = str(reason)
            return
        self._note_end(ended, is_alone=is_alone)
        if not is_alone:
            self._look_at_the_rest()

    def _look_at_the_rest(self) -> None:
        """Without a group: see whether what the main process left behind fills its quota."""
        if self._meter and not self._group:
            self._meter.look_at_the_rest(usage(self._work_folder).bytes)

    def _take_answer(self, chunk: bytes) -> None:
        self._heard.take_answer(chunk)
        if self._last_look and self._heard.is_answered and not self._ended:
            # PID 1 would tell later: the kernel first frees all that the call had.
            look, self._last_look = self._last_look, None  # closed once, also by an error
            with closing(look):
                ended = look.wait_for_end() if is_only_call() else look.end()
            if ended:
                self._note_end(ended, is_alone=True)
                self._channels.wake()

    def _note_end(self, ended: InitReport, *, is_alone: bool) -> None:
        """Note how the main process ended; what it left behind gets a moment, then goes too."""
        self._ended, self._is_alone = ended, is_alone
        self._ended_at = time.monotonic()
        self._linger_until = self._ended_at + STRAGGLER_SECONDS

    def _take_output(self, stream: Stream, chunk: bytes) -> None:
        """End the call over its limit; what is still in the pipes is drained all the same."""
        self._heard.take_output(stream, chunk)
        if self._heard.is_over:
            self._stopped_by = self._stopped_by or "output"
            self._kill()

    # What was seen

    def _sighting(self, used: DiskUse, collected: Collected) -> Sighting:
        reached = set[Limit](self._meter.reached if self._meter else ())
        if used.is_full:
            reached.add("disk")
        return Sighting(
            claim=self._heard.claim(),
            ended=self._ended,
            stopped_by=self._stopped_by,
            limits_hit=self._limits_hit(),
            limits_reached=frozenset(reached),
            counted=frozenset({"memory", "processes"}) if self._group else frozenset(),
            stdout=self._heard.stdout,
            stderr=self._heard.stderr,
            usage=self._usage(used),
            prepared_seconds=self._asked_at - self._begun_at,
            ran_seconds=self._ended_at - self._asked_at,
            torn_down_seconds=self._gone_at - self._ended_at,
            partial=self._heard.partial,
            notes=self._heard.notes,
            files=collected.files,
            left_out=collected.left_out,
        )

    def _limits_hit(self) -> frozenset[Limit]:
        """Give the limits at which the kernel refused or killed; without a group, what shows it."""
        if self._group:
            return self._group.limits_hit()
        return self._meter.limits_hit(self._used_by_the_dead) if self._meter else frozenset()

    def _usage(self, used: DiskUse) -> Usage:
        meter, dead = self._meter, self._used_by_the_dead
        return Usage(
            wall_seconds=self._ended_at - self._asked_at,
            cpu_seconds=meter.cpu_seconds(dead) if meter else 0.0,
            peak_memory_bytes=meter.peak_memory_bytes(dead) if meter else 0,
            peak_processes=meter.peak_processes() if meter else 0,
            stdout_bytes=self._heard.stdout.total,
            stderr_bytes=self._heard.stderr.total,
            disk_bytes=used.bytes,
        )

    # Its end

    async def close(self) -> None:
        """Kill it if it lives, wait until its last process is dead, and give everything back."""
        self._heard.hush()
        if self._is_given_back:
            return
        try:
            if not self._is_reaped:
                with anyio.CancelScope(shield=True):
                    await self._see_it_die(time.monotonic() + DEATH_SECONDS)
        finally:  # also where the event loop ends under this
            self._give_back()

    async def _see_it_die(self, until: float) -> None:
        while not self._is_reaped and not self._fault and time.monotonic() < until:
            self._kill()
            await self._channels.wait(until)
        if self._pidfd >= 0 and not self._is_reaped:  # nobody is there to say it
            self._kill()
            with anyio.move_on_after(max(0.0, until - time.monotonic())):
                await anyio.wait_readable(self._pidfd)

    def _give_back(self) -> None:
        self._is_given_back = True
        self._channels.close()
        self._status.close()
        self._theirs.close()
        for descriptor in (self._pidfd, self._work_folder, self._alarm):
            if descriptor >= 0:
                os.close(descriptor)
        self._pidfd = self._work_folder = self._alarm = -1
        if self._last_look:
            self._last_look.close()
        if self._group:
            self._group.give_back()
