"""make portable: a machine that cannot be imitated is skipped with a reason, and one that fails is a failure."""

import sys

import pytest

import portable
from portable import Machine


def tried(machines: dict[str, Machine], monkeypatch: pytest.MonkeyPatch, *names: str) -> int:
    monkeypatch.setattr(portable, "MACHINES", machines)
    monkeypatch.setattr(sys, "argv", ["portable.py", *names])
    return portable.main()


def test_a_skipped_machine_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machines = {
        "here": Machine("a check", lambda: True),
        "feature": Machine("a check", lambda: False, "a feature of no processor"),
        "program": Machine("a check", lambda: False, programs=(("no-such-program", "its-package"), ("sh", "dash"))),
    }
    assert tried(machines, monkeypatch) == 0
    said = capsys.readouterr().out
    assert "here             holds" in said
    assert "feature          skipped: this processor has no a feature of no processor" in said
    assert "program          skipped: missing here; apt-get install its-package\n" in said


def test_a_machine_that_fails_is_a_failure_unless_it_was_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machines = {"good": Machine("a check", lambda: True), "bad": Machine("a check", lambda: False)}
    assert tried(machines, monkeypatch) == 1
    assert "bad              FAILS" in capsys.readouterr().out
    assert tried(machines, monkeypatch, "good") == 0
    with pytest.raises(SystemExit):
        tried(machines, monkeypatch, "neither")


def test_an_environment_is_that_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Zen")
    kind = "import os, sys; sys.exit(os.environ.get('OPENBLAS_CORETYPE') != {!r})"
    assert portable._run({"OPENBLAS_CORETYPE": "Haswell"}, ["-c", kind.format("Haswell")])
    assert portable._run({"OPENBLAS_CORETYPE": ""}, ["-c", kind.format(None)])
    assert not portable._run({}, ["-c", "pass"], ["-c", kind.format("Haswell")])


def test_a_list_says_what_each_machine_checks_and_runs_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machines = {
        "here": Machine("laws on Zen", lambda: pytest.fail("it ran")),
        "program": Machine("kernels by Clang", lambda: pytest.fail("it ran"), programs=(("no-such-program", "clang"),)),
    }
    assert tried(machines, monkeypatch, "--list") == 0
    assert capsys.readouterr().out.splitlines() == [
        "here             laws on Zen",
        "program          kernels by Clang; missing here; apt-get install clang",
    ]
