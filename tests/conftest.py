"""A small corpus of made-up text, prepared once for all tests."""

import random
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from moe_lib.accounting import count_parameters, tokens_for_budget
from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus, prepare
from moe_lib.laws.parametric import SPARSITY, Law
from moe_lib.ledger import Row

torch.set_num_threads(1)  # small models; tests run side by side


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A place of its own for corpora, for this process and those it starts."""
    root = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOE_LIB_DATA", str(root))
        yield root


@pytest.fixture(scope="session")
def small_corpus(data_root: Path) -> TokenCorpus:
    """Two hundred documents of sentences that repeat, at a vocabulary of 300."""
    folder = data_root / "small"
    folder.mkdir()
    rng = random.Random(0)
    names, verbs = ["Ada", "Emmy", "Sofia", "Grace"], ["counts", "routes", "fits", "reads"]
    for number in range(200):
        sentences = [f"{rng.choice(names)} {rng.choice(verbs)} {rng.randint(1, 99)} tokens. " for _ in range(40)]
        (folder / f"{number}.txt").write_text("".join(sentences))
    return prepare(str(folder), vocab_size=300)


@pytest.fixture(scope="session")
def prose_folder(data_root: Path) -> Path:
    """About a megabyte of the standard library."""
    folder = data_root / "prose"
    folder.mkdir()
    for module in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("[a-h]*.py")):
        (folder / f"{module.stem}.txt").write_text(
            module.read_text(encoding="utf-8", errors="ignore"), encoding="utf-8"
        )
    return folder


@pytest.fixture(scope="session")
def prose_corpus(prose_folder: Path) -> TokenCorpus:
    """That text at a vocabulary of 400."""
    return prepare(str(prose_folder), vocab_size=400)


@pytest.fixture(scope="session")
def small_run(small_corpus: TokenCorpus, data_root: Path) -> RunConfig:
    """A run of about twenty steps, done in a second."""
    return RunConfig(
        corpus=str(data_root / "small"),
        model={"d_model": 16, "n_layers": 1, "n_heads": 2, "sparsity": 0.75, "vocab_size": 300, "context_length": 128},
        training={"flops": 3e8, "batch_size": 2, "learning_rate": 1e-2},
    )


@pytest.fixture(scope="session")
def make_row() -> Callable[..., Row]:
    """`make_row(3, loss=2.5)`: a finished run's row, of seed 3 or of a run that is given, with other fields on top."""

    def made(run: RunConfig | int = 0, **fields: object) -> Row:
        if isinstance(run, int):
            run = RunConfig(model={"d_model": 8, "n_layers": 1, "n_heads": 2}, training={"flops": 1e9, "seed": run})
        counts = {"n_params": 1000, "n_params_active": 500, "n_tokens": 10_000, "sparsity": 0.5, "flops": 1e9}
        losses = {"status": "done", "loss": 3.5, "loss_standard_error": 0.01}
        return {"key": run.key, "config": run.model_dump(), **counts, **losses, **fields}

    return made


@pytest.fixture(scope="session")
def lawful_row() -> Callable[[RunConfig, float], Row]:
    """`lawful_row(run, noise)`: a finished run's row, whose loss is a law's of Eq. 6's form plus noise in nats."""
    exponents = {"alpha": 0.35, "beta": 0.35, "lambda": -0.1, "delta": 0.1, "gamma": 0.2}
    law = Law(SPARSITY, {"a": 50, "b": 200, "c": 0.3, "d": 5, "e": 1, **exponents})

    def made(run: RunConfig, noise: float) -> Row:
        counts, tokens = count_parameters(run.model), tokens_for_budget(run.model, run.training.flops)
        loss = float(law.loss(counts.total, tokens, max(run.model.sparsity, 0.0))) + noise
        return {
            "key": run.key, "config": run.model_dump(), "status": "done", "sparsity": run.model.sparsity,
            "n_params": counts.total, "n_params_active": counts.active, "n_tokens": tokens,
            "flops": run.training.flops, "loss": loss, "loss_standard_error": 0.01, "corpus_digest": "made up",
            "epochs": 0.5,
        }  # fmt: skip

    return made
