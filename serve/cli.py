"""The `stillwatch` command: finds the commands of each folder by entry point, and turns errors into one line.

Commands are loaded when they are called, so that serving never imports training and `--help` is quick.
Exit codes: 0 done; 1 promotion refused; 2 wrong usage; 65 bad input; 66 missing input; 69 tracking store; 70 bad
export; 78 bad configuration; 130 interrupted.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points, version

import click

from stillwatch.data.errors import StillwatchError

GROUP = "stillwatch.commands"

SUMMARIES = {
    "calibrate": "Set a bundle's stream thresholds on honest traffic.",
    "campaigns": "Group the accounts of a scored log into campaigns.",
    "compare": "Say whether one evaluation is better than another.",
    "data": "Build and describe datasets.",
    "evaluate": "Measure a model, and others beside it, on labelled requests.",
    "fetch": "Bring a registered bundle to a folder that the service watches.",
    "explain": "Render an audit record of the service.",
    "pool": "Measure the rows of several training runs together.",
    "promote": "Make a registered version champion, if the gate accepts it.",
    "runs": "Look at tracked runs and registered versions.",
    "score": "Score requests: JSONL in, verdicts out.",
    "serve": "Score requests over HTTP, for a gateway.",
    "train-streams": "Train the stream model of a bundle.",
    "train": "Train, evaluate, bundle and register a classifier.",
}
"""What `--help` says of each command, without importing it."""


EXTRAS = {"calibrate": "serve", "explain": "serve", "fetch": "fetch", "score": "serve", "serve": "serve"}
"""The extra that brings the libraries of a command; `train` for all others."""


class InstalledCommands(click.Group):
    """A group whose commands are the installed entry points."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all installed commands."""
        return sorted(entry.name for entry in entry_points(group=GROUP))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command; a missing library is told with the extra that brings it."""
        for entry in entry_points(group=GROUP, name=cmd_name):
            try:
                command = entry.load()
            except ModuleNotFoundError as error:
                raise _tell_missing(cmd_name, error) from error
            if isinstance(command, click.Command):
                return command
        return None

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; a library that it imports only then is told in the same way."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            raise _tell_missing(ctx.invoked_subcommand or "", error) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their summaries."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUMMARIES.get(name, "")) for name in self.list_commands(ctx)])


def _tell_missing(command: str, error: ModuleNotFoundError) -> click.ClickException:
    extra = EXTRAS.get(command, "train")
    return click.ClickException(
        f"{command}: the library {error.name} is not installed; pip install 'stillwatch[{extra}]'"
    )


@click.command(cls=InstalledCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("stillwatch"))
def commands() -> None:
    """Stillwatch recognises requests that harvest a model's answers as training data for another model."""


def main() -> None:
    """Run the command line."""
    try:
        commands.main(standalone_mode=False)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except StillwatchError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
