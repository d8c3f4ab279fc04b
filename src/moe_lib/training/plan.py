"""What a run's budget buys, before anything is trained."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from moe_lib.accounting import count_flops, count_parameters, tokens_for_budget
from moe_lib.config import RunConfig
from moe_lib.data.telling import Telling, tell_facts
from moe_lib.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BYTES_PER_WEIGHT = 16  # weight, gradient and Adam's two moments, each float32
BYTES_PER_FLOAT = 4
KEPT_WIDTHS = 4  # of d_model, that a layer keeps of every token for the backward pass: its input, q, k and v, at least


@dataclass(frozen=True)
class Plan:
    """What a budget buys: steps of `tokens_per_step`, and how often the corpus is read."""

    n_steps: int
    tokens_per_step: int
    flops_per_token: int
    epochs: float

    @property
    def n_tokens(self) -> int:
        """D, tokens trained on."""
        return self.n_steps * self.tokens_per_step

    @property
    def flops(self) -> float:
        """FLOPs really spent: the budget, rounded to whole steps."""
        return float(self.n_tokens) * self.flops_per_token


def plan(run: RunConfig, n_corpus_tokens: float) -> Plan:
    """Steps for a run's budget; `InputError` where it would read the corpus more often than it may."""
    tokens_per_step = run.training.batch_size * run.model.context_length
    n_steps = steps_for_budget(run)
    epochs = n_steps * tokens_per_step * (1 - run.training.fact_share) / n_corpus_tokens
    require_epochs(run, epochs)
    return Plan(n_steps, tokens_per_step, count_flops(run.model).total, epochs)


def require_epochs(run: RunConfig, epochs: float) -> None:
    """`InputError` where a run reads its corpus more often than it may."""
    training = run.training
    if epochs > training.max_epochs:
        n_tokens = steps_for_budget(run) * training.batch_size * run.model.context_length
        raise InputError(
            f"training.flops = {training.flops:g} buys {n_tokens:,} tokens, {epochs:.5g} times the corpus "
            f"'{run.corpus}'; at most max_epochs = {training.max_epochs:g} is allowed"
        )


def steps_for_budget(run: RunConfig) -> int:
    """Whole steps that come nearest to the budget, at least one."""
    tokens_per_step = run.training.batch_size * run.model.context_length
    return max(1, round(tokens_for_budget(run.model, run.training.flops) / tokens_per_step))


def bytes_needed(run: RunConfig) -> int:
    """Bytes of memory that training takes at the very least; attention, experts and logits come on top."""
    model, tokens_per_step = run.model, run.training.batch_size * run.model.context_length
    activations = tokens_per_step * model.n_layers * model.layer_repeats * KEPT_WIDTHS * model.d_model * BYTES_PER_FLOAT
    losses = steps_for_budget(run) * BYTES_PER_FLOAT
    return count_parameters(model).total * BYTES_PER_WEIGHT + activations + losses


def require_memory(run: RunConfig, n_bytes: int) -> None:
    """`InputError` where a run plainly does not fit into `n_bytes` of memory, before anything is allocated."""
    needed, training = bytes_needed(run), run.training
    if needed > n_bytes:
        raise InputError(
            f"model with {count_parameters(run.model).total:.3g} parameters, batch_size = {training.batch_size} and "
            f"flops = {training.flops:g} need at least {needed / 1e9:.3g} GB of memory, and {n_bytes / 1e9:.3g} GB "
            "are here"
        )


def telling(run: RunConfig, tokenizer: "Tokenizer") -> Telling | None:
    """The facts that a run is told; None where its `fact_share` is 0."""
    training = run.training
    if not training.fact_share:
        return None
    n_windows = steps_for_budget(run) * training.batch_size
    return tell_facts(tokenizer, training.fact_share, n_windows, run.model.context_length, training.seed)
