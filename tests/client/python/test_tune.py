"""Tuning: what is planted is found on images held out; what is too little to say is said."""

import hashlib
import json
import subprocess

import documents
import numpy as np
import pytest
from conftest import SOURCE

pytest.importorskip("sklearn")

from scipy.stats import binomtest

from zeroshot_client import ClassDefinition, InvalidArgumentError, Spec
from zeroshot_client.command import main
from zeroshot_client.evaluate import Dataset, EmbeddingCache, Scorer, Scores
from zeroshot_client.evaluate.scoring import unit
from zeroshot_client.tune import background, choose, stratified, temperature, thresholds, tune, words
from zeroshot_client.tune.calibration import needed_images

NONE = "none_of_these"
NAMES = ["apple", "butterfly", "cactus", "car", "frog", "penguin", "sailboat", "strawberry", "sunflower"]
PLANTED = "a photo of a {}."
OTHERS = ["twelve clocks, and the number seven of a {} on a green leaf.",
          "an apple and a banana, a rocket and a pizza, none of them a {}.",
          "a house, a tree, a dog and a cat, behind which there is a {}."]


@pytest.fixture(scope="module")
def cache(exact):
    """So that every test embeds the tree's images once."""
    return EmbeddingCache(None, exact.model())


def test_the_planted_template_is_found_on_images_held_out(exact, labelled, cache):
    found = tune(exact, labelled, Spec.of(NAMES, OTHERS[0]), candidates=[*OTHERS, PLANTED], none=NONE, cache=cache,
                 max_background=0, seed=4)
    assert found.steps[0].candidate == PLANTED == found.templates[0]
    before, tuned = found.evaluation.results
    assert len(found.evaluation.dataset.items) == (9 * 24 + 72) / 2 == found.num_fitted
    assert tuned.top_1.value > before.top_1.value + 0.1
    assert found.evaluation.comparisons[0].test.p_value < 0.01
    assert found.steps[-1].accuracy > found.fit_accuracy
    accuracies = [step.accuracy for step in found.steps]
    assert accuracies == sorted(set(accuracies))
    # On the images fitted on it says what the server's own classifier of these templates gets there.
    images = Dataset.load(labelled)
    labels = np.array([NAMES.index(item.label) if item.label in NAMES else -1 for item in images.items])
    fit, out = stratified(labels, 0.5, 4)
    assert {images.items[index].name for index in out} == {item.name for item in found.evaluation.dataset.items}
    scorer = Scorer.of(exact, exact.build(NAMES, found.templates), exact.model())
    known = fit[labels[fit] >= 0]
    vectors = np.stack([cache[_key(images.items[index])] for index in known])
    assert (scorer.score(vectors, labels[known]).ranks == 0).mean() == pytest.approx(accuracies[-1])


def _key(item):
    return hashlib.sha256(item.read()).digest()


def test_the_same_seed_gives_the_same_spec(exact, labelled, cache):
    def spec(seed):
        found = tune(exact, labelled, Spec.of(NAMES), candidates=[*OTHERS, PLANTED], none=NONE, cache=cache,
                     precision=0.9, max_background=2, seed=seed)
        return found.to_json()

    first = spec(1)
    assert first == spec(1)
    assert json.loads(first)["spec"] != json.loads(spec(2))["spec"]


def test_prompts_by_class_go_in_and_out(exact, labelled, cache, tmp_path):
    """Names that say nothing: only the prompts know what the classes are."""
    mapping = {name: f"zq{index}x" for index, name in enumerate(NAMES)}
    images = Dataset.load(labelled, mapping)
    (tmp_path / "cupl.json").write_text(json.dumps(
        {code: [f"a photo of a {name}.", f"a {name}."] for name, code in mapping.items()}))
    found = tune(exact, images, Spec.of(list(mapping.values())), candidates=[PLANTED], none=NONE, cache=cache,
                 prompts=Spec.from_file(tmp_path / "cupl.json"), background_words=["snow", "factory"])
    assert found.steps[0].candidate == "(prompts)"
    assert found.evaluation.results[0].top_1.value < 0.35
    assert found.evaluation.results[1].top_1.value > 0.5
    assert found.evaluation.comparisons[0].test.p_value < 1e-6
    (tmp_path / "out.json").write_text(found.prompts_json())
    out = Spec.from_file(tmp_path / "out.json")
    assert [list(item.prompts) for item in out.request.classes] == [
        list(item.prompts) for item in found.spec.request.classes]
    assert "a photo of a frog." in out.request.classes[4].prompts
    np.testing.assert_allclose(exact.build(out).weights, exact.build(found.spec).weights, atol=1e-6)
    # A candidate that says nothing of some classes needs another beside it.
    part = Spec.of({code: [f"a {name}."] for name, code in list(mapping.items())[:8]})
    mixed = tune(exact, images, Spec.of(list(mapping.values())), candidates=[PLANTED], none=NONE, cache=cache,
                 prompts=part, max_background=0)
    assert [step.candidate for step in mixed.steps] in ([PLANTED, "(prompts)"], [])
    assert mixed.steps == [] or list(mixed.spec.request.classes[8].prompts) == ["a photo of a zq8x."]


