"""`stillwatch data streams`, `shapes` and `fit-arrivals`: simulated accounts, disclosed campaigns, arrival times."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from stillwatch.data.errors import ConfigError

if TYPE_CHECKING:
    from stillwatch.data.streams.measuring import Comparison
    from stillwatch.data.streams.pool import Pool

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)
_SCALE = click.FloatRange(min=0, min_open=True)


@click.command()
@click.option("--out", type=_FOLDER, required=True, help="Folder to write, or to go on with.")
@click.option("--shape", help="A disclosed campaign; `stillwatch data shapes` lists them.")
@click.option("--operator", help="An operator's own campaign, instead of a disclosed one.")
@click.option("--scale", type=_SCALE, default=1.0, show_default=True, help="Size of the campaign; 1 is as published.")
@click.option("--accounts", type=click.IntRange(min=0), default=0, help="How many honest accounts.")
@click.option(
    "--personas", default="", help="Their personas, with commas; operators mimic these. All benign ones unless told."
)
@click.option("--seed", type=int, default=0, show_default=True, help="The only source of chance.")
@click.option("--first", type=click.IntRange(min=1), help="Only the first requests of each account.")
@click.option("--days", type=_SCALE, help="How long honest accounts live, instead of their personas' horizons.")
@click.option("--pool", type=click.Path(path_type=Path, exists=True), help="Labelled rows; generated unless told.")
@click.option("--rows-per-family", type=click.IntRange(min=1), default=500, show_default=True)
@click.option("--hold-out", multiple=True, help="A family that must not appear; may be given again.")
@click.option("--personas-file", type=_FILE, help="Personas of your own.")
@click.option("--operators-file", type=_FILE, help="Operators of your own.")
@click.option("--format", "file_format", type=click.Choice(["parquet", "jsonl"]), default="parquet", show_default=True)
def streams(
    out: Path,
    shape: str | None,
    operator: str | None,
    scale: float,
    accounts: int,
    personas: str,
    seed: int,
    first: int | None,
    days: float | None,
    pool: Path | None,
    rows_per_family: int,
    hold_out: tuple[str, ...],
    personas_file: Path | None,
    operators_file: Path | None,
    file_format: str,
) -> None:
    """Simulate accounts and write their requests, restartably."""
    _check_libraries()
    from stillwatch.data.streams.arrivals import SHIPPED_ARRIVALS
    from stillwatch.data.streams.operators import SHIPPED_OPERATORS, load_operators
    from stillwatch.data.streams.personas import SHIPPED_PERSONAS, choose_personas
    from stillwatch.data.streams.shapes import SHIPPED_SHAPES
    from stillwatch.data.streams.simulator import Crowd, Streams, simulate_accounts, simulate_campaign
    from stillwatch.data.streams.writing import FileFormat, count_requests, write_streams

    if (shape and operator) or not (shape or operator or accounts):
        raise ConfigError("streams: nothing or too much named; give --shape or --operator, --accounts, or both")
    texts = _open_pool(pool, seed, rows_per_family, hold_out)
    operators = load_operators(operators_file or SHIPPED_OPERATORS)
    names = tuple(name.strip() for name in personas.split(",") if name.strip())
    chosen = choose_personas(names, personas_file or SHIPPED_PERSONAS)
    lots: list[Streams] = []
    if accounts:
        lots.append(simulate_accounts(texts, num_accounts=accounts, seed=seed, personas=chosen, days=days))
    if operator is not None and operator not in operators:
        raise ConfigError(f"operator {operator}: unknown; use one of {', '.join(operators)}")
    if shape or operator:
        named = shape or operators[str(operator)]
        lots.append(simulate_campaign(texts, shape=named, scale=scale, seed=seed, operators=operators, personas=chosen))
    files = (SHIPPED_ARRIVALS, SHIPPED_SHAPES, personas_file or SHIPPED_PERSONAS, operators_file or SHIPPED_OPERATORS)
    plan = {"seed": seed, "shape": shape, "operator": operator, "scale": scale, "accounts": accounts}
    plan |= {"personas": personas, "days": days, "pool": texts.fingerprint, "settings": _digest(files)}
    crowd = Crowd(lots)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Simulating", total=count_requests(crowd, first))
        manifest = write_streams(
            crowd,
            out,
            plan=plan,
            file_format=FileFormat(file_format),
            first=first,
            on_requests=lambda num: progress.advance(task, num),
        )
    click.echo(f"{out}: {manifest['rows']} requests of {manifest['accounts']} accounts, seed {seed}")


@click.command()
@click.option("--scale", type=_SCALE, default=0.01, show_default=True, help="1 is as published.")
@click.option("--seed", type=int, default=0, show_default=True, help="The only source of chance.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def shapes(scale: float, seed: int, as_json: bool) -> None:
    """Compare the disclosed campaigns' published figures with those regenerated at a scale."""
    _check_libraries()
    from stillwatch.data.streams.measuring import compare_shape
    from stillwatch.data.streams.operators import load_operators
    from stillwatch.data.streams.personas import choose_personas
    from stillwatch.data.streams.planning import CampaignPlan
    from stillwatch.data.streams.shapes import load_shapes
    from stillwatch.data.streams.simulator import START_S

    operators, personas = load_operators(), choose_personas(())
    compared = [
        compare_shape(CampaignPlan(shape, operators, personas, scale=scale, seed=seed, start_s=START_S), scale)
        for shape in load_shapes().values()
    ]
    if as_json:
        click.echo(json.dumps([one.as_json() for one in compared], indent=2))
    else:
        _print_shapes(compared, scale)


