"""What a run's budget buys, worked out once and handed on; needs no corpus and no torch."""

from dataclasses import dataclass

from moe_lib.accounting import count_flops, count_parameters, tokens_for_budget
from moe_lib.config import RunConfig
from moe_lib.errors import InputError

BYTES_PER_WEIGHT = 16  # weight, gradient and Adam's two moments, each float32
BYTES_PER_FLOAT = 4
KEPT_WIDTHS = 4  # of d_model, that a layer keeps of every token for the backward pass: its input, q, k and v, at least


@dataclass(frozen=True)
class Plan:
    """A run and what its budget buys: `n_steps`, at `flops_per_token` (forward and backward, router included)."""

    run: RunConfig
    n_steps: int
    flops_per_token: int

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one batch."""
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
        """FLOPs really spent: the budget, rounded to whole steps."""
        return float(self.n_tokens) * self.flops_per_token

    @property
    def n_bytes(self) -> int:
        """Bytes of memory that training takes at the very least; attention, experts and logits come on top."""
        model = self.run.model
        kept = self.tokens_per_step * model.n_layers * model.layer_repeats * KEPT_WIDTHS * model.d_model
        weights = count_parameters(model).total * BYTES_PER_WEIGHT
        return weights + (kept + self.n_steps) * BYTES_PER_FLOAT  # of every step the loss is kept

    def epochs(self, n_corpus_tokens: int) -> float:
        """How often the run reads a corpus of so many training tokens, if facts fill their whole share."""
        return self.n_tokens * (1 - self.run.training.fact_share) / n_corpus_tokens

    def require_epochs(self, epochs: float) -> None:
        """`InputError` if the run reads its corpus more often than it may."""
        training = self.run.training
        if epochs > training.max_epochs:
            raise InputError(
                f"training.flops = {training.flops:g} buys {self.n_tokens:,} tokens, {epochs:.5g} times the corpus "
                f"'{self.run.corpus}'; at most max_epochs = {training.max_epochs:g} is allowed"
            )

    def require_memory(self, n_bytes: int) -> None:
        """`InputError` if the run plainly does not fit into `n_bytes` of memory, before anything is allocated."""
        training = self.run.training
        if self.n_bytes > n_bytes:
            raise InputError(
                f"model with {count_parameters(self.run.model).total:.3g} parameters, batch_size = "
                f"{training.batch_size} and flops = {training.flops:g} need at least {self.n_bytes / 1e9:.3g} GB of "
                f"memory, and {n_bytes / 1e9:.3g} GB are here"
            )


def plan(run: RunConfig) -> Plan:
    """The whole steps that come nearest to the budget, at least one."""
    tokens_per_step = run.training.batch_size * run.model.context_length
    n_steps = max(1, round(tokens_for_budget(run.model, run.training.flops) / tokens_per_step))
    return Plan(run, n_steps, count_flops(run.model).total)
