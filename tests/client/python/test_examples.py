"""Classes shown by examples, and embeddings that are scored as they are: against NumPy, on the demo model."""

import asyncio
import json

import numpy as np
import pytest
from conftest import FROG, IMAGES, SOURCE, Servers

import zeroshot_client
from zeroshot_client import ClassDefinition, Spec

PROMPTS = ["a photo of a {}.", "a drawing of a {}."]
SHOTS = [SOURCE / "models/demo/images" / name for name in ("apple.png", "car.png")]


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """A client of a server whose numbers do not depend on what else is in a batch, as bfloat16's do."""
    servers = Servers(tmp_path_factory.mktemp("exact"))
    with zeroshot_client.Client(servers("--precision=fp32").address) as client:
        yield client
    servers.end()


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def softmax(logits):
    exps = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exps / exps.sum(axis=1, keepdims=True)


def expected(client, classes, images, weight):
    """Probabilities of images [n, classes]; `classes`: (name, images, embeddings)."""
    rows = []
    for name, shots, vectors in classes:
        text = unit(client.embed_texts([prompt.format(name) for prompt in PROMPTS]).astype(np.float64).mean(axis=0))
        if shots or vectors is not None:
            seen = [client.embed_images(shots)] if shots else []
            seen += [vectors] if vectors is not None else []
            shown = unit(unit(np.concatenate(seen).astype(np.float64)).mean(axis=0))
            text = unit((1 - weight) * text + weight * shown)
        rows.append(text)
    cosines = client.embed_images(images).astype(np.float64) @ np.stack(rows).T
    return softmax(client.model().logit_scale * cosines)


def probabilities(classifier, images):
    return np.array([classifier(image, return_probabilities=True).probabilities for image in images])


@pytest.mark.parametrize("weight", [0.5, 0.125, 1.0])
def test_scores_are_those_of_numpy(exact, weight):
    client = exact
    vectors = 3 * client.embed_images(IMAGES[:2])  # of any length
    classes = [("frog", [], None), ("fruit", SHOTS, None), ("thing", SHOTS[:1], vectors)]
    given = None if weight == 0.5 else weight
    classifier = client.build(
        [
            "frog",
            ClassDefinition("fruit", example_images=SHOTS, example_weight=given),
            ClassDefinition("thing", example_images=SHOTS[:1], example_embeddings=vectors, example_weight=given),
        ],
        PROMPTS,
    )
    assert classifier.built.num_examples == 5
    assert classifier.built.num_prompts == (2 if weight == 1 else 6)
    images = [FROG, *IMAGES[:5]]
    np.testing.assert_allclose(
        probabilities(classifier, images), expected(client, classes, images, weight), atol=1e-5
    )


def test_embeddings_are_scored_as_their_images(exact):
    client = exact
    pets = client.build(["frog", "apple", "car"], PROMPTS)
    images = IMAGES * 6  # more than a call takes
    vectors = client.embed_images(images)
    answers = pets.classify_embeddings(vectors, top_k=2, return_probabilities=True)
    assert len(answers) == len(images)
    for answer, whole in zip(answers, pets.classify_batch(images[:16], top_k=2, return_probabilities=True)):
        assert answer.top.class_name == whole.top.class_name
        np.testing.assert_allclose(answer.probabilities, whole.probabilities, atol=1e-5)
    assert pets.classify_embeddings(vectors[0])[0].top == answers[0].top
    assert pets.classify_embeddings(np.zeros((0, vectors.shape[1]))) == []
    scores = softmax(client.model().logit_scale * vectors.astype(np.float64) @ pets.weights.astype(np.float64).T)
    np.testing.assert_allclose([answer.probabilities for answer in answers], scores, atol=1e-5)


def test_embeddings_that_are_none_are_refused(client, pets):
    vectors = client.embed_images([FROG])
    for wrong, says in ((vectors[:, :-1], "multiple"), (2 * vectors, "length"), (np.nan * vectors, "not finite")):
        with pytest.raises(zeroshot_client.InvalidArgumentError, match=says):
            pets.classify_embeddings(wrong)
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="shape"):
        pets.classify_embeddings(vectors[None])


def test_asyncio_scores_embeddings_too(shared, client, pets):
    vectors = client.embed_images(IMAGES)

    async def ask():
        async with zeroshot_client.AsyncClient(shared.address) as aio:
            classifier = await aio.build(["frog", "apple", "car"], ["a photo of a {}.", "a drawing of a {}."])
            return await classifier.classify_embeddings(vectors)

    assert [answer.top for answer in asyncio.run(ask())] == [
        answer.top for answer in pets.classify_embeddings(vectors)
    ]


def test_a_server_that_forgot_gets_the_examples_again(start):
    server = start("--precision=fp32")
    with zeroshot_client.Client(server.address) as client:
        classifier = client.build(
            ["frog", ClassDefinition("fruit", example_images=SHOTS, example_weight=1)], "simple"
        )
        before = classifier(SHOTS[0])
        vector = client.embed_images(SHOTS[:1])
        for ask in (lambda: classifier(SHOTS[0]), lambda: classifier.classify_embeddings(vector)[0]):
            client.delete_weight_set(classifier.weight_set_id)
            again = ask()
            assert again.top.class_name == before.top.class_name == "fruit"
            assert again.top.cosine == pytest.approx(before.top.cosine, abs=1e-3)


def test_examples_are_images_of_any_kind(client):
    pixels = np.full((8, 8, 3), 200, np.uint8)
    item = Spec.of([ClassDefinition("a", example_images=[FROG, FROG.read_bytes(), pixels])]).request.classes[0]
    assert item.example_images[0] == item.example_images[1] == FROG.read_bytes()
    assert item.example_images[2].startswith(b"P6")
    assert not item.HasField("example_weight")
    assert list(Spec.of([ClassDefinition("a", example_embeddings=[1, 2])]).request.classes[0].example_embeddings) == [
        1,
        2,
    ]
    for wrong in (
        ClassDefinition("a", example_images=str(FROG)),
        ClassDefinition("a", example_images=FROG.read_bytes()),
        ClassDefinition("a", example_embeddings=np.zeros((1, 2, 3))),
    ):
        with pytest.raises(zeroshot_client.InvalidArgumentError, match="'a'"):
            Spec.of([wrong])


def test_a_spec_with_examples_goes_to_a_file_and_back(tmp_path):
    spec = Spec.of(
        [ClassDefinition("frog", example_images=[FROG], example_embeddings=[[0.5, 1]], example_weight=0.25), "car"]
    )
    path = tmp_path / "spec.json"
    path.write_text(spec.to_json())
    assert Spec.from_file(path).request == spec.request
    # Paths are from the file's folder on.
    (tmp_path / "frog.png").write_bytes(FROG.read_bytes())
    path.write_text(json.dumps({"classes": [{"name": "frog", "exampleImages": ["frog.png"]}]}))
    assert Spec.from_file(path).request.classes[0].example_images == [FROG.read_bytes()]
    for wrong in ("frog.png", [3], ["data:x"], ["data:;base64,a b!"]):
        path.write_text(json.dumps({"classes": [{"name": "frog", "example_images": wrong}]}))
        with pytest.raises(zeroshot_client.InvalidArgumentError, match="no spec"):
            Spec.from_file(path)
