from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import stillwatch.train.streams.network as network_module
from stillwatch.model.bundle import load_bundle
from stillwatch.train.streams.exporting import export_network
from stillwatch.train.streams.network import StreamNetwork
from stillwatch.train.streams.sealing import make_calibration, tell_streams

CARD = "# A bundle\n\nIt scores requests.\n\n## Limits\n\nMany.\n"
WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in {"torch", "onnx", "sklearn", "mlflow", "matplotlib", "transformers", "datasets"}:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Absent())
from stillwatch.serve.cli import main
main()
"""
"""The command line where nothing of training is installed."""
HONEST = np.random.default_rng(1).normal(size=2_000)


def test_the_card_tells_what_is_promised_and_on_what_grounds() -> None:
    card = tell_streams(CARD, make_calibration(HONEST, account_fpr=0.001, horizon=500))
    assert card.startswith(CARD.rstrip())
    for words in ("`flag`", "0.10%", "500 requests", "2,000 honest accounts", "1.00%", "stillwatch calibrate"):
        assert words in card


def test_a_new_calibration_replaces_the_section_of_the_one_before_and_nothing_else() -> None:
    first = tell_streams(CARD, make_calibration(HONEST, account_fpr=0.01, horizon=500))
    second = tell_streams(first + "\n## After\n\nWords.\n", make_calibration(HONEST, account_fpr=0.001, horizon=700))
    assert second.count("## Accounts") == 1
    assert "700 requests" in second
    assert "500 requests" not in second
    assert second.startswith(CARD.rstrip())
    assert second.endswith("\n## After\n\nWords.\n")


def test_calibrating_needs_no_library_of_training(tmp_path: Path) -> None:
    log, out = tmp_path / "log.jsonl", tmp_path / "calibrated"
    rows = [
        {"account": name, "time_s": 1.0 + at, "messages": [{"role": "user", "content": f"Name a river near {name}."}]}
        for at, name in enumerate(("Lima", "Oslo"))
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["calibrate", "--benign", str(log), "--max-account-fpr", "0.5", "--out", str(out)]
    done = subprocess.run([sys.executable, "-c", WITHOUT, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "calibrated on 2 honest accounts" in done.stdout
    assert load_bundle(out).has_stream_model


@pytest.mark.slow
def test_the_network_s_file_names_no_file_of_the_machine_that_wrote_it(tmp_path: Path) -> None:
    export_network(StreamNetwork(width=16, num_heads=2, num_members=2, num_blind=1), tmp_path / "stream.onnx")
    written = (tmp_path / "stream.onnx").read_bytes()
    assert str(Path(network_module.__file__).parent).encode() not in written
    assert b"network.py" not in written
