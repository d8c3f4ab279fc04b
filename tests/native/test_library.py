"""Building the kernels: once, whole, never stale, and with a clear message if there is no compiler."""

import multiprocessing
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from moe_lib.errors import InputError
from moe_lib.model import Transformer, backends
from moe_lib.native import library, why_not

needs_compiler = pytest.mark.skipif(why_not() is not None, reason="no C++ compiler here")


@needs_compiler
def test_two_that_build_at_once_leave_one_library(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        first, second = pool.map(library.built, [tmp_path, tmp_path])
    assert first == second
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == [first.name]
    written = first.stat().st_mtime_ns
    assert library.built(tmp_path).stat().st_mtime_ns == written


@needs_compiler
@pytest.mark.parametrize("damage", ["cut short", "another library", "one flipped bit", "a folder", "a pipe"])
def test_a_damaged_library_is_built_anew(damage: str, tmp_path: Path) -> None:
    path = library.built(tmp_path)
    content = path.read_bytes()
    path.unlink()
    if damage == "a folder":
        path.mkdir()
        path = path.with_name("elsewhere")
    elif damage == "a pipe":
        os.mkfifo(path)
    else:
        other = Path(np._core._multiarray_umath.__file__).read_bytes()
        half, flipped = content[: len(content) // 2], content[:-1] + bytes([content[-1] ^ 1])
        path.write_bytes({"cut short": half, "another library": other, "one flipped bit": flipped}[damage])
    if damage == "a folder":
        with pytest.raises(OSError, match="Is a directory"):
            library.built(tmp_path)
    else:
        assert library.built(tmp_path).read_bytes() == content


@needs_compiler
def test_the_doctor_runs_the_self_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert library.wrong() is None
    crashing = tmp_path / "crash.so"
    crashing.write_bytes(library.built(tmp_path).read_bytes()[:5000])
    monkeypatch.setattr(library, "built", lambda folder: crashing)
    assert "fails its self-test" in str(library.wrong())


@needs_compiler
def test_modules_of_the_environment_that_print_do_not_disturb_the_self_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('hello')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert library.wrong() is None


def test_a_compiler_that_speaks_another_encoding_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "latin"
    compiler.write_bytes(b"#!/bin/sh\necho 'op\xe7\xe3o' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    with pytest.raises(InputError, match=r"cannot be built by .*latin: op\ufffd\ufffdo"):
        library.built(tmp_path / "cache")


@needs_compiler
def test_other_sources_give_another_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = tmp_path / "sources"
    shutil.copytree(Path(library.__file__).parent, sources)
    monkeypatch.setattr(library, "__file__", str(sources / "library.py"))
    before = library.built(tmp_path)
    (sources / "vector.h").write_text((sources / "vector.h").read_text() + "// changed\n")
    assert library.built(tmp_path) != before


def test_without_a_compiler_the_reason_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match=r"needs a C\+\+ compiler"):
        library.built(tmp_path / "cache")


def test_a_compiler_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "broken"
    compiler.write_text("#!/bin/sh\necho 'no such flag' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    with pytest.raises(InputError, match=r"cannot be built by .*broken: no such flag"):
        library.built(tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


@needs_compiler
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("5.0000001201e-1f", "5.01e-1f"),  # e^x
        ("along *= scale * scale / d;", "along *= scale / d;"),  # the norm's gradient
        ("keep * w[j]", "w[j]"),  # the optimiser
    ],
)
def test_kernels_that_compute_wrongly_are_not_kept(
    right: str, wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = tmp_path / "sources"
    shutil.copytree(Path(library.__file__).parent, sources)
    monkeypatch.setattr(library, "__file__", str(sources / "library.py"))
    monkeypatch.setenv("MOE_LIB_CXXFLAGS", "-O1")
    [source] = [path for path in sources.glob("*.h") if right in path.read_text()]
    source.write_text(source.read_text().replace(right, wrong))
    with pytest.raises(InputError, match="computes wrongly"):
        library.built(tmp_path / "cache")
    assert all(path.suffix == ".lock" for path in (tmp_path / "cache").iterdir())


@needs_compiler
def test_kernels_that_this_processor_cannot_run_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = tmp_path / "sources"
    shutil.copytree(Path(library.__file__).parent, sources)
    monkeypatch.setattr(library, "__file__", str(sources / "library.py"))
    (sources / "selftest.cpp").write_text('#include <cstdlib>\nextern "C" double self_test() { std::abort(); }\n')
    (sources / "kernels.cpp").write_text("")
    with pytest.raises(InputError, match="fails its self-test with exit code -6"):
        library.built(tmp_path / "cache")


def test_a_machine_without_kernels_trains_on_grouped_mm_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from moe_lib.config import ModelConfig

    monkeypatch.setattr(backends, "why_not", lambda: "backend = 'native' needs a C++ compiler")
    backends.default_backend.cache_clear()
    config = ModelConfig(d_model=8, n_layers=1, n_heads=2, vocab_size=11, context_length=6)
    try:
        with pytest.warns(UserWarning, match=r"needs a C\+\+ compiler; grouped_mm is used"):
            model = Transformer(config)
        assert model.backend == "grouped_mm"
        assert model(torch.zeros(1, 3, dtype=torch.int64)).logits_BTV.shape == (1, 3, 11)
        with pytest.raises(InputError, match=r"needs a C\+\+ compiler"):
            Transformer(config, backend="native")
    finally:
        backends.default_backend.cache_clear()
