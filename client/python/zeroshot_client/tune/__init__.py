"""Better zero-shot classifiers by labelled images. Needs zeroshot_client[evaluate].

    from zeroshot_client import Client, Spec
    from zeroshot_client.tune import tune

    client = Client("127.0.0.1:50051")
    found = tune(client, "train/", Spec.of(["frog", "apple"]), precision=0.95, none="none_of_these")
    print(found.summary(), *found.warnings, sep="\\n")
    frogs = client.build(found.spec)

`python -m zeroshot_client tune` is the same as a program; docs/decisions.md shows both.
"""

from __future__ import annotations

from zeroshot_client.tune.background import Suggestion, lines_of, words
from zeroshot_client.tune.calibration import Threshold, temperature, thresholds
from zeroshot_client.tune.split import stratified
from zeroshot_client.tune.templates import Step, choose
from zeroshot_client.tune.tuning import Tuning, tune

__all__ = [
    "Step",
    "Suggestion",
    "Threshold",
    "Tuning",
    "choose",
    "lines_of",
    "stratified",
    "temperature",
    "thresholds",
    "tune",
    "words",
]
