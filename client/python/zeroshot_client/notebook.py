"""The matrix of OpenAI's notebook, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zeroshot_client.client import Client
from zeroshot_client.errors import InvalidArgumentError
from zeroshot_client.spec import Spec, Templates

if TYPE_CHECKING:
    import torch


def zeroshot_classifier(
    classnames: Sequence[str],
    templates: Templates,
    client: Client | None = None,
    *,
    device: Any = None,
    dtype: Any = None,
    progress: bool = False,
) -> torch.Tensor:
    """The `zeroshot_weights` [embed_dim, num_classes] of OpenAI's notebook (Prompt Engineering for ImageNet),
    in seconds: of each class the mean of its prompts' unit vectors, of length 1.

        from zeroshot_client import zeroshot_classifier
        zeroshot_weights = zeroshot_classifier(imagenet_classes, imagenet_templates)
        logits = 100. * image_features @ zeroshot_weights

    client         where to ask. None: ZEROSHOT_TARGET, else 127.0.0.1:50051. Its model must be the one that
                   makes the image features
    device, dtype  of the tensor. None: as the notebook's, float16 on a GPU where there is one, else float32

    InvalidArgumentError: no class; a prompt is longer than the model takes.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError("zeroshot_classifier makes a tensor: pip install 'zeroshot_client[torch]'") from error
    names = list(classnames)
    if not names:
        raise InvalidArgumentError("no class name is given")
    spec = Spec.of(names, templates)
    if client is None:
        with Client() as own:
            weights = own.build(spec, progress=progress).weights
    else:
        weights = client.build(spec, progress=progress).weights
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype is None:
        dtype = torch.float16 if torch.device(device).type == "cuda" else torch.float32
    return torch.from_numpy(weights.T.copy()).to(device=device, dtype=dtype)
