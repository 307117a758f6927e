#!/usr/bin/env python3
"""Runs the Python client's tests and holds their coverage: what CTest calls. Arguments are pytest's.

Exits with 77, which CTest takes for skipped, where .deps/python-client has no packages for this Python.
"""

import os
import pathlib
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(SOURCE / "tests/e2e"))
LEAST_COVERED = 95  # percent, branches included

import documents  # noqa: E402

documents.need_python_packages()
try:
    import coverage
    import pytest
except ImportError as error:
    documents.skip(f"{error}; scripts/test fetches it")


def main():
    package = SOURCE / "client/python"
    os.chdir(package)  # where pyproject.toml is
    sys.path.insert(0, str(package))
    sys.dont_write_bytecode = True
    measured = coverage.Coverage(data_file=None, config_file=str(package / "pyproject.toml"))
    measured.start()
    status = pytest.main(["-p", "no:cacheprovider", "-q", str(SOURCE / "tests/client/python"), *sys.argv[1:]])
    measured.stop()
    if status == 0 and len(sys.argv) == 1:
        covered = measured.report(show_missing=True, skip_covered=True)
        if covered < LEAST_COVERED:
            print(f"{covered:.1f} % of the package is covered; at least {LEAST_COVERED} % must be", file=sys.stderr)
            status = 1
    sys.exit(int(status))


if __name__ == "__main__":
    main()
