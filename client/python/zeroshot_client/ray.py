"""Classifies data sets with Ray Data, on any number of machines, against any number of servers.

    import ray
    from zeroshot_client.ray import Classify

    answered = ray.data.read_parquet("images/").map_batches(
        Classify,
        fn_constructor_kwargs={"target": "ipv4:10.0.0.1:50051,10.0.0.2:50051", "classes": ["cat", "dog"]},
        batch_size=64,
        compute=ray.data.ActorPoolStrategy(size=2),
    )
    answered.write_parquet("answers/")

client/python/examples/ray_classify.py is a whole job, which goes on where it was stopped. The module needs no
Ray itself: Classify is any engine's function of a batch of columns (docs/python.md has Spark's).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zeroshot_client.client import Client
from zeroshot_client.errors import InvalidArgumentError
from zeroshot_client.spec import Classes, Spec, Templates, spec_of

Columns = dict[str, Any]


class Classify:
    """Adds columns to a batch: class_name, probability, accepted, other_probability, and error, which is None
    where there is an answer.

    It is made once a worker, and connects there: one process, with `in_flight` images at the servers. They
    refuse what is too much for them and it waits, so that the engine sends it no more than they take.

    Thread rule: one thread calls it.
    """

    def __init__(
        self,
        target: str | None = None,
        classes: Classes | Spec = (),
        templates: Templates = None,
        *,
        image: str = "bytes",
        keep_image: bool = False,
        in_flight: int = 32,
        batch_size: int = 8,
        wait_for_server: float = 300.0,
        background: Sequence[str] = (),
        min_probability: float | None = None,
        client: dict[str, Any] | None = None,
    ) -> None:
        """Waits for the server, and builds the classifier or finds it.

        image            the column of images: bytes of files, or arrays [H, W, 3] of uint8
        keep_image       whether that column is passed on
        batch_size       images per call
        wait_for_server  seconds that a server may be away, each time; then the batch fails, and the engine
                         tries it again or stops
        client           further arguments of Client, such as {"token": ..., "tls_ca": ...}
        """
        spec = spec_of(classes, templates, background, None, "")
        self._image, self._keep = image, keep_image
        self._how: dict[str, Any] = {
            "in_flight": in_flight,
            "batch_size": batch_size,
            "wait_for_server": wait_for_server,
            "min_probability": min_probability,
            "top_k": 1,
        }
        self._client = Client(target, **(client or {}))
        self._client.wait_until_ready(wait_for_server)
        self._classifier = self._client.build(spec)

    def __call__(self, batch: Columns) -> Columns:
        """A batch of columns in, with the new columns out."""
        if self._image not in batch:
            raise InvalidArgumentError(f"no column '{self._image}' of images; there are: {', '.join(batch)}")
        images = list(batch[self._image])
        answers = [answer for _, answer in self._classifier.classify_many(images, **self._how)]
        result = {name: column for name, column in batch.items() if self._keep or name != self._image}
        result["class_name"] = _column([a.top.class_name if a.ok else "" for a in answers], object)
        result["probability"] = _column([a.top.probability if a.ok else np.nan for a in answers], np.float32)
        result["accepted"] = _column([a.ok and a.top.accepted for a in answers], np.bool_)
        result["other_probability"] = _column([a.other_probability if a.ok else np.nan for a in answers], np.float32)
        result["error"] = _column([None if a.ok else str(a.error) for a in answers], object)
        return result


def _column(values: list[Any], dtype: Any) -> Any:
    return np.array(values, dtype=dtype)
