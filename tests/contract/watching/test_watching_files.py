import pytest

from sandbox.record import FileEvent
from tests.contract.watching.conftest import Watch
from tests.contract.watching.seen import accesses, all_of

TRY = """
import os, shutil
def attempt(what, *arguments):
    try:
        what(*arguments)
    except OSError:
        pass
"""

SINGLE = [
    ("open('a.txt', 'w')", "/box/a.txt", ("create", "allowed")),
    ("open('given.txt')", "/box/given.txt", ("read", "allowed")),
    ("open('given.txt', 'a')", "/box/given.txt", ("write", "allowed")),
    ("open('given.txt', 'r+')", "/box/given.txt", ("write", "allowed")),
    ("os.listdir('/box')", "/box", ("list", "allowed")),
    ("os.stat('given.txt')", "/box/given.txt", ("look", "allowed")),
    ("os.access('given.txt', 4)", "/box/given.txt", ("look", "allowed")),
    ("os.mkdir('d')", "/box/d", ("create", "allowed")),
    ("os.remove('given.txt')", "/box/given.txt", ("remove", "allowed")),
    ("os.rename('given.txt', 'b.txt')", "/box/given.txt", ("rename", "allowed")),
    ("os.symlink('x', 'link')", "/box/link", ("link", "allowed")),
    ("os.link('given.txt', 'hard')", "/box/hard", ("link", "allowed")),
    ("os.chmod('given.txt', 0)", "/box/given.txt", ("change", "allowed")),
    ("os.utime('given.txt')", "/box/given.txt", ("change", "allowed")),
    ("os.truncate('given.txt', 0)", "/box/given.txt", ("write", "allowed")),
    ("attempt(open, '/root/.ssh/id_rsa')", "/root/.ssh/id_rsa", ("read", "missing")),
    ("attempt(open, '/usr/bin/new', 'w')", "/usr/bin/new", ("create", "refused")),
    ("attempt(open, '/etc/passwd', 'w')", "/etc/passwd", ("write", "refused")),
    ("attempt(os.remove, '/etc/passwd')", "/etc/passwd", ("remove", "refused")),
    ("attempt(os.chmod, '/usr/bin/env', 0)", "/usr/bin/env", ("change", "refused")),
    ("attempt(os.mkdir, '/srv/x')", "/srv/x", ("create", "missing")),
    ("attempt(os.mkdir, '/box')", "/box", ("create", "failed")),
    ("attempt(os.rename, 'given.txt', '/etc/x')", "/box/given.txt", ("rename", "refused")),
]


@pytest.mark.parametrize(("code", "path", "expected"), SINGLE, ids=[each[0] for each in SINGLE])
def test_what_is_done_to_a_file_is_seen(
    watch: Watch, code: str, path: str, expected: tuple[str, str]
) -> None:
    _, record = watch(TRY + code + "\nNone", given__txt=b"x")

    assert expected in accesses(record, path)


SAME_FILE = ["/box/given.txt", "given.txt", "./given.txt", "/box/../box/given.txt", "way/given.txt"]


@pytest.mark.parametrize("name", SAME_FILE)
def test_a_file_is_named_as_what_it_is_whatever_it_is_called(watch: Watch, name: str) -> None:
    code = f"os.symlink('/box', 'way')\nopen({name!r}).close()"

    _, record = watch(TRY + code, given__txt=b"x")

    assert ("read", "allowed") in accesses(record, "/box/given.txt")


LONG_WAYS = [
    "/proc/self/root/box/given.txt",
    "/proc/./self//cwd/given.txt",
    "/proc/thread-self/root/../box/given.txt",
    "/proc/self/task/../cwd/given.txt",
    "way/given.txt",
]


@pytest.mark.parametrize("name", LONG_WAYS)
def test_a_file_is_named_as_what_it_is_whichever_way_leads_through_proc(
    watch: Watch, name: str
) -> None:
    code = f"os.symlink('/proc/self/cwd', 'way')\nopen({name!r}).close()"

    _, record = watch(TRY + code, given__txt=b"x")

    assert ("read", "allowed") in accesses(record, "/box/given.txt")


