"""What a user may see when something is not as it should be: one sentence, never a traceback."""

import sys
import warnings
from typing import TextIO


class InputError(ValueError):
    """Raised where a wrong value enters; one sentence that names the field, the value and what is allowed.

    The command line prints it on standard error and exits with 2, without a traceback.
    """


class Notice(UserWarning):
    """Warned of where work goes on and the user should know why it goes on differently; one sentence."""


def sentence(error: InputError | OSError) -> str:
    """What went wrong, for a user: of the system's errors, the file and the system's words."""
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or error}"
    return str(error)


def show_notices_plainly() -> None:
    """Print a `Notice` as `moe-lib: sentence` on standard error from now on, and other warnings as before."""
    show = warnings.showwarning

    def shown(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, Notice):
            print(f"moe-lib: {message}", file=file or sys.stderr)
        else:
            show(message, category, filename, lineno, file, line)

    warnings.showwarning = shown
