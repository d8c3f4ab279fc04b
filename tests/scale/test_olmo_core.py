"""OLMo-core trains what we export, on one process as on two, and its weights come back.

Needs `ai2-olmo-core` and triton, which interprets its kernels on a CPU; `make scale-test` installs them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from moe_lib.cli import main
from moe_lib.config import ModelConfig, RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.model import Transformer, build_model
from moe_lib.model.olmo_core import arguments, from_olmo_core, to_olmo_core

pytestmark = pytest.mark.olmo_core

STEPS = 4


@pytest.fixture(scope="module")
def llama_like_moe():
    """OLMo-core's constructor, with kernels that run on a CPU."""
    os.environ["TRITON_INTERPRET"] = "1"
    pytest.importorskip("olmo_core")
    import triton
    from olmo_core.kernels import moe
    from olmo_core.nn.transformer import TransformerConfig

    for kernel in vars(moe).values():
        if isinstance(kernel, triton.runtime.Autotuner):
            kernel.configs = kernel.configs[:1]
    return TransformerConfig.llama_like_moe


def stirred(config: ModelConfig) -> Transformer:
    """A model whose every weight matters, norms too."""
    model = build_model(config, seed=1, backend="loop").eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * weight.abs().mean() * torch.randn(weight.shape, generator=generator))
    return model


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("multiplier", [1.0, 5.0])
@pytest.mark.parametrize("experts", [{"sparsity": 0.75}, {"sparsity": 0.25}, {}])
def test_olmo_core_computes_our_logits_and_gives_the_weights_back(
    experts: dict[str, float], multiplier: float, tied: bool, llama_like_moe
) -> None:
    config = ModelConfig(d_model=24, n_layers=2, n_heads=2, vocab_size=61, context_length=16, tied_embeddings=tied,
                         embedding_multiplier=multiplier, **experts)  # fmt: skip
    ours = stirred(config)
    theirs = llama_like_moe(**arguments(config)).build(init_device="cpu").eval()
    theirs.embed_scale = multiplier
    theirs.load_state_dict(to_olmo_core(ours), strict=True)
    tokens = torch.randint(61, (2, 16))
    with torch.no_grad():
        logits = ours(tokens).logits_BTV
        assert (theirs(tokens) - logits).abs().max() < 1e-5
    back = dict(from_olmo_core(config, theirs.state_dict()).named_parameters())
    assert all(torch.equal(back.pop(name), weight) for name, weight in ours.named_parameters())
    assert not back
    assert sum(weight.numel() for weight in theirs.parameters()) == sum(weight.numel() for weight in ours.parameters())


@pytest.fixture(scope="module")
def exported(small_run: RunConfig, small_corpus: TokenCorpus, tmp_path_factory: pytest.TempPathFactory):
    """`exported(2)`: a folder that two processes have trained in."""
    pytest.importorskip("olmo_core")
    flops_per_step = 3e8 / 20
    training = small_run.training.with_(flops=STEPS * flops_per_step, batch_size=2, weight_decay=1e-3)
    run = small_run.with_(
        model=small_run.model.with_(context_length=32), training=training.with_(batch_size=4, max_epochs=1e3)
    )

    def trained(n_processes: int) -> Path:
        folder = tmp_path_factory.mktemp(f"olmo{n_processes}")
        (folder / "run.yaml").write_text(yaml.safe_dump(json.loads(run.model_dump_json())))
        moe("export", folder / "run.yaml", "--to", "olmo-core", folder / "out")
        settings = json.loads((folder / "out" / "settings.json").read_text())
        (folder / "out" / "settings.json").write_text(json.dumps(settings | {"n_steps": STEPS, "warmup_steps": 1}))
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n_processes)]
        command = torchrun if n_processes > 1 else [sys.executable]
        done = subprocess.run([*command, folder / "out" / "train.py"], capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return folder / "out"

    return trained


def moe(*arguments: object) -> None:
    """`moe-lib` in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["moe-lib", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
    assert not end.value.code


def losses(folder: Path) -> list[float]:
    rows = [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    return [row["loss"] for row in rows]


def test_two_processes_give_the_losses_of_one_and_their_weights_come_back(exported, tmp_path: Path) -> None:
    one, two = exported(1), exported(2)
    assert losses(two) == pytest.approx(losses(one), abs=1e-5)
    assert losses(one)[-1] < losses(one)[0] - 0.05
    for folder in (one, two):
        moe("export", folder, "--to", "run", tmp_path / folder.parent.name)
    moe("eval", tmp_path / two.parent.name)