def test_the_clients_program_builds_what_was_tuned(exact, labelled, tmp_path, capsys):
    files = {name: tmp_path / f"{name}.json" for name in ("output", "prompts_output", "json")}
    (tmp_path / "candidates.txt").write_text("\n".join([*OTHERS, PLANTED]))
    (tmp_path / "words.txt").write_text("snow\nfactory\nfrog\n")
    (tmp_path / "spec.json").write_text(Spec.of(NAMES, OTHERS[0], name="mine").to_json())
    status = main(["tune", str(labelled), f"--target={exact.target}", f"--none={NONE}", "--precision=0.9",
                   f"--spec={tmp_path / 'spec.json'}", f"--candidates={tmp_path / 'candidates.txt'}",
                   f"--background_words={tmp_path / 'words.txt'}", f"--cache={tmp_path / 'cache.npz'}",
                   f"--report={tmp_path / 'report.html'}", *(f"--{name}={path}" for name, path in files.items())])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    assert "tuned against before" in captured.out
    assert PLANTED in captured.out
    assert "warning: thresholds of " in captured.err
    tuned = Spec.from_file(files["output"])
    assert tuned.request.temperature > 1
    assert set(tuned.request.background) <= {"snow", "factory"}
    assert len(tuned.request.background) > 0
    assert tuned.request.display_name == "mine"
    assert all(item.HasField("min_probability") for item in tuned.request.classes)
    for flag, path, spec in (("spec", files["output"], tuned),
                             ("prompts_file", files["prompts_output"], Spec.from_file(files["prompts_output"]))):
        built = subprocess.run([documents.CLIENT, "build", f"--target={exact.target}", f"--{flag}={path}", "--json"],
                               capture_output=True, text=True)
        assert built.returncode == 0, built.stderr
        assert exact.build(spec).weight_set_id in built.stdout
    value = json.loads(files["json"].read_text(), parse_constant=pytest.fail)
    assert value["spec"] == json.loads(files["output"].read_text())
    # What the figures of the held-out images say is what the server decides.
    images = Dataset.load(labelled)
    held_out = {row["name"] for row in value["held_out"]["classifiers"]}
    assert held_out == {"before", "tuned"}
    tuned_result = value["held_out"]["classifiers"][1]["decisions"]
    classifier = exact.build(tuned)
    labels = np.array([NAMES.index(item.label) if item.label in NAMES else -1 for item in images.items])
    _, out = stratified(labels, 0.5, 0)
    answers = {index: classifier(images.items[index].read()).top for index in out.tolist()}
    accepted = [index for index, top in answers.items() if top.accepted]
    right = [index for index in accepted if answers[index].class_name == images.items[index].label]
    assert tuned_result["precision"]["value"] == pytest.approx(len(right) / len(accepted))
    of_none = [index for index in answers if labels[index] < 0]
    assert tuned_result["false_positive"]["value"] == pytest.approx(
        sum(answers[index].accepted for index in of_none) / len(of_none))


