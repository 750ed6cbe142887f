from __future__ import annotations

import gzip
import itertools
import json
import math
from pathlib import Path
from statistics import mean, pstdev, quantiles

import pytest

from stillwatch.data.chance import Chance
from stillwatch.data.errors import ConfigError, SourceError
from stillwatch.data.streams.arrivals import JOINT, SHIPPED_ARRIVALS, load_arrivals
from stillwatch.data.streams.fitting import CLIENTS, REQUESTS, WINDOWS, fit_arrivals
from stillwatch.data.streams.rhythms import DAY_S, HOUR_S, Production, Rhythm, Sessions, Steady
from stillwatch.data.streams.schedule import Envelope, Schedule

ARRIVALS = load_arrivals()
START_S = 1_767_571_200.0  # a Monday


def make_rhythms() -> list[Rhythm]:
    client = ARRIVALS.draw_client(Chance("client"))
    return [
        Steady(1.0),
        Production(client, ARRIVALS, 3600.0),
        Sessions(4.0, None, (8.0, 22.0), (1, 1, 1, 1, 1, 0, 0), 1.0, ARRIVALS, 0.0),
    ]


def test_drawn_clients_have_the_fitted_quantiles() -> None:
    chance = Chance("clients")
    clients = [ARRIVALS.draw_client(chance) for _ in range(8000)]
    for name in (*JOINT, "level_sd", "level_lag1"):
        drawn = quantiles([math.log(getattr(client, name)) for client in clients], n=10)
        table = [math.log(ARRIVALS.read(name, share / 10)) for share in range(1, 10)]
        width = table[-1] - table[0]
        assert max(abs(a - b) for a, b in zip(drawn, table, strict=True)) < 0.06 * width


def test_drawn_clients_are_correlated_as_the_fitted_ones() -> None:
    chance = Chance("clients")
    clients = [ARRIVALS.draw_client(chance) for _ in range(4000)]
    ranks = [
        sorted(range(len(clients)), key=[getattr(client, name) for client in clients].__getitem__)
        for name in ("rate_rps", "cv")
    ]
    places = [dict(zip(order, range(len(order)), strict=True)) for order in ranks]
    pairs = [(places[0][n] - 1999.5, places[1][n] - 1999.5) for n in range(4000)]
    rank_correlation = mean(a * b for a, b in pairs) / mean(a * a for a, _ in pairs)
    assert rank_correlation == pytest.approx(ARRIVALS.factor[1][0], abs=0.06)


@pytest.mark.parametrize("number", [1, 7, 64, 65, 3000])
@pytest.mark.parametrize("rhythm", make_rhythms(), ids=lambda rhythm: type(rhythm).__name__)
def test_a_schedule_keeps_its_count_its_order_and_its_life(rhythm: Rhythm, number: int) -> None:
    for seed in range(5):
        schedule = Schedule(f"{seed}", number, START_S + 5000.0, START_S + 9 * DAY_S, rhythm)
        times = list(schedule.iter_times())
        assert len(times) == number
        assert times == sorted(times) == list(schedule.iter_times())
        assert START_S + 5000.0 <= times[0] <= times[-1] <= START_S + 9 * DAY_S


@pytest.mark.parametrize("cv", [0.1, 1.0, 3.0])
def test_gaps_have_the_coefficient_of_variation_asked_for(cv: float) -> None:
    times = list(Schedule("cv", 20_000, START_S, START_S + DAY_S, Steady(cv)).iter_times())
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert pstdev(gaps) / mean(gaps) == pytest.approx(cv, rel=0.1)


