"""Labelled images: a tree of folders, a CSV file, or tar files in WebDataset's layout.

Nothing is left out silently: what is not used is counted in `Dataset.skipped`, with the reason.

Thread rule: plain values; `Item.read` may be called from many threads at once.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Union

import numpy as np
import numpy.typing as npt

from zeroshot_client.errors import InvalidArgumentError

IntArray = npt.NDArray[np.int64]

# The index of an image that shows none of the classes.
NONE = -1
# Names that images have; what has another one in a tree is counted and not sent.
SUFFIXES = (
    *(".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
    *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
MOST_LABEL_BYTES = 1 << 16  # of a .cls or .txt in a tar
PathLike = Union[str, "os.PathLike[str]"]


@dataclasses.dataclass(frozen=True)
class Item:
    """One image and what it shows.

    name    for people: the path below the tree, the CSV's path, the key in the tar
    label   the folder's name, the CSV's or the tar's label; after a mapping a class name or index
    path    of the file; of an image in a tar that of the tar, with `offset` and `size` in it
    """

    name: str
    label: str
    path: str
    offset: int = -1
    size: int = 0

    def read(self) -> bytes:
        """The bytes of the image. OSError: they cannot be read."""
        with open(self.path, "rb") as file:
            if self.offset < 0:
                return file.read()
            file.seek(self.offset)
            return file.read(self.size)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Labelled images, in a fixed order.

    skipped  reasons, with how many files had each
    """

    name: str
    items: Sequence[Item]
    skipped: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @classmethod
    def load(cls, source: PathLike, mapping: PathLike | Mapping[str, str] | None = None) -> Dataset:
        """A folder with a folder for each class, a folder of .tar files, a .tar, or a .csv with the columns
        path (relative to the CSV's folder) and label.

        mapping  of labels to class names or class indices: a JSON object, or a CSV with the columns folder
                 and class. Labels that it does not have stay as they are.

        InvalidArgumentError: it holds no labelled image. OSError: it cannot be read.
        """
        path = Path(source)
        skipped: collections.Counter[str] = collections.Counter()
        if path.is_dir():
            shards = sorted(path.glob("*.tar"))
            if shards and not any(entry.is_dir() for entry in path.iterdir()):
                items = [item for shard in shards for item in _of_tar(shard, skipped)]
            else:
                items = _of_tree(path, skipped)
        elif path.suffix.lower() == ".tar":
            items = _of_tar(path, skipped)
        elif path.suffix.lower() == ".csv":
            items = _of_csv(path, skipped)
        elif path.exists():
            raise InvalidArgumentError(f"{path}: allowed: a folder of class folders, a .csv, a .tar")
        else:
            raise FileNotFoundError(2, "No such file or directory", str(path))
        if not items:
            why = "; ".join(f"{count} files: {reason}" for reason, count in skipped.items())
            raise InvalidArgumentError(f"{path}: no labelled image{': ' + why if why else ''}")
        if mapping is not None:
            table = mapping if isinstance(mapping, Mapping) else read_mapping(mapping)
            items = [dataclasses.replace(item, label=str(table.get(item.label, item.label))) for item in items]
        return cls(path.name or str(path), tuple(items), dict(skipped))

    @property
    def labels(self) -> list[str]:
        """The labels that occur, sorted."""
        return sorted({item.label for item in self.items})

    def subset(self, indices: Sequence[int] | IntArray) -> Dataset:
        """Those images, in that order."""
        return Dataset(self.name, tuple(self.items[index] for index in indices), self.skipped)


