"""Labelled images against the real server: what Classify says, each image embedded once, nothing left out."""

import csv
import dataclasses
import io
import json
import re
import shutil
import sys
import tarfile

import numpy as np
import pytest
from conftest import FROG, IMAGES

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

import zeroshot_client
from zeroshot_client import ClassDefinition, InvalidArgumentError, Spec, calls
from zeroshot_client.command import main
from zeroshot_client.evaluate import (
    Dataset,
    EmbeddingCache,
    Scorer,
    class_indices,
    embed,
    embed_texts,
    evaluate,
    read_mapping,
    to_html,
)
from zeroshot_client.evaluate.scoring import class_vectors

NONE = "none_of_these"
NAMES = ["apple", "butterfly", "cactus", "car", "frog", "penguin", "sailboat", "strawberry", "sunflower"]


@pytest.fixture
def asked(monkeypatch):
    """How many images each EmbedImages call has asked for."""
    asked = []
    embed_images = calls.embed_images

    def counting(images):
        asked.append(len(images))
        return embed_images(images)

    monkeypatch.setattr(calls, "embed_images", counting)
    return asked


@pytest.mark.parametrize("score_function", [None, "softmax", "sigmoid"])
@pytest.mark.parametrize("background", [(), ("snow", "a star")])
def test_scores_are_the_servers(exact, score_function, background):
    client = exact
    classes = [ClassDefinition("frog", min_probability=0.9), ClassDefinition("apple", group="fruit"), "car", "tiger",
               "rocket", ClassDefinition("penguin", min_probability=0.2), "pizza"]
    built = client.build(classes, ["a photo of a {}.", "a drawing of a {}."], background=background, temperature=3.5)
    model = client.model()
    scorer = Scorer.of(client, built, model, score_function=score_function, min_probability=0.5)
    dataset = Dataset("images", [zeroshot_client.evaluate.Item(path.name, "frog", str(path)) for path in IMAGES])
    vectors = embed(client, dataset, EmbeddingCache(None, model)).vectors
    scores = scorer.score(vectors, np.zeros(len(IMAGES), int))
    named, others = scorer.probabilities(scorer.logits(vectors))
    accepted = []
    for index, path in enumerate(IMAGES):
        answer = built(path, top_k=5, return_probabilities=True, score_function=score_function, min_probability=0.5)
        np.testing.assert_allclose(named[index], answer.probabilities, atol=1e-6)
        assert others[index] == pytest.approx(answer.other_probability, abs=1e-6)
        assert scores.others[index] == others[index]
        assert [p.class_index for p in answer.predictions] == scores.classes[index].tolist()
        np.testing.assert_allclose([p.probability for p in answer.predictions], scores.probabilities[index], atol=1e-6)
        assert scores.accepted[index] == answer.top.accepted
        assert scores.label_probabilities[index] == pytest.approx(answer.probabilities[0], abs=1e-6)
        accepted.append(answer.top.accepted)
    assert score_function == "sigmoid" or len(set(accepted)) == 2


def test_class_vectors_of_prompts_are_the_servers(exact):
    client = exact
    templates = ["a photo of a {}.", "a drawing of a {}.", "{}", "an emoji of a {}, or of another {}."]
    built = client.build(NAMES, templates)
    vectors = embed_texts(client, [text.replace("{}", name) for text in templates for name in NAMES])
    np.testing.assert_allclose(class_vectors(vectors.reshape(len(templates), len(NAMES), -1)), built.weights, atol=1e-6)
    with pytest.raises(InvalidArgumentError, match="the prompt 'word word"):
        embed_texts(client, ["fine", "word " * 300])


