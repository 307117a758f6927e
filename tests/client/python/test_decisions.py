"""Every command of docs/decisions.md runs, and prints what the page says."""

import os
import re
import shlex
import subprocess
import sys

import documents
import pytest
from conftest import SOURCE

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

PAGE = SOURCE / "docs/decisions.md"
NUMBER = re.compile(r"\d+(?:\.\d+)?")


@pytest.fixture
def root(tmp_path):
    """A folder in which the page's commands find what they name."""
    for name in ("models", "client"):
        (tmp_path / name).symlink_to(SOURCE / name)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (tmp_path / "bin/python3").chmod(0o755)
    (tmp_path / "bin/zeroshot_client").symlink_to(documents.CLIENT)
    return tmp_path


def assert_same(found, expected):
    """The same words; numbers within what another machine's rounding moves: an image or two."""
    assert NUMBER.sub("#", found) == NUMBER.sub("#", expected), found
    for mine, of_page in zip(NUMBER.findall(found), NUMBER.findall(expected)):
        if "." in of_page:
            value = float(of_page)
            assert abs(float(mine) - value) <= (0.25 if value >= 1 else 0.2 * value), f"{mine}, not {of_page}:\n{found}"
        else:
            assert abs(int(mine) - int(of_page)) <= 2, f"{mine}, not {of_page}:\n{found}"


def test_the_pages_commands_print_what_it_says(exact, root):
    environment = {**os.environ, "ZEROSHOT_TARGET": exact.target, "PATH": f"{root / 'bin'}:{os.environ['PATH']}",
                   "PYTHONPATH": f"{SOURCE / 'client/python'}:{os.environ.get('PYTHONPATH', '')}"}

    def run(*arguments):
        result = subprocess.run(arguments, cwd=root, env=environment, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, timeout=600)
        assert result.returncode == 0, f"{arguments}\n{result.stdout}"
        return result.stdout

    output, compared, ran = "", 0, 0
    for language, text in documents.blocks(PAGE.read_text()):
        if language == "sh":
            output = ""
            for command in documents.commands(text):
                if not command.startswith("pip install"):
                    output += run("bash", "-euo", "pipefail", "-c", command)
                    ran += 1
        elif language == "text":
            assert_same(output, text)
            compared += 1
        elif language == "python":
            output = run(sys.executable, "-c", text)
            assert "Interval(value=0.6" in output
            assert "frog " in output.splitlines()[-1]
            ran += 1
        else:
            assert language == "json", language
    assert (ran, compared) == (6, 3)
    for name in ("figures.json", "answers.csv", "report.html", "tuned.json", "tuned.html"):
        assert (root / name).stat().st_size > 500
    words = (SOURCE / "client/python/zeroshot_client/tune/words.txt").read_text().splitlines()
    assert f"a list of {len(words)} everyday nouns" in PAGE.read_text()
