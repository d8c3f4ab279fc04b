"""The evaluation that a run's row records."""

from typing import Any

from moe_lib.data import TokenCorpus
from moe_lib.data.facts import World
from moe_lib.evaluation.probes import ask_probes, associative_recall
from moe_lib.evaluation.routers import router_statistics
from moe_lib.evaluation.scoring import LanguageModel
from moe_lib.evaluation.upstream import heldout_losses, upstream_loss


def evaluate(model: LanguageModel, corpus: TokenCorpus, world: World | None) -> dict[str, Any]:
    """The upstream loss, the routers' statistics (`router`), and every probe (`probes`).

    `world` has the injected facts; without one no closed-book questions are asked.
    """
    tokens, losses = heldout_losses(model, corpus)
    probes = ask_probes(model, corpus, world)
    probes["associative_recall"] = associative_recall(tokens, losses, model.config.context_length)
    return {**upstream_loss(corpus, losses), "router": router_statistics(model, tokens), "probes": probes}
