"""What counts as an image, and that none of it is lost on its way to the server."""

import io
import pathlib

import numpy as np
import pytest
from conftest import FROG, IMAGES
from PIL import Image

import zeroshot_client
from zeroshot_client import images


def as_png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_a_pil_image_is_embedded_as_its_file(client, mode):
    picture = Image.open(IMAGES[0]).convert("RGBA")
    image = picture.convert("L").convert("I;16") if mode == "I;16" else picture.convert(mode)
    file = io.BytesIO()
    image.save(file, "TIFF" if mode == "CMYK" else "PNG")
    expected = as_png(image.convert("RGB")) if mode == "CMYK" else file.getvalue()
    ours, theirs = client.embed_images([image, expected])
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_pixels_arrive_to_the_bit():
    """Pillow, which the server's crops are compared with, reads what is sent."""
    pixels = np.random.default_rng(1).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    for image in (pixels, Image.fromarray(pixels), np.asfortranarray(pixels)):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(images.encode(image)))), pixels)
    grey = pixels[:, :, 0]
    for image in (grey, grey[:, :, None], Image.fromarray(grey)):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(images.encode(image)))), grey)
    bits = Image.fromarray(grey > 128)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(images.encode(bits)))), np.asarray(bits))


def test_every_kind_of_input_is_the_same_image(pets):
    expected = pets(FROG).top
    picture = Image.open(FROG).convert("RGB")
    with open(FROG, "rb") as file:
        for image in (str(FROG), FROG.read_bytes(), bytearray(FROG.read_bytes()), memoryview(FROG.read_bytes()),
                      file, io.BytesIO(FROG.read_bytes())):
            assert pets(image).top == expected
    for image in (picture, np.asarray(picture), picture.copy()):
        assert pets(image).top.class_name == "frog"


class HasArray:
    """As jax's and TensorFlow's arrays."""

    def __array__(self, dtype=None, copy=None):
        return np.zeros((4, 4, 3), np.uint8)


def test_other_libraries_arrays_are_taken():
    assert images.encode(HasArray()) == images.encode(np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 8, 8), np.uint8), "channels come last"),
        (np.zeros((8, 8, 4), np.uint8), "alpha"),
        (np.zeros((2, 8, 8, 3), np.uint8), "one by one"),
        (np.zeros((8, 8, 3), np.float32), "float32"),
        (np.zeros((0, 8, 3), np.uint8), r"\[0, 8, 3\]"),
        (np.zeros(8, np.uint8), r"\[8\]"),
        ("https://example.org/frog.jpg", "URL"),
        ("data:image/png;base64," + "A" * 100, "URL"),
    ],
)
def test_what_is_no_image_says_what_would_be(image, message):
    with pytest.raises(zeroshot_client.InvalidArgumentError, match=message):
        images.encode(image)


def test_other_types_are_named():
    with pytest.raises(TypeError, match="type int"):
        images.encode(3)
    with pytest.raises(TypeError, match="binary mode"):
        images.encode(io.StringIO("text"))
    with pytest.raises(FileNotFoundError, match=r"none\.jpg"):
        images.encode(pathlib.Path("none.jpg"))


def test_a_torch_tensor_is_its_array():
    torch = pytest.importorskip("torch")
    pixels = np.random.default_rng(2).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    expected = images.encode(pixels)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    for image in (tensor, tensor.float() / 255, tensor.double() / 255, torch.from_numpy(pixels)):
        assert images.encode(image) == expected
    assert images.encode(tensor[0]) == images.encode(pixels[:, :, 0]) == images.encode(tensor[:1])
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="normalised"):
        images.encode(tensor.float() / 255 - 0.5)
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="one by one"):
        images.encode(tensor[None])
