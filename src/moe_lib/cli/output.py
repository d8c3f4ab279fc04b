"""Standard streams that may be closed, full or unable to show a character, without ending the command's work."""

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moe_lib.errors import InputError


class Patient:
    """A stream that drops what can no longer be printed; `error` is then the reason."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Print text, or drop it if printing fails."""
        self._try(self.stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Flush, or drop what is left."""
        self._try(self.stream.flush)

    def _try(self, action: Any, *arguments: str) -> None:
        if self.error is None:
            try:
                action(*arguments)
            except OSError as error:
                self.error = error
                # The rest of the buffer is written at the end of the process and then needs an open file.
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self.stream.fileno())
                os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def print_json(value: Any) -> None:
    """Print a value as JSON; `InputError` if it has a number that is not finite, which JSON cannot express."""
    try:
        print(json.dumps(value, indent=2, allow_nan=False))
    except ValueError:
        raise InputError(
            "the result has a number that is not finite, which JSON cannot express; leave out --json"
        ) from None


@contextmanager
def patient_output() -> Iterator[Patient]:
    """Make standard output and error patient: both show as escapes what cannot be encoded; yields standard output."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: without this, the next file to be opened would take its place
            os.open(os.devnull, os.O_RDWR)
    before = sys.stdin, sys.stdout, sys.stderr
    for stream in before[1:]:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.stdin = before[0] or os.fdopen(os.open(os.devnull, os.O_RDONLY))
    output, errors = (Patient(stream or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")) for stream in before[1:])
    sys.stdout, sys.stderr = output, errors
    try:
        yield output
    finally:
        output.flush()
        errors.flush()
        sys.stdin, sys.stdout, sys.stderr = before
