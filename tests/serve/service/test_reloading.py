"""A new bundle is taken while the old one serves, a bad one is refused and told; accounts go on where they can."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stillwatch.data.configuration import parse_config
from stillwatch.data.labels import Role
from stillwatch.data.records import Message, Request
from stillwatch.model.bundle import CALIBRATION, MANIFEST, ONNX_MODEL, PROBES, STREAM_JSON, Bundle, seal_bundle
from stillwatch.model.streams.detector import StreamModel
from stillwatch.serve.service.metrics import Metrics
from stillwatch.serve.service.reloading import Watched, Watcher, sign_file
from stillwatch.serve.service.running import watch_bundle
from stillwatch.serve.service.scoring import Service, build_service
from stillwatch.serve.service.settings import ServeConfig

WAIT_S = 20.0


def wait_for(is_done: Callable[[], bool]) -> None:
    until_s = time.monotonic() + WAIT_S
    while not is_done():
        assert time.monotonic() < until_s, "never came"
        time.sleep(0.01)


def build_variant(bundle: Bundle, folder: Path, **calibration: float) -> Bundle:
    """A copy of a bundle with other thresholds, and so of another version."""
    shutil.copytree(bundle.folder, folder)
    changed = bundle.calibration.model_copy(update=calibration)
    (folder / CALIBRATION).write_text(changed.model_dump_json(), "utf-8")
    return seal_bundle(folder, bundle.manifest)


def point(link: Path, folder: Path) -> None:
    """Have a link lead to a folder, in one step."""
    fresh = link.with_suffix(".fresh")
    fresh.symlink_to(folder)
    fresh.replace(link)


Start = Callable[[Path], Service]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Service] = []

    def serve(folder: Path) -> Service:
        started.append(build_service(parse_config(ServeConfig, {"bundle": folder}, "settings", [])))
        started[-1].warm_up()
        return started[-1]

    yield serve
    for service in started:
        service.close()


def test_a_changed_file_is_taken_once_it_stands_still_and_a_bad_one_is_refused_until_it_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, taken, metrics = tmp_path / "file", list[str](), Metrics()
    path.write_text("one")

    def take() -> dict[str, str]:
        text = path.read_text()
        if text == "bad":
            raise ValueError(text)
        taken.append(text)
        return {}

    def count(result: str) -> float:
        return float(metrics.reloads.labels("file", result)._value.get())

    watcher = Watcher([Watched("file", lambda: sign_file(path), take)], metrics, poll_s=0.02)
    path.write_text("two")
    wait_for(lambda: taken == ["two"])
    path.write_text("bad")
    wait_for(lambda: count("refused") == 1)
    time.sleep(0.2)
    assert (count("taken"), count("refused")) == (1, 1)
    watcher.ask()
    wait_for(lambda: count("refused") == 2)
    path.write_text("three")
    wait_for(lambda: taken == ["two", "three"])
    watcher.close()
    assert "bad" not in caplog.text


def test_without_polling_a_change_waits_until_somebody_asks(tmp_path: Path) -> None:
    path, taken = tmp_path / "file", list[str]()
    path.write_text("one")

    def take() -> dict[str, str]:
        taken.append(path.read_text())
        return {}

    watcher = Watcher([Watched("file", lambda: sign_file(path), take)], Metrics(), poll_s=0)
    path.write_text("two")
    time.sleep(0.1)
    assert not taken
    watcher.ask()
    wait_for(lambda: taken == ["two"])
    watcher.close()


def ask(service: Service, account: str | None = None) -> Any:
    request = Request((Message(Role.USER, "hello reasoning"),), account=account, time_s=1e9)
    (future,) = service.submit([request], time.monotonic() + WAIT_S)
    return future.result(WAIT_S)


def test_a_new_bundle_answers_from_the_swap_on_and_its_version_says_so(
    start: Start, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    strict = build_variant(tiny_bundle, tmp_path / "strict", flag_logit=0.5, review_logit=-9.0)
    point(tmp_path / "link", tiny_bundle.folder)
    service = start(tmp_path / "link")
    watched = watch_bundle(service)
    assert watched.take() is None
    before, signed = ask(service), watched.sign()
    point(tmp_path / "link", strict.folder)
    assert watched.sign() != signed
    told = watched.take()
    assert told is not None
    after = ask(service)
    assert (before.model_version, after.model_version) == (tiny_bundle.version, strict.version)
    assert (before.request.action, after.request.action) == ("allow", "review")
    assert (told["before"], told["model_version"]) == (before.model_version, after.model_version)
    metrics = service.metrics.render().decode()
    assert f'model_version="{strict.version}"' in metrics
    assert tiny_bundle.version not in metrics


def damage(folder: Path) -> None:
    (folder / ONNX_MODEL).write_bytes(b"no network")


def drift(folder: Path) -> None:
    (folder / PROBES).write_text('[{"ids": [2, 5, 5, 3], "int8": 3.0, "fp32": 3.0}]')


@pytest.mark.parametrize("spoil", [damage, drift, lambda folder: (folder / MANIFEST).unlink(), shutil.rmtree])
def test_a_bad_bundle_is_refused_and_the_old_one_goes_on(
    start: Start, tiny_bundle: Bundle, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    bad = build_variant(tiny_bundle, tmp_path / "bad", flag_logit=0.5)
    spoil(bad.folder)
    if spoil is drift:  # sealed by somebody whose machine computes something else
        seal_bundle(bad.folder, bad.manifest)
    point(tmp_path / "link", tiny_bundle.folder)
    service = start(tmp_path / "link")
    watcher = Watcher([watch_bundle(service)], service.metrics, poll_s=0.02)
    point(tmp_path / "link", bad.folder)
    wait_for(lambda: b'stillwatch_reloads_total{result="refused",what="bundle"} 1.0' in service.metrics.render())
    assert ask(service).model_version == tiny_bundle.version
    point(tmp_path / "link", build_variant(tiny_bundle, tmp_path / "good", flag_logit=0.5).folder)
    wait_for(lambda: ask(service).model_version != tiny_bundle.version)
    watcher.close()


def test_accounts_go_on_under_new_thresholds_and_begin_afresh_under_another_network(
    start: Start, stream_bundle: Bundle, tmp_path: Path
) -> None:
    def vary(name: str, **fields: object) -> Path:
        folder = Path(shutil.copytree(stream_bundle.folder, tmp_path / name))
        model = StreamModel.model_validate_json((folder / STREAM_JSON).read_bytes()).model_copy(update=fields)
        (folder / STREAM_JSON).write_text(model.model_dump_json())
        return seal_bundle(folder, stream_bundle.manifest).folder

    model = StreamModel.model_validate_json((stream_bundle.folder / STREAM_JSON).read_bytes())
    lenient = vary("lenient", calibration=model.calibration.model_copy(update={"flag_logit": 40.0}))
    other = vary("other", attribute_offset=(1.0,) * len(model.attribute_offset))
    point(tmp_path / "link", stream_bundle.folder)
    service = start(tmp_path / "link")
    watched = watch_bundle(service)
    counts = []
    for folder in (stream_bundle.folder, lenient, other, stream_bundle.folder):
        point(tmp_path / "link", folder)
        watched.take()
        counts += [ask(service, "harvester").stream.num_requests for _ in range(2)]
    assert counts == [1, 2, 3, 4, 1, 2, 5, 6]
    assert b"stillwatch_account_resets_total 2.0" in service.metrics.render()
