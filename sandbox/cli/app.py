"""All commands under one name, and what becomes of their faults."""

import typer

from sandbox.cli import OURS, audit, batch, doctor, images, policy, ps, review, run
from sandbox.cli.output import say
from sandbox.errors import SandboxError

__all__ = ["run_command"]

_SUMMARY = "Run untrusted Python and programs under a policy, with an honest verdict."

# Help without rich: it alone would take longer to load than everything else.
_app = typer.Typer(help=_SUMMARY, rich_markup_mode=None, add_completion=False)
_SETTINGS = {"allow_interspersed_args": False}  # what follows the program is the program's
# An option that is not the review's own is the tool's.
_MIXED = {"ignore_unknown_options": True}
_app.command("run", context_settings=_SETTINGS)(run.run)
_app.command("exec", context_settings=_SETTINGS)(run.exec_program)
_app.command("batch")(batch.batch)
_app.command("review", context_settings=_MIXED)(review.review)
_app.add_typer(policy.app, name="policy")
_app.add_typer(images.app, name="images")
_app.add_typer(audit.app, name="audit")
_app.command("doctor")(doctor.doctor)
_app.command("ps")(ps.ps)
_app.command("gc")(ps.gc)


def run_command(words: list[str]) -> int:
    """Run one command and give its exit status; 125 with one line on stderr for a fault of ours."""
    try:
        return int(_app(words, prog_name="sandbox", standalone_mode=False) or 0)
    except typer.TyperException as fault:
        say(f"{fault.format_message().rstrip('.')}: see 'sandbox --help'")
    except (SandboxError, OSError) as fault:
        say(str(fault))
    return OURS