def test_what_the_spec_has_stays(exact, labelled, cache):
    own = [ClassDefinition(name, [f"a drawing of a {name}."]) for name in NAMES[:4]]
    found = tune(exact, labelled, Spec.of([*own, *NAMES[4:]], OTHERS[0]), candidates=[PLANTED], none=NONE, cache=cache,
                 max_background=0)
    assert list(found.spec.request.classes[0].prompts) == ["a drawing of a apple."]
    assert list(found.spec.request.templates) == [PLANTED]
    assert not found.thresholds
    everyone = Spec.of({name: [f"a {name}."] for name in NAMES})
    found = tune(exact, labelled, everyone, candidates=[PLANTED], none=NONE, cache=cache, max_background=0)
    assert any("there are no templates to choose" in warning for warning in found.warnings)
    assert found.evaluation.comparisons[0].difference == 0
    kept = tune(exact, labelled, Spec.of(NAMES, "openai-imagenet-7"), candidates=[], none=NONE, cache=cache,
                max_background=0)
    assert kept.spec.request.template_set == "openai-imagenet-7"
    assert len(kept.templates) == 7
    assert "templates: kept" in kept.summary()
    worse = tune(exact, labelled, Spec.of(NAMES, PLANTED), candidates=OTHERS[:1], none=NONE, cache=cache,
                 max_background=0)
    assert list(worse.spec.request.templates) == [PLANTED]
    assert any("they stay" in warning for warning in worse.warnings)
    sigmoid = tune(exact, labelled, Spec.of(NAMES), candidates=[], none=NONE, cache=cache, score_function="sigmoid")
    assert any("under sigmoid" in warning for warning in sigmoid.warnings)
    assert sigmoid.evaluation.results[1].score_function == "sigmoid"


def test_a_class_set_is_written_with_its_names(exact, labelled, cache):
    images = Dataset.load(labelled, {"frog": "frog", "car": "automobile"})
    found = tune(exact, images, Spec.of("cifar10"), candidates=[], cache=cache, unknown="skip")
    assert not found.spec.request.class_set
    assert [item.name for item in found.spec.request.classes][:2] == ["airplane", "automobile"]
    assert any("8 classes have no image" in warning for warning in found.warnings)


def test_few_images_are_a_warning(exact, labelled, cache):
    images = Dataset.load(labelled)
    few = images.subset([i for i, item in enumerate(images.items)
                         if item.name.endswith(("frog-000.jpg", "car-000.jpg", "car-001.jpg", "car-002.jpg"))])
    found = tune(exact, few, Spec.of(["frog", "car"]), candidates=[], precision=0.95, cache=cache)
    text = "\n".join(found.warnings)
    assert "2 classes (frog, car): fewer than 10 images were fitted on" in text
    assert "1 classes (frog): no image is held out" in text
    assert "at least 59 without an error are needed" in text
    assert found.evaluation.results[0].name == "before"


def test_labels_that_are_wrong_are_a_warning(exact, labelled, cache):
    shifted = dict(zip(NAMES, NAMES[1:] + NAMES[:1]))
    images = Dataset.load(labelled, shifted)
    found = tune(exact, images, Spec.of(NAMES), candidates=[], none=NONE, cache=cache, max_background=0)
    assert found.temperature > 45
    assert any("are labels and classes the same?" in warning for warning in found.warnings)


def test_arguments_that_are_not_allowed_are_named(exact, labelled, cache, tmp_path, capsys):
    spec = Spec.of(NAMES)
    for arguments, why in (
        ({"precision": 0.9, "false_positive_rate": 0.1}, "allowed is one"),
        ({"precision": 1.5}, "precision is 1.5"),
        ({"false_positive_rate": 0.0}, "false_positive_rate is 0.0"),
        ({"max_templates": 0}, "max_templates is 0"),
        ({"max_background": -1}, "max_background is -1"),
        ({"held_out": 1.0}, "held_out is 1.0"),
        ({"held_out": 0.001}, "none would be held out"),
        ({"candidates": ["a photo"]}, "'a photo' must hold"),
        ({"background_words": ["frog"], "candidates": []}, "every background word is a class"),
        ({"none": ""}, "'none_of_these'"),
    ):
        with pytest.raises(InvalidArgumentError, match=why):
            tune(exact, labelled, spec, **{"none": NONE, "cache": cache, **arguments})
    (tmp_path / "empty.txt").write_text("\n")
    for flag, why in ((f"--candidates={tmp_path / 'empty.txt'}", "it holds nothing"),
                      ("--template_set=nobody", "--template_set=nobody: unknown; it is one of: ")):
        assert main(["tune", str(labelled), f"--target={exact.target}", f"--none={NONE}", flag]) == 1
        assert why in capsys.readouterr().err


def test_too_many_candidates_are_refused_before_anything_is_embedded(exact, labelled, cache):
    with pytest.raises(InvalidArgumentError, match=r"candidates for 1000 classes .* Name fewer candidates"):
        tune(exact, Dataset.load(labelled, dict.fromkeys([*NAMES, NONE], "0")), Spec.of("imagenet-1k"), cache=cache,
             candidates=[f"a photo of a {{}} {number}." for number in range(9000)])


