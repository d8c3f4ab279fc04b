"""What comes from elsewhere is named to the byte: packages by hash, actions by commit, models by revision."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from moe_lib.config import _Loader
from moe_lib.data import redpajama

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "requirements").glob("*.txt"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
HEX = "[0-9a-f]"


def pins(path: Path) -> dict[str, str]:
    """Versions by name, names spelt alike."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^ \n]+)", path.read_text(), re.MULTILINE)
    return {re.sub("[-_.]+", "-", name).lower(): version for name, version in found}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_requirement_has_a_version_and_a_hash(path: Path) -> None:
    requirements = re.split(r"\n(?=\S)", path.read_text().strip())[1:]
    assert requirements
    for one in requirements:
        assert re.fullmatch(rf"[a-z0-9-]+==\S+( ; [^\n]*)?( \\\n    --hash=sha256:{HEX}{{64}})+", one), one


def test_setup_installs_by_hash_and_names_no_index() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert makefile.count("pip install") == 1
    assert re.findall(r"\$\(INSTALL\)(.*)", makefile) == [" --require-hashes", " --no-build-isolation -e ."]
    assert "index-url" not in makefile


def test_the_two_kinds_of_pins_agree() -> None:
    versions = pins(ROOT / "constraints.txt")
    for path in FILES:
        if path.name not in ("uv.txt", "olmo-core.txt"):  # the second is installed apart
            for name, version in pins(path).items():
                assert versions.get(name, version) == version.split("+")[0], name
    assert pins(ROOT / "requirements" / "torch-cpu.txt") == {"torch": versions["torch"] + "+cpu"}


def test_every_package_that_this_one_names_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    names = [*project["project"]["dependencies"], *extras["train"], *extras["book"], *extras["dev"]]
    pinned = pins(ROOT / "requirements" / "all.txt") | pins(ROOT / "requirements" / "torch.txt")
    assert {re.split("[^A-Za-z0-9-]", name)[0].lower() for name in names} <= pinned.keys()
    [backend] = project["build-system"]["requires"]
    assert backend == f"setuptools=={pinned['setuptools']}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_named_by_commit_and_what_runs_code_may_not_publish(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] in ({}, {"contents": "read"})
    for job in workflow["jobs"].values():
        allowed = job.get("permissions", workflow["permissions"])
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(rf"actions/[a-z-]+@{HEX}{{40}}", step["uses"])
            else:  # a job that may write runs one command on what another job has built
                assert allowed == {"contents": "read"} or re.fullmatch(
                    r"gh release create [^\n;&|`]+", step["run"].strip()
                )
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False


def test_models_and_data_are_named_by_revision() -> None:
    assert re.search(rf"@{HEX}{{40}}/", redpajama.SAMPLE)
    assert re.fullmatch(f"{HEX}{{40}}", redpajama.GPT_NEOX_REVISION)


SCRIPTS = [path for folder in ("src", "tools", "experiments") for path in sorted((ROOT / folder).rglob("*.py"))]
UNSAFE = {  # what runs code that a file contains
    r"\b(?:import|from) (?:pickle|cPickle|dill|joblib|marshal|shelve)\b": "no pickles",
    r"\bread_pickle\b|allow_pickle=True|weights_only=False": "no pickles",
    r"\btorch\.load\((?!.*weights_only=True)": "weights only",
    r"\byaml\.(?:unsafe_load|full_load|Loader|FullLoader|UnsafeLoader)\b": "the safe loader",
    r"\byaml\.load\((?!.*(?:_Loader|yaml\.SafeLoader\))\))": "the safe loader",
}


@pytest.mark.parametrize("pattern", UNSAFE)
def test_no_file_can_bring_code_with_it(pattern: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in SCRIPTS
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(pattern, line)
    ]
    assert found == [], UNSAFE[pattern]


def test_the_loader_of_yaml_is_a_safe_one() -> None:
    assert issubclass(_Loader, yaml.SafeLoader)