def test_each_image_is_embedded_once(client, labelled, tmp_path, asked):
    images = Dataset.load(labelled)
    twice = Dataset("twice", [*images.items[:30], *images.items[:10]])
    both = {"one": client.build([*NAMES]), "seven": client.build(NAMES, "openai-imagenet-7")}
    found = evaluate(client, twice, both, none=NONE, cache=tmp_path / "cache.npz")
    assert sum(asked) == 30 == found.num_embedded
    assert all(len(result.scores.ranks) == 40 for result in found.results)
    again = evaluate(client, twice, both, none=NONE, cache=tmp_path / "cache.npz")
    assert sum(asked) == 30
    assert again.num_embedded == 0
    for before, after in zip(found.results, again.results):
        np.testing.assert_array_equal(before.scores.probabilities, after.scores.probabilities)
    evaluate(client, images.subset(range(35)), both, none=NONE, cache=tmp_path / "cache.npz")
    assert sum(asked) == 35
    # One cache for both precisions or models would mix vectors.
    other = dataclasses.replace(client.model(), fingerprint="0" * 64)
    with pytest.raises(InvalidArgumentError, match=r"embeddings of the model .* serves 000000000000"):
        EmbeddingCache(tmp_path / "cache.npz", other)
    (tmp_path / "damaged.npz").write_bytes((tmp_path / "cache.npz").read_bytes()[:2000])
    with pytest.raises(InvalidArgumentError, match="no file of embeddings"):
        EmbeddingCache(tmp_path / "damaged.npz", client.model())


def test_what_was_embedded_is_kept_where_a_run_ends_early(client, labelled, tmp_path, monkeypatch, asked):
    images = Dataset.load(labelled)
    counting = calls.embed_images
    cache = EmbeddingCache(tmp_path / "cache.npz", client.model())

    def failing(batch):
        # At most 16 of the 18 batches are begun before the first is in the cache.
        if cache._vectors:
            raise zeroshot_client.UnauthenticatedError("no more")
        return counting(batch)

    monkeypatch.setattr(calls, "embed_images", failing)
    with pytest.raises(zeroshot_client.UnauthenticatedError):
        embed(client, images, cache)
    with np.load(tmp_path / "cache.npz") as file:
        kept = len(file["keys"])
    assert 16 <= kept < len(images.items)
    monkeypatch.setattr(calls, "embed_images", counting)
    asked.clear()
    embed(client, images, EmbeddingCache(tmp_path / "cache.npz", client.model()))
    assert sum(asked) == len(images.items) - kept


