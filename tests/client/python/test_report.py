"""The report in a real browser: complete, legible, and asking nobody."""

import browser
import numpy as np
import pytest
from page_access_test import CONTRAST

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

from zeroshot_client.evaluate import Dataset, Embedded, Item, Scorer, evaluate, evaluate_vectors, to_html
from zeroshot_client.evaluate.scoring import unit

NONE = "none_of_these"


@pytest.fixture(scope="module")
def report(exact, labelled, tmp_path_factory):
    """A file in which everything shows: two classifiers, warnings, an image that failed, names that are markup."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "bad.jpg").write_bytes(b"no image")
    images = Dataset.load(labelled)
    images = Dataset("<b>my</b> images", [*images.items, Item("a" * 90 + "/bad.jpg", "frog", str(folder / "bad.jpg"))])
    names = [label for label in images.labels if label != NONE]
    found = evaluate(exact, images, {"<script>alert(1)</script>": exact.build(names, background=["snow"]),
                                     "$x^2$": exact.build(names, "openai-imagenet-7")}, none=NONE, min_probability=0.5)
    (folder / "report.html").write_text(to_html(found))
    return folder / "report.html"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    if not browser.program():
        pytest.skip("no browser; on Debian scripts/setup --tests installs one")
    chromium = browser.Browser(tmp_path_factory.mktemp("chromium") / "profile")
    yield chromium
    chromium.close()


@pytest.mark.parametrize("dark", [False, True])
def test_the_report_is_legible_and_complete(report, chromium, dark):
    page = browser.Page(chromium, report.as_uri(), width=390, height=800, dark=dark)
    page.wait("[...document.images].every((image) => image.complete)")
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    assert page.problems == []
    assert {url.partition(":")[0] for url in page.requests} == {"file", "data"}
    assert sum(url.startswith("file:") for url in page.requests) == 1
    images = page.evaluate("[...document.images].map((image) => [image.alt, image.naturalWidth])")
    assert len(images) == 2 * 3 + 2 * 24
    assert all(alt and width for alt, width in images)
    seen = page.evaluate(CONTRAST)
    assert seen["low"] == []
    assert seen["seen"] > 100
    # On a telephone only tables are wider, and move by themselves.
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    text = page.evaluate("document.body.innerText")
    assert "<script>alert(1)</script>" in text
    assert "Accuracy on <b>my</b> images" in text
    assert "1 images could not be read or embedded" in text
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    roles = [node["role"]["value"] for node in nodes if not node["ignored"]]
    assert roles.count("heading") == 1 + 2 + 2 * 5 + 1
    assert roles.count("table") == 2 + 2 * 2 + 1
    assert roles.count("columnheader") > 20
    page.close()


@pytest.mark.parametrize("spread", [0.0, 0.6])
def test_a_report_of_many_classes_shows_the_worst(exact, tmp_path, spread):
    """Of vectors that are made up, and of files that are gone since."""
    draw = np.random.default_rng(1)
    weights = unit(draw.normal(size=(60, 16)))
    labels = np.repeat(np.arange(60), 5)
    vectors = unit(weights[labels] + spread * draw.normal(size=(300, 16)))
    names = [f"class {index}" for index in range(60)]
    items = [Item(f"{index}.jpg", names[label], str(tmp_path / "gone.jpg")) for index, label in enumerate(labels)]
    scorer = Scorer(names, weights, 20.0, 0.0, "softmax", np.zeros((0, 16), np.float32))
    found = evaluate_vectors(exact.model(), Embedded(Dataset("many", items), vectors, ()), {"many": scorer})
    page = to_html(found)
    assert "The worst 40 of 60 classes." in page
    assert page.count("None: every image is right.") == (2 if spread == 0 else 0)
    assert page.count("no thumbnail") == (0 if spread == 0 else 24)
    assert page.count("data:image/svg+xml;base64,") == (2 if spread == 0 else 3)
