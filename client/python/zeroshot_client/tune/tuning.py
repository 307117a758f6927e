"""Fits a classifier to labelled images, and reports on images that it was not fitted on.

Thread rule: plain values; `tune` may be called from many threads at once.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from zeroshot_client._proto import zeroshot_pb2 as pb
from zeroshot_client.errors import InvalidArgumentError
from zeroshot_client.evaluate.dataset import Dataset, IntArray, class_indices
from zeroshot_client.evaluate.embeddings import Embedded, EmbeddingCache, embed, embed_texts
from zeroshot_client.evaluate.evaluation import Evaluation, evaluate_vectors, of_known_labels
from zeroshot_client.evaluate.scoring import Scorer, unit
from zeroshot_client.spec import Spec
from zeroshot_client.tune import background as backgrounds
from zeroshot_client.tune import calibration
from zeroshot_client.tune import templates as selection
from zeroshot_client.tune.background import Suggestion
from zeroshot_client.tune.calibration import Threshold
from zeroshot_client.tune.split import stratified
from zeroshot_client.tune.templates import Step
from zeroshot_client.types import FloatArray, ModelInfo

if TYPE_CHECKING:
    from zeroshot_client.client import Client

# Images of a class, of those fitted on, under which choices for it are little more than chance.
FEW_IMAGES = 10
MOST_BYTES = 4 << 30  # of the vectors of all candidates' prompts
PROMPTS = "(prompts)"  # the name of the candidate that is a file of prompts by class


@dataclasses.dataclass(frozen=True)
class Tuning:
    """What `tune` found.

    spec             of the tuned classifier, for Client.build and zeroshot_client build --spec
    templates        that it has; steps: how they were chosen, empty if they were kept
    fit_accuracy     of what it began with, on the images that were fitted on
    temperature      fitted; None: kept
    background       words that were added, in order; false_positives: before the first of them
    thresholds       one a class, empty without a wanted precision or false-positive rate
    evaluation       on the images held out: `before` and `tuned`, with a paired test. Its warnings are those of
                     all steps: where images are too few to say, and what was not used
    """

    spec: Spec
    templates: Sequence[str]
    steps: Sequence[Step]
    fit_accuracy: float
    temperature: float | None
    background: Sequence[Suggestion]
    false_positives: int
    thresholds: Sequence[Threshold]
    evaluation: Evaluation
    num_fitted: int
    seed: int

    @property
    def warnings(self) -> Sequence[str]:
        """Where images are too few to say, and what was not used."""
        return self.evaluation.warnings

    def prompts_json(self) -> str:
        """Complete prompts by class, as CuPL's files and `zeroshot_client build --prompts_file` have them."""
        return json.dumps(
            {
                item.name: list(item.prompts) or [text.replace("{}", item.name) for text in self.templates]
                for item in self.spec.request.classes
            },
            indent=1,
            ensure_ascii=False,
        )

    def to_json(self) -> str:
        """All of it; the spec as protobuf writes it."""
        value = {
            "spec": json.loads(self.spec.to_json()),
            "images": {"fitted": self.num_fitted, "held_out": len(self.evaluation.dataset.items), "seed": self.seed},
            "templates": {
                "chosen": list(self.templates),
                "accuracy_before": self.fit_accuracy,
                "steps": [dataclasses.asdict(step) for step in self.steps],
            },
            "temperature": self.temperature,
            "background": {
                "false_positives_before": self.false_positives,
                "steps": [dataclasses.asdict(step) for step in self.background],
            },
            "thresholds": [dataclasses.asdict(threshold) for threshold in self.thresholds],
            "held_out": self.evaluation.to_dict(),
        }
        return json.dumps(value, indent=1, ensure_ascii=False)

    def summary(self) -> str:
        """What was chosen, for people."""
        lines = [f"fitted on {self.num_fitted} images; accuracy there before: {100 * self.fit_accuracy:.1f} %"]
        lines += [f"template {100 * step.accuracy:.1f} %: {step.candidate}" for step in self.steps]
        if not self.steps:
            lines.append("templates: kept")
        lines.append("temperature: kept" if self.temperature is None else f"temperature: {self.temperature:.3g}")
        if self.background:
            steps = ", ".join(f"{step.word} ({step.false_positives})" for step in self.background)
            lines.append(f"background, with false positives left of {self.false_positives}: {steps}")
        if self.thresholds:
            held = sum(threshold.holds for threshold in self.thresholds)
            lines.append(f"thresholds: {held} of {len(self.thresholds)} hold with 95 % confidence")
        lines.append("held out:")
        return "\n".join(lines)


