"""Figures against scikit-learn's, NumPy's and the formulas they are named after."""

import math

import numpy as np
import pytest

pytest.importorskip("sklearn")

import sklearn.metrics
from scipy import stats

from zeroshot_client.evaluate import Scorer, class_indices, metrics
from zeroshot_client.evaluate.evaluation import _result
from zeroshot_client.evaluate.scoring import class_vectors, unit

CLASSES, IMAGES, DIM = 13, 700, 24


@pytest.fixture(scope="module")
def case():
    """Images near their class's vector, some of them nearer to another's; the scorer, and their scores."""
    draw = np.random.default_rng(7)
    weights = unit(draw.normal(size=(CLASSES, DIM)))
    labels = draw.integers(0, CLASSES - 1, IMAGES)  # the last class has no image
    vectors = unit(weights[labels] + 0.35 * draw.normal(size=(IMAGES, DIM)))
    names = [f"class {i}" for i in range(CLASSES)]
    scorer = Scorer(names, weights, 9.0, 0.0, "softmax", np.zeros((0, DIM), np.float32))
    return scorer, vectors, labels, scorer.score(vectors, labels)


def test_accuracies_are_scikit_learns(case):
    scorer, vectors, labels, scores = case
    logits = scorer.logits(vectors)
    result = _result("x", "", scorer, scores, 0)
    for k, interval in ((1, result.top_1), (5, result.top_5)):
        expected = sklearn.metrics.top_k_accuracy_score(labels, logits, k=k, labels=np.arange(CLASSES))
        assert interval.value == pytest.approx(expected, abs=1e-12)
    assert 0.5 < result.top_1.value < 0.95
    best = logits.argmax(axis=1)
    present = np.unique(labels)
    recall = sklearn.metrics.recall_score(labels, best, labels=present, average=None)
    precision = sklearn.metrics.precision_score(labels, best, labels=present, average=None)
    np.testing.assert_allclose([figures.recall.value for figures in result.classes], recall)
    np.testing.assert_allclose([figures.precision for figures in result.classes], precision)
    assert result.mean_recall.value == pytest.approx(recall.mean())
    named, _ = scorer.probabilities(logits)
    assert result.log_loss == pytest.approx(sklearn.metrics.log_loss(labels, named, labels=np.arange(CLASSES)))
    np.testing.assert_allclose(scores.label_probabilities, named[np.arange(IMAGES), labels])
    order = np.argsort(-logits, axis=1)[:, :5]
    np.testing.assert_array_equal(scores.classes, order)
    wrong = {(c.class_name, c.taken_for): c.count for c in result.confusions}
    matrix = sklearn.metrics.confusion_matrix(labels, best, labels=np.arange(CLASSES))
    assert wrong == {(f"class {i}", f"class {j}"): matrix[i, j]
                     for i in range(CLASSES) for j in range(CLASSES) if i != j and matrix[i, j]}
    assert [c.count for c in result.confusions] == sorted(wrong.values(), reverse=True)
    present, counts = result.confusion_matrix()
    np.testing.assert_array_equal(counts, matrix[np.ix_(present, present)])


def test_accuracies_are_open_clips(case):
    """By open_clip's own function, which its training calls; scripts/test-python parity has it."""
    torch = pytest.importorskip("torch")
    zero_shot = pytest.importorskip("open_clip_train.zero_shot")
    zero_shot.float = lambda array: array.item()  # float() of an array of one number is no more in NumPy 2.4
    scorer, vectors, labels, scores = case
    result = _result("x", "", scorer, scores, 0)
    logits = 100.0 * torch.from_numpy(vectors) @ torch.from_numpy(scorer.weights).T
    top_1, top_5 = zero_shot.accuracy(logits, torch.from_numpy(labels), topk=(1, 5))
    assert (result.top_1.value, result.top_5.value) == (pytest.approx(top_1 / IMAGES), pytest.approx(top_5 / IMAGES))


def test_of_equal_logits_the_first_class_wins():
    weights = np.eye(4, dtype=np.float32)[[0, 1, 1, 2]]
    scorer = Scorer(list("abcd"), weights, 1.0, 0.0, "softmax", np.zeros((0, 4), np.float32))
    scores = scorer.score(np.eye(4, dtype=np.float32)[[1, 1]], np.array([1, 2]))
    np.testing.assert_array_equal(scores.classes[0], [1, 2, 0, 3])
    np.testing.assert_array_equal(scores.ranks, [0, 1])


