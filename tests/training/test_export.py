"""Export: `transformers` computes with our weights what we compute, and back."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from moe_lib.config import ModelConfig, RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.errors import InputError
from moe_lib.ledger import Ledger, Row
from moe_lib.model import Transformer, build_model
from moe_lib.model.huggingface import from_huggingface, to_huggingface
from moe_lib.training.export import export_run, import_model
from moe_lib.training.folder import save_run

transformers = pytest.importorskip("transformers")


def stirred(config: ModelConfig) -> Transformer:
    """A model whose every weight matters, norms too."""
    model = build_model(config, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * weight.abs().mean() * torch.randn(weight.shape, generator=generator))
            weight.mul_(3 if weight.ndim == 2 and weight.shape[0] == config.n_experts else 1)
    return model


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("multiplier", "qk_bias"), [(1.0, False), (5.0, False), (1.0, True)])
@pytest.mark.parametrize("experts", [{"sparsity": 0.75}, {"sparsity": 0.25}, {}])
def test_olmoe_computes_our_logits(
    experts: dict[str, float], multiplier: float, qk_bias: bool, tied: bool, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    config = ModelConfig(d_model=24, n_layers=2, n_heads=2, vocab_size=61, context_length=16, tied_embeddings=tied,
                         embedding_multiplier=multiplier, qk_bias=qk_bias, **experts)  # fmt: skip
    ours = stirred(config)
    save_run(tmp_path / "run", RunConfig(model=ours.config, training={"flops": 1}), ours, small_corpus)
    export_run(tmp_path / "run", tmp_path / "hf")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    assert type(theirs).__name__ == "OlmoeForCausalLM"
    tokens = torch.randint(61, (3, 16))
    with torch.no_grad():
        difference = ours(tokens).logits_BTV - theirs(tokens).logits
    assert difference.abs().max() < 1e-4
    back = import_model(tmp_path / "hf")
    assert back.config == (config if multiplier == 1 else config.with_(embedding_multiplier=1.0, tied_embeddings=False))
    assert torch.equal(back(tokens).logits_BTV, ours(tokens).logits_BTV)


def test_an_import_with_biases_that_ours_lack_is_refused() -> None:
    config, tensors = to_huggingface(
        stirred(ModelConfig(d_model=24, n_layers=2, n_heads=2, vocab_size=61, context_length=16, qk_bias=True))
    )
    tensors["model.layers.1.self_attn.v_proj.bias"][3] = 1
    with pytest.raises(InputError, match=r"model\.layers\.1\.self_attn\.v_proj\.bias has to be zero"):
        from_huggingface(config, tensors)


def test_what_transformers_saves_comes_back(small_corpus: TokenCorpus, tmp_path: Path) -> None:
    ours = stirred(ModelConfig(d_model=24, n_layers=2, n_heads=2, vocab_size=61, context_length=16, sparsity=0.75))
    save_run(tmp_path / "run", RunConfig(model=ours.config, training={"flops": 1}), ours, small_corpus)
    export_run(tmp_path / "run", tmp_path / "hf")
    transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf").save_pretrained(tmp_path / "again")
    tokens = torch.randint(61, (1, 16))
    assert torch.equal(import_model(tmp_path / "again")(tokens).logits_BTV, ours(tokens).logits_BTV)


def test_an_export_over_the_run_itself_is_refused_and_leaves_its_weights(
    small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    save_run(run, small_run, build_model(small_run.model, seed=0), small_corpus)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(InputError, match="is the run's own folder"):
        export_run(run, tmp_path / "elsewhere" / ".." / "run")
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


@pytest.fixture
def run(small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path) -> Path:
    """A run's folder, its weights those of the start."""
    save_run(tmp_path / "run", small_run, build_model(small_run.model, seed=0), small_corpus)
    return tmp_path / "run"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "notes.txt", "moe-lib-export.json"])
def test_a_folder_with_anything_of_others_is_refused_and_left_as_it_was(name: str, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "hf"
    out.mkdir()
    (out / name).write_text("{}")
    with pytest.raises(InputError, match=f"is not empty and not an unchanged export of this run .it has {name}"):
        export_run(run, out)
    assert contents(out) == {name: b"{}"}


def test_an_export_is_renewed_unless_somebody_changed_it(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "hf"
    export_run(run, out)
    first = contents(out)
    (out / "config.json").unlink()  # as a kill leaves it
    (out / ".export.12.tmp").mkdir()
    export_run(run, out)
    assert contents(out) == first
    (out / "config.json").write_text("{}")
    with pytest.raises(InputError, match="is not empty and not an unchanged export of this run"):
        export_run(run, out)
    assert contents(out) == first | {"config.json": b"{}"}


def test_another_runs_export_is_refused_and_left_as_it_was(
    run: Path, small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    other = small_run.with_(training=small_run.training.with_(seed=9))
    save_run(tmp_path / "other", other, build_model(other.model, seed=9), small_corpus)
    export_run(tmp_path / "other", tmp_path / "hf")
    before = contents(tmp_path / "hf")
    with pytest.raises(InputError, match="is not empty and not an unchanged export of this run"):
        export_run(run, tmp_path / "hf")
    assert contents(tmp_path / "hf") == before


def test_a_refused_export_leaves_no_folder(run: Path, tmp_path: Path) -> None:
    (run / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer\.json does not match digests\.json"):
        export_run(run, tmp_path / "hf")
    assert not (tmp_path / "hf").exists()


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="model_type = 'llama' has to be 'olmoe'"):
        import_model(tmp_path)


def test_the_model_card_says_what_the_run_is_and_what_the_ledger_knows(
    run: Path, small_run: RunConfig, make_row: Callable[..., Row], tmp_path: Path
) -> None:
    export_run(run, tmp_path / "without", Ledger(tmp_path / "runs.jsonl"))
    card = (tmp_path / "without" / "README.md").read_text()
    assert f"# Run {small_run.key}" in card
    assert "4 per layer, 1 per token: sparsity 0.75" in card
    assert "found no row of the run" in card
    probes = {"cloze": {"names": {"n": 7, "nll": 2.0, "accuracy": 0.5, "n_too_long": 0}}}
    about = {"epochs": 0.25, "corpus_digest": "abc", "bits_per_byte": 1.25, "probes": probes}
    Ledger(tmp_path / "runs.jsonl").append(make_row(small_run, **about))
    export_run(run, tmp_path / "with", Ledger(tmp_path / "runs.jsonl"))
    card = (tmp_path / "with" / "README.md").read_text()
    assert "Held-out loss 3.5000 ± 0.0100 nats per token, 1.2500 bits per byte." in card
    assert "| cloze: names | 7 | 0.500 | 2.000 |" in card
    assert "read 0.25 times" in card
