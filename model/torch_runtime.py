"""The torch runtime: evaluation during training, and a reference for every export. Needs `stillwatch[train]`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from stillwatch.model.network import RequestClassifier
from stillwatch.model.runtimes import IntArray, Precision, WindowOutputs


class TorchRuntime:
    """Runs a classifier where it lies, on a CPU or a GPU, in float32 or bfloat16."""

    def __init__(self, model: RequestClassifier, *, bf16: bool = False, max_batch: int = 32) -> None:
        """Take a model; it is switched to evaluation."""
        self._model = model.eval()
        self._bf16 = bf16
        self.precision: Precision = "bf16" if bf16 else "fp32"
        self.name = f"torch-{self.precision}"
        self.max_batch = max_batch

    @classmethod
    def load(cls, folder: Path) -> TorchRuntime:
        """Read a folder written by `save_pretrained`."""
        return cls(RequestClassifier.from_pretrained(folder, use_safetensors=True))

    def run(self, input_ids: IntArray, attention_mask: IntArray) -> WindowOutputs:
        """Score windows; see `Runtime.run`."""
        device = self._model.device
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=self._bf16):
            found = self._model.forward_windows(
                torch.from_numpy(input_ids).to(device), torch.from_numpy(attention_mask).to(device)
            )
        return WindowOutputs(*(np.asarray(output.float().cpu().numpy(), np.float32) for output in found))
