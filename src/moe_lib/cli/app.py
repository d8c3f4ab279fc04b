"""The command and what its exit codes mean.

0 done; 1 a claim or check failed; 2 the input was wrong, or the system refused a file (disk full, folder read-only);
130 interrupted by Ctrl-C, as shells have it. With 2 and 130, one sentence stands on standard error.
"""

import sys
from typing import NoReturn

import typer

from moe_lib.cli import count, data, doctor, evaluate, lab, laws, plan, runs
from moe_lib.errors import InputError, sentence, show_notices_plainly

INTERRUPTED = 130  # what typer returns after Ctrl-C, too

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")
for group in (count, data, doctor, evaluate, lab, laws, plan, runs):
    group.register(app)


@app.callback(invoke_without_command=True)
def _commands(context: typer.Context) -> None:
    """Count, train, fit and judge sparse mixture-of-experts language models."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """Run the command; a wrong input ends with one sentence on standard error and exit code 2."""
    show_notices_plainly()
    try:
        code = app(prog_name="moe-lib", standalone_mode=False)
        if code != INTERRUPTED:
            sys.exit(code)
    except (InputError, OSError) as error:
        _stop(sentence(error), 2)
    except typer.TyperException as error:
        _stop(error.format_message() if hasattr(error, "format_message") else str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        pass
    _stop("interrupted; run the same command again to go on", INTERRUPTED)


def _stop(why: str, code: int) -> NoReturn:
    print(f"moe-lib: {why}", file=sys.stderr)
    sys.exit(code)