def test_calibration_error_is_the_sum_over_its_bins(case):
    *_, scores = case
    probability, correct = scores.probabilities[:, 0], scores.ranks == 0
    expected, filled = 0.0, 0
    for place in range(15):
        inside = [(p, c) for p, c in zip(probability, correct) if place / 15 < p <= (place + 1) / 15]
        if inside:
            filled += 1
            expected += abs(sum(c for _, c in inside) - sum(p for p, _ in inside)) / len(probability)
    error, bins = metrics.reliability(probability, correct)
    assert error == pytest.approx(expected)
    assert len(bins) == filled > 5
    assert sum(part.count for part in bins) == IMAGES
    # As often right as it says: no error.
    assert metrics.reliability(np.full(4, 0.75), np.array([True, True, True, False]))[0] == pytest.approx(0)
    assert metrics.reliability(np.array([0.0, 1.0]), np.array([False, True])) == (
        pytest.approx(0), [metrics.Bin(0, 1 / 15, 1, 0, 0), metrics.Bin(14 / 15, 1, 1, 1, 1)])
    assert math.isnan(metrics.reliability(np.zeros(0), np.zeros(0, bool))[0])


def test_intervals_are_wilsons():
    z = stats.norm.ppf(0.975)
    for k, n in ((0, 5), (3, 7), (58, 100), (100, 100)):
        p = k / n
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        interval = metrics.proportion(k, n)
        assert (interval.value, interval.low, interval.high) == (
            p, pytest.approx(middle - half, abs=1e-12), pytest.approx(middle + half, abs=1e-12))
    nothing = metrics.proportion(0, 0)
    assert math.isnan(nothing.value)
    assert (nothing.low, nothing.high) == (0, 1)


def test_bounds_are_cloppers_and_pearsons():
    successes, counts = np.array([29, 58, 3, 0, 0]), np.array([29, 60, 9, 4, 0])
    expected = [stats.binomtest(k, n, alternative="greater").proportion_ci(0.95, method="exact").low if n else 0
                for k, n in zip(successes.tolist(), counts.tolist())]
    np.testing.assert_allclose(metrics.lower_bounds(successes, counts), expected, atol=1e-9)
    np.testing.assert_allclose(metrics.upper_bounds(counts - successes, counts), 1 - np.array(expected), atol=1e-9)
    of_59, of_58 = metrics.lower_bounds(np.array([59, 58]), np.array([59, 58]))
    assert of_59 >= 0.95 > of_58


def test_the_bootstrap_draws_within_classes():
    labels = np.repeat([0, 1, 2], [200, 50, 10])
    correct = np.concatenate([np.arange(200) < 160, np.arange(50) < 25, np.arange(10) < 9])
    interval = metrics.mean_recall(labels, correct, seed=3)
    assert interval.value == pytest.approx((0.8 + 0.5 + 0.9) / 3)
    assert interval == metrics.mean_recall(labels, correct, seed=3)
    deviation = math.sqrt(0.8 * 0.2 / 200 + 0.25 / 50 + 0.09 / 10) / 3
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * deviation, rel=0.15)
    # As when images themselves are drawn.
    draw = np.random.default_rng(0)
    means = [np.mean([draw.choice(correct[labels == c], (labels == c).sum()).mean() for c in range(3)])
             for _ in range(2000)]
    np.testing.assert_allclose(np.quantile(means, [0.025, 0.975]), [interval.low, interval.high], atol=0.015)
    assert math.isnan(metrics.mean_recall(np.zeros(0, int), np.zeros(0, bool)).value)


def test_the_paired_test_is_mcnemars_exact():
    first = np.array([True] * 30 + [False] * 9 + [True] * 2)
    second = np.array([True] * 30 + [True] * 9 + [False] * 2)
    test = metrics.paired_test(first, second)
    assert (test.only_first, test.only_second) == (2, 9)
    tail = sum(math.comb(11, i) for i in range(3)) / 2**11
    assert test.p_value == pytest.approx(2 * tail)
    assert metrics.paired_test(first, first).p_value == 1


def test_several_tests_are_corrected_by_holm():
    tests = [metrics.PairedTest(0, 0, p) for p in (0.01, 0.04, 0.03)]
    assert [test.p_holm for test in metrics.holm(tests)] == [pytest.approx(p) for p in (0.03, 0.06, 0.06)]


def test_class_vectors_are_unit_means():
    prompts = unit(np.random.default_rng(1).normal(size=(3, 5, 8)))
    expected = prompts.mean(axis=0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(class_vectors(prompts), expected, atol=1e-6)


def test_labels_are_names_or_else_indices():
    names = ["frog", "car", "7", "crane", "crane"]
    indices, unknown = class_indices(["car", "7", "0", "dog", "none", "9"], names, "none")
    np.testing.assert_array_equal(indices, [1, 2, 0, 5, -1, 5])
    assert unknown == ["9", "dog"]
    with pytest.raises(ValueError, match="'crane' is the name of the classes 3, 4"):
        class_indices(["crane"], names)
