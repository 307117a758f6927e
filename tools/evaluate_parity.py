#!/usr/bin/env python3
"""zeroshot_client.evaluate beside open_clip's own zero-shot evaluation (open_clip_train.zero_shot.run) of the demo
model and of a random one, on augmented demo images, served by the real server. Needs what
tools/requirements-golden.txt names and zeroshot_client[evaluate]; scripts/test-python parity calls it.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import types

import numpy as np
import open_clip
import torch
from open_clip_train import zero_shot
from PIL import Image
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))
import documents  # noqa: E402

import zeroshot_client  # noqa: E402
from zeroshot_client.evaluate import Dataset, EmbeddingCache, embed, evaluate  # noqa: E402

# Its accuracy() makes floats of arrays of one number, which NumPy 2.4 no longer does.
zero_shot.float = lambda array: array.item()
TEMPLATES = (ROOT / "data/template_sets/openai-imagenet-7.txt").read_text().splitlines()


class Images(torch.utils.data.Dataset):
    """A tree of class folders, as torchvision's ImageFolder."""

    def __init__(self, dataset, names, transform):
        self.items, self.names, self.transform = dataset.items, names, transform

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        item = self.items[index]
        return self.transform(Image.open(item.path)), self.names.index(item.label)


def random_model(folder):
    """A folder with the demo model's architecture and weights that are drawn."""
    shutil.copytree(ROOT / "models/demo", folder)
    torch.manual_seed(5)
    model, _ = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.05)
    save_file({name: tensor.contiguous().half() for name, tensor in model.state_dict().items()},
              folder / "open_clip_model.safetensors")
    return folder


def compare(folder, dataset, temporary):
    names = dataset.labels
    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}", precision="fp32")
    model.eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    with torch.no_grad():
        classifier = open_clip.build_zero_shot_classifier(
            model, tokenizer, names, [lambda name, text=text: text.replace("{}", name) for text in TEMPLATES], None, "cpu")
        loader = torch.utils.data.DataLoader(Images(dataset, names, transform), batch_size=64)
        args = types.SimpleNamespace(device="cpu", precision="fp32", batch_size=64)
        top_1, top_5 = zero_shot.run(model, classifier, loader, args)
        features = torch.cat([model.encode_image(images, normalize=True) for images, _ in loader]).numpy()
        # On the very vectors that the server makes.
        server = documents.Server(temporary, "--precision=fp32", "--http_listen=", f"--model={folder}")
        try:
            server.wait_for(" serving ")
            with zeroshot_client.Client(server.address) as client:
                built = client.build(names, TEMPLATES)
                found = evaluate(client, dataset, {"seven": built}).results[0]
                vectors = embed(client, dataset, EmbeddingCache(None, client.model())).vectors
                weights = built.weights
        finally:
            server.stop()
        replay = [(torch.from_numpy(vectors), torch.tensor([names.index(item.label) for item in dataset.items]))]
        same = zero_shot.run(lambda image: {"image_features": image}, torch.from_numpy(weights.T.copy()), replay, args)
    print(f"{folder.name}: open_clip {top_1:.4f} {top_5:.4f}, the same vectors {same[0]:.4f} {same[1]:.4f}, "
          f"evaluate {found.top_1.value:.4f} {found.top_5.value:.4f}; "
          f"vectors differ by {np.abs(features - vectors).max():.1e}")
    assert (found.top_1.value, found.top_5.value) == (float(same[0]), float(same[1]))
    # Crops of JPEG files differ in the last bits: an image on the border may fall on the other side.
    assert abs(found.top_1.value - top_1) <= 2 / len(dataset.items)
    assert abs(found.top_5.value - top_5) <= 2 / len(dataset.items)
    assert found.top_1.value != found.top_5.value


def main():
    with tempfile.TemporaryDirectory() as temporary:
        temporary = pathlib.Path(temporary)
        subprocess.run([sys.executable, ROOT / "client/python/examples/augmented_images.py", ROOT / "models/demo/images",
                        temporary / "images", "--count=30"], check=True)
        dataset = Dataset.load(temporary / "images")
        compare(ROOT / "models/demo", dataset, temporary)
        compare(random_model(temporary / "random"), dataset, temporary)
    print(json.dumps({"images": len(dataset.items), "classes": len(dataset.labels)}))


if __name__ == "__main__":
    main()