def read_mapping(path: PathLike) -> dict[str, str]:
    """Class names, or indices, by folder. InvalidArgumentError: no such file's content."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        text = file.read()
    if os.fspath(path).lower().endswith(".json"):
        try:
            value = json.loads(text)
        except ValueError as error:
            raise InvalidArgumentError(f"{path}: no JSON: {error}") from error
        if not isinstance(value, dict) or not all(isinstance(name, (str, int)) for name in value.values()):
            raise InvalidArgumentError(f"{path}: a JSON object of class names by folder is needed")
        return {folder: str(name) for folder, name in value.items()}
    rows = csv.DictReader(text.splitlines())
    _need_columns(path, rows.fieldnames, ("folder", "class"))
    return {row["folder"]: row["class"] or "" for row in rows}


def class_indices(labels: Sequence[str], class_names: Sequence[str], none: str = "") -> tuple[IntArray, list[str]]:
    """Of each label the index of its class, or NONE for the label `none`; and the labels of no class, sorted,
    whose index is len(class_names).

    A label is a class name. One of digits that is no class name is an index.
    InvalidArgumentError: a label is the name of two classes.
    """
    places: dict[str, list[int]] = {}
    for index, name in enumerate(class_names):
        places.setdefault(name, []).append(index)
    of_label: dict[str, int] = {}
    unknown = []
    for label in set(labels):
        found = places.get(label, [])
        if none and label == none:
            of_label[label] = NONE
        elif len(found) == 1:
            of_label[label] = found[0]
        elif found:
            raise InvalidArgumentError(
                f"the label '{label}' is the name of the classes {', '.join(map(str, found))}; "
                "give their index with a mapping file"
            )
        elif label.isdecimal() and int(label) < len(class_names):
            of_label[label] = int(label)
        else:
            of_label[label] = len(class_names)
            unknown.append(label)
    return np.array([of_label[label] for label in labels], dtype=np.int64), sorted(unknown)


def _of_tree(root: Path, skipped: collections.Counter[str]) -> list[Item]:
    items: list[Item] = []
    for folder in sorted(root.iterdir()):
        if not folder.is_dir():
            skipped["in no class folder"] += 1
            continue
        before = len(items)
        for where, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                path = Path(where, name)
                if name.startswith(".") or path.suffix.lower() not in SUFFIXES:
                    skipped["not named as an image"] += 1
                else:
                    items.append(Item(str(path.relative_to(root)), folder.name, str(path)))
        if len(items) == before:
            skipped[f"the class folder '{folder.name}' has no image"] += 1
    return items


def _of_csv(path: Path, skipped: collections.Counter[str]) -> list[Item]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        _need_columns(path, rows.fieldnames, ("path", "label"))
        items: list[Item] = []
        for row in rows:
            name, label = row["path"], (row["label"] or "").strip()
            if not name or not label:
                skipped["a line without path or label"] += 1
            else:
                items.append(Item(name, label, str(path.parent / name)))
    return items


def _need_columns(path: PathLike, found: Sequence[str] | None, needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in (found or ())]
    if missing:
        raise InvalidArgumentError(
            f"{path}: the first line has no column '{missing[0]}'; it must name the columns {', '.join(needed)}"
        )


def _of_tar(path: Path, skipped: collections.Counter[str]) -> list[Item]:
    """Members that have the same name up to the first dot belong together: image, and label in .cls or .txt."""
    images: dict[str, Item] = {}
    labels: dict[str, dict[str, str]] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if not member.isreg():
                    continue
                folder, _, file = member.name.rpartition("/")
                key, _, kind = file.partition(".")
                key, kind = f"{folder}/{key}" if folder else key, kind.lower()
                if kind in ("cls", "txt"):
                    if member.size > MOST_LABEL_BYTES:
                        raise InvalidArgumentError(f"{path}: {member.name} has {member.size} bytes; it is no label")
                    content = tar.extractfile(member)
                    text = content.read() if content is not None else b""
                    labels.setdefault(key, {})[kind] = text.decode("utf-8", "replace").strip()
                elif "." + kind.rpartition(".")[2] not in SUFFIXES:
                    skipped["not named as an image"] += 1
                elif key in images:
                    skipped["a second image of one key"] += 1
                else:
                    images[key] = Item(f"{path.name}/{key}", "", str(path), member.offset_data, member.size)
    except tarfile.TarError as error:
        raise InvalidArgumentError(f"{path}: no uncompressed tar file: {error}") from error
    items = []
    for key, item in images.items():
        found = labels.get(key, {})
        label = found.get("cls") or found.get("txt") or ""
        if label:
            items.append(dataclasses.replace(item, label=label))
        else:
            skipped["without a .cls or .txt"] += 1
    return items
