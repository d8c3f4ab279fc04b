"""The screen that commands print on."""

from rich.console import Console


def plain_console() -> Console:
    """A console that prints brackets and colons as they are: in a path, or in `.[train]`, they are not markup."""
    return Console(markup=False, emoji=False)
