"""Optional dependencies by extra, and how to install one.

Laws, fits, counts and the dry run of a sweep need only the base package.
"""

from importlib.util import find_spec

from moe_lib.errors import InputError

# Modules of each extra that this package imports.
EXTRAS = {
    "train": ("torch", "safetensors", "tokenizers", "datasketch", "statsmodels"),
    "eval": ("lm_eval",),
    "redpajama": ("datasets",),
    "slurm": ("submitit",),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
}


def how_to_install(extra: str) -> str:
    """The command that installs an extra in a checkout; this package is not in a registry."""
    return f"pip install -e '.[{extra}]'"


def missing_from(extra: str) -> list[str]:
    """The modules of an extra that are not installed."""
    return [module for module in EXTRAS[extra] if find_spec(module) is None]


def require_extra(extra: str, needed_by: str) -> None:
    """Raise `InputError` if a module of an extra is not installed; `needed_by` begins its sentence."""
    if missing := missing_from(extra):
        raise InputError(
            f"{needed_by} needs {', '.join(missing)}; install the extra `{extra}`, "
            f"in a checkout of the repository: {how_to_install(extra)}"
        )
