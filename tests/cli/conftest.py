"""Run the command as a user does: in a separate process, or in this one if that is enough."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from moe_lib.cli import main
from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.evaluation import evaluate
from moe_lib.files import sha256_of
from moe_lib.ledger import Ledger
from moe_lib.training import execute, own_folder

Moe = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Start:
    """`start("flops", "--json")` starts `moe-lib flops --json`, on one thread and in a process group of its own."""

    def started(*arguments: object) -> "subprocess.Popen[str]":
        program = "import torch; torch.set_num_threads(1); from moe_lib.cli import main; main()"
        command = [sys.executable, "-c", program, *map(str, arguments)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)

    return started


@pytest.fixture
def moe() -> Moe:
    """`moe("flops", "--json")` runs `moe-lib flops --json` and hands back what it printed."""

    def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", "from moe_lib.cli import main; main()", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    return run


@pytest.fixture
def moe_here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Moe:
    """As `moe`, inside this process, which saves seconds of imports."""

    def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
        monkeypatch.setattr(sys, "argv", ["moe-lib", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        printed = capfd.readouterr()
        return subprocess.CompletedProcess(sys.argv, int(end.value.code or 0), printed.out, printed.err)

    return run


@dataclass(frozen=True)
class Case:
    """A run as a file, and what it leaves when nothing disturbs it."""

    run: RunConfig
    file: Path
    digests: dict[str, str]
    loss: float

    def is_what_stands(self, out: Path, ledger: Path) -> bool:
        """Whether weights, losses of every step and the one row are the same to the last bit, and nothing else is."""
        [row] = Ledger(ledger).rows()
        leftovers = [path.name for path in out.iterdir() if path.name.startswith(".")]
        return not leftovers and digests(out) == self.digests and (row["key"], row["loss"]) == (self.run.key, self.loss)


def digests(out: Path) -> dict[str, str]:
    """What has to be the same after any disturbance: weights, and the newest checkpoint with the loss of every step."""
    return {path.name: sha256_of(path) for path in (out / "model.safetensors", max(out.glob("step-*.safetensors")))}


@pytest.fixture(scope="session")
def make_case(
    small_run: RunConfig, small_corpus: TokenCorpus, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[float], Case]:
    """`make_case(2e9)`: the small run with a budget of 2e9 FLOPs, about seven steps for every 1e8."""

    def made(flops: float) -> Case:
        run = small_run.with_(training=small_run.training.with_(flops=flops, max_epochs=1000))
        folder = tmp_path_factory.mktemp("case")
        (folder / "run.yaml").write_text(yaml.safe_dump(json.loads(run.model_dump_json())))
        with own_folder(folder / "out", run):
            row = execute(run, small_corpus, evaluate, folder / "out")
        return Case(run, folder / "run.yaml", digests(folder / "out"), row["loss"])

    return made


@pytest.fixture(scope="session")
def case(make_case: Callable[[float], Case]) -> Case:
    """About two hundred steps."""
    return make_case(3e9)
