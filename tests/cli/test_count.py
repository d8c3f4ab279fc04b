"""`moe-lib flops` and what every command promises: exit codes, one sentence for a wrong input."""

import json
import sys

import pytest

SHAPE = ["--d-model", 512, "--layers", 8, "--heads", 8]


def test_counts_come_as_json_with_the_keys_that_scripts_rely_on(moe) -> None:
    done = moe("flops", *SHAPE, "--experts", 50, "--active", 1, "--granularity", 1, "--vocab", 50432,
               "--context", 2048, "--json")  # fmt: skip
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found["sparsity"] == pytest.approx(0.98)
    assert set(found["parameters"]) == {"total", "active", "total_non_embedding", "active_non_embedding"}
    parts = found["flops_per_token"]
    assert parts["eq9"] == sum(parts[name] for name in ("attention_projections", "attention_scores", "experts",
                                                        "unembedding"))  # fmt: skip
    assert parts["total"] == parts["eq9"] + parts["router"]
    assert parts["router"] == 14 * 512 * 50 * 8


def test_two_embedding_matrices_unless_tied(moe) -> None:
    untied, tied = (json.loads(moe("flops", *SHAPE, *flag, "--json").stdout) for flag in ((), ("--tied",)))
    assert untied["parameters"]["total"] - tied["parameters"]["total"] == 50_432 * 512


def test_people_get_a_table(moe) -> None:
    assert "FLOPs per token: router" in moe("flops", *SHAPE).stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["flops", "--d-model", 512, "--layers", 8, "--heads", 7], "n_heads = 7 has to divide d_model = 512"),
        (["flops", "--d-model", "wide", "--layers", 8], "'--d-model'"),
        (["flops", *SHAPE, "--experts", 4, "--active", 9], "n_experts_active = 9 has to be at most n_experts = 4"),
        (["flops", *SHAPE, "--colour", "red"], "--colour"),
        (["flpos"], "flpos"),
        (["train", "nowhere.yaml", "--out", "out"], "nowhere.yaml: cannot be read"),
        (["sweep", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
    ],
)
def test_wrong_input_ends_with_two_and_one_sentence(moe, arguments: list[object], sentence: str) -> None:
    done = moe(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_every_command_shows_an_example(moe) -> None:
    for command in (["flops"], ["train"], ["sweep"], ["fit"], ["optimum"], ["eval"], ["data", "prepare"]):
        done = moe(*command, "--help")
        assert done.returncode == 0
        assert "Example" in done.stdout


def test_counting_does_not_wait_for_torch() -> None:
    import subprocess

    program = "import sys, moe_lib.cli.app, moe_lib.laws, moe_lib.accounting; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
