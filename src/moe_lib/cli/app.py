"""The command and what its exit codes mean: 0 done, 1 a claim or check failed, 2 the input was wrong."""

import sys

import typer

from moe_lib.cli import count, data, evaluate, laws, runs
from moe_lib.errors import InputError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")
for group in (count, data, evaluate, laws, runs):
    group.register(app)


@app.callback(invoke_without_command=True)
def _commands(context: typer.Context) -> None:
    """Count, train, fit and judge sparse mixture-of-experts language models."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """Run the command; a wrong input ends with one sentence on standard error and exit code 2."""
    try:
        sys.exit(app(prog_name="moe-lib", standalone_mode=False))
    except InputError as error:
        _stop(str(error), 2)
    except typer.TyperException as error:
        _stop(error.format_message() if hasattr(error, "format_message") else str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        _stop("interrupted; run the same command again to go on", 130)
    except OSError as error:
        _stop(f"{error.filename or 'a file'}: {error.strerror or error}", 2)


def _stop(sentence: str, code: int) -> None:
    print(f"moe-lib: {sentence}", file=sys.stderr)
    sys.exit(code)
