#!/usr/bin/env python3
"""zeroshot_classifier beside OpenAI's notebook (Prompt Engineering for ImageNet) on a random ViT of the demo
size, served by the real server, and beside transformers' pipeline. Needs what tools/requirements-golden.txt
names and zeroshot_client; scripts/test-python parity calls it.
"""

import pathlib
import sys
import tempfile

import clip
import numpy as np
import torch
from clip.model import CLIP
from PIL import Image
from tqdm import tqdm

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))
import documents  # noqa: E402

import zeroshot_client  # noqa: E402

CLASSES = (ROOT / "models/demo/classes.txt").read_text().splitlines()
TEMPLATES = (ROOT / "data/template_sets/openai-imagenet-7.txt").read_text().splitlines()


def random_vit():
    """A CLIP whose weights are drawn, as a state dict that OpenAI's loader and the server read."""
    torch.manual_seed(23)
    model = CLIP(embed_dim=64, image_resolution=64, vision_layers=3, vision_width=128, vision_patch_size=16,
                 context_length=77, vocab_size=49408, transformer_width=128, transformer_heads=2,
                 transformer_layers=3)
    return model.eval().float()


def notebook_classifier(model, classnames, templates):
    """The notebook's function, on the CPU."""
    with torch.no_grad():
        zeroshot_weights = []
        for classname in tqdm(classnames):
            texts = [template.format(classname) for template in templates]
            texts = clip.tokenize(texts)
            class_embeddings = model.encode_text(texts)
            class_embeddings /= class_embeddings.norm(dim=-1, keepdim=True)
            class_embedding = class_embeddings.mean(dim=0)
            class_embedding /= class_embedding.norm()
            zeroshot_weights.append(class_embedding)
        zeroshot_weights = torch.stack(zeroshot_weights, dim=1)
    return zeroshot_weights


def accuracy(output, target, topk=(1,)):
    """The notebook's."""
    pred = output.topk(max(topk), 1, True, True)[1].t()
    correct = pred.eq(target.view(1, -1).expand_as(pred))
    return [float(correct[:k].reshape(-1).float().sum(0, keepdim=True).cpu().numpy().item()) for k in topk]


def evaluate(model, loader, zeroshot_weights):
    """The notebook's last cell, but for .cuda()."""
    with torch.no_grad():
        top1, top5, n = 0.0, 0.0, 0.0
        logits_of_all = []
        for images, target in loader:
            image_features = model.encode_image(images)
            image_features /= image_features.norm(dim=-1, keepdim=True)
            logits = 100.0 * image_features @ zeroshot_weights
            acc1, acc5 = accuracy(logits, target, topk=(1, 5))
            top1 += acc1
            top5 += acc5
            n += images.size(0)
            logits_of_all.append(logits)
    return (top1 / n) * 100, (top5 / n) * 100, torch.cat(logits_of_all)


def main():
    model = random_vit()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        torch.save(model.state_dict(), folder / "random.pt")
        server = documents.Server(folder, f"--model={folder}/random.pt", "--precision=fp32", "--drain_grace=0s")
        server.wait_for(" serving ")
        try:
            compare(model, zeroshot_client.Client(server.address))
        finally:
            server.stop()


def compare(model, client):
    theirs = notebook_classifier(model, CLASSES, TEMPLATES)
    ours = zeroshot_client.zeroshot_classifier(CLASSES, TEMPLATES, client, device="cpu")
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    difference = (ours - theirs).abs().max().item()
    print(f"zeroshot_weights {list(ours.shape)}: largest difference {difference:.1e}")
    assert difference <= 1e-5
    by_functions = zeroshot_client.zeroshot_classifier(
        CLASSES, [lambda name, t=template: t.format(name) for template in TEMPLATES], client, device="cpu")
    assert (by_functions - theirs).abs().max() <= 1e-5

    files = sorted((ROOT / "models/demo/images").iterdir())
    preprocess = clip.clip._transform(64)
    images = torch.stack([preprocess(Image.open(path)) for path in files])
    target = torch.tensor([CLASSES.index(path.stem) for path in files])
    loader = [(images[:6], target[:6]), (images[6:], target[6:])]
    first, second = evaluate(model, loader, theirs), evaluate(model, loader, ours)
    assert first[:2] == second[:2], (first[:2], second[:2])
    difference = (first[2] - second[2]).abs().max().item()
    print(f"the notebook's evaluation: top-1 {second[0]:.2f}, top-5 {second[1]:.2f} with either; "
          f"logits differ by {difference:.1e} at most")
    assert difference <= 1e-3

    features = client.embed_images(files)
    with torch.no_grad():
        reference = model.encode_image(images)
        reference /= reference.norm(dim=-1, keepdim=True)
    difference = np.abs(features - reference.numpy()).max()
    print(f"embed_images beside encode_image: {difference:.1e}")
    assert difference <= 1e-5

    import torchvision.transforms.functional as functional

    image = Image.open(files[0]).convert("RGB")
    kinds = {"PIL": image, "ndarray": np.asarray(image), "uint8 tensor": functional.pil_to_tensor(image),
             "ToTensor()": functional.to_tensor(image)}
    vectors = client.embed_images(list(kinds.values()))
    assert np.abs(vectors - vectors[0]).max() <= 1e-6
    print(f"one image as {', '.join(kinds)}: one vector")


if __name__ == "__main__":
    main()
