"""What a trained model is asked; it never trains."""

from typing import Any

from moe_lib.data import TokenCorpus
from moe_lib.evaluation.upstream import LanguageModel, upstream_loss

__all__ = ["LanguageModel", "evaluate", "upstream_loss"]


def evaluate(model: LanguageModel, corpus: TokenCorpus) -> dict[str, Any]:
    """Everything a run's row records of its trained model."""
    return upstream_loss(model, corpus)
