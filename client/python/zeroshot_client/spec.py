"""What a classifier is built of."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable, Union

import numpy as np
from google.protobuf import json_format

from zeroshot_client._proto import zeroshot_pb2 as pb
from zeroshot_client.errors import InvalidArgumentError
from zeroshot_client.images import encode
from zeroshot_client.types import ClassDefinition

# Names; or the name of a class set of the server, such as "imagenet-1k"; or names with their complete
# prompts, as CuPL writes them.
Classes = Union[str, Iterable[Union[str, ClassDefinition]], Mapping[str, Sequence[str]]]
# The name of a template set of the server, such as "openai-imagenet-7"; one template, which has {} for
# the name; several; or functions of a name, as open_clip's.
Template = Union[str, Callable[[str], str]]
Templates = Union[Template, Sequence[Template], None]


@dataclasses.dataclass(frozen=True)
class Spec:
    """What `build` takes, as one value: to keep, to send to other processes, to read from a file."""

    request: pb.BuildClassifierRequest

    @classmethod
    def of(
        cls,
        classes: Classes,
        templates: Templates = None,
        *,
        background: Iterable[str] = (),
        temperature: float | None = None,
        name: str = "",
    ) -> Spec:
        """As the arguments of `Client.build`."""
        request = pb.BuildClassifierRequest(background=background, display_name=name)
        if temperature is not None:
            request.temperature = temperature
        if isinstance(classes, str):
            request.class_set = classes
        elif isinstance(classes, Mapping):
            for class_name, prompts in classes.items():
                request.classes.add(name=class_name, prompts=_texts(prompts, f"the prompts of '{class_name}'"))
        else:
            for item in classes:
                _add_class(request, item)
        _set_templates(request, templates)
        return cls(request)

    @classmethod
    def from_json(cls, text: str, folder: str | os.PathLike[str] = "") -> Spec:
        """A BuildClassifierRequest as protobuf writes it in JSON, or a JSON object of lists: prompts by class.
        Example images are paths of files, from `folder` on, or data URIs.

        InvalidArgumentError: neither. OSError: an image cannot be read.
        """
        try:
            value: Any = json.loads(text)
            if _is_prompts(value):
                return cls.of(value)
            if not isinstance(value, dict):
                raise ValueError("a JSON object is needed")
            images = _take_example_images(value, os.fspath(folder))
            request = json_format.ParseDict(value, pb.BuildClassifierRequest())
            for index, encoded in images.items():
                request.classes[index].example_images.extend(encoded)
            return cls(request)
        except (ValueError, AttributeError, json_format.ParseError) as error:
            raise InvalidArgumentError(f"no spec: {error}") from error

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Spec:
        """What `from_json` reads, in a file: the file of `zeroshot_client build --spec`."""
        with open(path, encoding="utf-8-sig") as file:
            return cls.from_json(file.read(), os.path.dirname(path))

    def to_json(self) -> str:
        """What `from_json` and `zeroshot_client build --spec` read. Example images become data URIs."""
        value = json_format.MessageToDict(self.request)
        for item in value.get("classes", []):
            if "exampleImages" in item:
                item["exampleImages"] = [_DATA_URI + image for image in item["exampleImages"]]
        return json.dumps(value, indent=2)

    @property
    def class_names(self) -> list[str]:
        """Names of the classes; empty where the server knows them, by the name of a class set."""
        return [item.name for item in self.request.classes]


def _is_prompts(value: Any) -> bool:
    # A request has lists of these names too.
    if not isinstance(value, dict) or not value or set(value) <= {"classes", "templates", "background"}:
        return False
    return all(
        isinstance(prompts, list) and prompts and all(isinstance(prompt, str) for prompt in prompts)
        for prompts in value.values()
    )


# Of any image: the server tells the format by the bytes.
_DATA_URI = "data:application/octet-stream;base64,"


def _take_example_images(value: dict[str, Any], folder: str) -> dict[int, list[bytes]]:
    """Takes them out of the JSON, where protobuf would read them as base64: by the index of their class."""
    images: dict[int, list[bytes]] = {}
    classes = value.get("classes")
    for index, item in enumerate(classes if isinstance(classes, list) else ()):
        for key in ("exampleImages", "example_images"):
            names = item.pop(key, ()) if isinstance(item, dict) else ()
            if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
                raise ValueError(f"classes[{index}].{key} is no list of files")
            images.setdefault(index, []).extend(_read_example(name, folder) for name in names)
    return images


def _read_example(name: str, folder: str) -> bytes:
    if not name.startswith("data:"):
        return encode(os.path.join(folder, name))
    start, comma, text = name.partition(",")
    if not comma or not start.endswith(";base64"):
        raise ValueError("an example image is a data URI that is no base64")
    return base64.b64decode(text, validate=True)


def _texts(value: Sequence[str], what: str) -> Sequence[str]:
    # Of a text its letters would be taken.
    if isinstance(value, str):
        raise InvalidArgumentError(f"{what} are the text '{value}'; a list of texts is needed")
    return value


def _add_class(request: pb.BuildClassifierRequest, item: str | ClassDefinition) -> None:
    if isinstance(item, str):
        request.classes.add(name=item)
        return
    if not isinstance(item, ClassDefinition):
        raise TypeError(f"a class of type {type(item).__name__}; allowed: a name, or a ClassDefinition")
    added = request.classes.add(
        name=item.name, prompts=_texts(item.prompts, f"the prompts of '{item.name}'"), group=item.group
    )
    if item.min_probability is not None:
        added.min_probability = item.min_probability
    if isinstance(item.example_images, (str, bytes, os.PathLike)):
        raise InvalidArgumentError(f"the example_images of '{item.name}' are one image; a list of them is needed")
    added.example_images.extend(encode(image) for image in item.example_images)
    if item.example_embeddings is not None:
        vectors = np.asarray(item.example_embeddings, dtype=np.float32)
        if vectors.ndim not in (1, 2):
            raise InvalidArgumentError(
                f"the example_embeddings of '{item.name}' have shape {list(vectors.shape)}; [n, dim] or [dim] is needed"
            )
        added.example_embeddings.extend(vectors.ravel().tolist())
    if item.example_weight is not None:
        added.example_weight = item.example_weight


def _set_templates(request: pb.BuildClassifierRequest, templates: Templates) -> None:
    if templates is None:
        return
    if isinstance(templates, str):
        if "{}" in templates:
            request.templates.append(templates)
        else:
            request.template_set = templates
        return
    several = [templates] if callable(templates) else list(templates)
    if not several:
        raise InvalidArgumentError("no template is given; leave templates out for the server's own")
    if not any(callable(template) for template in several):
        request.templates.extend(str(template) for template in several)
        return
    # What a function makes of a name cannot be said in a template.
    if request.class_set:
        raise InvalidArgumentError("templates that are functions need the classes by name, not a class set")
    for item in request.classes:
        if not item.prompts:
            item.prompts.extend(
                template(item.name) if callable(template) else template.replace("{}", item.name) for template in several
            )


def spec_of(
    classes: Classes | Spec,
    templates: Templates,
    background: Iterable[str],
    temperature: float | None,
    name: str,
) -> Spec:
    """Of the arguments of `Client.build`."""
    if not isinstance(classes, Spec):
        return Spec.of(classes, templates, background=background, temperature=temperature, name=name)
    if templates is not None or tuple(background) or temperature is not None or name:
        raise InvalidArgumentError("a Spec has templates, background, temperature and name of its own")
    return classes
