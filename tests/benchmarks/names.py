"""The rows that others are compared with, or that the project has a target for."""

from typing import Final

BARE_FORK: Final = "bare fork and wait, python -I -S"
PLAIN: Final = "python -I -S -c pass"
SANDLOCK: Final = "sandlock + python -I -S -c pass"
DOCKER_RUN: Final = "docker run --rm"

PARKED: Final = "ours, parked"
AFTER_THE_FIRST: Final = "ours, warm but not parked"
NUMPY: Final = "ours, parked, numpy preloaded"
PANDAS: Final = "ours, parked, numpy and pandas preloaded"
SESSION: Final = "ours, session call"
SESSION_FORK: Final = "ours, fork of a session with 100 MB"

SUSTAINED: Final = "ours, fresh guest each"
FORK_SERVER: Final = "fork-per-call server"
FORK_LOOP: Final = "loop of bare forks"

OUTPUT: Final = "ours, 50 MB of output"
JSON_VALUE: Final = "ours, 10 MB JSON value"
DUMPS_AND_LOADS: Final = "json.dumps and json.loads, 10 MB"

PSS_PARKED: Final = "memory of a parked guest"
IDLE_CONTAINER: Final = "memory of an idle container"
PSS_SESSION: Final = "memory of an idle session"
THOUSAND_SESSIONS: Final = "1,000 sessions alive at once"

FIRST_TENTH: Final = "ours, first tenth of many"
LAST_TENTH: Final = "ours, last tenth of many"
GROWTH: Final = "ours, what there is more of after many calls"

HUMAN_EVAL: Final = "ours, 164 problems"
POOLS: Final = ("ProcessPoolExecutor, spawn", "ProcessPoolExecutor, forkserver")