def test_a_file_below_an_open_folder_in_proc_is_named_as_what_it_is(watch: Watch) -> None:
    code = "f = os.open('/', os.O_PATH)\nopen(f'/proc/{os.getpid()}/fd/{f}/box/given.txt').close()"

    _, record = watch(TRY + code, given__txt=b"x")

    assert ("read", "allowed") in accesses(record, "/box/given.txt")


def test_a_link_to_what_a_process_has_open_leads_no_look_out_of_the_guest(watch: Watch) -> None:
    """The first process of the guest is ours: neither the guest nor the watcher looks into it."""
    code = "attempt(open, '/proc/1/root/etc/shadow')\nattempt(open, '/proc/1/cwd/x')"

    _, record = watch(TRY + code)

    assert accesses(record, "/proc/1/root/etc/shadow") == [("read", "refused")]
    assert accesses(record, "/proc/1/cwd/x") == [("read", "refused")]


def test_a_file_in_memory_is_seen(watch: Watch) -> None:
    """Without a control group it is refused: nothing would count it."""
    code = "try: os.memfd_create('m'); made = 'allowed'\nexcept OSError: made = 'refused'\nmade"

    result, record = watch(TRY + code)

    assert accesses(record, "/memfd:m") == [("create", result.value)]


def test_a_name_below_another_folder_is_found(watch: Watch) -> None:
    code = "os.mkdir('d')\nos.chdir('d')\nopen('a', 'w').close()\nos.chdir('..')\nopen('b', 'w')"

    _, record = watch(TRY + code + "\nNone")

    assert accesses(record, "/box/d/a") == [("create", "allowed")]
    assert accesses(record, "/box/b") == [("create", "allowed")]


def test_a_name_from_an_open_folder_is_found(watch: Watch) -> None:
    code = "os.mkdir('d')\nf = os.open('d', 0)\nos.close(os.open('a', 65, dir_fd=f))"

    _, record = watch(TRY + code)

    assert accesses(record, "/box/d/a") == [("create", "allowed")]


def test_a_folder_that_was_renamed_is_known_by_its_new_name(watch: Watch) -> None:
    code = "os.mkdir('d')\nopen('d/a', 'w').close()\nos.rename('d', 'e')\n"
    code += "attempt(open, 'd/a')\nopen('e/a').close()"

    _, record = watch(TRY + code)

    assert accesses(record, "/box/d/a") == [("create", "allowed"), ("read", "missing")]
    assert accesses(record, "/box/e/a") == [("read", "allowed")]


def test_a_link_leads_no_look_out_of_the_guest(watch: Watch) -> None:
    """The watcher looks where the guest sees: /root is not there."""
    code = "os.symlink('/root/../root/.bashrc', 'link')\nattempt(open, 'link')"

    _, record = watch(TRY + code)

    assert [event.outcome for event in all_of(record, FileEvent, access="read")][-1] == "missing"


def test_a_thousand_times_the_same_is_one_event_with_its_count(watch: Watch) -> None:
    _, record = watch("for _ in range(1000): open('given.txt').close()", given__txt=b"x")

    (event,) = all_of(record, FileEvent, path="/box/given.txt", access="read")
    assert event.count == 1000
    assert event.last_at > event.at


def test_names_that_are_no_text_are_shown_as_escapes(watch: Watch) -> None:
    _, record = watch("import os\nos.close(os.open(b'a\\xff', 65))")

    assert accesses(record, r"/box/a\xff") == [("create", "allowed")]


def test_what_the_interpreter_did_before_the_call_is_not_the_calls(watch: Watch) -> None:
    _, record = watch("1 + 1")

    assert record.events == ()


@pytest.mark.parametrize("mode", [0o000, 0o200, 0o400, 0o600])
def test_a_foretold_refusal_is_what_the_kernel_says(watch: Watch, mode: int) -> None:
    """The watcher does not see how a call ends; it must be right about it all the same."""
    code = f"os.chmod('given.txt', {mode})\ntried = {{}}\nfor how in 'r', 'a':\n"
    code += "    try: open('given.txt', how).close(); tried[how] = 'allowed'\n"
    code += "    except PermissionError: tried[how] = 'refused'\ntried"

    result, record = watch(TRY + code, given__txt=b"x")

    foretold = dict(accesses(record, "/box/given.txt"))
    assert {"r": foretold["read"], "a": foretold["write"]} == result.value
