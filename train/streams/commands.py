"""`stillwatch train-streams`, `calibrate` and `campaigns`."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from stillwatch.data.errors import BundleError
from stillwatch.train.consoles import open_console

_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command("train-streams")
@click.option("--config", "config_path", type=_FILE, required=True, help="A file such as configs/streams.yaml.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override, as in network.epochs=5.")
@click.option("--bundle", type=_FOLDER, help="The request bundle; the shipped one when left out.")
@click.option("--folder", type=_FOLDER, help="Where simulated worlds are kept; runs/NAME when left out.")
@click.option("--out", type=_FOLDER, help="Folder of the new bundle; FOLDER/bundle when left out.")
def train_streams(
    config_path: Path, overrides: tuple[str, ...], bundle: Path | None, folder: Path | None, out: Path | None
) -> None:
    """Train the stream model of a request bundle on simulated accounts, and seal both in one bundle."""
    from stillwatch.data.configuration import load_config_file
    from stillwatch.train.streams.settings import StreamsConfig

    config = load_config_file(StreamsConfig, config_path, overrides)
    from stillwatch.train.streams.training import train_streams as run  # torch: after the configuration was checked

    place = folder or Path("runs") / config.name
    outcome = run(config, bundle=bundle, folder=place, out=out or place / "bundle", console=Console(stderr=True))
    click.echo(f"Bundle      {outcome.bundle.folder} ({outcome.bundle.version})", err=True)
    click.echo(f"Run         {outcome.run_id}", err=True)


@click.command()
@click.option(
    "--benign",
    type=click.Path(path_type=Path, allow_dash=True),
    required=True,
    help="Honest requests with account and time; - reads a pipe.",
)
@click.option("--max-account-fpr", type=click.FloatRange(0, 0.5, min_open=True), default=0.001, show_default=True)
@click.option("--horizon", type=click.IntRange(min=1), default=1000, show_default=True, help="Requests of an account.")
@click.option(
    "--confidence",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Keep the rate itself in this share of calibrations, not only on average.",
)
@click.option("--bundle", type=_FOLDER, help="Bundle with a stream model; the shipped one when left out.")
@click.option("--out", type=_FOLDER, help="Folder of the calibrated bundle; nothing is written when left out.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
def calibrate(
    benign: Path,
    max_account_fpr: float,
    horizon: int,
    confidence: float | None,
    bundle: Path | None,
    out: Path | None,
    threads: int,
) -> None:
    """Set the stream thresholds of a bundle on your own honest traffic, and say what is promised.

    The log is in the order of time. It is refused when it cannot support the rate asked for. Shares of its scores and
    techniques go into the bundle, too: a service with that bundle tells drift against them.
    """
    from stillwatch.model.reference import LEAST_REFERENCE_REQUESTS, TrafficTally
    from stillwatch.model.scorer import Scorer
    from stillwatch.train.streams.calibrating import gather_accounts, promise_flag, seal_calibrated, warn_of_drift
    from stillwatch.train.streams.following import follow_requests, iter_requests

    scorer = Scorer.load(bundle, num_threads=threads)
    if not scorer.bundle.has_stream_model:
        raise BundleError("stream.json: not in this bundle; give a bundle of `stillwatch train-streams`")
    source, tally = None if str(benign) == "-" else benign, TrafficTally()
    traffic = gather_accounts(follow_requests(iter_requests(source), scorer, tally), horizon)
    promise = promise_flag(traffic, account_fpr=max_account_fpr, horizon=horizon, confidence=confidence)
    click.echo(
        f"{traffic.num_requests:,} requests of {len(traffic.maxima):,} accounts, {traffic.num_whole:,} of which have "
        f"{horizon:,} requests or more; a shorter one counts with what it has"
    )
    click.echo(f"Promised: {promise.describe()}")
    if (warning := warn_of_drift(traffic)) is not None:
        click.echo(f"Warning: {warning}", err=True)
    if out is not None:
        sealed = seal_calibrated(
            scorer.bundle,
            out,
            traffic,
            account_fpr=max_account_fpr,
            horizon=horizon,
            confidence=confidence,
            reference=tally.build_reference("calibrate"),
        )
        if traffic.num_requests < LEAST_REFERENCE_REQUESTS:
            click.echo(
                f"Warning: fewer than {LEAST_REFERENCE_REQUESTS:,} requests; drift is not told against them", err=True
            )
        click.echo(f"Bundle      {sealed.folder} ({sealed.version})", err=True)


@click.command()
@click.argument("log", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--bundle", type=_FOLDER, help="Score LOG with this bundle first: it holds requests, not scores.")
@click.option("--scored", type=_FILE, help="Where the scores of LOG are written, with --bundle.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
@click.option("--picture", type=_FILE, help="A PNG of the largest campaign.")
def campaigns(log: Path, bundle: Path | None, scored: Path | None, as_json: bool, picture: Path | None) -> None:
    """Group the accounts of a log of scored requests into campaigns, by the rare skeletons that they share.

    A line of LOG holds account, time_s, logit, action, technique and fingerprints; never text.
    """
    from stillwatch.train.streams.grouping import find_campaigns, gather_traces
    from stillwatch.train.streams.scored_log import iter_scored, write_scored

    source = None if str(log) == "-" else log
    if bundle is not None:
        from stillwatch.model.scorer import Scorer
        from stillwatch.train.streams.following import follow_requests, iter_requests

        rows = list(follow_requests(iter_requests(source), Scorer.load(bundle)))
        if scored is not None:
            write_scored(scored, rows)
    else:
        rows = list(iter_scored(source))
    found = find_campaigns(gather_traces(rows))
    if picture is not None and found:
        from stillwatch.train.streams.campaign_pictures import draw_campaign

        draw_campaign(found[0]).savefig(picture)
    elif picture is not None:
        click.echo("No campaign was found, so there is no picture", err=True)
    if as_json:
        click.echo(json.dumps([campaign.to_json() for campaign in found], indent=2))
        return
    title = f"{len(found)} campaign{'s' * (len(found) != 1)}"
    table = Table(title=title, title_justify="left", box=None)
    for column in ("campaign", "accounts", "flagged", "exchanges", "leaked", "first seen", "last seen", "techniques"):
        table.add_column(column, justify="left" if column in ("campaign", "techniques") else "right", no_wrap=True)
    for campaign in found:
        shown = campaign.to_json()
        techniques = shown["techniques"]
        table.add_row(
            campaign.name,
            str(len(campaign.members)),
            str(shown["flagged_members"]),
            f"{campaign.num_exchanges:,}",
            f"{campaign.num_leaked:,}",
            _tell_time(campaign.first_s),
            _tell_time(campaign.last_s),
            "\n".join(techniques) if isinstance(techniques, dict) else "",
        )
    open_console().print(table)


def _tell_time(time_s: float) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M}"
