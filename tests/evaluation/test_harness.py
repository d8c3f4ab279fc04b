"""lm-evaluation-harness and our own scoring agree on every answer of one task."""

import json
from pathlib import Path

import pytest

from moe_lib.config import ModelConfig
from moe_lib.data import TokenCorpus
from moe_lib.evaluation.tasks import read_task, run_task
from moe_lib.model import build_model

lm_eval = pytest.importorskip("lm_eval", reason="needs the extra eval")


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_both_give_the_same_likelihoods_and_accuracy(tmp_path: Path, small_corpus: TokenCorpus) -> None:
    from lm_eval.api.task import ConfigurableTask

    from moe_lib.evaluation.harness import HarnessModel

    rows = [
        {"query": f"Ada counts {n}", "choices": ["tokens.", "Grace reads 7", f"{n} fits"], "gold": n % 3}
        for n in range(30)
    ]
    file = tmp_path / "ours.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = build_model(ModelConfig(d_model=16, n_layers=1, n_heads=2, vocab_size=300, context_length=64), 3)
    ours = run_task(model, small_corpus.tokenizer, read_task(file))

    task = ConfigurableTask(
        config={
            "task": "ours",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(file)}},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{query}}",
            "doc_to_choice": "choices",
            "doc_to_target": "gold",
            "metric_list": [{"metric": "acc"}],
        }
    )
    theirs = lm_eval.evaluate(
        HarnessModel(model, small_corpus.tokenizer), {"ours": task}, bootstrap_iters=0, log_samples=True
    )
    assert theirs["results"]["ours"]["acc,none"] == pytest.approx(ours["accuracy_sum"], abs=1e-12)
    nll = []
    for sample in theirs["samples"]["ours"]:
        gold = sample["doc"]["gold"]
        log_likelihood = float(sample["filtered_resps"][gold][0])
        n_tokens = len(small_corpus.tokenizer.encode(f" {sample['doc']['choices'][gold]}").ids)
        nll.append(-log_likelihood / n_tokens)
    assert sum(nll) / len(nll) == pytest.approx(ours["nll"], rel=1e-6)


def test_a_rolling_likelihood_scores_each_token_once(small_corpus: TokenCorpus) -> None:
    import math
    from types import SimpleNamespace

    from moe_lib.evaluation.harness import HarnessModel

    from .models import Guesser

    text = "Ada counts 12 tokens. " * 30
    harness = HarnessModel(Guesser(300, context_length=32), small_corpus.tokenizer)
    (total,) = harness.loglikelihood_rolling([SimpleNamespace(args=(text,))])
    assert total == pytest.approx(-math.log(300) * len(small_corpus.tokenizer.encode(text).ids), rel=1e-6)


def test_generated_text_ends_at_a_stop(small_corpus: TokenCorpus) -> None:
    from types import SimpleNamespace

    from moe_lib.evaluation.harness import HarnessModel

    from .models import Copier

    harness = HarnessModel(Copier(300), small_corpus.tokenizer)
    request = SimpleNamespace(args=("Now Sofia reads 41 tokens. Now Sofia reads", {"until": ["."], "max_gen_toks": 20}))
    assert harness.generate_until([request]) == [" 41 tokens"]
