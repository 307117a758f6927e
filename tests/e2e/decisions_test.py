"""Scores of the real server against NumPy's: temperature, background, thresholds and groups, by
softmax and sigmoid, of the demo model and of one with a logit bias."""

import json
import os
import pathlib
import struct
import tempfile
import unittest

import documents

documents.need_python_packages()

import grpc  # noqa: E402
import numpy  # noqa: E402

DEMO = documents.SOURCE / "models/demo"
IMAGES = [DEMO / "images" / name for name in sorted(os.listdir(DEMO / "images"))[:6]]
CLASSES = ["frog", "apple", "car", "house", "tree"]
GROUPS = ["living", "living", "made", "made", "living"]
BACKGROUND = ["a star", "the number seven"]
TEMPERATURE = 1.7
BIAS = -12.5


def with_logit_bias(folder):
    """The demo model as open_clip saves one that was trained by SigLIP's loss."""
    config = json.loads((DEMO / "open_clip_config.json").read_text())
    config["model_cfg"]["init_logit_bias"] = -10
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    file = (DEMO / "open_clip_model.safetensors").read_bytes()
    size = struct.unpack("<Q", file[:8])[0]
    header = json.loads(file[8:8 + size])
    data = file[8 + size:]
    header["logit_bias"] = {"dtype": "F32", "shape": [], "data_offsets": [len(data), len(data) + 4]}
    text = json.dumps(header).encode()
    (folder / "open_clip_model.safetensors").write_bytes(
        struct.pack("<Q", len(text)) + text + data + struct.pack("<f", BIAS))
    return folder


def softmax(logits):
    exps = numpy.exp(logits - logits.max())
    return exps / exps.sum()


def sigmoid(logits):
    return 1 / (1 + numpy.exp(-logits))


class DecisionsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.pb, cls.stubs = documents.generated_stubs(cls.folder)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def start(self, *flags):
        server = documents.Server(self.folder, "--precision=fp32", *flags)
        self.addCleanup(lambda: server.process.poll() is None and (server.process.kill(), server.process.wait()))
        server.wait_for(" serving ")
        channel = grpc.insecure_channel(server.address)
        self.addCleanup(channel.close)
        return self.stubs.ZeroShotStub(channel)

    def build_request(self):
        return self.pb.BuildClassifierRequest(
            classes=[self.pb.ClassDefinition(name=name, group=group)
                     for name, group in zip(CLASSES, GROUPS)],
            background=BACKGROUND, temperature=TEMPERATURE)

    def weights(self, stub, weight_set_id):
        """The set's float32 matrix, as the server exports it: classes, then background."""
        request = self.pb.ExportWeightSetRequest(weight_set_id=weight_set_id,
                                                 format=self.pb.WEIGHT_SET_FORMAT_NPY)
        path = self.folder / "weights.npy"
        path.write_bytes(b"".join(piece.data for piece in stub.ExportWeightSet(request)))
        return numpy.load(path).astype(numpy.float64)

    def check(self, stub, default):
        model = stub.GetModel(self.pb.GetModelRequest())
        own = {self.pb.SCORE_FUNCTION_SOFTMAX: softmax, self.pb.SCORE_FUNCTION_SIGMOID: sigmoid}
        self.assertEqual(own[model.score_function], default)
        request = self.build_request()
        request.classes[0].min_probability = 0.75
        built = stub.BuildClassifier(request, timeout=120)
        self.assertEqual((built.num_classes, built.num_background), (len(CLASSES), len(BACKGROUND)))
        weights = self.weights(stub, built.weight_set_id)
        self.assertEqual(weights.shape, (len(CLASSES) + len(BACKGROUND), model.embedding_dim))
        images = [path.read_bytes() for path in IMAGES]
        embedded = stub.EmbedImages(self.pb.EmbedImagesRequest(images=images), timeout=120)
        embeddings = numpy.array(embedded.embeddings, numpy.float64).reshape(len(images), -1)
        for image, embedding in zip(images, embeddings):
            cosines = weights @ embedding
            logits = model.logit_scale * cosines + model.logit_bias
            for name, function in ((self.pb.SCORE_FUNCTION_UNSPECIFIED, default),
                                   (self.pb.SCORE_FUNCTION_SOFTMAX, softmax),
                                   (self.pb.SCORE_FUNCTION_SIGMOID, sigmoid)):
                join = numpy.sum if function is softmax else numpy.max
                expected = function(logits / TEMPERATURE)
                answer = stub.Classify(self.pb.ClassifyRequest(
                    image=image, weight_set_id=built.weight_set_id, top_k=100, return_probabilities=True,
                    score_function=name, min_probability=0.3), timeout=120)
                named = expected[:len(CLASSES)]
                numpy.testing.assert_allclose(answer.probabilities, named, atol=1e-6)
                self.assertAlmostEqual(answer.other_probability, join(expected[len(CLASSES):]), delta=1e-6)
                groups = {group: join([p for p, of in zip(named, GROUPS) if of == group]) for group in GROUPS}
                self.assertEqual([score.group for score in answer.groups],
                                 sorted(groups, key=groups.get, reverse=True))
                for score in answer.groups:
                    self.assertAlmostEqual(score.probability, groups[score.group], delta=1e-6)
                order = numpy.argsort(-logits[:len(CLASSES)], kind="stable")
                self.assertEqual([p.class_index for p in answer.predictions], list(order))
                for prediction in answer.predictions:
                    index = prediction.class_index
                    self.assertEqual(prediction.class_name, CLASSES[index])
                    self.assertAlmostEqual(prediction.cosine, cosines[index], delta=1e-6)
                    self.assertAlmostEqual(prediction.logit, logits[index], delta=1e-4)
                    self.assertAlmostEqual(prediction.probability, named[index], delta=1e-6)
                    self.assertEqual(prediction.accepted,
                                     prediction.probability >= (0.75 if index == 0 else 0.3))

    def test_the_demo_model(self):
        self.check(self.start(), softmax)

    def test_a_model_with_a_logit_bias(self):
        stub = self.start(f"--model={with_logit_bias(self.folder)}")
        self.assertEqual(stub.GetModel(self.pb.GetModelRequest()).logit_bias, BIAS)
        self.check(stub, sigmoid)

    def test_decisions_are_part_of_the_id_and_cost_no_encoding(self):
        stub = self.start()
        ids = {stub.BuildClassifier(self.build_request(), timeout=120).weight_set_id}
        for field, value in (("temperature", 3), ("background", BACKGROUND[:1])):
            request = self.build_request()
            if field == "background":
                del request.background[:]
                request.background.extend(value)
            else:
                setattr(request, field, value)
            built = stub.BuildClassifier(request, timeout=120)
            self.assertEqual((built.cached, built.num_tokens_encoded), (False, 0))
            ids.add(built.weight_set_id)
        request = self.build_request()
        request.classes[1].min_probability = 0
        built = stub.BuildClassifier(request, timeout=120)
        self.assertEqual(built.num_tokens_encoded, 0)
        ids.add(built.weight_set_id)
        self.assertEqual(len(ids), 4)


if __name__ == "__main__":
    unittest.main()
