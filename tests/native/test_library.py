"""Building the kernels: once, whole, never stale, and a machine without a compiler is told so."""

import multiprocessing
import shutil
from pathlib import Path

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
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([first.name, "lock"])
    written = first.stat().st_mtime_ns
    assert library.built(tmp_path).stat().st_mtime_ns == written


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
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["lock"]


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
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["lock"]


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
