"""Weight sets made in Python, as people have them, and what they make of images.

Runs open_clip on models/demo in fp32 on the CPU with the code of openai/CLIP's notebook
(notebooks/Prompt_Engineering_for_ImageNet.ipynb, zeroshot_classifier). Writes
    notebook.npy            zeroshot_weights, [embed_dim, num_classes], by numpy.save
    notebook.safetensors    the same by safetensors.torch, class names in its metadata
    classes.txt, templates.txt
    probabilities.tsv       of the demo's images, by the notebook's softmax
    npy/*.npy               one matrix in every version, type and order that NumPy writes,
                            npy/matrix.txt its numbers
"""

import json
import pathlib

import numpy as np
import open_clip
import safetensors.torch
import torch
from PIL import Image

DEMO = pathlib.Path(__file__).resolve().parents[2] / "models" / "demo"
CLASSES = ["frog", "rocket", "pizza", "umbrella", "cactus", "sailboat"]
TEMPLATES = ["a photo of a {}.", "a drawing of a {}."]


def zeroshot_classifier(model, tokenize) -> torch.Tensor:
    weights = []
    for name in CLASSES:
        embeddings = model.encode_text(tokenize([template.format(name) for template in TEMPLATES]))
        embeddings /= embeddings.norm(dim=-1, keepdim=True)
        embedding = embeddings.mean(dim=0)
        embedding /= embedding.norm()
        weights.append(embedding)
    return torch.stack(weights, dim=1)


def write_arrays(out_dir: pathlib.Path) -> None:
    out_dir.mkdir(exist_ok=True)
    # Numbers that float16 holds too, not all of them normal.
    matrix = np.array([[0.5, -0.25, 1.0], [2.0**-24, 65504.0, -0.0], [3.0, 0.1, 2.0**-15], [1e-3, -7.0, 0.0]])
    matrix = matrix.astype(np.float16)
    (out_dir / "matrix.txt").write_text("".join(" ".join(float(x).hex() for x in row) + "\n" for row in matrix))
    for version in (1, 2, 3):
        for kind in ("f2", "f4", "f8"):
            for order in "CF":
                with open(out_dir / f"v{version}_{kind}_{order}.npy", "wb") as file:
                    array = np.asarray(matrix, dtype=f"<{kind}", order=order)
                    np.lib.format.write_array(file, array, version=(version, 0))
    np.save(out_dir / "big_endian.npy", matrix.astype(">f4"))
    np.save(out_dir / "integers.npy", np.zeros((4, 3), np.int32))
    np.save(out_dir / "records.npy", np.zeros(3, [("x", "<f4"), ("y", "<f4")]))
    np.save(out_dir / "objects.npy", np.array([["a", None]], dtype=object), allow_pickle=True)


def make(out_dir: pathlib.Path) -> None:
    write_arrays(out_dir / "npy")
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{DEMO}")
    tokenize = open_clip.get_tokenizer(f"local-dir:{DEMO}")
    model.eval()
    with torch.no_grad():
        weights = zeroshot_classifier(model, tokenize)
        lines = ["# image, then the probability of each class of classes.txt"]
        for path in sorted((DEMO / "images").iterdir()):
            image = model.encode_image(preprocess(Image.open(path)).unsqueeze(0))
            image /= image.norm(dim=-1, keepdim=True)
            probabilities = (model.logit_scale.exp() * image @ weights).softmax(dim=-1)[0]
            lines.append("\t".join([path.name] + [f"{p:.9g}" for p in probabilities.tolist()]))
    np.save(out_dir / "notebook.npy", weights.numpy())
    safetensors.torch.save_file({"zeroshot_weights": weights.contiguous()}, out_dir / "notebook.safetensors",
                                metadata={"labels": json.dumps(CLASSES)})
    (out_dir / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    (out_dir / "templates.txt").write_text("\n".join(TEMPLATES) + "\n")
    (out_dir / "probabilities.tsv").write_text("\n".join(lines) + "\n")
