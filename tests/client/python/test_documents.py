"""Every snippet of docs/python.md runs, from its first to its last, and so does the package's README."""

import os
import re
import shutil
import subprocess
import sys

import documents
import pytest
from conftest import FROG, IMAGES, SOURCE

SNIPPET = re.compile(r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```python\n(?P<text>.*?)^```$", re.M | re.S)


def importable(name):
    return subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True).returncode == 0


@pytest.fixture
def home(tmp_path):
    """A folder with what the snippets name."""
    from PIL import Image

    Image.open(FROG).convert("RGB").save(tmp_path / "photo.jpg", quality=95)
    (tmp_path / "images/more").mkdir(parents=True)
    for path in IMAGES:
        if path.suffix == ".jpg":
            shutil.copy(path, tmp_path / "images/more")
    shutil.copy(tmp_path / "photo.jpg", tmp_path / "images")
    return tmp_path


def run(text, address, home):
    """The program, as a user runs it; its output."""
    program = home / "program.py"
    program.write_text(text.replace("127.0.0.1:50051", address))
    path = [] if "ZEROSHOT_INSTALLED" in os.environ else [str(SOURCE / "client/python")]
    environment = {**os.environ, "ZEROSHOT_TARGET": address,
                   "PYTHONPATH": os.pathsep.join([*path, os.environ.get("PYTHONPATH", "")])}
    result = subprocess.run([sys.executable, str(program)], cwd=home, env=environment, capture_output=True,
                            text=True, timeout=240)
    assert result.returncode == 0, f"{text}\n{result.stderr}"
    return result.stdout


def test_every_snippet_runs(shared, home):
    snippets = list(SNIPPET.finditer((SOURCE / "docs/python.md").read_text()))
    assert len(snippets) > 14
    program, left_out = [], []
    for snippet in snippets:
        mark = snippet["mark"] or ""
        if mark.startswith("not run"):
            left_out.append(mark)
            continue
        package = mark.removeprefix("test: ") if mark.startswith("test: ") else ""
        if package == "ray" or (package and not importable(package)):
            left_out.append(package)
            continue
        program.append(snippet["text"])
    assert left_out.count("not run: Spark needs Java") == 1
    if importable("pandas"):
        # What Spark calls the function with.
        program.append('import pandas as pd\n'
                       'frames = [pd.DataFrame({"path": ["a"], "content": [open("photo.jpg", "rb").read()]})] * 2\n'
                       'for frame in classify(frames):\n    print("spark", *frame.class_name)\n')
    else:
        program = [text for text in program if "to_pandas" not in text]
    output = run("\n".join(program), shared.address, home)
    assert output.startswith("frog ")
    assert "IMAGE_NOT_SUPPORTED" in output
    assert "order-42" in output
    assert "'label': 'frog'" in output
    assert "3 answered, 0 failed" in output
    if importable("pandas"):
        assert output.count("spark frog") == 2


def test_the_ray_snippet_runs(shared, home):
    if not importable("ray.data"):
        pytest.skip("no ray here; scripts/test-python ray runs it")
    text = next(s["text"] for s in SNIPPET.finditer((SOURCE / "docs/python.md").read_text())
                if s["mark"] == "test: ray")
    make = ('import os, pyarrow as pa, pyarrow.parquet as pq\nos.mkdir("parquet")\n'
            'pq.write_table(pa.table({"bytes": [open("photo.jpg", "rb").read()] * 3}), "parquet/a.parquet")\n')
    look = 'print(pq.read_table("answers").to_pydict()["class_name"])\n'
    assert "['frog', 'frog', 'frog']" in run(make + text + look, shared.address, home)


def test_the_readmes_snippet_runs(shared, home):
    text = next(text for language, text in documents.blocks((SOURCE / "client/python/README.md").read_text())
                if language == "indented")
    output = run("from pathlib import Path\nfolder = Path('images')\n" + text, shared.address, home)
    assert len(output.splitlines()) >= 3