# ---- its parts, on numbers that are planted


def test_selection_adds_what_helps_until_nothing_does():
    draw = np.random.default_rng(2)
    classes = unit(draw.normal(size=(6, 32)))
    labels = np.repeat(np.arange(6), 60)
    vectors = unit(classes[labels] + 0.25 * draw.normal(size=(360, 32)))
    # Two candidates know half of the classes each, the others none.
    half = unit(draw.normal(size=(6, 32)))
    sums = np.stack([unit(draw.normal(size=(6, 32))), np.where(np.arange(6)[:, None] < 3, classes, half),
                     np.where(np.arange(6)[:, None] < 3, half, classes), unit(draw.normal(size=(6, 32)))])
    counts = np.ones((4, 6), dtype=int)
    chosen, steps = choose(vectors, labels, ["a", "b", "c", "d"], sums.astype(np.float32), counts, 20.0, 4)
    assert set(chosen[:2]) == {1, 2}
    assert steps[1].accuracy > steps[0].accuracy + 0.1
    assert [step.accuracy for step in steps] == sorted({step.accuracy for step in steps})
    assert len(choose(vectors, labels, ["a", "b", "c", "d"], sums.astype(np.float32), counts, 20.0, 1)[0]) == 1
    # Equal candidates: the first.
    assert choose(vectors, labels, ["a", "b"], sums[[1, 1]], counts[:2], 20.0, 2)[0] == [0]


def test_the_split_is_by_class_and_by_the_seed():
    labels = np.array([0] * 10 + [1] * 5 + [2] + [-1] * 8)
    fit, out = stratified(labels, 0.4, 3)
    assert sorted([*fit, *out]) == list(range(24))
    assert [int((labels[out] == label).sum()) for label in (0, 1, 2, -1)] == [4, 2, 0, 3]
    np.testing.assert_array_equal(out, stratified(labels, 0.4, 3)[1])
    assert list(out) != list(stratified(labels, 0.4, 4)[1])


@pytest.mark.parametrize("score_function", ["softmax", "sigmoid"])
def test_a_planted_temperature_is_found(score_function):
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(4000, 5)) * 3 - (6 if score_function == "sigmoid" else 0)
    if score_function == "softmax":
        chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        labels = np.array([draw.choice(5, p=p) for p in chances])
    else:
        labels = np.where(draw.random(4000) < 0.7, logits.argmax(axis=1), -1)
    found = temperature(2.5 * logits, labels, score_function)
    grid = np.geomspace(0.2, 20, 2000)

    def loss(t):
        scaled = 2.5 * logits / t
        if score_function == "softmax":
            return -np.mean(scaled[np.arange(4000), labels] - np.log(np.exp(scaled).sum(axis=1)))
        right = np.arange(5) == labels[:, None]
        return np.mean(np.logaddexp(0, np.where(right, -scaled, scaled)))

    assert found == pytest.approx(grid[np.argmin([loss(t) for t in grid])], rel=0.01)
    if score_function == "softmax":
        assert found == pytest.approx(2.5, rel=0.05)
        # Images of none say nothing without a background, and are the background's with one.
        assert temperature(2.5 * logits, np.where(labels == 4, -1, labels), num_classes=4) == pytest.approx(found)
        with_none = np.concatenate([logits, logits[:50]]), np.concatenate([labels, np.full(50, -1)])
        assert temperature(2.5 * with_none[0], with_none[1]) == pytest.approx(found)


def _scores(probability, right, others=0):
    """Images that are all taken for class 0; some more of class 1, taken for it."""
    count = len(probability) + others
    best = np.zeros((count, 1), int)
    best[len(probability):] = 1
    p = np.concatenate([probability, np.full(others, 0.9)])[:, None]
    labels = np.concatenate([np.where(right, 0, 1), np.ones(others, int)])
    nothing = np.zeros(count)
    return Scores(best, p, labels, labels, nothing, nothing, nothing.astype(bool))


def lower_bound(successes, count):
    test = binomtest(int(successes), int(count), alternative="greater")
    return test.proportion_ci(0.95, method="exact").low


def upper_bound(successes, count):
    return 1 - lower_bound(count - successes, count)


