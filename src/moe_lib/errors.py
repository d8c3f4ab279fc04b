"""Messages for users when something goes wrong: one sentence, never a traceback."""

import os
import sys
import warnings
from typing import TextIO

LONGEST = 1_000  # characters of a message


class InputError(ValueError):
    """Raised for an invalid value; one sentence that names the field, the value and what is allowed.

    The command line prints it on standard error and exits with 2, without a traceback.
    """


class Notice(UserWarning):
    """Warns that work continues in another way than asked, and says why in one sentence."""


def sentence(error: InputError | OSError) -> str:
    """What went wrong, for a user; of an `OSError` the file and the system's message."""
    if isinstance(error, OSError):
        return plain(f"{os.fsdecode(error.filename or 'a file')}: {error.strerror or error}")
    return plain(str(error))


def plain(text: str) -> str:
    """A text as one line of limited length: unprintable characters become escapes, a long text loses its middle."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
    return escaped(text)


def escaped(text: str) -> str:
    """A text with escapes for what cannot be printed or encoded, such as the bytes of a name that is not UTF-8."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def show_notices_plainly() -> None:
    """From now on print a `Notice` as `moe-lib: sentence` on standard error; other warnings print as before.

    PYTHONWARNINGS neither hides a notice nor makes it an error.
    """
    warnings.simplefilter("default", Notice)
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
            print(f"moe-lib: {plain(str(message))}", file=file or sys.stderr)
        else:
            show(message, category, filename, lineno, file, line)

    warnings.showwarning = shown