@click.command("fit-arrivals")
@click.argument("traces", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", type=_FILE, required=True, help="The parameter file to write.")
def fit(traces: Path, out: Path) -> None:
    """Fit the arrival times of real clients from a folder of traces."""
    from stillwatch.data.streams.fitting import fit_arrivals

    fitted = fit_arrivals(traces)
    part = out.with_name(out.name + ".part")
    part.write_text(json.dumps(fitted, indent=1) + "\n", encoding="utf-8")
    part.replace(out)
    click.echo(f"{out}: fitted from {fitted['clients']} clients")


def _open_pool(path: Path | None, seed: int, rows_per_family: int, hold_out: tuple[str, ...]) -> Pool:
    from stillwatch.data.artefact import load_any
    from stillwatch.data.streams.pool import INJECTED_FAMILIES, Pool

    if path is None:
        pool = Pool.from_families(seed=seed, rows_per_family=rows_per_family)
    else:
        given = Pool.from_records(load_any(path))
        pool = given.join(Pool.from_families(INJECTED_FAMILIES, seed=seed, rows_per_family=rows_per_family))
    return pool.hold_out(hold_out)[0] if hold_out else pool


def _check_libraries() -> None:
    for name in ("jinja2", "pyarrow", "yaml"):
        if find_spec(name) is None:
            raise ConfigError(f"{name} is not installed; run `pip install 'stillwatch[train]'`")


def _digest(files: tuple[Path, ...]) -> str:
    return hashlib.sha256(b"\x00".join(file.read_bytes() for file in files)).hexdigest()


def _print_shapes(compared: list[Comparison], scale: float) -> None:
    title = f"published / regenerated at scale {scale:g}; (assumed)"
    table = Table(title=title, box=None)
    for column in ("shape", "exchanges", "accounts", "days", "each", "median", "peak a day"):
        table.add_column(column, no_wrap=column == "shape", overflow="fold")
    for one in compared:
        made = one.regenerated
        rolling = "accounts_at_a_time" in one.published
        each = "per_account_a_day" if rolling else "per_account"
        table.add_row(
            one.name,
            f"{_tell(one, 'exchanges')} / {_shorten(made.exchanges)}",
            f"{_tell(one, 'accounts')} / {made.accounts}",
            f"{_tell(one, 'window_days')} / {made.window_days:.1f}",
            f"{_tell(one, each)} / {_shorten(getattr(made, each))}{'*' if rolling else ''}",
            _shorten(made.per_account_median),
            f"{_tell(one, 'peak_a_day')} / {_shorten(made.peak_a_day)}",
        )
        if rolling:
            table.add_row("- at a time", "", f"{_tell(one, 'accounts_at_a_time')} / {made.accounts_at_a_time}")
    console = Console()
    console.print(table)
    console.print("* on the busiest day")


def _tell(one: Comparison, figure: str) -> str:
    if figure in one.published:
        return _shorten(one.published[figure])
    return f"({_shorten(one.assumed[figure])})" if figure in one.assumed else "-"


def _shorten(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= 10 * size or (value >= size and letter == "M"):
            return f"{value / size:.3g}{letter}"
    return f"{value:,.0f}"