def tune(
    client: Client,
    dataset: Dataset | str | os.PathLike[str],
    spec: Spec,
    *,
    candidates: Sequence[str] | None = None,
    prompts: Spec | None = None,
    none: str = "",
    precision: float | None = None,
    false_positive_rate: float | None = None,
    held_out: float = 0.5,
    max_templates: int = 8,
    max_background: int = 8,
    background_words: Sequence[str] | None = None,
    cache: EmbeddingCache | str | os.PathLike[str] | None = None,
    unknown: str = "raise",
    score_function: str | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Tuning:
    """A better spec for these classes, by labelled images.

        found = tune(client, "train/", Spec.of(["frog", "apple"]), precision=0.95, none="none_of_these")
        Path("tuned.json").write_text(found.spec.to_json())

    The images are split, by class and by the seed. On one part are chosen, in this order: templates; background
    classes, if there are images of none of the classes; the temperature; thresholds, if a precision or a
    false-positive rate is wanted. The other part is what `evaluation` reports on. The same arguments give the
    same spec.

    candidates        templates to choose from. None: all that the server has sets of; empty: the spec's stay
    prompts           prompts by class (a CuPL file, read by Spec.from_file), as one more candidate
    none              the label of images that show none of the classes
    precision         wanted of what is accepted of each class; or false_positive_rate: of other images
    held_out          share of the images to report on
    background_words  to choose from. None: the list that is shipped
    cache, unknown, score_function   as `evaluate`'s

    Classes that have prompts of their own keep these. A spec with example images keeps its templates.
    InvalidArgumentError: a label is no class, an argument is not allowed, a prompt is too long for the model.
    """
    _check(precision, false_positive_rate, max_templates, max_background)
    if isinstance(dataset, (str, os.PathLike)):
        dataset = Dataset.load(dataset)
    model = client.model()
    if not isinstance(cache, EmbeddingCache):
        cache = EmbeddingCache(cache, model)
    session = _Session(client, model, score_function, progress)
    request = session.with_names(spec)
    before = session.build(request)
    dataset, warnings = of_known_labels(dataset, {"the spec": before}, none, unknown)
    embedded = embed(client, dataset, cache, progress=progress)
    labels, _ = class_indices([item.label for item in embedded.dataset.items], before.class_names, none)
    fit, out = stratified(labels, held_out, seed)
    warnings += _few_images(labels[fit], labels[out], before.class_names)
    fitted = _Fitted(embedded.vectors[fit], labels[fit])

    base_accuracy = float((before.score(fitted.known_vectors, fitted.known_labels).ranks == 0).mean())
    steps = session.choose_templates(request, fitted, candidates, prompts, max_templates, base_accuracy, warnings)
    begun, words = session.choose_background(request, fitted, background_words, max_background, warnings)
    fitted_temperature = session.fit_temperature(request, fitted, warnings)
    thresholds: list[Threshold] = []
    if precision is not None or false_positive_rate is not None:
        scores = session.build(request).score(fitted.vectors, fitted.labels)
        thresholds = calibration.thresholds(
            scores, len(request.classes), precision=precision, false_positive_rate=false_positive_rate
        )
        for item, threshold in zip(request.classes, thresholds):
            item.ClearField("min_probability")
            if threshold.min_probability is not None:
                item.min_probability = threshold.min_probability
        warnings += _few_for_thresholds(thresholds, before.class_names)

    tuned = session.build(request)
    evaluation = evaluate_vectors(
        model,
        Embedded(embedded.dataset.subset(out), embedded.vectors[out], embedded.failures, embedded.num_embedded),
        {"before": before, "tuned": tuned},
        none=none,
        seed=seed,
    )
    return Tuning(
        Spec(request),
        session.templates_of(request),
        tuple(steps),
        base_accuracy,
        fitted_temperature,
        tuple(words),
        begun,
        tuple(thresholds),
        dataclasses.replace(evaluation, warnings=tuple(dict.fromkeys([*warnings, *evaluation.warnings]))),
        len(fit),
        seed,
    )


class _Fitted:
    """The images that are fitted on."""

    def __init__(self, vectors: FloatArray, labels: IntArray) -> None:
        self.vectors, self.labels = vectors, labels
        known = labels >= 0
        self.known_vectors, self.known_labels = vectors[known], labels[known]
        self.num_none = int((~known).sum())


class _Session:
    """What all steps ask the server with. Each changes the request that it is given."""

    def __init__(self, client: Client, model: ModelInfo, score_function: str | None, progress: bool) -> None:
        self._client, self._model = client, model
        self._score_function, self._progress = score_function, progress
        self._sets: dict[str, tuple[str, ...]] | None = None

    def build(self, request: pb.BuildClassifierRequest) -> Scorer:
        """The server's class vectors, and what it decides with."""
        built = self._client.build(Spec(request))
        return Scorer.of(self._client, built, self._model, score_function=self._score_function)

    def with_names(self, spec: Spec) -> pb.BuildClassifierRequest:
        """A copy whose classes are named, where it has the name of a class set."""
        request = pb.BuildClassifierRequest()
        request.CopyFrom(spec.request)
        if request.class_set:
            for name in self._client.class_set(request.class_set):
                request.classes.add(name=name)
            request.class_set = ""
        return request

    def templates_of(self, request: pb.BuildClassifierRequest) -> tuple[str, ...]:
        """Its templates, or those of the set that it names."""
        return tuple(request.templates) or self._template_sets()[request.template_set or "simple"]

    def _template_sets(self) -> dict[str, tuple[str, ...]]:
        if self._sets is None:
            self._sets = self._client.template_sets()
        return self._sets

    def choose_templates(
        self,
        request: pb.BuildClassifierRequest,
        fitted: _Fitted,
        candidates: Sequence[str] | None,
        prompts: Spec | None,
        most: int,
        base_accuracy: float,
        warnings: list[str],
    ) -> list[Step]:
        """Sets the request's templates, or its prompts, where they are better than those that it has."""
        if candidates is None:
            candidates = [text for texts in self._template_sets().values() for text in texts]
        candidates = list(dict.fromkeys(candidates))
        if not candidates and prompts is None:
            return []
        if any(item.example_images or item.example_embeddings for item in request.classes):
            warnings.append("the spec has example images: its templates stay")
            return []
        if all(item.prompts for item in request.classes):
            warnings.append("every class of the spec has prompts of its own: there are no templates to choose")
            return []
        for text in candidates:
            if "{}" not in text:
                raise InvalidArgumentError(f"the template '{text}' must hold {{}} where the class name goes")
        names, sums, counts = self._prompt_sums(request, candidates, prompts)
        scale = self._model.logit_scale / (request.temperature or 1.0)
        chosen, steps = selection.choose(fitted.known_vectors, fitted.known_labels, names, sums, counts, scale, most)
        if not steps or steps[-1].accuracy <= base_accuracy:
            warnings.append("no candidate is better than the templates that it began with: they stay")
            return []
        texts = [candidates[index] for index in chosen if index < len(candidates)]
        if prompts is not None and len(candidates) in chosen:
            by_class = {item.name: item.prompts for item in prompts.request.classes}
            for item in request.classes:
                if not item.prompts:
                    item.prompts.extend(text.replace("{}", item.name) for text in texts)
                    item.prompts.extend(by_class.get(item.name, ()))
        if texts:
            # Of the background classes too, where the classes have prompts.
            request.template_set = ""
            del request.templates[:]
            request.templates.extend(texts)
        return steps

    def _prompt_sums(
        self, request: pb.BuildClassifierRequest, candidates: Sequence[str], prompts: Spec | None
    ) -> tuple[list[str], FloatArray, IntArray]:
        """As templates.choose takes them; of a class that has prompts these, whatever the candidate."""
        classes, dim = len(request.classes), self._model.embedding_dim
        count = len(candidates) + (prompts is not None)
        if 4 * count * classes * dim > MOST_BYTES:
            raise InvalidArgumentError(
                f"{count} candidates for {classes} classes are {count * classes} prompts, whose vectors take "
                f"{4 * count * classes * dim >> 20} MiB; {MOST_BYTES >> 20} are allowed. Name fewer candidates"
            )
        sums = np.zeros((count, classes, dim), dtype=np.float32)
        counts = np.zeros((count, classes), dtype=np.int64)
        by_class = {} if prompts is None else {item.name: item.prompts for item in prompts.request.classes}
        texts: list[str] = []
        places: list[tuple[int, int]] = []
        for index, item in enumerate(request.classes):
            for candidate in range(count):
                of_class = list(item.prompts)
                if not of_class and candidate < len(candidates):
                    of_class = [candidates[candidate].replace("{}", item.name)]
                elif not of_class:
                    of_class = list(by_class.get(item.name, ()))
                texts += of_class
                places += [(candidate, index)] * len(of_class)
        vectors = embed_texts(self._client, texts, progress=self._progress)
        np.add.at(sums, tuple(np.array(places).T), vectors)
        np.add.at(counts, tuple(np.array(places).T), 1)
        return [*candidates, PROMPTS][:count], sums, counts

    def choose_background(
        self,
        request: pb.BuildClassifierRequest,
        fitted: _Fitted,
        words: Sequence[str] | None,
        most: int,
        warnings: list[str],
    ) -> tuple[int, list[Suggestion]]:
        """Adds background classes to the request, if there are images of none of the classes."""
        if not fitted.num_none or most == 0:
            return 0, []
        scorer = self.build(request)
        if scorer.score_function == "sigmoid":
            warnings.append("under sigmoid a background takes nothing from the classes: none was chosen")
            return 0, []
        if fitted.num_none < FEW_IMAGES:
            warnings.append(f"only {fitted.num_none} images of none of the classes were fitted on")
        words = _other_words(backgrounds.words() if words is None else words, request)
        templates = self.templates_of(request)
        texts = [text.replace("{}", word) for word in words for text in templates]
        prompt_vectors = embed_texts(self._client, texts, progress=self._progress)
        vectors = unit(prompt_vectors.reshape(len(words), len(templates), -1).mean(axis=1, dtype=np.float64))
        temperature = self._temperature(scorer, fitted) or scorer.temperature
        logits = scorer.logits(fitted.vectors) / temperature
        classes = len(scorer.class_names)
        with_words = dataclasses.replace(scorer, background=vectors).logits(fitted.vectors)[:, classes:] / temperature
        begun, chosen, steps = backgrounds.suggest(
            logits[:, :classes], fitted.labels, logits[:, classes:], words, with_words, most
        )
        request.background.extend(words[index] for index in chosen)
        if not chosen and begun:
            warnings.append("no word takes an image of none of the classes away: no background class was chosen")
        return begun, steps

    def fit_temperature(self, request: pb.BuildClassifierRequest, fitted: _Fitted, warnings: list[str]) -> float | None:
        """Sets the request's temperature."""
        scorer = self.build(request)
        warnings += calibration.few_errors(scorer.score(fitted.known_vectors, fitted.known_labels).ranks == 0)
        found = self._temperature(scorer, fitted)
        if found is None:
            warnings.append("every image that was fitted on is right: no temperature can be fitted, and it stays")
            return None
        if found > 0.95 * calibration.HIGHEST or found < 1.05 * calibration.LOWEST:
            warnings.append(
                f"the temperature is at the end of what is tried ({calibration.LOWEST} to {calibration.HIGHEST}): "
                "are labels and classes the same?"
            )
        request.temperature = found
        return found

    def _temperature(self, scorer: Scorer, fitted: _Fitted) -> float | None:
        classes = len(scorer.class_names)
        if (scorer.logits(fitted.known_vectors)[:, :classes].argmax(axis=1) == fitted.known_labels).all():
            return None
        logits = scorer.logits(fitted.vectors)
        # As people read it; and the same in the spec and in the server.
        value = calibration.temperature(logits, fitted.labels, scorer.score_function, classes)
        return float(f"{value:.4g}")


def _check(precision: float | None, rate: float | None, max_templates: int, max_background: int) -> None:
    if precision is not None and rate is not None:
        raise InvalidArgumentError("precision and false_positive_rate are given; allowed is one")
    for name, value in (("precision", precision), ("false_positive_rate", rate)):
        if value is not None and not 0 < value < 1:
            raise InvalidArgumentError(f"{name} is {value}; it must be over 0 and under 1")
    for name, count, least in (("max_templates", max_templates, 1), ("max_background", max_background, 0)):
        if count < least:
            raise InvalidArgumentError(f"{name} is {count}; it must be at least {least}")


def _other_words(words: Sequence[str], request: pb.BuildClassifierRequest) -> list[str]:
    """Those that are no class, part of the name of one, or background already."""
    taken = {name.casefold() for name in request.background}
    for item in request.classes:
        taken |= {item.name.casefold(), *re.findall(r"\w+", item.name.casefold())}
    left = [word for word in words if word.casefold() not in taken]
    if not left:
        raise InvalidArgumentError("every background word is a class, or a background class that the spec has")
    return left


def _few_images(fit: IntArray, out: IntArray, names: Sequence[str]) -> list[str]:
    few, missing = [], []
    for index in range(len(names)):
        fitted, held = int((fit == index).sum()), int((out == index).sum())
        if fitted and not held:
            missing.append(names[index])
        if 0 < fitted < FEW_IMAGES:
            few.append(names[index])
    warnings = []
    if few:
        warnings.append(f"{_listed(few)}: fewer than {FEW_IMAGES} images were fitted on; what was chosen may be chance")
    if missing:
        warnings.append(f"{_listed(missing)}: no image is held out")
    return warnings


def _few_for_thresholds(thresholds: Sequence[Threshold], names: Sequence[str]) -> list[str]:
    few = [names[found.class_index] for found in thresholds if not found.holds]
    if not few:
        return []
    needed = max(found.needed for found in thresholds)
    return [
        f"thresholds of {_listed(few)}: too few images to say with 95 % confidence that what is wanted holds (the "
        f"images' own share decided); at least {needed} without an error are needed for each"
    ]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"{len(names)} classes ({shown})"
