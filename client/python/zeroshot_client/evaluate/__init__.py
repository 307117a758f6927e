"""Accuracy of zero-shot classifiers on labelled images. Needs zeroshot_client[evaluate].

    from zeroshot_client import Client
    from zeroshot_client.evaluate import Dataset, evaluate, to_html

    client = Client("127.0.0.1:50051")
    images = Dataset.load("val/")                       # a folder for each class
    found = evaluate(client, images, {
        "simple": client.build(images.labels),
        "seven": client.build(images.labels, "openai-imagenet-7"),
    }, cache="val.npz")
    print(found.results[0].top_1, found.comparisons[0].test.p_value)
    open("report.html", "w").write(to_html(found))

`python -m zeroshot_client evaluate` is the same as a program; docs/decisions.md shows both.
"""

from __future__ import annotations

from zeroshot_client.evaluate.dataset import NONE, Dataset, Item, class_indices, read_mapping
from zeroshot_client.evaluate.embeddings import Embedded, EmbeddingCache, Failure, embed, embed_texts
from zeroshot_client.evaluate.evaluation import (
    ClassFigures,
    Comparison,
    Confusion,
    Decisions,
    Evaluation,
    Result,
    evaluate,
    evaluate_vectors,
)
from zeroshot_client.evaluate.metrics import Bin, Interval, PairedTest
from zeroshot_client.evaluate.report import to_html
from zeroshot_client.evaluate.scoring import Scorer, Scores

__all__ = [
    "NONE",
    "Bin",
    "ClassFigures",
    "Comparison",
    "Confusion",
    "Dataset",
    "Decisions",
    "Embedded",
    "EmbeddingCache",
    "Evaluation",
    "Failure",
    "Interval",
    "Item",
    "PairedTest",
    "Result",
    "Scorer",
    "Scores",
    "class_indices",
    "embed",
    "embed_texts",
    "evaluate",
    "evaluate_vectors",
    "read_mapping",
    "to_html",
]