def test_thresholds_keep_the_wanted_precision_by_a_bound():
    draw = np.random.default_rng(5)
    probability = np.round(draw.random(3000), 3)  # with equal ones
    right = draw.random(3000) < 0.4 + 0.6 * probability
    found, other = thresholds(_scores(probability, right), 2, precision=0.9)
    accepted = probability >= found.min_probability
    assert (found.accepted, found.right) == (accepted.sum(), right[accepted].sum())
    assert found.holds
    assert lower_bound(found.right, found.accepted) >= 0.9
    # The lowest: the next one down does not keep it.
    for value in np.unique(probability[~accepted]):
        more = probability >= value
        assert lower_bound(right[more].sum(), more.sum()) < 0.9
    assert other.min_probability is None
    # With too few images their own share decides, and that is said.
    few = thresholds(_scores(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, True])), 1, precision=0.95)[0]
    assert (few.holds, few.needed, few.accepted, few.right) == (False, 59, 2, 2)
    assert 0.7 < few.min_probability <= 0.8
    none = thresholds(_scores(np.array([0.9]), np.array([False])), 1, precision=0.95)[0]
    assert (none.min_probability, none.accepted, none.holds) == (1.0, 0, False)


def test_thresholds_keep_the_wanted_false_positive_rate():
    draw = np.random.default_rng(6)
    probability, right = draw.random(600), draw.random(600) < 0.5
    found = thresholds(_scores(probability, right, others=1700), 2, false_positive_rate=0.02)[0]
    others = 1700 + int((~right).sum())
    assert found.holds
    assert upper_bound(found.accepted - found.right, others) <= 0.02
    lower = np.sort(probability[probability < found.min_probability])[::-1]
    wrong = [int((~right)[probability >= value].sum()) for value in lower]
    assert all(upper_bound(count, others) > 0.02 for count in wrong)
    few = thresholds(_scores(probability[:20], right[:20], others=30), 2, false_positive_rate=0.01)
    assert not few[0].holds
    assert few[0].needed == 299
    quiet = thresholds(_scores(probability[:0], right[:0], others=400), 2, false_positive_rate=0.01)
    assert (quiet[0].min_probability, quiet[0].holds, quiet[0].needed) == (None, True, 0)
    quiet = thresholds(_scores(probability[:0], right[:0], others=200), 2, false_positive_rate=0.01)
    assert (quiet[0].min_probability, quiet[0].holds, quiet[0].needed) == (None, False, 299)


def test_how_many_images_a_bound_needs():
    for share, count in ((0.95, 59), (0.9, 29), (0.99, 299)):
        assert needed_images(share) == count
        assert lower_bound(count, count) >= share > lower_bound(count - 1, count - 1)


def test_a_planted_background_word_takes_false_positives_away():
    draw = np.random.default_rng(8)
    logits = draw.normal(size=(400, 4))
    labels = np.repeat([0, 1, 2, 3, -1], 80)
    logits[np.arange(320), labels[:320]] += 5
    logits[320:, 0] += 5  # images of none, taken for class 0
    word_logits = draw.normal(size=(400, 6)) - 2
    word_logits[320:380, 4] += 10  # most of them are this word's
    word_logits[380:, 2] += 10
    begun, chosen, steps = background.suggest(logits, labels, np.zeros((400, 0)), list("abcdef"), word_logits, 5)
    assert begun > 70
    assert chosen[:2] == [4, 2]
    assert steps[0].false_positives < 30
    assert steps[1].false_positives == 0
    assert len(chosen) == 2
    assert background.suggest(logits, labels, np.zeros((400, 0)), list("abcdef"), word_logits, 1)[1] == [4]
    useless = np.full((400, 2), -50.0)
    assert background.suggest(logits, labels, np.zeros((400, 0)), list("ab"), useless, 5)[1] == []


def test_the_words_that_are_shipped():
    found = words()
    assert len(found) == len({word.casefold() for word in found}) > 150
    assert found == sorted(found)
    assert all(word.isascii() and word.strip() == word for word in found)
    licence = (SOURCE / "client/python/zeroshot_client/tune/words.LICENSE").read_text()
    assert "Apache-2.0" in licence



def test_without_candidates_all_the_servers_templates_are(exact, labelled, cache):
    images = Dataset.load(labelled)
    two = images.subset([i for i, item in enumerate(images.items) if item.label in ("frog", "sunflower")])
    found = tune(exact, two, Spec.of(["frog", "sunflower"], OTHERS[2]), cache=cache, max_templates=2)
    known = {text for texts in exact.template_sets().values() for text in texts}
    assert set(found.templates) <= known
    assert 1 <= len(found.steps) <= 2
    assert found.steps[-1].accuracy > found.fit_accuracy
