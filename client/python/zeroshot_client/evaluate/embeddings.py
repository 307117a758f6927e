"""Vectors of a data set's images: each image is embedded once, and once only with a cache file.

Thread rule: an EmbeddingCache belongs to one thread.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zeroshot_client import calls, errors
from zeroshot_client.bulk import Bulk
from zeroshot_client.errors import InvalidArgumentError
from zeroshot_client.evaluate.dataset import Dataset, Item, PathLike
from zeroshot_client.progress import bar
from zeroshot_client.types import FloatArray, ModelInfo

if TYPE_CHECKING:
    from zeroshot_client.client import Client

BATCH = 16  # images of one call
IN_FLIGHT = 4  # calls at once


@dataclasses.dataclass(frozen=True)
class Failure:
    """An image that has no vector, and why."""

    name: str
    label: str
    error: str


@dataclasses.dataclass(frozen=True)
class Embedded:
    """The images that could be embedded with their unit vectors [images, dim], and those that could not.

    num_embedded  how many the server was asked for; the others were in the cache, or equal to one of them
    """

    dataset: Dataset
    vectors: FloatArray
    failures: Sequence[Failure]
    num_embedded: int = 0

    def subset(self, indices: Any) -> Embedded:
        """Those images; failures are of the whole."""
        return Embedded(self.dataset.subset(indices), self.vectors[indices], (), 0)


class EmbeddingCache:
    """Vectors by the SHA-256 of an image's bytes, in an .npz file, of one model at one precision.

    A file that changed is embedded again; one that was moved or renamed is not. Without a path it keeps
    vectors in memory only.
    """

    def __init__(self, path: PathLike | None, model: ModelInfo) -> None:
        """InvalidArgumentError: the file is none, or of another model or precision."""
        self._path = None if path is None else Path(path)
        self._model = f"{model.fingerprint} {model.precision}"
        self._vectors: dict[bytes, FloatArray] = {}
        self._saved = 0
        if self._path is None or not self._path.exists():
            return
        try:
            with np.load(self._path, allow_pickle=False) as file:
                of_model, keys, vectors = str(file["model"]), file["keys"], file["vectors"]
        except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise InvalidArgumentError(f"{path}: no file of embeddings: {error}") from error
        if of_model != self._model:
            raise InvalidArgumentError(
                f"{path} has embeddings of the model {of_model[:12]}... ({of_model.rpartition(' ')[2]}), and the "
                f"server serves {model.fingerprint[:12]}... ({model.precision}); name another file, or remove this one"
            )
        self._vectors = {key.tobytes(): vector for key, vector in zip(keys, vectors)}
        self._saved = len(self._vectors)

    def __contains__(self, key: bytes) -> bool:
        return key in self._vectors

    def __getitem__(self, key: bytes) -> FloatArray:
        return self._vectors[key]

    def __setitem__(self, key: bytes, vector: FloatArray) -> None:
        self._vectors[key] = vector

    def save(self) -> None:
        """Writes the file where vectors were added: beside its place first, so that it is whole or as it was."""
        if self._path is None or len(self._vectors) == self._saved:
            return
        keys = np.frombuffer(b"".join(self._vectors), np.uint8).reshape(-1, 32)
        beside = self._path.with_name(self._path.name + ".new")
        with open(beside, "wb") as file:
            np.savez(file, model=np.array(self._model), keys=keys, vectors=np.stack(list(self._vectors.values())))
        os.replace(beside, self._path)
        self._saved = len(self._vectors)


def embed(client: Client, dataset: Dataset, cache: EmbeddingCache, *, progress: bool = False) -> Embedded:
    """Vectors of its images. One that cannot be read or embedded is a Failure; what would end all of them the
    same way is raised, after the cache has kept what is known."""
    keys: list[bytes] = []
    failed: dict[int, str] = {}
    failed_keys: dict[bytes, str] = {}
    asked: set[bytes] = set()
    limit = client.model().limits
    shown = bar("embed", len(dataset.items), " images") if progress else None

    def missing() -> Iterator[tuple[bytes, bytes]]:
        for index, item in enumerate(dataset.items):
            keys.append(b"")
            if shown is not None:
                shown.update()
            try:
                data = item.read()
            except OSError as error:
                failed[index] = error.strerror or str(error)
                continue
            if limit.max_image_bytes and len(data) > limit.max_image_bytes:
                failed[index] = f"{len(data)} bytes; the server takes {limit.max_image_bytes} (IMAGE_TOO_LARGE)"
                continue
            keys[index] = key = hashlib.sha256(data).digest()
            if key not in cache and key not in asked:
                asked.add(key)
                yield key, data

    size = max(1, min(BATCH, limit.max_batch_items or BATCH))
    try:
        with Bulk(client, IN_FLIGHT, 30.0, {}) as bulk:

            def work(batch: list[tuple[bytes, bytes]]) -> calls.Embedded:
                call = calls.embed_images([data for _, data in batch])
                return bulk.persist(lambda twin, prepared: twin._make(call, prepared))

            for batch, (vectors, errors_of) in bulk.run(_in_batches(missing(), size), work):
                for place, (key, _) in enumerate(batch):
                    if place in errors_of:
                        failed_keys[key] = str(errors_of[place])
                    else:
                        cache[key] = vectors[place]
    finally:
        if shown is not None:
            shown.close()
        cache.save()
    kept: list[Item] = []
    rows: list[FloatArray] = []
    failures = []
    for index, item in enumerate(dataset.items):
        why = failed.get(index) or failed_keys.get(keys[index])
        if why is not None:
            failures.append(Failure(item.name, item.label, why))
        else:
            kept.append(item)
            rows.append(cache[keys[index]])
    if not kept:
        raise InvalidArgumentError(
            f"{dataset.name}: none of its {len(dataset.items)} images could be embedded; "
            f"the first: {failures[0].name}: {failures[0].error}"
        )
    return Embedded(
        Dataset(dataset.name, tuple(kept), dataset.skipped),
        np.stack(rows),
        tuple(failures),
        len(asked) - len(failed_keys),
    )


def embed_texts(client: Client, texts: Sequence[str], *, progress: bool = False) -> FloatArray:
    """Unit vectors [texts, dim] of complete prompts, each different one embedded once.

    InvalidArgumentError names the text that the model cannot take.
    """
    different = list(dict.fromkeys(texts))
    size = max(1, min(64, client.model().limits.max_batch_items or 64))
    shown = bar("embed", len(different), " prompts") if progress else None
    parts = []
    try:
        with Bulk(client, 2, 30.0, {}) as bulk:

            def work(batch: list[str]) -> calls.Embedded:
                call = calls.embed_texts(batch)
                return bulk.persist(lambda twin, prepared: twin._make(call, prepared))

            for batch, (vectors, failed) in bulk.run(calls.lists(different, size), work):
                for place, error in failed.items():
                    if isinstance(error, errors.ZeroshotError):
                        error.message = f"the prompt '{batch[place]}': {error.message}"
                    raise error
                parts.append(vectors)
                if shown is not None:
                    shown.update(len(batch))
    finally:
        if shown is not None:
            shown.close()
    places = {text: place for place, text in enumerate(different)}
    return np.concatenate(parts)[[places[text] for text in texts]]


def _in_batches(pairs: Iterator[tuple[bytes, bytes]], size: int) -> Iterator[list[tuple[bytes, bytes]]]:
    """At most `size` of them and about BATCH_BYTES together."""
    batch: list[tuple[bytes, bytes]] = []
    total = 0
    for key, data in pairs:
        if batch and (len(batch) == size or total + len(data) > calls.BATCH_BYTES):
            yield batch
            batch, total = [], 0
        batch.append((key, data))
        total += len(data)
    if batch:
        yield batch
