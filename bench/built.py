"""Where our programs are: in a build folder, or in one that scripts/gpu-check packed. Standard library only."""

import ctypes
import json
import os
import pathlib
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# By target, which the program is named after: their folders.
PROGRAMS = {"zeroshot_server": "server", "zeroshot_client": "client", "time_tower": "bench/micro",
            "make_checkpoint": "tests/testing"}


def die_with_parent() -> None:
    """What a program started by this one does first, so that nothing is left where even SIGKILL ends this one."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def python_torch_libraries(python: str = sys.executable) -> list[str]:
    """The folders of LibTorch's and CUDA's libraries in a Python that has torch."""
    code = ("import pathlib, torch; site = pathlib.Path(torch.__file__).parent; print(site / 'lib');"
            "[print(f) for f in sorted(site.parent.glob('nvidia/*/lib'))]")
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.split()


class Built:
    """The programs of a folder, and the environment that they need."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder.resolve()
        self.env = dict(os.environ)
        self.packed = (folder / "packed.json").exists()
        if self.packed:
            self.tests = json.loads((folder / "packed.json").read_text())["tests"]
            paths = [str(self.folder / "lib"), *python_torch_libraries(), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
            self.env["LD_LIBRARY_PATH"] = ":".join(paths)
        else:
            self.tests = labelled_tests(self.folder)

    def program(self, name: str) -> pathlib.Path:
        if self.packed:
            return self.folder / "bin" / name
        return self.folder / PROGRAMS[name] / name if name in PROGRAMS else pathlib.Path(self.tests[name]["path"])

    def run(self, name: str, *arguments, **options) -> subprocess.CompletedProcess:
        return subprocess.run([self.program(name), *map(str, arguments)], env=self.env, text=True, **options)


def labelled_tests(build: pathlib.Path) -> dict:
    """Test programs with the labels cuda or parity, as ctest knows them: {name: {labels, path}}."""
    listed = json.loads(subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"], check=True,
                                       capture_output=True, text=True).stdout)
    tests = {}
    for test in listed["tests"]:
        labels = next((p["value"] for p in test["properties"] if p["name"] == "LABELS"), [])
        command = test.get("command")
        if command and not {"cuda", "parity"}.isdisjoint(labels):
            path = pathlib.Path(command[0])
            tests[path.name] = {"labels": labels, "path": str(path)}
    return tests
