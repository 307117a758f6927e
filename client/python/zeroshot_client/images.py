"""Images as the server takes them: the bytes of a file.

Pixels that a program holds are sent without loss and without compression (PNM), which costs a copy:
the server reads them to the bit. Modes of Pillow that PNM has no form for become a PNG.
"""

from __future__ import annotations

import io
import os
import re
import sys
from typing import Any, Union

import numpy as np

from zeroshot_client.errors import InvalidArgumentError

# A path, the bytes of a file, an open file, a PIL.Image.Image, an ndarray [H, W, 3] or [H, W] of uint8
# in RGB, or a torch tensor [3, H, W] or [1, H, W] of uint8, or of floats of which each is n / 255.
ImageLike = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, Any]

_URL = re.compile(r"(?:[a-z][a-z0-9+.-]+://|data:)", re.IGNORECASE)


def encode(image: ImageLike) -> bytes:
    """The bytes to send.

    TypeError: none of the kinds above. InvalidArgumentError: an array that holds no image of 8 bits.
    OSError: the file cannot be read.
    """
    if isinstance(image, bytes):
        return image
    if isinstance(image, (str, os.PathLike)):
        return _read(os.fspath(image))
    if isinstance(image, (bytearray, memoryview)):
        return bytes(image)
    if isinstance(image, np.ndarray):
        return _of_array(image)
    pil = sys.modules.get("PIL.Image")
    if pil is not None and isinstance(image, pil.Image):
        return _of_pil(image)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(image, torch.Tensor):
        return _of_tensor(image)
    if hasattr(image, "read"):
        content = image.read()
        if not isinstance(content, bytes):
            raise TypeError(f"the file {image!r} gives {type(content).__name__}; open it in binary mode ('rb')")
        return content
    if hasattr(image, "__array__"):
        return _of_array(np.asarray(image))
    raise TypeError(
        f"an image of type {type(image).__name__}; allowed: a path, bytes, an open file, a PIL image, "
        "an array [H, W, 3] of uint8, a torch tensor [3, H, W]"
    )


def blocks(image: ImageLike) -> bool:
    """Whether `encode` may wait for a disk, or take long: an event loop leaves it to a thread."""
    return not isinstance(image, (bytes, bytearray, memoryview, np.ndarray))


def _read(path: str) -> bytes:
    if _URL.match(path):
        start = path if len(path) <= 60 else path[:57] + "..."
        raise InvalidArgumentError(
            f"'{start}' is a URL; neither the client nor the server fetches any: pass the bytes of the file"
        )
    with open(path, "rb") as file:
        return file.read()


def _pnm(kind: bytes, width: int, height: int, pixels: bytes) -> bytes:
    top = b"" if kind == b"P4" else b"255\n"
    return b"%s\n%d %d\n%s%s" % (kind, width, height, top, pixels)


def _of_array(array: np.ndarray[Any, Any]) -> bytes:
    if array.dtype != np.uint8:
        raise InvalidArgumentError(
            f"an array of {array.dtype}; it must be uint8. Of floats from 0 to 1: (255 * array).round().astype('uint8')"
        )
    shape = array.shape
    if array.ndim == 3 and shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or 0 in shape or (array.ndim == 3 and shape[2] != 3):
        hint = ""
        if array.ndim == 3 and shape[2] == 4:
            hint = "; drop the alpha channel, array[..., :3], or pass a PIL image"
        elif array.ndim == 3 and shape[0] in (1, 3):
            hint = "; channels come last: array.transpose(1, 2, 0)"
        elif array.ndim == 4:
            hint = "; pass the images of a batch one by one, or to classify_many"
        raise InvalidArgumentError(f"an array of shape {list(shape)}; it must be [H, W, 3] or [H, W]{hint}")
    kind = b"P6" if array.ndim == 3 else b"P5"
    return _pnm(kind, array.shape[1], array.shape[0], array.tobytes())


def _of_pil(image: Any) -> bytes:
    width, height = image.size
    if width and height:
        if image.mode == "RGB":
            return _pnm(b"P6", width, height, image.tobytes())
        if image.mode == "L":
            return _pnm(b"P5", width, height, image.tobytes())
    # The server resizes in the image's own mode, as the reference does: RGBA, for one, is not RGB.
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        image = image.convert("RGB")
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _of_tensor(tensor: Any) -> bytes:
    if tensor.ndim == 2:
        tensor = tensor[None]
    if tensor.ndim == 3 and tensor.shape[0] not in (1, 3) and tensor.shape[2] == 3:
        tensor = tensor.permute(2, 0, 1)
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3):
        raise InvalidArgumentError(
            f"a tensor of shape {list(tensor.shape)}; it must be [3, H, W] or [1, H, W]. "
            "Pass the images of a batch one by one, or to classify_many"
        )
    tensor = tensor.detach()
    if tensor.is_floating_point():
        scaled = tensor.float() * 255
        rounded = scaled.round()
        # bfloat16 cannot tell all of 0 / 255 to 255 / 255 apart.
        if not bool(((scaled - rounded).abs() <= 0.02).all() and (rounded >= 0).all() and (rounded <= 255).all()):
            raise InvalidArgumentError(
                "a tensor of floats that are not all n / 255 with n from 0 to 255: an image that was normalised or "
                "resized. Pass it as it was before, or (255 * tensor).round().clamp(0, 255).to(torch.uint8)"
            )
        tensor = rounded.to(dtype=sys.modules["torch"].uint8)
    return _of_array(tensor.permute(1, 2, 0).cpu().numpy())
