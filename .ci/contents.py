"""What an sdist and a wheel hold: all of the one, nothing but the package in the other.

python contents.py FOLDER     prints the version; an AssertionError says what is wrong
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LABEXTENSION = "data/share/jupyter/labextensions/parallm_magics"
NEEDED = ("README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", "tests/conftest.py")


def sdist_files(path: Path) -> set[str]:
    """The files of an sdist, without its one folder."""
    with tarfile.open(path) as archive:
        names = [member.name for member in archive if member.isfile()]
    assert len({name.split("/")[0] for name in names}) == 1, "an sdist has one folder"
    return {name.split("/", 1)[1] for name in names}


def wheel_files(path: Path) -> set[str]:
    """The files of a wheel."""
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def tracked() -> set[str]:
    """The files under version control that are there; none where this is no clone."""
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    names = done.stdout.split("\0") if done.returncode == 0 else []
    return {name for name in names if name and (ROOT / name).exists()}


def placed(name: str) -> str:
    """Where a wheel holds a file of the package: the editor's extension where Jupyter looks for it."""
    return re.sub("^parallm_magics/labextension(?=/)", LABEXTENSION, name)


def main() -> None:
    """Check both archives of a folder."""
    folder = Path(sys.argv[1])
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    source, binary = sdist_files(sdist), wheel_files(wheel)

    lost = sorted((tracked() | set(NEEDED)) - source)
    assert not lost, f"not in the sdist: {', '.join(lost[:10])}"

    package = {placed(name) for name in source if name.startswith("parallm_magics/")}
    inside = {
        re.sub(r"^parallm_magics-[^/]+\.data/", "", name)
        for name in binary
        if not re.match(r"parallm_magics-[^/]+\.dist-info/", name)
    }
    assert inside == package, (
        f"in wheel or source alone: {', '.join(sorted(inside ^ package)[:10])}"
    )
    assert "parallm_magics/py.typed" in inside
    assert f"{LABEXTENSION}/package.json" in inside, "the editor's extension is missing"
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in binary), "no licence"
    print(wheel.name.split("-")[1])


if __name__ == "__main__":
    main()
