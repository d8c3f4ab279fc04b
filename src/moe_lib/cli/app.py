"""The command and what its exit codes mean.

0 done; 1 a claim or check failed; 2 the input was wrong, or the system refused a file (disk full, folder read-only);
130 interrupted by Ctrl-C, as shells have it. With 2 and 130, one sentence is printed on standard error.
"""

import os
import sys

import typer

from moe_lib.cli import claims, count, data, doctor, evaluate, figure, fit, lab, laws, ledgers, plan, runs
from moe_lib.cli.output import patient_output
from moe_lib.errors import InputError, plain, sentence, show_notices_plainly

INTERRUPTED = 130  # typer returns the same after Ctrl-C

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")
for group in (claims, count, data, doctor, evaluate, figure, fit, lab, laws, ledgers, plan, runs):
    group.register(app)


@app.callback(invoke_without_command=True)
def _commands(context: typer.Context) -> None:
    """Count, train, fit and judge sparse mixture-of-experts language models."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """Run the command; wrong input ends with one sentence on standard error and exit code 2."""
    show_notices_plainly()
    with patient_output() as output:
        code, why = _run()
        output.flush()
        if code == 0 and output.error and not isinstance(output.error, BrokenPipeError):
            code, why = 2, f"standard output: {output.error.strerror}; the output is incomplete"
        if why:
            print(f"moe-lib: {why}", file=sys.stderr)
    sys.exit(code)


def _run() -> tuple[int, str | None]:
    """The exit code, and the sentence for standard error."""
    try:
        _require_values(sys.argv[1:])
        _require_folder()
        code = app(prog_name="moe-lib", standalone_mode=False)
        if code != INTERRUPTED:
            return int(code or 0), None
    except (InputError, OSError) as error:
        return 2, sentence(error)
    except typer.TyperException as error:
        return 2, plain(error.format_message() if hasattr(error, "format_message") else str(error))
    except MemoryError:
        return 2, "this machine has too little memory for this command, or a limit allows too little"
    except (KeyboardInterrupt, typer.Abort):
        pass
    return INTERRUPTED, "interrupted; repeat the same command to resume"


def _require_folder() -> None:
    """`InputError` if the current folder was removed; libraries that look for it fail in many ways."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise InputError("the current folder no longer exists; change to another one") from None


def _require_values(arguments: list[str]) -> None:
    """`InputError` if an argument is empty: as a folder it would mean the current one, as a name any."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if not argument or (argument.startswith("--") and argument.endswith("=")):
            name = argument.rstrip("=") or (before if before.startswith("--") else "an argument")
            raise InputError(f"{name} is empty; give a value, or leave it out")
