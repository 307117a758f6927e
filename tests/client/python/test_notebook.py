"""zeroshot_classifier makes what OpenAI's notebook makes; pipeline answers as transformers' does.

The notebook's own loop on a random model is compared by tests/client/python/parity.py, which needs more
packages.
"""

import numpy as np
import pytest
from conftest import CLASSES, FROG, IMAGES

import zeroshot_client

TEMPLATES = ["a photo of a {}.", "a drawing of a {}.", "{}"]


def by_hand(client):
    """The notebook's loop, its model.encode_text asked for by EmbedTexts."""
    columns = []
    for name in CLASSES:
        vectors = client.embed_texts([template.format(name) for template in TEMPLATES])
        mean = vectors.mean(axis=0)
        columns.append(mean / np.linalg.norm(mean))
    return np.stack(columns, axis=1)


def test_weights_are_the_notebooks(client):
    weights = client.build(CLASSES, TEMPLATES).weights.T
    np.testing.assert_allclose(weights, by_hand(client), atol=1e-5)


def test_the_notebooks_function_returns_its_tensor(client, monkeypatch):
    torch = pytest.importorskip("torch")
    weights = zeroshot_client.zeroshot_classifier(CLASSES, TEMPLATES, client, device="cpu", progress=False)
    assert weights.dtype == torch.float32
    assert tuple(weights.shape) == (128, 20)
    np.testing.assert_allclose(weights.numpy(), by_hand(client), atol=1e-5)
    monkeypatch.setenv("ZEROSHOT_TARGET", client.target)
    assert torch.equal(zeroshot_client.zeroshot_classifier(CLASSES, TEMPLATES, device="cpu"), weights)
    half = zeroshot_client.zeroshot_classifier(CLASSES, TEMPLATES, client, dtype=torch.float16)
    assert half.dtype == torch.float16
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="no class"):
        zeroshot_client.zeroshot_classifier([], TEMPLATES, client)


def test_a_pipeline_is_called_as_transformers_is(client, monkeypatch):
    classifier = zeroshot_client.pipeline("zero-shot-image-classification", model="openai/clip", client=client)
    result = classifier(str(FROG), candidate_labels=["apple", "frog", "car"])
    assert [set(item) for item in result] == [{"score", "label"}] * 3
    assert result[0]["label"] == "frog"
    assert [item["score"] for item in result] == sorted((item["score"] for item in result), reverse=True)
    assert sum(item["score"] for item in result) == pytest.approx(1, abs=1e-5)
    several = classifier(IMAGES[:3], candidate_labels="apple, frog, car", hypothesis_template="a {}.", timeout=30)
    assert len(several) == 3
    assert several[0][0]["label"] == "apple"
    assert classifier(FROG, ["apple", "frog", "car"]) == result
    for i in range(70):
        classifier(FROG, [f"frog {i}", "car"])
    assert len(classifier._classifiers) == 64
    monkeypatch.setenv("ZEROSHOT_TARGET", client.target)
    assert zeroshot_client.pipeline()(FROG, ["frog", "car"])[0]["label"] == "frog"
    assert zeroshot_client.pipeline(client=client.target)(FROG, ["frog", "car"])[0]["label"] == "frog"


def test_a_pipeline_refuses_what_it_cannot_mean(client):
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="task"):
        zeroshot_client.pipeline("text-generation")
    classifier = zeroshot_client.pipeline(client=client)
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="no label"):
        classifier(FROG, [])
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="must hold"):
        classifier(FROG, ["a", "b"], "a photo")
    with pytest.raises(zeroshot_client.InvalidArgumentError):
        classifier([FROG, b"no image"], ["frog", "car"])


def test_a_package_that_is_missing_is_named(client, pets, monkeypatch):
    for package, use in (
        ("torch", lambda: zeroshot_client.zeroshot_classifier(["frog"], TEMPLATES, client)),
        ("pandas", lambda: pets.to_pandas([FROG])),
        ("tqdm.auto", lambda: client.build(["frog"], progress=True)),
    ):
        monkeypatch.setitem(__import__("sys").modules, package, None)
        with pytest.raises(ImportError, match="pip install"):
            use()
