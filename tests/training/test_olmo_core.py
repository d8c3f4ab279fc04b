"""The export to OLMo-core without OLMo-core: what is written, what is refused. `tests/scale` trains with it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.errors import InputError
from moe_lib.model import build_model
from moe_lib.model.olmo_core import from_olmo_core, to_olmo_core
from moe_lib.training.folder import load_run, save_tensors
from moe_lib.training.olmo_core import SCRIPT, export_to_olmo_core, import_from_olmo_core, settings_of


@pytest.fixture
def exported(small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path) -> Path:
    export_to_olmo_core(small_run, small_corpus, tmp_path / "out")
    return tmp_path / "out"


def test_the_settings_are_those_of_the_run(small_run: RunConfig, small_corpus: TokenCorpus) -> None:
    training = small_run.training.with_(weight_decay=0.1, learning_rate=0.01, router_rate=0.5, warmup_fraction=0.25)
    settings = settings_of(small_run.with_(training=training), small_corpus)
    assert settings["optimizer"]["weight_decay"] == pytest.approx(10)  # times the rate of a step, as torch does
    assert settings["optimizer"]["router_learning_rate"] == 0.005
    assert settings["warmup_steps"] == round(settings["n_steps"] / 4)
    assert settings["model"]["lb_loss_weight"] == small_run.training.load_balance_weight
    assert Path(settings["tokens"]["files"][0]).read_bytes() == small_corpus.train.tobytes()
    dense = small_run.with_(model=small_run.model.with_(n_experts=1, n_experts_active=1))
    assert settings_of(dense, small_corpus)["model"]["lb_loss_weight"] == 0


def test_a_folder_has_script_settings_and_our_initial_weights(exported: Path, small_run: RunConfig) -> None:
    assert (exported / "train.py").read_text() == SCRIPT.read_text()
    assert json.loads((exported / "settings.json").read_text())["context_length"] == small_run.model.context_length
    ours = build_model(small_run.model, small_run.training.seed)
    back = from_olmo_core(small_run.model, load_file(exported / "initial.safetensors"))
    assert all(map(torch.equal, back.parameters(), ours.parameters()))


def test_what_was_trained_becomes_a_run(
    exported: Path, small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"has no final\.safetensors; run its train.py to the end"):
        import_from_olmo_core(exported, small_corpus, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    trained = build_model(small_run.model, seed=5)
    save_tensors(exported / "final.safetensors", to_olmo_core(trained))
    import_from_olmo_core(exported, small_corpus, tmp_path / "run")
    run, model = load_run(tmp_path / "run")
    assert run == small_run
    assert all(map(torch.equal, model.parameters(), trained.parameters()))


def test_weights_of_another_model_are_refused(exported: Path, small_run: RunConfig) -> None:
    tensors = load_file(exported / "initial.safetensors")
    with pytest.raises(InputError, match="extra is not a weight of the model"):
        from_olmo_core(small_run.model, tensors | {"extra": torch.zeros(1)})
    with pytest.raises(InputError, match=r"router\.weight of shape \[64\] is missing"):
        from_olmo_core(small_run.model, {name: w for name, w in tensors.items() if "router" not in name})


@pytest.mark.parametrize(
    ("part", "fields"),
    [("model", {"qk_bias": True}), ("model", {"scaled_gates": True}), ("model", {"layer_repeats": 2}),
     ("training", {"muon_rate": 0.01}), ("training", {"fact_share": 0.1})],
)  # fmt: skip
def test_what_olmo_core_cannot_train_is_refused_in_a_sentence(
    part: str, fields: dict[str, Any], small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    run = small_run.with_(**{part: getattr(small_run, part).with_(**fields)})
    with pytest.raises(InputError, match=rf"{part}\.{next(iter(fields))} = .* cannot be exported to OLMo-core: "):
        export_to_olmo_core(run, small_corpus, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_empty_is_left_alone(
    exported: Path, small_run: RunConfig, small_corpus: TokenCorpus
) -> None:
    (exported / "settings.json").write_text("mine")
    with pytest.raises(InputError, match="is not empty; choose another folder"):
        export_to_olmo_core(small_run, small_corpus, exported)
    assert (exported / "settings.json").read_text() == "mine"
