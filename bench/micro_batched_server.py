#!/usr/bin/env python3
"""What one would write in an afternoon: openai/CLIP behind gRPC in Python, with micro-batches.

A peer for bench/served.py: it speaks Classify of our wire contract, so that the
same load goes to both. Pillow and torchvision preprocess on the request's
thread, one thread forms batches of what queued meanwhile and runs the tower.
Nothing else of the contract is there.

    .cache/golden/bin/python bench/micro_batched_server.py MODEL.pt PORT fp32|bf16
"""

import concurrent.futures
import io
import queue
import sys
import threading

import clip
import grpc
import torch
from PIL import Image

from wire import load_stubs

MAX_BATCH, CLASSES = 32, 1000


class Batches:
    """Pixels in, logits out, in batches of what waits."""

    def __init__(self, model: torch.nn.Module, bf16: bool):
        self.model, self.bf16 = model, bf16
        weights = torch.randn(CLASSES, model.visual.output_dim)
        self.weights = weights / weights.norm(dim=-1, keepdim=True)
        self.jobs: queue.Queue = queue.Queue()
        threading.Thread(target=self.loop, daemon=True).start()

    def run(self, pixels: torch.Tensor) -> torch.Tensor:
        done: concurrent.futures.Future = concurrent.futures.Future()
        self.jobs.put((pixels, done))
        return done.result()

    def loop(self) -> None:
        while True:
            jobs = [self.jobs.get()]
            while len(jobs) < MAX_BATCH and not self.jobs.empty():
                jobs.append(self.jobs.get())
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                rows = self.model.encode_image(torch.stack([pixels for pixels, _ in jobs])).float()
                rows = rows / rows.norm(dim=-1, keepdim=True)
                probabilities = (100 * rows @ self.weights.T).float().softmax(dim=-1)
            for row, (_, done) in zip(probabilities, jobs):
                done.set_result(row)


def main() -> None:
    path, port, precision = sys.argv[1:]
    messages, stubs = load_stubs()
    state = torch.load(path, map_location="cpu", weights_only=False)
    model = clip.model.build_model(dict(state)).float().eval()
    preprocess = clip.clip._transform(model.visual.input_resolution)
    batches = Batches(model, precision == "bf16")

    class Servicer(stubs.ZeroShotServicer):
        def Classify(self, request, context):
            row = batches.run(preprocess(Image.open(io.BytesIO(request.image))))
            best = row.topk(request.top_k or 5)
            return messages.ClassifyResponse(predictions=[
                messages.Prediction(class_index=int(i), class_name=f"class {int(i)}", probability=float(p))
                for p, i in zip(best.values, best.indices)])

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=64))
    stubs.add_ZeroShotServicer_to_server(Servicer(), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
