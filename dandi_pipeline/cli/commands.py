"""Every command that can be typed, with its options and its help; what it does is in the module that it names."""

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast

import click

from dandi_pipeline.cli.options import (
    Grouped,
    hours,
    instant,
    positive_number,
    selection_options,
    since_when,
    tuning_options,
)
from dandi_pipeline.cli.output import tell

PROGRAM = "dandi-pipeline"
WRONG_USAGE = 2


def _show_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    try:
        installed = version("dandi_pipeline")
    except PackageNotFoundError:
        installed = "(run from its source, not installed)"
    tell(f"{PROGRAM} {installed}", to=sys.stdout)
    context.exit()


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
@click.pass_context
def commands(context: click.Context) -> None:
    """Keep an exact, fresh SQL mirror of the DANDI Archive's metadata, and of what else sources.yaml lists.

    The archive, the mirror's database and Dagster's folder are set by DANDI_API_URL, DANDI_API_KEY,
    MIRROR_DATABASE_URL, DAGSTER_HOME and sources.yaml.
    """
    if context.invoked_subcommand is None:
        tell(context.get_help())
        context.exit(WRONG_USAGE)


def _work(module: str, function: str) -> Callable[..., int]:
    """Import what does a command's work, so that no other command, no help and no misspelled option waits for it."""
    return cast(Callable[..., int], getattr(import_module(f"dandi_pipeline.cli.{module}"), function))


def _prefix(context: click.Context, parameter: click.Parameter, text: str) -> str:
    """Return a path as Dagster's webserver takes it: with a slash before it and none behind."""
    path = text.strip("/")
    return f"/{path}" if path else ""


@commands.command(
    cls=Grouped,
    headings={
        "platform": "Which sources",
        "dry_run": "What of them",
        "preset": "How hard they are asked",
        "verbose": "What is shown",
    },
    short_help="Bring the mirror up to date.",
    epilog="`dandi-pipeline examples` shows what to type in situations that come up.",
)
@click.argument("target", required=False)
@selection_options
@click.option("--only-due", is_flag=True, help="Leave out sources that were looked at within their interval (`every`).")
@click.option(
    "--dry-run", is_flag=True, help="Say what would change (of several sources: the plan); write nothing anywhere."
)
@click.option(
    "--force-full-sync",
    "--full",
    "--no-incremental",
    "full",
    is_flag=True,
    help="Read everything again and compare, also what looks unchanged.",
)
@click.option(
    "--dandiset-id",
    "partitions",
    multiple=True,
    metavar="ID",
    help="DANDI: sync this dandiset alone: 3, 000003 or DANDI:000003. May be given several times.",
)
@click.option(
    "--since",
    metavar="WHEN",
    callback=instant,
    help="Only dandisets (tables, data sources) modified at or after this date or date and time, e.g. 2024-01-01 or "
    "2024-01-01T12:00:00Z. A date means its midnight; without a time zone it is UTC.",
)
@click.option("--dandisets-only", is_flag=True, help="DANDI: sync dandisets and versions, not assets.")
@click.option("--assets-only", is_flag=True, help="DANDI: sync assets, not dandisets and versions.")
@click.option(
    "--max-assets",
    "--max-records",
    "max_records",
    metavar="N",
    callback=positive_number,
    help="DANDI: read at most N assets of each dandiset (default: all). One cut short deletes nothing and stays stale.",
)
@click.option(
    "--allow-mass-deletion",
    is_flag=True,
    help="Let a sync delete most of a dandiset's assets, or many dandisets, at once.",
)
@tuning_options
@click.option("--verbose", is_flag=True, help="Show the run's log: each dandiset, why, how it was read, every error.")
@click.option("--no-progress", is_flag=True, help="Plain lines in place of progress bars, e.g. for a log file.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, and nothing else, on standard output.")
@click.option("--options", "as_model", metavar="JSON", hidden=True, help="The options as `SyncOptions` has them.")
def sync(**given: Any) -> int:
    """Bring the mirror up to date with its sources, reading only what has changed.

    TARGET is all, a platform, an application or a source's alias; without one, every enabled source is synced.
    `dandi-pipeline list` shows what there is. Filters may be combined.

    Every sync of a source is a run in Dagster's history. What fails stays stale and is tried again by the next sync.

    Exit codes: 0 done; 1 done, but some partitions failed; 2 wrong usage or configuration; 3 a platform could not be
    reached. Of several sources, the worst.
    """
    return _work("sync", "sync")(**given)


