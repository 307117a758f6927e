"""The Open Inference Protocol with a real client against the real server: Triton's, over gRPC and HTTP. What it
says is what the server's own calls say."""

import importlib.util
import pathlib
import re
import sys
import tempfile
import unittest

import documents

documents.need_python_packages()
sys.path.append(str(documents.SOURCE / ".deps/http-clients"))  # scripts/test fetches them
if importlib.util.find_spec("tritonclient") is None:
    documents.skip("no tritonclient for this Python in .deps/http-clients; scripts/test fetches it")

import grpc  # noqa: E402
import numpy as np  # noqa: E402
import tritonclient.grpc as triton_grpc  # noqa: E402
import tritonclient.grpc.service_pb2 as triton_pb  # noqa: E402
import tritonclient.http as triton_http  # noqa: E402
from tritonclient.utils import InferenceServerException  # noqa: E402

IMAGES = [(documents.SOURCE / "models/demo/images" / name).read_bytes() for name in ("frog.png", "car.png")]


class Server(documents.Server):
    def __init__(self, folder, *flags):
        super().__init__(folder, "--http_listen=127.0.0.1:0", *flags)
        self.http = re.search(r"http://(\S+)", self.wait_for("HTTP at")).group(1)
        self.wait_for(" serving ")


def elements(values):
    return np.array(values, dtype=np.object_)


class InferenceTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        folder = pathlib.Path(cls.temporary.name)
        cls.pb, stubs = documents.generated_stubs(folder)
        # In fp32 the batch that an image is in makes next to no difference.
        cls.server = Server(folder, "--precision=fp32")
        cls.channel = grpc.insecure_channel(cls.server.address)
        cls.stub = stubs.ZeroShotStub(cls.channel)
        request = cls.pb.BuildClassifierRequest(
            classes=[cls.pb.ClassDefinition(name=name) for name in ("frog", "car", "apple")], display_name="toys")
        cls.set_id = cls.stub.BuildClassifier(request).weight_set_id
        cls.clients = {"grpc": (triton_grpc, triton_grpc.InferenceServerClient(cls.server.address)),
                       "http": (triton_http, triton_http.InferenceServerClient(cls.server.http))}

    @classmethod
    def tearDownClass(cls):
        for _, client in cls.clients.values():
            client.close()
        cls.channel.close()
        assert cls.server.stop() == 0, cls.server.log.read_text()
        cls.temporary.cleanup()

    def infer(self, module, client, model, values, shape=None, outputs=None, **more):
        values = elements(values).reshape(shape or [len(values)])
        tensor = module.InferInput("text" if model == "text_encoder" else "image", list(values.shape), "BYTES")
        tensor.set_data_from_numpy(values)
        if outputs is not None:
            outputs = [module.InferRequestedOutput(name) for name in outputs]
        return client.infer(model, [tensor], outputs=outputs, **more)

    def test_health_and_metadata(self):
        for name, (_, client) in self.clients.items():
            with self.subTest(name):
                self.assertTrue(client.is_server_live())
                self.assertTrue(client.is_server_ready())
                self.assertTrue(client.is_model_ready("toys"))
                self.assertTrue(client.is_model_ready("image_encoder", "1"))
                self.assertFalse(client.is_model_ready("birds"))
                more = {"as_json": True} if name == "grpc" else {}
                server = client.get_server_metadata(**more)
                self.assertEqual(server["name"], "zeroshot")
                self.assertIn("binary_tensor_data", server["extensions"])
                model = client.get_model_metadata("toys", **more)
                self.assertEqual([output["name"] for output in model["outputs"]],
                                 ["class", "probability", "class_index", "accepted", "other_probability"])
                config = client.get_model_config("text_encoder", **more)
                config = config.get("config", config)
                self.assertGreater(config["max_batch_size"], 1)
                self.assertEqual(config["input"][0]["data_type"], "TYPE_STRING")
                index = client.get_model_repository_index(**more)
                models = index["models"] if name == "grpc" else index
                self.assertEqual([model["name"] for model in models], ["image_encoder", "text_encoder", "toys"])

    def test_vectors_are_those_of_embed(self):
        images = self.stub.EmbedImages(self.pb.EmbedImagesRequest(images=IMAGES))
        texts = self.stub.EmbedTexts(self.pb.EmbedTextsRequest(texts=["a frog", "a car"]))
        for name, (module, client) in self.clients.items():
            with self.subTest(name):
                result = self.infer(module, client, "image_encoder", IMAGES, request_id="seven")
                np.testing.assert_allclose(result.as_numpy("embedding"),
                                              np.array(images.embeddings, np.float32).reshape(2, -1), atol=1e-5)
                response = result.get_response()
                self.assertEqual(response["id"] if isinstance(response, dict) else response.id, "seven")
                # With a batch dimension of its own.
                result = self.infer(module, client, "text_encoder", [b"a frog", b"a car"], shape=[2, 1])
                np.testing.assert_allclose(result.as_numpy("embedding"),
                                              np.array(texts.embeddings, np.float32).reshape(2, -1), atol=1e-5)

    def test_classes_are_those_of_classify(self):
        expected = self.stub.ClassifyBatch(
            self.pb.ClassifyBatchRequest(images=IMAGES, weight_set_id=self.set_id, top_k=2)).items
        for name, (module, client) in self.clients.items():
            with self.subTest(name):
                for model in ("toys", self.set_id):
                    result = self.infer(module, client, model, IMAGES, parameters={"top_k": 2})
                    names, probabilities = result.as_numpy("class"), result.as_numpy("probability")
                    self.assertEqual(names.shape, (2, 2))
                    for row, item in enumerate(expected):
                        for column, prediction in enumerate(item.answer.predictions):
                            self.assertEqual(names[row, column].decode(), prediction.class_name)
                            self.assertAlmostEqual(probabilities[row, column], prediction.probability, delta=1e-5)
                            self.assertEqual(result.as_numpy("class_index")[row, column], prediction.class_index)
                    self.assertTrue(result.as_numpy("accepted").all())
                    self.assertEqual(result.as_numpy("accepted").dtype, np.bool_)
                    self.assertEqual(result.as_numpy("other_probability").shape, (2, 1))

    def test_outputs_are_those_asked_for(self):
        for name, (module, client) in self.clients.items():
            with self.subTest(name):
                result = self.infer(module, client, "toys", IMAGES[:1], outputs=["class"])
                self.assertEqual(result.as_numpy("class").ravel()[0], b"frog")
                self.assertIsNone(result.as_numpy("probability"))

    def test_http_outputs_may_come_as_json(self):
        tensor = triton_http.InferInput("text", [1], "BYTES")
        tensor.set_data_from_numpy(elements(["a frog"]), binary_data=False)
        wanted = [triton_http.InferRequestedOutput("embedding", binary_data=False)]
        client = self.clients["http"][1]
        as_json = client.infer("text_encoder", [tensor], outputs=wanted).as_numpy("embedding")
        tensor.set_data_from_numpy(elements(["a frog"]))
        np.testing.assert_allclose(as_json, client.infer("text_encoder", [tensor]).as_numpy("embedding"), atol=1e-6)

    def test_errors_are_words(self):
        wrong = [("birds", [IMAGES[0]], {}, "there is no model 'birds'"),
                 ("toys", [IMAGES[0], b"no image"], {}, r"image\[1\]: "),
                 ("toys", IMAGES, {"parameters": {"best_of": 3}}, "there is no parameter 'best_of'"),
                 ("toys", IMAGES, {"shape": [1, 2]}, r"the shape \[1, 2\]"),
                 ("toys", IMAGES, {"outputs": ["logits"]}, "there is no output 'logits'"),
                 ("toys", IMAGES, {"model_version": "2"}, "has no version '2'")]
        for name, (module, client) in self.clients.items():
            with self.subTest(name):
                for model, values, more, words in wrong:
                    with self.assertRaisesRegex(InferenceServerException, words):
                        self.infer(module, client, model, values, **more)
                tensor = module.InferInput("image", [1, 3], "FP32")
                tensor.set_data_from_numpy(np.zeros((1, 3), np.float32))
                with self.assertRaisesRegex(InferenceServerException, "datatype 'FP32'; it must be BYTES"):
                    client.infer("image_encoder", [tensor])

    def test_what_is_not_offered_says_so(self):
        client = self.clients["grpc"][1]
        for ask in (client.get_inference_statistics, client.get_log_settings, client.get_system_shared_memory_status,
                    lambda: client.load_model("toys")):
            with self.assertRaisesRegex(InferenceServerException, "is not offered here"):
                ask()
        answers = []
        client.start_stream(callback=lambda result, error: answers.append((result, error)))
        tensor = triton_grpc.InferInput("text", [1], "BYTES")
        tensor.set_data_from_numpy(elements(["a frog"]))
        try:
            client.async_stream_infer("text_encoder", [tensor])
        except InferenceServerException:
            pass  # the stream has ended already
        client.stop_stream()
        self.assertRegex(str(answers[0][1]), "ModelStreamInfer is not offered here: .*ModelInfer")

    def test_the_contract_is_tritons_as_far_as_it_goes(self):
        """Names, numbers and kinds of all fields, and the methods, against the stubs of Triton's client."""
        import subprocess
        folder = self.temporary.name
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"-I{documents.SOURCE}/proto",
                        f"--descriptor_set_out={folder}/ours", "inference/inference.proto"], check=True)
        from google.protobuf import descriptor_pb2
        ours = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(folder, "ours").read_bytes()).file[0]
        theirs = {}
        for module in (triton_pb, triton_grpc.model_config_pb2):
            file = descriptor_pb2.FileDescriptorProto()
            module.DESCRIPTOR.CopyToProto(file)
            self.assertEqual(file.package, ours.package)
            theirs.update({message.name: message for message in file.message_type})
            enums = {enum.name: {v.name: v.number for v in enum.value} for enum in file.enum_type}
            services = {method.name: (method.input_type, method.output_type, method.client_streaming,
                                      method.server_streaming)
                        for service in file.service for method in service.method}
            for enum in ours.enum_type:
                if enum.name in enums:
                    for value in enum.value:
                        self.assertEqual(enums[enum.name][value.name], value.number)
            for method in ours.service[0].method if services else ():
                self.assertEqual(services[method.name], (method.input_type, method.output_type, False, False))

        def compare(mine, other):
            fields = {field.name: field for field in other.field}
            for field in mine.field:
                same = fields[field.name]
                self.assertEqual((field.number, field.type, field.label, field.type_name),
                                 (same.number, same.type, same.label, same.type_name), f"{mine.name}.{field.name}")
            nested = {message.name: message for message in other.nested_type}
            for message in mine.nested_type:
                compare(message, nested[message.name])

        self.assertGreater(len(ours.message_type), 15)
        for message in ours.message_type:
            compare(message, theirs[message.name])


class InferenceTokensTest(unittest.TestCase):
    def test_a_token_is_needed_and_enough(self):
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            import hashlib
            (folder / "tokens").write_text(f"shop classify {hashlib.sha256(b'shop-token').hexdigest()}\n")
            server = Server(folder, f"--auth_tokens={folder}/tokens")
            self.addCleanup(server.stop)
            headers = {"authorization": "Bearer shop-token"}
            for module, address in ((triton_grpc, server.address), (triton_http, server.http)):
                with self.subTest(module.__name__), module.InferenceServerClient(address) as client:
                    with self.assertRaisesRegex(InferenceServerException, "token"):
                        client.get_model_metadata("text_encoder")
                    client.get_model_metadata("text_encoder", headers=headers)
                    tensor = module.InferInput("text", [1], "BYTES")
                    tensor.set_data_from_numpy(elements(["a frog"]))
                    result = client.infer("text_encoder", [tensor], headers=headers)
                    self.assertEqual(result.as_numpy("embedding").shape[0], 1)


if __name__ == "__main__":
    unittest.main()
