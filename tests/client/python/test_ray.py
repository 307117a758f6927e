"""zeroshot_client.ray without Ray: a function of batches of columns. tools/try_ray.py runs it with Ray."""

import numpy as np
import pytest
from conftest import IMAGES

import zeroshot_client
from zeroshot_client.ray import Classify


def test_a_batch_gets_columns(shared):
    classify = Classify(shared.address, ["frog", "apple", "car"], "a photo of a {}.", background=["sky"],
                        min_probability=0.5)
    files = [path.read_bytes() for path in IMAGES]
    batch = {"name": np.array([path.name for path in IMAGES] + ["bad"]),
             "bytes": np.array([*files, b"no image"], dtype=object)}
    result = classify(batch)
    assert list(result) == ["name", "class_name", "probability", "accepted", "other_probability", "error"]
    assert result["class_name"][4] == "frog"
    assert result["accepted"][4]
    assert result["error"][4] is None
    assert "IMAGE_NOT_SUPPORTED" in result["error"][12]
    assert np.isnan(result["probability"][12])
    assert not result["accepted"][12]
    assert all(len(column) == 13 for column in result.values())


def test_other_columns_and_arguments(shared):
    spec = zeroshot_client.Spec.of(["frog", "car"])
    classify = Classify(shared.address, spec, image="pixels", keep_image=True, client={"timeout": 30})
    result = classify({"pixels": np.zeros((2, 8, 8, 3), np.uint8)})
    assert result["pixels"].shape == (2, 8, 8, 3)
    assert len(result["class_name"]) == 2
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="no column 'pixels'"):
        classify({"bytes": []})
