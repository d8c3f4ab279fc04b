"""Build the book: copy MathJax into the site, drop stale results, execute, render, add the downloads.

A page's cached results are keyed on its own cells alone, so a change in the library or in the ledger would leave old
numbers on the page. The cache is therefore dropped whenever a file that a chapter computes from has changed.
"""

import hashlib
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import downloads

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "_build"
SOURCES = ("src/moe_lib", "experiments", "book/claims.yml", "book/where.yml", "constraints.txt", "requirements")


def fingerprint(root: Path = ROOT) -> str:
    """SHA-256 over names and contents of everything that the chapters compute from, in sorted order."""
    digest = hashlib.sha256()
    for source in SOURCES:
        place = root / source
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(root)}\0{path.stat().st_size}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def drop_stale_results(root: Path = ROOT) -> bool:
    """Remove cached results and pages if the fingerprint has changed since they were made; returns whether it has."""
    build, now = root / "_build", fingerprint(root)
    key = build / ".fingerprint"
    if key.exists() and key.read_text() == now:
        return False
    for stale in (".jupyter_cache", ".doctrees", "html", "vendor"):
        shutil.rmtree(build / stale, ignore_errors=True)
    build.mkdir(exist_ok=True)
    key.write_text(now)
    return True


def lay_mathjax(target: Path = BUILD / "vendor" / "tex-svg.js") -> None:
    """Copy MathJax (with its glyphs inside) from the installed package into a static folder of the site.

    Addresses of hosts are removed: code that this site does not use would load speech and menus from elsewhere.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    script = files("mathjax").joinpath("static/mathjax/es5/tex-svg.js").read_bytes()
    target.write_bytes(re.sub(rb"https://[a-zA-Z0-9.-]+", b"", script))


def lay_planner_data(target: Path = BUILD / "vendor" / "planner-data.js") -> None:
    """Write what the planner's page computes from, unless it was written from the same library and ledger."""
    if not target.exists():
        from moe_lib.planner.page import write_script

        print("planner: resampling our law for the intervals of its page", flush=True)
        write_script(target)


def render() -> int:
    """Run Jupyter Book with every warning an error; returns its exit code."""
    program = str(Path(sys.executable).with_name("jupyter-book"))
    options = ["-W", "-n", "--keep-going", "--quiet"]
    return subprocess.run([program, "build", str(ROOT), *options], cwd=ROOT).returncode


def main() -> int:
    """Build the site with its downloads; the exit code is Jupyter Book's."""
    if drop_stale_results():
        print("library, ledger or pins have changed (or first build): executing every chapter", flush=True)
    lay_mathjax()
    lay_planner_data()
    if code := render():
        return code
    site = BUILD / "html"
    downloads.write_ledger(site / "downloads")
    print(f"the site: {site / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
