"""The verbs of feedback: what people said about answers, how far they agree, and what it may be used for."""

from pathlib import Path
from typing import Annotated

import typer

from tunegate import feedback_views, views
from tunegate.arguments import AsJson
from tunegate.house import House

Origin = Annotated[
    str, typer.Argument(metavar="FILE|gateway|langfuse", help="A JSONL, the gateway's table, or Langfuse.")
]

verbs = typer.Typer(help="What people say about answers.", no_args_is_help=True)


@verbs.command("import")
def import_(
    source: Origin,
    as_json: AsJson = False,
) -> None:
    """Record feedback that is not recorded yet."""
    from tunegate import feedback, feedback_sources

    house = House.from_environment()
    if source == "gateway":
        done = feedback_sources.import_gateway(house)
    elif source == "langfuse":
        done = feedback_sources.import_langfuse(house)
    else:
        done = feedback.import_file(house, Path(source))
    views.show(done, feedback_views.imported, as_json)


@verbs.command("list")
def list_(as_json: AsJson = False) -> None:
    """List what was said and counts now, and which candidates wait for ratings."""
    from tunegate.feedback_reading import listed

    views.show(listed(House.from_environment()), feedback_views.listed, as_json)


@verbs.command()
def agreement(as_json: AsJson = False) -> None:
    """Show how far annotators agree, who can't be told from chance, and whose answers are preferred."""
    from tunegate.feedback_reading import agreed

    views.show(agreed(House.from_environment()), feedback_views.agreed, as_json)


@verbs.command()
def export(
    out: Annotated[Path, typer.Option("-o", "--out", help="A new JSONL of preference pairs (TRL's form).")],
    as_json: AsJson = False,
) -> None:
    """Write what may be learnt from: with consent, and nothing that any candidate is tested on."""
    from tunegate.feedback_export import export as run

    views.show(run(House.from_environment(), out), feedback_views.exported, as_json)


@verbs.command()
def send(as_json: AsJson = False) -> None:
    """Tell a Langfuse project what was recorded since it last took something."""
    from tunegate.feedback_sources import send as run

    views.show(run(House.from_environment()), feedback_views.sent, as_json)
