"""The one error a user may see: what came in was wrong, and here is what is allowed."""


class InputError(ValueError):
    """Raised where a wrong value enters; one sentence that names the field, the value and what is allowed.

    The command line prints it on standard error and exits with 2, without a traceback.
    """
