"""Prose avoids the phrases that CONTRIBUTING.md names; each has a plain alternative."""

import re
import subprocess

import pytest

import chapters

PLACES = ("src", "book/*.md", "docs", "experiments", "tools", "README.md", "CHANGELOG.md")
SUFFIXES = (".py", ".h", ".cpp", ".md", ".yaml")
UNITS = "nats|bits|FLOPs|tokens|bytes|seconds|e-folds|steps"
RATES = "token|run|step|layer|byte|batch|seed|budget|e-fold|squared e-fold|core|start"
AVOIDED = {
    rf"\b(?:{UNITS})\s+an?\s+(?:{RATES})\b": "per token, per run",
    r"\btold\s+(?:from|apart)\b": "distinguish, separate",
    r"\btells?\s+of\b": "be evidence about",
    r"\bstands?\b(?! for\b|-)": "is, exists, is in",
    r"(?<!here )\b(?:is|are)\s+no\s+(?!longer\b|more\b)\w+": "is not a",
}


def files() -> list[str]:
    command = ["git", "ls-files", *PLACES]
    listed = subprocess.run(command, cwd=chapters.ROOT, capture_output=True, text=True, check=False).stdout
    return [name for name in listed.splitlines() if name.endswith(SUFFIXES)]


@pytest.mark.parametrize("pattern", AVOIDED)
def test_no_text_has_a_phrase_to_avoid(pattern: str) -> None:
    if not (names := files()):
        pytest.skip("not a git checkout")
    found = []
    for name in names:
        text = (chapters.ROOT / name).read_text(encoding="utf-8")
        for match in re.finditer(pattern, text):
            found.append(f"{name}:{text[: match.start()].count(chr(10)) + 1}: {match[0]!r}")
    assert not found, f"write: {AVOIDED[pattern]}"