def test_a_production_client_follows_the_hours_of_the_traces() -> None:
    hours = [0] * 24
    chance = Chance("hours")
    for number in range(150):
        rhythm = Production(ARRIVALS.draw_client(chance), ARRIVALS, 0.0)
        for time_s in Schedule(f"h{number}", 200, START_S, START_S + 14 * DAY_S, rhythm).iter_times():
            hours[int(time_s // HOUR_S) % 24] += 1
    night, day = sum(hours[2:7]) / 5, sum(hours[9:19]) / 10
    fitted = mean(ARRIVALS.hours[2:7]) / mean(ARRIVALS.hours[9:19])
    assert night / day == pytest.approx(fitted, abs=0.2)


def test_a_person_sleeps_and_rests_and_sits_down_for_a_few_requests() -> None:
    rhythm = Sessions(4.0, 60.0, (8.0, 22.0), (1, 1, 1, 1, 1, 0, 0), 1.0, ARRIVALS, 0.0)
    times = list(Schedule("person", 400, START_S, START_S + 28 * DAY_S, rhythm).iter_times())
    assert all(time_s // DAY_S % 7 not in (2, 3) for time_s in times)  # Unix time began on a Thursday
    assert all(7.9 <= time_s % DAY_S / HOUR_S <= 23 for time_s in times)
    sittings = 1 + sum(after - before > 1800 for before, after in itertools.pairwise(times))
    assert 2 <= len(times) / sittings <= 8


def test_an_envelope_peaks_in_the_middle_at_the_ratio_asked_for() -> None:
    envelope = Envelope(START_S, START_S + 30 * DAY_S, 1.8)
    times = Schedule("e", 30_000, START_S, START_S + 30 * DAY_S, Steady(1.0), envelope).iter_times()
    days = [0] * 30
    for time_s in times:
        days[min(29, int((time_s - START_S) // DAY_S))] += 1
    assert days[14] / 1000 == pytest.approx(1.8, rel=0.1)
    assert days[0] < 0.3 * days[14]


def test_the_shipped_file_is_small_and_names_its_sources() -> None:
    text = SHIPPED_ARRIVALS.read_text(encoding="utf-8")
    assert len(text) < 8 * 1024
    sources = json.loads(text)["sources"]
    assert all("Apache-2.0" in source["from"] and len(source["sha256"]) == 64 for source in sources)


def write_traces(folder: Path) -> None:
    chance = Chance("traces")
    clients = ["model,client,n_windows,n_active_windows,mean_active_rate_rps,mean_cv"]
    windows = ["model,client,window_start_s,rate_rps"]
    for client in range(12):
        clients.append(f"m,{client},2016,{100 + client * 50},{0.5 + client},{1 + client / 10}")
        windows += [f"m,{client},{600 * number},{chance.uniform(1, 3)}" for number in range(300) if number % 50 > 10]
    requests = ["trace,t_ms,first12_block_ids", "conversation,0,1 2 3", "conversation,40000,1 2 3 4"]
    for name, lines in ((CLIENTS, clients), (WINDOWS, windows), (REQUESTS, requests)):
        with gzip.open(folder / name, "wt", encoding="utf-8") as stream:
            stream.write("\n".join(lines) + "\n")


def test_fitting_gives_a_file_that_is_read_again(tmp_path: Path) -> None:
    write_traces(tmp_path)
    path = tmp_path / "fitted.json"
    path.write_text(json.dumps(fit_arrivals(tmp_path)), encoding="utf-8")
    fitted = load_arrivals(path)
    assert fitted.read("rate_rps", 0.0) == pytest.approx(0.5)
    assert fitted.read("rate_rps", 1.0) == pytest.approx(11.5)
    assert fitted.read("active_run_windows", 0.5) == pytest.approx(39.0, abs=1)
    assert fitted.read("session_gap_s", 0.5) == pytest.approx(40.0)
    assert fitted.factor[1][0] > 0.99  # rate and CV rise together here


def test_a_missing_trace_and_a_foreign_parameter_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no such trace; give the folder"):
        fit_arrivals(tmp_path)
    with pytest.raises(ConfigError, match=r"no such file; make it with"):
        load_arrivals(tmp_path / "none.json")
    for text in ("{", "[]", '{"format": "other/1"}'):
        (tmp_path / "bad.json").write_text(text, encoding="utf-8")
        load_arrivals.cache_clear()
        with pytest.raises(ConfigError, match=r"fit-arrivals"):
            load_arrivals(tmp_path / "bad.json")
