#!/usr/bin/env python3
"""KServe's clients, gRPC and REST, against the real server on the demo model: health, classes and vectors, JSON and
binary data, errors. scripts/test-python kserve calls it with a Python that has kserve; it brings 450 MB along, so
that scripts/test has Triton's client only.

    tools/try_kserve.py
"""

import asyncio
import pathlib
import re
import sys
import tempfile

import grpc
import httpx
import numpy as np
from kserve import InferInput, InferRequest
from kserve.inference_client import InferenceGRPCClient, InferenceRESTClient, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))
import documents  # noqa: E402

IMAGES = [(ROOT / "models/demo/images" / name).read_bytes() for name in ("frog.png", "car.png")]


class Server(documents.Server):
    def __init__(self, folder):
        super().__init__(folder, "--http_listen=127.0.0.1:0")
        self.url = re.search(r"http://\S+", self.wait_for("HTTP at")).group(0)
        self.wait_for(" serving ")


def build(server):
    """A classifier by the display name `toys`, over the server's own HTTP API."""
    answer = httpx.post(f"{server.url}/v1/classifiers",
                        json={"classes": ["frog", "car", "apple"], "display_name": "toys"})
    answer.raise_for_status()
    return answer.json()["weight_set_id"]


def request(model, values, binary=True, **more):
    tensor = InferInput(name="text" if model == "text_encoder" else "image", shape=[len(values)], datatype="BYTES")
    if binary:
        tensor.set_data_from_numpy(np.array(values, dtype=np.object_), binary_data=True)
    else:
        tensor.data = values
    return InferRequest(model_name=model, infer_inputs=[tensor], **more)


def output(answer, name):
    return next(one for one in answer.outputs if one.name == name).as_numpy()


def check(condition, what):
    if not condition:
        raise SystemExit(f"FAILED: {what}")
    print(f"ok: {what}", flush=True)


def see_classes(answer, how):
    names = [name.decode() if isinstance(name, bytes) else name for name in output(answer, "class").ravel()]
    check(names == ["frog", "car"], f"{how}: the best classes are {names}")
    check(output(answer, "probability").shape == (2, 1), f"{how}: a probability for each")


async def try_grpc(server):
    async with InferenceGRPCClient(server.address) as client:
        check(await client.is_server_live() and await client.is_server_ready(), "gRPC: live and ready")
        check(await client.is_model_ready("toys"), "gRPC: the model is ready")
        check(not await client.is_model_ready("birds"), "gRPC: a model that is not there is not ready")
        see_classes(await client.infer(request("toys", IMAGES, parameters={"top_k": 1})), "gRPC, raw")
        plain = request("toys", IMAGES, binary=False, parameters={"top_k": 1})
        see_classes(await client.infer(plain), "gRPC, contents")
        answer = await client.infer(request("text_encoder", [b"a frog", b"a car"]))
        vectors = output(answer, "embedding")
        try:
            await client.infer(request("toys", [IMAGES[0], b"no image"]))
            check(False, "gRPC: an image that is none is an error")
        except grpc.RpcError as error:
            check("image[1]: " in error.details(), f"gRPC: {error.details()}")
        return vectors


async def try_rest(server, vectors):
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    check(await client.is_server_live(server.url) and await client.is_server_ready(server.url), "REST: live and ready")
    check(await client.is_model_ready(server.url, "toys"), "REST: the model is ready")
    check(not await client.is_model_ready(server.url, "birds"), "REST: a model that is not there is not ready")
    for outputs in (None, [RequestedOutput("class", {"binary_data": True}), RequestedOutput("probability")]):
        asked = request("toys", IMAGES, parameters={"top_k": 1}, request_outputs=outputs)
        see_classes(await client.infer(server.url, asked, model_name="toys"),
                    "REST, binary in, " + ("JSON out" if outputs is None else "both out"))
    asked = request("text_encoder", ["a frog", "a car"], binary=False)
    answer = await client.infer(server.url, asked, model_name="text_encoder")
    check(np.array_equal(output(answer, "embedding").astype(np.float32), vectors),
          "REST, JSON: the vectors that gRPC has")
    try:
        await client.infer(server.url, request("toys", [IMAGES[0], b"no image"]), model_name="toys")
        check(False, "REST: an image that is none is an error")
    except httpx.HTTPStatusError as error:
        check("image[1]: " in str(error), f"REST: {error}")
    await client.close()


async def main():
    with tempfile.TemporaryDirectory() as temporary:
        server = Server(pathlib.Path(temporary))
        try:
            build(server)
            vectors = await try_grpc(server)
            await try_rest(server, vectors)
        finally:
            status = server.stop()
        check(status == 0, "the server ends well")


asyncio.run(main())