@commands.command(short_help="Compare the whole mirror with the platforms.")
@click.argument("target", required=False)
@selection_options
@click.option(
    "--dandiset-id",
    "partitions",
    multiple=True,
    metavar="ID",
    help="DANDI: verify this dandiset alone: 3, 000003 or DANDI:000003. May be given several times.",
)
@click.option("--repair", is_flag=True, help="Bring what differs up to date; this is a run in Dagster's history.")
@click.option("--no-progress", is_flag=True, help="Plain lines in place of progress bars, e.g. for a log file.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and nothing else, on standard output.")
def verify(**given: Any) -> int:
    """Read everything again and compare it with the mirror, record by record, whatever the timestamps say.

    TARGET and the filters are those of `sync`. Finds what moves no timestamp, and whatever else may have gone wrong;
    names each record that differs, and its fields. Without --repair nothing is written. What changed on the platform
    since the last sync differs too.

    Exit codes: 0 equal, or repaired; 1 differences remain; 2 wrong usage or configuration; 3 a platform could not be
    reached. Of several sources, the worst.
    """
    return _work("verify", "verify")(**given)


@commands.command(short_help="List the past syncs.")
@click.option(
    "--limit", metavar="N", default="20", callback=positive_number, help="Show at most the N newest (default: 20)."
)
@click.option("--source", metavar="ALIAS", help="Show only the syncs of this source.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON, and nothing else, on standard output.")
def history(**given: Any) -> int:
    """List the past syncs, newest first: when, how long, of what, and what came of it.

    The counts are of partitions: dandisets, data sources, tables. The run id is the one by which Dagster's UI shows
    the run.
    """
    return _work("history", "history")(**given)


@commands.command(short_help="Open Dagster's UI on the mirror.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to serve at.")
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535), help="The port to serve at.")
@click.option(
    "--path-prefix",
    metavar="PATH",
    default="",
    callback=_prefix,
    help="Serve below this path, e.g. /mirror, as behind a proxy that shares a name.",
)
def ui(**given: Any) -> int:
    """Serve Dagster's UI, and run the daemon that the sensor and the schedules need, until Ctrl-C or SIGTERM.

    The sensor begins to keep the mirror fresh at once; it can be stopped in the UI, under Automation. A second UI on
    the same home is refused: its daemon would launch everything twice.
    """
    return _work("ui", "ui")(**given)


@commands.command(name="list", short_help="List the sources, and what they can be selected by.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON, and nothing else, on standard output.")
def list_targets(**given: Any) -> int:
    """List the sources of sources.yaml, disabled ones too, and the names that `sync` takes as targets and filters."""
    return _work("listing", "list_targets")(**given)


@commands.command(short_help="Remove what is held of a source that is not configured any more.")
@click.argument("source")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--with-history", is_flag=True, help="Remove what the change feed tells of it as well.")
def forget(**given: Any) -> int:
    """Remove all that the mirror holds of SOURCE, which sources.yaml must not list any more, and its partitions in
    Dagster.

    The change feed keeps what is deleted, as of any deletion, unless --with-history is given. Runs stay in Dagster's
    history. What is interrupted is done by running it again.

    Exit codes: 0 done; 1 not confirmed, or a sync is under way; 2 wrong usage or configuration.
    """
    return _work("listing", "forget")(**given)


@commands.command(name="inspect", short_help="Show what is held of each source, and how it stands.")
@click.argument("target", required=False)
@selection_options
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, and nothing else, on standard output.")
def inspect_sources(**given: Any) -> int:
    """Show what the mirror and Dagster hold of each source: partitions, records, last sync, next due, last error.

    TARGET and the filters are those of `sync`; disabled sources are shown too, and without any what the mirror still
    holds of sources that sources.yaml does not list any more. Of a single source everything that is known is shown.
    Nothing is asked of any platform.
    """
    return _work("inspect", "inspect_sources")(**given)


@commands.command(short_help="Say how the last day's syncs went, and what is wrong.")
@click.option("--hours", metavar="N", default="24", callback=hours, help="Look at the last N hours (default: 24).")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, and nothing else, on standard output.")
def health(**given: Any) -> int:
    """Say how the syncs of the last 24 hours went, what they cost, and what is wrong.

    Wrong is an enabled source that was not looked at for twice its interval or of which the mirror holds nothing any
    more, or whose newest sync failed or left partitions behind, and a monthly quota of which nine tenths are used.
    Nothing is asked of any platform.

    Exit codes: 0 healthy; 1 not; 2 wrong usage or configuration.
    """
    return _work("health", "health")(**given)


@commands.command(short_help="Show what the connection pool and the rate limiter did, by host.")
@click.argument("target", required=False)
@selection_options
@click.option("--hours", metavar="N", default="24", callback=hours, help="Look at the last N hours (default: 24).")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, and nothing else, on standard output.")
def stats(**given: Any) -> int:
    """Show, for each host that syncs of the last 24 hours asked: connections opened and reused, requests that waited
    for the rate, and the seconds that were waited. TARGET and the filters are those of `sync`.
    """
    return _work("stats", "stats")(**given)


