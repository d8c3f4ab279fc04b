"""Our models in lm-evaluation-harness: every task of its registry runs on them (extra `eval`)."""

from collections.abc import Sequence
from typing import Any

import torch
from lm_eval.api.model import LM
from tokenizers import Tokenizer

from moe_lib.data.corpus import end_of_text
from moe_lib.evaluation.scoring import LanguageModel, Request, encode_request, score

MAX_GENERATED = 64


class HarnessModel(LM):  # type: ignore[misc]  # the harness has no types
    """A model and its tokenizer behind `lm_eval.api.model.LM`; for `lm_eval.simple_evaluate(model=...)`.

    Context and continuation are encoded separately. A context that does not fit loses its beginning.
    """

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.model, self.tokenizer = model, tokenizer

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Log-likelihood (nats) of each continuation, and whether greedy decoding would produce it."""
        pairs = [encode_request(self.tokenizer, *request.args) for request in requests]
        return [(-one.nll, one.greedy) for one in score(self.model, pairs)]

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Log-likelihood of whole texts; each token is scored once, with as much context as fits."""
        limit, totals = self.model.config.context_length, []
        for request in requests:
            ids = self.tokenizer.encode(request.args[0], add_special_tokens=False).ids
            stream = [end_of_text(self.tokenizer), *ids]
            pieces = []
            for start in range(1, len(stream), limit):
                stop = min(start + limit, len(stream))
                first = max(0, stop - limit - 1)
                pieces.append(Request(tuple(stream[first:start]), tuple(stream[start:stop])))
            totals.append(-sum(one.nll for one in score(self.model, pieces)))
        return totals

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Greedy text after each context, up to the first stop string, the end of text, or the allowed length."""
        return [self._generate(*request.args) for request in requests]

    def _generate(self, context: str, options: dict[str, Any]) -> str:
        end, limit = end_of_text(self.tokenizer), self.model.config.context_length
        ids = [end, *self.tokenizer.encode(context, add_special_tokens=False).ids]
        until = options.get("until") or []
        stops = [until] if isinstance(until, str) else until
        text: str = ""
        said: list[int] = []
        for _ in range(options.get("max_gen_toks", MAX_GENERATED)):
            with torch.no_grad():
                logits_BTV = self.model(torch.tensor([[*ids, *said][-limit:]])).logits_BTV
            assert logits_BTV is not None
            token = int(logits_BTV[0, -1].argmax())
            if token == end:
                break
            said.append(token)
            text = self.tokenizer.decode(said)
            found = [text.index(stop) for stop in stops if stop in text]
            if found:
                return text[: min(found)]
        return text