def test_a_tree_a_table_and_a_tar_say_the_same(client, labelled, tmp_path):
    tree = Dataset.load(labelled)
    with open(tmp_path / "labels.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "path", "label"])
        rows.writerows([i, item.path, item.label] for i, item in enumerate(tree.items))
    (tmp_path / "shards").mkdir()
    for shard in range(2):
        with tarfile.open(tmp_path / f"shards/{shard}.tar", "w") as tar:
            for index, item in enumerate(tree.items):
                if index % 2 != shard:
                    continue
                label = str(NAMES.index(item.label)) if item.label in NAMES and shard else item.label
                kind = "cls" if shard else "txt"
                key = f"a.b/{index:05}"
                for name, data in ((f"{key}.seg.jpg", item.read()), (f"{key}.{kind}", label.encode())):
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    built = {"one": client.build(NAMES)}
    cache = EmbeddingCache(None, client.model())
    found = [evaluate(client, source, built, none=NONE, cache=cache)
             for source in (labelled, tmp_path / "labels.csv", tmp_path / "shards")]
    assert len({result.top_1 for evaluation in found for result in evaluation.results}) == 1
    assert len({evaluation.results[0].calibration_error for evaluation in found[:2]}) == 1
    assert [len(evaluation.dataset.items) for evaluation in found] == [len(tree.items)] * 3
    assert len(tree.items) == 24 * 12
    assert any("numbers that name no class" in warning for warning in found[2].warnings)
    assert sum(item.label == NONE for item in tree.items) == 72


def test_a_mapping_names_the_classes_of_folders(client, labelled, tmp_path):
    images = Dataset.load(labelled)
    (tmp_path / "map.json").write_text(json.dumps({"frog": "tree frog", "car": 2}))
    (tmp_path / "map.csv").write_text("folder,class\nfrog,tree frog\ncar,2\n")
    tables = [read_mapping(tmp_path / name) for name in ("map.json", "map.csv")]
    assert tables[0] == tables[1] == {"frog": "tree frog", "car": "2"}
    built = client.build(["apple", "tree frog", "automobile"])
    kept = images.subset([i for i, item in enumerate(images.items) if item.label in ("apple", "frog", "car")])
    mapped = Dataset.load(labelled, tmp_path / "map.json")
    found = evaluate(client, mapped, {"x": built}, none=NONE, unknown="skip")
    assert found.results[0].top_1.value > 0.5
    assert [figures.class_name for figures in found.results[0].classes] == ["apple", "tree frog", "automobile"]
    assert len(found.dataset.items) == len(kept.items) + 72
    assert any("144 images are left out, whose label is no class: butterfly, cactus" in w for w in found.warnings)
    for name, text, why in (("a.json", "[]", "class names by folder"), ("b.json", "{", "no JSON"),
                            ("c.csv", "a,b\n", "no column 'folder'")):
        (tmp_path / name).write_text(text)
        with pytest.raises(InvalidArgumentError, match=why):
            read_mapping(tmp_path / name)


def test_nothing_is_left_out_silently(client, labelled, tmp_path):
    tree = tmp_path / "tree"
    for name in ("frog", "car"):
        shutil.copytree(labelled / name, tree / name)
    (tree / "zebra").mkdir()
    (tree / "notes.txt").write_text("x")
    (tree / "frog/Thumbs.db").write_text("x")
    (tree / "frog/damaged.jpg").write_bytes((labelled / "frog/frog-000.jpg").read_bytes()[:200])
    (tree / "car/empty.png").write_bytes(b"")
    (tree / "car/gone.png").symlink_to(tmp_path / "nowhere")
    found = evaluate(client, tree, {"x": client.build(["frog", "car", "tiger", "apple"])})
    text = "\n".join(found.warnings)
    assert "1 files were not used: in no class folder" in text
    assert "1 files were not used: not named as an image" in text
    assert "the class folder 'zebra' has no image" in text
    assert "3 images could not be read or embedded and are in no figure; the first: car/" in text
    assert "x: 2 classes have no image: tiger, apple" in text
    assert {failure.name: failure.error for failure in found.failures}["car/gone.png"] == "No such file or directory"
    assert [failure.label for failure in found.failures] == ["car", "car", "frog"]
    assert len(found.dataset.items) == 48 == sum(figures.count for figures in found.results[0].classes)
    value = json.loads(found.to_json())
    assert len(value["dataset"]["failed"]) == 3
    assert "IMAGE_" in value["dataset"]["failed"][0]["error"]
    assert "could not be used" in to_html(found)


def test_bad_input_is_named(client, labelled, tmp_path):
    built = {"x": client.build(["frog", "car"])}
    with pytest.raises(InvalidArgumentError, match="8 labels are the name of no class of x: 'apple'"):
        evaluate(client, labelled, built)
    with pytest.raises(InvalidArgumentError, match="allowed: raise, skip"):
        evaluate(client, labelled, built, unknown="drop")
    with pytest.raises(InvalidArgumentError, match="no classifier"):
        evaluate(client, labelled, {})
    with pytest.raises(InvalidArgumentError, match="label of every image is no class"):
        evaluate(client, Dataset.load(labelled, dict.fromkeys([*NAMES, NONE], "zebra")), built, unknown="skip")
    with pytest.raises(InvalidArgumentError, match="allowed: softmax, sigmoid"):
        evaluate(client, labelled, built, score_function="linear", unknown="skip")
    with pytest.raises(InvalidArgumentError, match="no image shows one of the classes"):
        only_none = Dataset.load(labelled, dict.fromkeys(NAMES, NONE))
        evaluate(client, only_none, built, none=NONE)
    with pytest.raises(FileNotFoundError):
        Dataset.load(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.zip").write_bytes(b"x")
    (tmp_path / "a.csv").write_text("file,label\na,b\n")
    (tmp_path / "b.csv").write_text("path,label\na.jpg,\n")
    (tmp_path / "a.tar").write_bytes(b"no tar")
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        tar.add(FROG, "frog.png")
        tar.add(FROG, "readme.md")
    with tarfile.open(tmp_path / "c.tar", "w") as tar:
        tar.add(labelled.parent, "a.cls", recursive=False)
        tar.add(sys.executable, "a.txt")
    for name, why in (("empty", "no labelled image"), ("a.zip", "allowed: a folder"), ("a.csv", "no column 'path'"),
                      ("b.csv", "1 files: a line without path or label"), ("a.tar", "no uncompressed tar"),
                      ("b.tar", "without a .cls or .txt")):
        with pytest.raises(InvalidArgumentError, match=why):
            Dataset.load(tmp_path / name)
    model = dataclasses.replace(client.model(), fingerprint="0" * 64)
    with pytest.raises(zeroshot_client.FailedPreconditionError, match=r"is of the model .*; the server serves 0000"):
        Scorer.of(client, built["x"], model)
    for name in ("x.jpg", "y.jpg"):
        (tmp_path / "empty/frog").mkdir(exist_ok=True)
        (tmp_path / "empty/frog" / name).write_bytes(b"no image")
    with pytest.raises(InvalidArgumentError, match=r"none of its 2 images could be embedded; the first: frog/x\.jpg"):
        evaluate(client, tmp_path / "empty", built)


def test_an_image_that_the_server_would_refuse_fails_alone(start, tmp_path):
    server = start("--max_image_bytes=20000")
    with zeroshot_client.Client(server.address) as client:
        (tmp_path / "tree/frog").mkdir(parents=True)
        shutil.copy(FROG, tmp_path / "tree/frog/frog.png")
        (tmp_path / "tree/frog/large.png").write_bytes(FROG.read_bytes() + b"0" * 20000)
        found = evaluate(client, tmp_path / "tree", {"x": client.build(["frog", "car"])})
        assert [failure.name for failure in found.failures] == ["frog/large.png"]
        assert "the server takes 20000" in found.failures[0].error


def test_images_of_none_count_where_thresholds_decide(client, labelled):
    built = client.build(NAMES)
    all_accepted = evaluate(client, labelled, {"x": built}, none=NONE).results[0]
    some = evaluate(client, labelled, {"x": built}, none=NONE, min_probability=0.8).results[0]
    assert all_accepted.decisions.accepted.value == all_accepted.decisions.false_positive.value == 1
    assert some.top_1 == all_accepted.top_1
    probability, known = some.scores.probabilities[:, 0], some.scores.known
    accepted = probability >= np.float32(0.8)
    right = some.scores.ranks == 0
    assert some.decisions.accepted.value == accepted[known].mean()
    assert some.decisions.false_positive.value == accepted[~known].mean()
    assert some.decisions.precision.value == right[accepted].mean()
    assert 0 < some.decisions.false_positive.value < 1
    labels = [item.label for item in Dataset.load(labelled).items]
    np.testing.assert_array_equal(some.scores.labels, class_indices(labels, NAMES, NONE)[0])


def run(capsys, *arguments):
    """Status, stdout and stderr of the program."""
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_program_writes_all_files(shared, client, labelled, tmp_path, capsys):
    (tmp_path / "mine.json").write_text(Spec.of(NAMES, "an emoji of a {}.", name="<i>emoji</i>").to_json())
    (tmp_path / "other.json").write_text(json.dumps({name: [f"a drawing of a {name}."] for name in NAMES}))
    weight_set = client.build(NAMES, "{}").weight_set_id
    files = {name: tmp_path / f"out.{name}" for name in ("json", "csv", "classes_csv", "report", "cache")}
    files["cache"] = tmp_path / "cache.npz"
    status, out, err = run(
        capsys, "evaluate", labelled, f"--target={shared.address}", f"--none={NONE}",
        f"--spec={tmp_path / 'mine.json'}", f"--spec={tmp_path / 'other.json'}",
        f"--weight_set={weight_set[:12]}", "--min_probability=0.5",
        *(f"--{name}={path}" for name, path in files.items()))
    assert (status, err) == (0, "")
    assert "216 images of 9 classes, 72 of none of them" in out
    assert out.count("McNemar exact p = ") == 3
    value = json.loads(files["json"].read_text(), parse_constant=pytest.fail)
    names = [classifier["name"] for classifier in value["classifiers"]]
    assert names == ["<i>emoji</i>", "other", weight_set[:12]]
    assert value["dataset"] | {"name": ""} == {"name": "", "images": 288, "images_of_none": 72, "failed": [],
                                               "skipped": {}, "embedded_now": 288}
    with open(files["csv"], newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 288
    for classifier in value["classifiers"]:
        mine = [row for row in rows if row["classifier"] == classifier["name"] and row["label"] != NONE]
        right = [row["correct"] == "True" for row in mine]
        assert sum(right) / len(right) == pytest.approx(classifier["top_1"]["value"])
        assert [row["class_name"] == row["label"] for row in mine] == right == [row["rank"] == "1" for row in mine]
    with open(files["classes_csv"], newline="") as file:
        assert [row["class_name"] for row in csv.DictReader(file)] == NAMES * 3
    page = files["report"].read_text()
    assert "&lt;i&gt;emoji" in page
    assert "<i>" not in page
    assert page.count("data:image/svg+xml;base64,") == 9
    assert page.count("data:image/jpeg;base64,") >= 24
    assert re.findall(r"<img (?!alt='[^']+)", page) == []
    # It needs nothing else, and asks nobody.
    assert set(re.findall(r"(?:src|href)='([^:']+):", page)) == {"data"}
    assert "<script" not in page
    assert "default-src 'none'" in page
    status, out, _ = run(capsys, "evaluate", labelled, f"--target={shared.address}", f"--none={NONE}",
                         "--template_set=simple", "--template_set=openai-imagenet-7", f"--cache={files['cache']}",
                         f"--json={files['json']}")
    assert status == 0
    assert "openai-imagenet-7 against simple" in out
    assert json.loads(files["json"].read_text())["dataset"]["embedded_now"] == 0


def test_the_program_says_what_is_wrong(shared, labelled, tmp_path, capsys):
    target = f"--target={shared.address}"
    (tmp_path / "bad.json").write_text("{")
    for arguments, why in (
        ((labelled, target, f"--spec={tmp_path / 'bad.json'}"), "bad.json: no spec"),
        ((labelled, target, f"--spec={tmp_path / 'missing.json'}"), "No such file"),
        ((tmp_path / "missing", target), "No such file"),
        ((labelled, target, "--template_set=nobody"), "nobody"),
        ((labelled, target, f"--weight_set={'0' * 64}"), "WEIGHT_SET_NOT_FOUND"),
        ((labelled, target, f"--token_file={tmp_path / 'token'}"), "No such file"),
        ((labelled, target, f"--report={tmp_path / 'x/report.html'}"), "/x/report.html: there is no folder '"),
    ):
        status, out, err = run(capsys, "evaluate", *arguments)
        assert (status, out) == (1, "")
        assert err.startswith("evaluate: ")
        assert why in err
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(Spec.of(NAMES).to_json())
    status, _, err = run(capsys, "evaluate", labelled, target, f"--spec={tmp_path / 'a.json'}",
                         f"--spec={tmp_path / 'b.json'}", "--template_set=simple")
    assert (status, "several --spec" in err) == (1, True)
    with pytest.raises(SystemExit) as wrong:
        main(["evaluate", str(labelled), "--temlate_set=x"])
    assert wrong.value.code == 2


def test_without_the_extra_the_program_names_it(labelled, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    status, _, err = run(capsys, "evaluate", labelled)
    assert status == 1
    assert "pip install 'zeroshot_client[evaluate]'" in err
