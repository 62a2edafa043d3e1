"""The root of the command line: finds verbs by entry point and turns errors into exit codes."""

from __future__ import annotations

import asyncio
import select
import sys
import warnings

import click

from fleetbox.cli.verbs import Verbs
from fleetbox.errors import FleetboxError
from fleetbox.extras import missing_extra

SECTIONS = {
    "Look": (
        "status", "doctor", "ls", "query", "get", "view", "live", "replay", "export", "event", "episode", "audit",
        "whoami",
    ),
    "Record": ("agent", "simulate", "record", "mark", "pull", "carry", "ingest"),
    "Decide": ("policy",),
    "Run": ("demo", "up", "down", "servers", "site", "replicate", "tokens", "drill", "config", "lake", "dashboards"),
}  # fmt: skip
HELP = frozenset({"-h", "--help"})
INTERRUPTED = 130
SUMMARY_CHARS = 160  # a whole first sentence; click cuts at 45


class Sections(Verbs):
    """List the verbs by what they are for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs by what they are for."""
        left = set(self.list_commands(ctx))
        for title, names in {
            **SECTIONS,
            "More": tuple(sorted(left - {n for s in SECTIONS.values() for n in s})),
        }.items():
            rows = [(name, self._summary(ctx, name)) for name in names if name in left]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def _summary(self, ctx: click.Context, name: str) -> str:
        command = self.get_command(ctx, name)
        return command.get_short_help_str(SUMMARY_CHARS) if command else ""


@click.group(cls=Sections, entries="fleetbox.commands", context_settings={"help_option_names": sorted(HELP)})
@click.version_option(package_name="fleetbox")
@click.option("--debug", is_flag=True, help="Show where an error comes from.")
def root(debug: bool) -> None:
    """Record robots, keep the minutes around a moment, ship what matters, ask for it later.

    \b
    Start here:   fleetbox demo
    A fleet here: fleetbox up --dir my-fleet --detach
    """
    if not HELP & set(sys.argv):  # it prints nothing else, and structlog takes longer to load than all the rest
        from fleetbox.diagnostics import log_to_stderr

        log_to_stderr(debug=debug)


def main() -> None:
    """Run the command line and exit with its code: 0, 1, 2 usage, 3 partial, 4 unreachable, 5 auth, 130 interrupted."""
    try:
        code = root.main(prog_name="fleetbox", standalone_mode=False)
    except FleetboxError as error:
        code = _explain(error)
    except ModuleNotFoundError as error:
        if (explained := missing_extra(error)) is None:
            raise
        code = _explain(explained)
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = 2
    except (KeyboardInterrupt, asyncio.CancelledError, click.Abort):
        warnings.simplefilter("ignore", RuntimeWarning)  # a coroutine that was not begun yet never will be
        click.echo("interrupted", err=True)
        code = INTERRUPTED
    except SystemExit:  # click's own answer to any broken pipe
        code = 0 if _nobody_reads() else 1
    sys.exit(code if isinstance(code, int) else 0)


def _nobody_reads() -> bool:
    """Tell whether stdout is a pipe whose reader has gone: `| head` has seen enough, and nothing is wrong."""
    if not hasattr(select, "poll"):  # Windows
        return True
    poll = select.poll()
    poll.register(1, select.POLLOUT)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _explain(error: FleetboxError) -> int:
    if "--debug" in sys.argv:
        import traceback

        traceback.print_exc()
    click.echo(f"fleetbox: {error}", err=True)
    return error.exit_code
