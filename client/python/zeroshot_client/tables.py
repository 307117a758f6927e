"""Answers as rows: CSV files and pandas."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from zeroshot_client.types import Answer

if TYPE_CHECKING:
    import pandas as pd


class Summary(NamedTuple):
    """What became of many images."""

    answered: int
    failed: int


def columns(top_k: int) -> list[str]:
    """Names of the columns; more than `top_k` predictions are left out."""
    names = ["image", "class_name", "probability", "accepted"]
    for place in range(2, top_k + 1):
        names += [f"class_name_{place}", f"probability_{place}"]
    return [*names, "other_probability", "error"]


def _row(item: Any, index: int, answer: Answer, top_k: int) -> list[Any]:
    name = os.fspath(item) if isinstance(item, (str, os.PathLike)) else index
    if answer.error is not None:
        return [name, *[None] * (2 * top_k + 2), str(answer.error)]
    top = answer.top
    row: list[Any] = [name, top.class_name, top.probability, top.accepted]
    for prediction in answer.predictions[1:top_k]:
        row += [prediction.class_name, prediction.probability]
    row += [None] * (2 * top_k + 2 - len(row))  # fewer classes than top_k
    return [*row, answer.other_probability, None]


class CsvWriter:
    """Writes each row as it comes. Closes the file if it opened it."""

    def __init__(self, file: str | os.PathLike[str] | IO[str], top_k: int) -> None:
        self.summary = Summary(0, 0)
        self._top_k = top_k
        self._opened: IO[str] | None = None
        if isinstance(file, (str, os.PathLike)):
            # Names of files need not be UTF-8.
            file = self._opened = open(file, "w", newline="", encoding="utf-8", errors="surrogateescape")
        self._writer = csv.writer(file)
        self._writer.writerow(columns(top_k))

    def __enter__(self) -> CsvWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._opened is not None:
            self._opened.close()

    def add(self, item: Any, answer: Answer) -> None:
        """The next row."""
        answered, failed = self.summary
        self._writer.writerow(_row(item, answered + failed, answer, self._top_k))
        self.summary = Summary(answered + answer.ok, failed + (not answer.ok))


def data_frame(pairs: Iterable[tuple[Any, Answer]], top_k: int) -> pd.DataFrame:
    """ImportError: pandas is not there."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("to_pandas needs pandas: pip install 'zeroshot_client[pandas]'") from error
    return pd.DataFrame(
        [_row(item, index, answer, top_k) for index, (item, answer) in enumerate(pairs)],
        columns=columns(top_k),
    )