@commands.command(short_help="Forget old syncs, and old changes if asked to.")
@click.option(
    "--older-than",
    metavar="DAYS",
    default="365",
    callback=positive_number,
    help="Delete syncs that began more than so many days ago from Dagster's history (default: 365).",
)
@click.option(
    "--changes-older-than",
    metavar="DAYS",
    callback=positive_number,
    help="Delete changes older than so many days from the mirror's log as well (default: none). The past before them"
    " can then no longer be asked for.",
)
@click.option("--dry-run", is_flag=True, help="Say how many there are; delete nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON, and nothing else, on standard output.")
def prune(**given: Any) -> int:
    """Delete old syncs with their events from Dagster's history, and old changes from the mirror if asked to.

    The sync that holds the last word on a partition is kept, however old it is. Nothing of the mirror's present rows is
    touched. May be stopped at any time: what is left goes with the next.
    """
    return _work("history", "prune")(**given)


@commands.command(short_help="Ask the mirror in SQL.")
@click.argument("statement", metavar="SELECT|Q07")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "markdown"]),
    default="table",
    show_default=True,
    help="How to show the answer.",
)
@click.option(
    "--limit", metavar="N", default="1000", callback=positive_number, help="Show at most N rows (default: 1000)."
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    default=30.0,
    type=click.FloatRange(0.1, 600),
    help="Stop after so many seconds (default: 30).",
)
@click.option("--as-of", metavar="DATE", callback=instant, help="Ask the mirror as it was at a date or instant.")
def query(**given: Any) -> int:
    """Answer one SELECT over the public tables and views, or one of the twenty questions by its number.

    Nothing can be changed by it, and nothing is read but what is public: docs/asking.md lists that.
    """
    return _work("asking", "query")(**given)


@commands.command(short_help="List what changed.")
@click.option(
    "--since",
    metavar="WHEN",
    default="7d",
    callback=since_when,
    help="Changes that the mirror took over since then: 12h, 7d, 2w, or 2024-01-01, or an instant (default: 7d).",
)
@click.option("--source", metavar="ALIAS", help="Only changes of this source.")
@click.option(
    "--dandiset-id", metavar="ID", help="Only changes of this dandiset (of other platforms: of this partition)."
)
@click.option(
    "--record", metavar="NAME", help="Only changes of dandisets, versions or assets: dandiset, version, asset."
)
@click.option("--kind", type=click.Choice(["insert", "update", "delete"]), help="Only changes of this kind.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv", "markdown"]),
    default="table",
    show_default=True,
    help="How to show them.",
)
@click.option(
    "--limit", metavar="N", default="1000", callback=positive_number, help="Show the N newest (default: 1000)."
)
def changes(**given: Any) -> int:
    """List what the mirror took over, in its order: each insert, update and delete of a record.

    `query` and the view `changes` tell as well what a record was before and after.
    """
    return _work("asking", "changes")(**given)


@commands.command(short_help="Write a table, view or query to a file.")
@click.argument("what", metavar="TABLE|SELECT")
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "csv", "jsonl"]),
    required=True,
    help="What to write: parquet needs pyarrow.",
)
@click.option("--output", metavar="FILE", help="Where to; without it, to standard output.")
@click.option("--as-of", metavar="DATE", callback=instant, help="Write what was held at a date or instant.")
def export(**given: Any) -> int:
    """Write all rows of a public table or view, or of a SELECT, however many there are."""
    return _work("asking", "export")(**given)


@commands.command(short_help="Serve the mirror to language models (MCP).")
def mcp(**given: Any) -> int:
    """Serve query, describe, ask, changes and search by the Model Context Protocol, over standard input and output."""
    return _work("asking", "mcp")(**given)


@commands.command(short_help="Look at the mirror in a browser.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to serve at.")
@click.option("--port", default=8321, show_default=True, type=click.IntRange(1, 65535), help="The port to serve at.")
def explore(**given: Any) -> int:
    """Serve pages to look at: facets, dandisets, their growth and changes, the twenty questions, SQL. Until Ctrl-C.

    They change nothing. Whoever reaches the address can read what is public; it is this machine alone unless told
    otherwise.
    """
    return _work("asking", "explore")(**given)


@commands.command(short_help="Show the most useful commands on one screen.")
def quick(**given: Any) -> int:
    """Show the most useful commands, with the names of your own sources, on one screen."""
    return _work("guides", "quick")(**given)


@commands.command(short_help="Show every kind of command, with your own names.")
def cheatsheet(**given: Any) -> int:
    """Show every kind of command, filled in with the platforms, applications and sources of your sources.yaml."""
    return _work("guides", "cheatsheet")(**given)


@commands.command(short_help="Show worked cases.")
def examples(**given: Any) -> int:
    """Show what to type in situations that come up, with the names of your own sources."""
    return _work("guides", "examples")(**given)
