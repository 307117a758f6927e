"""Progress of builds and of many images: bars of tqdm, or a function of the caller's."""

from __future__ import annotations

from typing import Any, Callable, Union

from zeroshot_client._proto import zeroshot_pb2 as pb
from zeroshot_client.types import BuildProgress, build_progress

# False: none. True: a bar of tqdm. Or what is called with each step.
OnBuild = Union[bool, Callable[[BuildProgress], object]]


def bar(description: str, total: int | None, unit: str) -> Any:
    """A bar of tqdm, in a notebook too. ImportError: tqdm is not there."""
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError("progress=True needs tqdm: pip install 'zeroshot_client[progress]'") from error
    return tqdm(desc=description, total=total, unit=unit)


class BuildBar:
    """Calls the caller's function, or keeps a bar, while a build goes on."""

    def __init__(self, on_progress: OnBuild) -> None:
        self._on_progress = on_progress if callable(on_progress) else None
        self._bar = bar("build", None, " prompts") if on_progress is True else None

    def see(self, event: pb.BuildClassifierStreamResponse) -> None:
        """A build went on, or is done."""
        if event.HasField("progress"):
            self._show(build_progress(event.progress))

    def _show(self, progress: BuildProgress) -> None:
        if self._on_progress is not None:
            self._on_progress(progress)
        if self._bar is not None:
            self._bar.total = progress.prompts_total
            self._bar.update(progress.prompts_done - self._bar.n)

    def close(self) -> None:
        """The build has ended."""
        if self._bar is not None:
            self._bar.close()
