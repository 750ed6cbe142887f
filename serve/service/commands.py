"""`stillwatch serve`: the service on the command line. Needs the extra `serve`."""

from __future__ import annotations

from pathlib import Path

import click

from stillwatch.data.configuration import load_config_file, parse_config
from stillwatch.serve.service.events import configure_log
from stillwatch.serve.service.running import run_service
from stillwatch.serve.service.secrecy import make_api_key
from stillwatch.serve.service.settings import ServeConfig


@click.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="YAML; the defaults when left out.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, such as policy.mode=review."
)
@click.option("--new-key", metavar="NAME", help="Make an API key, print it and its line for auth.keys_file, and stop.")
def serve(config_file: Path | None, overrides: tuple[str, ...], new_key: str | None) -> None:
    """Score requests over HTTP: POST /v1/score and /v1/score/batch, /healthz, /readyz, /metrics, /openapi.json.

    Listens on loopback, blocks nothing and keeps no text unless told otherwise. SIGTERM ends it without losing a
    request that it accepted.
    """
    if new_key is not None:
        key, line = make_api_key(new_key)
        click.echo(f"The key, shown this once:   {key}\nIts line in auth.keys_file: {line}")
        return
    if config_file is None:
        config = parse_config(ServeConfig, {}, "settings", overrides)
    else:
        config = load_config_file(ServeConfig, config_file, overrides)
    configure_log()
    run_service(config)
