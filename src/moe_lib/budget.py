"""What a run's budget buys, computed once; needs neither a corpus nor torch."""

from dataclasses import dataclass

from moe_lib.accounting import count_flops, count_parameters, tokens_for_budget
from moe_lib.config import RunConfig
from moe_lib.errors import InputError

BYTES_PER_WEIGHT = 16  # weight, gradient and Adam's two moments, each float32
BYTES_PER_FLOAT = 4
KEPT_WIDTHS = 4  # widths d_model that a layer keeps per token for the backward pass: at least its input, q, k and v


@dataclass(frozen=True)
class Plan:
    """A run and what its budget buys: `n_steps`, at `flops_per_token` (forward and backward, router included)."""

    run: RunConfig
    n_steps: int
    flops_per_token: int

    @property
    def tokens_per_step(self) -> int:
        """Tokens per batch."""
        return self.run.training.batch_size * self.run.model.context_length

    @property
    def n_windows(self) -> int:
        """Sequences that the whole run reads."""
        return self.n_steps * self.run.training.batch_size

    @property
    def n_tokens(self) -> int:
        """D, tokens trained on."""
        return self.n_steps * self.tokens_per_step

    @property
    def flops(self) -> float:
        """FLOPs actually spent: the budget, rounded to whole steps."""
        return float(self.n_tokens) * self.flops_per_token

    @property
    def n_bytes(self) -> int:
        """A lower bound on the bytes of memory for training; attention, experts and logits need more."""
        model = self.run.model
        kept = self.tokens_per_step * model.n_layers * model.layer_repeats * KEPT_WIDTHS * model.d_model
        weights = count_parameters(model).total * BYTES_PER_WEIGHT
        return weights + (kept + self.n_steps) * BYTES_PER_FLOAT  # the loss of every step is kept

    @property
    def n_logit_bytes(self) -> int:
        """Bytes of a batch's logits and their gradient, which only the native back end computes in chunks."""
        return 2 * self.tokens_per_step * self.run.model.vocab_size * BYTES_PER_FLOAT

    def epochs(self, n_corpus_tokens: int) -> float:
        """How often the run reads a corpus of `n_corpus_tokens`, if injected facts fill their whole share."""
        return self.n_tokens * (1 - self.run.training.fact_share) / n_corpus_tokens

    def require_epochs(self, epochs: float) -> None:
        """`InputError` if the run would read its corpus more than `max_epochs` times."""
        training = self.run.training
        if epochs > training.max_epochs:
            raise InputError(
                f"training.flops = {training.flops:g} buys {self.n_tokens:,} tokens, {epochs:.5g} times the corpus "
                f"'{self.run.corpus}'; at most max_epochs = {training.max_epochs:g} is allowed"
            )

    def require_memory(self, n_bytes: int, with_logits: bool = False) -> None:
        """`InputError` if the run cannot fit into `n_bytes` of memory; nothing is allocated."""
        training = self.run.training
        needed = self.n_bytes + with_logits * self.n_logit_bytes
        if needed > n_bytes:
            raise InputError(
                f"model with {count_parameters(self.run.model).total:.3g} parameters, batch_size = "
                f"{training.batch_size} and flops = {training.flops:g} need at least {needed / 1e9:.3g} GB of "
                f"memory, and this machine has {n_bytes / 1e9:.3g} GB"
            )


def plan(run: RunConfig) -> Plan:
    """The plan whose whole number of steps is nearest to the budget; at least one step."""
    tokens_per_step = run.training.batch_size * run.model.context_length
    n_steps = max(1, round(tokens_for_budget(run.model, run.training.flops) / tokens_per_step))
    return Plan(run, n_steps, count_flops(run.model).total)
