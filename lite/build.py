"""The course as a JupyterLite site: every lesson runs in the reader's browser, and nothing comes from elsewhere.

    pip install -e '.[lite]' && python lite/build.py            the lessons as they are
    python lite/build.py class/students                   other versions of them, in that folder

It needs npm and pip, which fetch Pyodide's core and the packages of requirements.txt once, into build/lite-cache.
The site is build/lite: static files for any web server.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from email.parser import Parser
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SITE = ROOT / "build/lite"
CACHE = ROOT / "build/lite-cache"

PYODIDE = "314.0.7"
CORE = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip")
PLATFORM, PYTHON = "pyemscripten_2026_0_wasm32", "3.14"
"""What PyPI calls the wheels that this Pyodide takes."""
MARKERS = {
    "sys_platform": "emscripten",
    "platform_system": "Emscripten",
    "os_name": "posix",
    "python_version": PYTHON,
    "python_full_version": f"{PYTHON}.0",
    "extra": "",
}

OF_THE_PAGE = {"jupyterlab-widgets", "widgetsnbextension"}
"""What ipywidgets wants of Python only so that JupyterLab gets it, which has it here already."""
LOADED = (
    *("micropip", "piplite", "ipykernel", "comm", "pyodide-kernel", "jedi", "ipython"),
    *("ipywidgets", "parallm-magics"),
)
"""What a kernel begins with; no cell waits for a package."""
KERNEL = {"name": "python", "display_name": "Python (in your browser)", "language": "python"}
OVERRIDES = {
    # Every cell is in the page: a run is seen wherever it is, and searching and printing find all.
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}
KERNEL_PLUGIN = "@jupyterlite/pyodide-kernel-extension:kernel"
KERNEL_OF_PAGES = (
    Path(sys.prefix) / "share/jupyter/labextensions/@jupyterlite/pyodide-kernel-extension"
)
# JupyterLite reads whatever has "json" in its ending as one JSON document, and cannot read lines of it.
RECORDING, RECORDING_NAME = re.compile(r"(recorded/[\w/-]+)\.jsonl"), re.compile(r"\.jsonl$")
BESIDE = ("plots.py", "recorded/*", "data/*", "images/*")
"""What lessons read and show, below notebooks/."""


def main(lessons: Path) -> None:
    """Build the site anew, of the lessons in that folder; what was fetched before is used again."""
    if not (found := sorted(lessons.glob("[0-9]*.ipynb"))):
        raise SystemExit(f"{lessons}: there are no lessons in this folder")
    if not KERNEL_OF_PAGES.is_dir():
        raise SystemExit("JupyterLite is missing: run pip install -e '.[lite]' in this environment")
    CACHE.mkdir(parents=True, exist_ok=True)
    source = CACHE / "source"
    shutil.rmtree(source, ignore_errors=True)
    python_of(source / "static/pyodide")
    contents_of(source / "files", found)
    write(source / "jupyter-lite.json", settings())
    write(source / "overrides.json", OVERRIDES)
    shutil.rmtree(SITE, ignore_errors=True)
    # Each answers for itself: the tool that joins them takes up no more of an older build.
    (CACHE / ".jupyterlite.doit.db").unlink(missing_ok=True)
    extensions = [
        str(KERNEL_OF_PAGES),
        str(one(wheels(), "jupyterlab_widgets")),
        str(ROOT / "parallm_magics/labextension"),
    ]
    write(
        source / "jupyter_lite_config.json",
        {
            "LiteBuildConfig": {
                "apps": ["lab", "notebooks"],
                "cache_dir": str(CACHE / "jupyterlite"),
                "contents": [str(source / "files")],
                "federated_extensions": extensions,
                "ignore_sys_prefix": True,
                "no_sourcemaps": True,
                "output_dir": str(SITE),
            }
        },
    )
    run(sys.executable, "-m", "jupyterlite_core", "build", "--lite-dir", str(source))
    size = sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file())
    print(f"{SITE.relative_to(ROOT)}: {size / 1e6:.0f} MB")


def python_of(folder: Path) -> None:
    """Put Pyodide's core there, the wheels, and the lock file that names these and no others."""
    folder.mkdir(parents=True)
    packed = CACHE / f"pyodide-{PYODIDE}.tgz"
    if not packed.exists():
        run("npm", "pack", "--silent", f"pyodide@{PYODIDE}", "--pack-destination", str(CACHE))
    with tarfile.open(packed) as core:
        for name in CORE:
            taken(core, name, folder / name)
        lock = json.loads(read(core, "pyodide-lock.json"))
    pip("wheel", "--no-deps", "--wheel-dir", str(CACHE / "own"), str(ROOT))
    found = [
        *(wheel for wheel in wheels() if name_of(wheel) not in OF_THE_PAGE),
        *(
            one(KERNEL_OF_PAGES.glob("static/pypi/*.whl"), name)
            for name in ("piplite", "pyodide_kernel", "ipykernel")
        ),
        one((CACHE / "own").glob("*.whl"), "parallm_magics"),
    ]
    for wheel in found:
        shutil.copy(wheel, folder)
    lock["packages"] = locked(found)
    write(folder / "pyodide-lock.json", lock)


def wheels() -> list[Path]:
    """The wheels of requirements.txt, fetched where they are not there yet."""
    folder, listed = CACHE / "wheels", (HERE / "requirements.txt").read_text()
    done = folder / "requirements.txt"
    if not done.exists() or done.read_text() != listed:
        shutil.rmtree(folder, ignore_errors=True)
        wanted = ("--platform", PLATFORM, "--python-version", PYTHON, "--only-binary=:all:")
        pip(
            "download",
            "--no-deps",
            *wanted,
            "-d",
            str(folder),
            "-r",
            str(HERE / "requirements.txt"),
        )
        done.write_text(listed)
    return sorted(folder.glob("*.whl"))


def locked(found: Iterable[Path]) -> dict[str, Any]:
    """The packages of Pyodide's lock file: where each is, what it needs, and what is imported from it."""
    by_name = {name_of(wheel): wheel for wheel in found}
    packages = {}
    for name, wheel in sorted(by_name.items()):
        with zipfile.ZipFile(wheel) as archive:
            files = archive.namelist()
            metadata = Parser().parsestr(
                archive.read(one_of(files, r"[^/]*\.dist-info/METADATA")).decode()
            )
        wanted = [Requirement(each) for each in metadata.get_all("Requires-Dist") or ()]
        needed = {
            canonicalize_name(each.name)
            for each in wanted
            if each.marker is None or each.marker.evaluate(MARKERS)
        } - OF_THE_PAGE
        if missing := sorted(needed - by_name.keys()):
            raise SystemExit(f"{name} needs {', '.join(missing)}: add it to lite/requirements.txt")
        packages[name] = {
            "name": name,
            "version": metadata["Version"],
            "file_name": wheel.name,
            "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
            "install_dir": "site",
            "package_type": "package",
            "imports": sorted(
                {
                    top.removesuffix(".py")
                    for top in (file.partition("/")[0] for file in files)
                    if not re.search(r"\.(dist-info|data)$", top)
                }
            ),
            "depends": sorted(needed),
            "unvendored_tests": False,
        }
    return packages


def contents_of(folder: Path, lessons: Iterable[Path]) -> None:
    """Put the lessons there, with what they read, for the kernel that this site has."""
    notebooks = ROOT / "notebooks"
    folder.mkdir(parents=True)
    shutil.copy(HERE / "README.md", folder)
    for path in lessons:
        lesson = json.loads(RECORDING.sub(r"\1.txt", path.read_text("utf-8")))
        lesson["metadata"]["kernelspec"] = KERNEL
        write(folder / path.name, lesson)
    for pattern in BESIDE:
        for path in filter(Path.is_file, notebooks.glob(pattern)):
            there = folder / path.relative_to(notebooks)
            there = there.with_name(RECORDING_NAME.sub(".txt", there.name))
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, there)


def settings() -> dict[str, Any]:
    """What the page is told: where Python is, and that nothing may be asked of an index elsewhere."""
    return {
        "jupyter-lite-schema-version": 0,
        "jupyter-config-data": {
            "appName": "parallm_magics",
            "exposeAppInBrowser": True,
            "litePluginSettings": {
                KERNEL_PLUGIN: {
                    "disablePyPIFallback": True,
                    "loadPyodideOptions": {"packages": list(LOADED)},
                }
            },
        },
    }


def pip(*arguments: str) -> None:
    """Run pip, without a word where all is well."""
    run(sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *arguments)


def run(*command: str) -> None:
    """Run a command; one that fails shows what it said, and ends this."""
    try:
        done = subprocess.run(command, cwd=CACHE, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise SystemExit(f"{command[0]} is missing: install it first") from None
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def name_of(wheel: Path) -> str:
    """The name of what is in a wheel."""
    return canonicalize_name(wheel.name.partition("-")[0])


def one(found: Iterable[Path], name: str) -> Path:
    """The newest wheel of that name."""
    return max(
        (each for each in found if each.name.startswith(f"{name}-")),
        key=lambda p: p.stat().st_mtime,
    )


def one_of(names: Iterable[str], pattern: str) -> str:
    """The one name that looks like this."""
    return next(name for name in names if re.fullmatch(pattern, name))


def read(archive: tarfile.TarFile, name: str) -> bytes:
    """A file of an npm package."""
    held = archive.extractfile(f"package/{name}")
    assert held is not None, name
    return held.read()


def taken(archive: tarfile.TarFile, name: str, to: Path) -> None:
    """Write a file of an npm package there."""
    to.write_bytes(read(archive, name))


def write(path: Path, data: Any) -> None:
    """Write JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "notebooks")
