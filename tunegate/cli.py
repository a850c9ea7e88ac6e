"""The command line: each verb opens the house, calls one function and shows what came back.

Exit codes: 0 done, 1 fault, 2 bad input, 3 refused by the gate, 4 undecided, 5 waiting for approval.
"""

import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from tunegate import (
    console_verbs,
    data_verbs,
    document_verbs,
    explain_verbs,
    feedback_verbs,
    key_verbs,
    policy_verbs,
    route_verbs,
    serve_verbs,
    user_verbs,
    views,
    witness_verbs,
)
from tunegate.arguments import AsJson, EndpointFile, Person, Reason, Version
from tunegate.guarding import guard
from tunegate.house import House
from tunegate.progress import watched
from tunegate_core.errors import BadInput, TunegateError

EXIT_BY_STANDING = {
    "released": 0,
    "approved": 0,
    "refused": 3,
    "undecided": 4,
    "waiting": 5,
    "revoked": 3,
    "withdrawn": 3,
}

app = typer.Typer(
    help="Fine-tune LoRA adapters and prove why each one may answer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 120},
)
ledger_app = typer.Typer(help="The tamper-evident record of every step.", no_args_is_help=True)
app.add_typer(ledger_app, name="ledger")
app.add_typer(key_verbs.verbs, name="keys")
app.add_typer(user_verbs.verbs, name="users")
app.add_typer(policy_verbs.verbs, name="policy")
app.add_typer(witness_verbs.verbs, name="witness")
app.add_typer(feedback_verbs.verbs, name="feedback")
app.add_typer(explain_verbs.verbs)
app.add_typer(route_verbs.verbs)
app.add_typer(document_verbs.verbs)
app.add_typer(serve_verbs.verbs)
app.add_typer(data_verbs.verbs)
app.add_typer(console_verbs.verbs)

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="A release config (YAML).")]
Address = Annotated[str | None, typer.Option(help="An existing Ray cluster; a private one is started when not given.")]


@app.command()
def init(folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")]) -> None:
    """Write a commented starter config, a small data set and a policy that run as they are."""
    from tunegate.starter import write_starter

    views.say(write_starter(folder))


@app.command()
def check(config: ConfigFile, as_json: AsJson = False, address: Address = None) -> None:
    """Show everything that can be known before training; train nothing."""
    from tunegate.checking import check_config

    with watched(quiet=as_json) as progress:
        report = check_config(House.from_environment(progress=progress, address=address), config)
    views.show(report, views.check_report, as_json)
    raise typer.Exit(0 if report["ok"] else BadInput.exit_code)


@app.command()
def release(config: ConfigFile, as_json: AsJson = False, address: Address = None) -> None:
    """Run the whole story, resumable: plan, train, seal, examine, judge, approve, release."""
    from tunegate.release import release as run

    with watched(quiet=as_json) as progress:
        subject = run(House.from_environment(progress=progress, address=address), config)
    _finish(subject, as_json)


@app.command()
def train(config: ConfigFile, as_json: AsJson = False, address: Address = None) -> None:
    """Plan, train and seal, and stop there."""
    from tunegate.release import train as run

    with watched(quiet=as_json) as progress:
        subject = run(House.from_environment(progress=progress, address=address), config)
    _show(subject, as_json)


@app.command()
def evaluate(
    target: Annotated[
        str | None, typer.Argument(metavar="CONFIG|NAME@N", help="A config, or a sealed candidate.")
    ] = None,
    suite: Annotated[str | None, typer.Option(help="Score a file of answers to this bias suite instead.")] = None,
    answers: Annotated[Path | None, typer.Option(metavar="FILE", help="The answers (JSONL).")] = None,
    data: Annotated[Path | None, typer.Option(metavar="PATH", help="The suite's own data, if not in answers.")] = None,
    column: Annotated[str | None, typer.Option(metavar="NAME", help="The column that holds the answer.")] = None,
    as_json: AsJson = False,
) -> None:
    """Examine and judge a sealed candidate; or score answers to a bias suite. Nothing is approved or released."""
    if suite is not None:
        _score_suite(target, suite, answers, data, column, as_json)
        return
    if target is None or answers or data or column:
        raise BadInput("give a CONFIG or NAME@N to examine, or --suite NAME --answers FILE to score answers")
    from tunegate.release import evaluate as run

    with watched(quiet=as_json) as progress:
        subject = run(House.from_environment(progress=progress), target)
    _show(subject, as_json)


@app.command()
def approve(
    version: Version,
    person: Person,
    reason: Reason,
    override: Annotated[bool, typer.Option("--override", help="Release it although it is UNDECIDED.")] = False,
) -> None:
    """Sign a verdict: it may be released."""
    from tunegate.deciding import approve as run

    views.say(run(House.from_environment(), version, person, reason, override))


@app.command()
def refuse(version: Version, person: Person, reason: Reason) -> None:
    """Sign a verdict: it must not be released."""
    from tunegate.deciding import refuse as run

    views.say(run(House.from_environment(), version, person, reason))


@app.command()
def recall(version: Version, person: Person, reason: Reason) -> None:
    """Take back one's own approval, as long as nothing was released on it."""
    from tunegate.deciding import recall as run

    views.say(run(House.from_environment(), version, person, reason))


@app.command()
def revoke(version: Version, person: Person, reason: Reason) -> None:
    """Withdraw a release; it may not answer from now on."""
    from tunegate.deciding import revoke as run

    views.say(run(House.from_environment(), version, person, reason))


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List candidates, releases and routes."""
    from tunegate.reading import overview

    views.show(overview(House.from_environment()), views.overview, as_json)


@app.command()
def show(version: Version, as_json: AsJson = False) -> None:
    """Show one candidate or release: lineage, evidence and verdict."""
    _show(version, as_json)


@app.command()
def compare(a: Version, b: Annotated[str, typer.Argument(metavar="NAME@M")], as_json: AsJson = False) -> None:
    """Show two side by side, with intervals."""
    from tunegate.reading import comparison

    views.show(comparison(House.from_environment(), [a, b]), views.comparison, as_json)


@ledger_app.command("verify")
def ledger_verify(
    as_json: AsJson = False,
    key: Annotated[Path | None, typer.Option(help="The public key you trust; the home's own when not given.")] = None,
    witnessed: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A tree head that a witness cosigned.")
    ] = None,
    since: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A tree head you verified before: check only what came after.")
    ] = None,
) -> None:
    """Re-derive the tree and re-check every digest and signature."""
    from tunegate.proving import verify

    report = verify(House.from_environment(), key, witnessed or (), since)
    views.show(report, views.verify_report, as_json)
    raise typer.Exit(0 if report["ok"] else 1)


@ledger_app.command("checkpoint")
def ledger_checkpoint() -> None:
    """Print the signed tree head (C2SP tlog-checkpoint)."""
    typer.echo(House.from_environment().proving_ledger.checkpoint(), nl=False)


@ledger_app.command("prove")
def ledger_prove(
    version: Version, out: Annotated[Path, typer.Option("-o", "--out", help="The bundle to write.")]
) -> None:
    """Write a bundle that proves a release with no access to this service."""
    from tunegate.proving import prove

    views.say(prove(House.from_environment(), version, out))


@app.command("verify-bundle")
def verify_bundle(
    bundle: Annotated[Path, typer.Argument(metavar="FILE", help="A bundle from 'ledger prove'.")],
    key: Annotated[Path, typer.Option(help="The ledger's public key (PEM).")],
    adapter: Annotated[Path | None, typer.Option(help="Check that this folder is the adapter it proves, too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check a bundle by itself: nothing but the files named here is read."""
    from tunegate.proving import check_bundle

    views.show(check_bundle(bundle, key, adapter), views.bundle, as_json)


@app.command()
def export(
    version: Version,
    out: Annotated[Path, typer.Option("-o", "--out", help="A new folder.")],
) -> None:
    """Write all about a release as one folder: signed adapter (OpenSSF model-signing), proof, report, records."""
    from tunegate.exporting import export_release

    views.say(export_release(House.from_environment(), version, out))


@app.command()
def backup(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="The archive to write.")],
    with_keys: Annotated[bool, typer.Option("--with-keys", help="Include private keys; guard the file.")] = False,
) -> None:
    """Write ledger and store as one archive."""
    from tunegate.keeping import backup as run

    views.say(run(House.from_environment(), out, with_keys))


@app.command()
def restore(
    archive: Annotated[Path, typer.Argument(metavar="FILE", help="An archive from 'backup'.")],
    key: Annotated[Path | None, typer.Option(metavar="PUB", help="The ledger's public key, kept elsewhere.")] = None,
) -> None:
    """Put an archive into an empty home, verified before it is put in place."""
    from tunegate.keeping import restore as run

    views.say(run(House.from_environment(), archive, key))


@app.command()
def gc(
    delete: Annotated[bool, typer.Option("--delete", help="Delete what is listed.")] = False,
    config: EndpointFile = None,
    as_json: AsJson = False,
) -> None:
    """List what the store no longer needs, and request records that were kept for their time."""
    from tunegate.keeping import collect
    from tunegate_core.config.endpoint import load_endpoint

    records = load_endpoint(config).records if config else None
    views.show(collect(House.from_environment(), delete, records), views.garbage, as_json)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what is installed, what is missing and how to get it, and who owns our package names."""
    from tunegate.doctor import examine_installation

    report = examine_installation(House.from_environment())
    views.show(report, views.doctor, as_json)
    raise typer.Exit(0 if report["ok"] else 1)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a config, for editors."""
    from tunegate_core.config import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


def _score_suite(
    target: str | None, suite: str, answers: Path | None, data: Path | None, column: str | None, as_json: bool
) -> None:
    from tunegate.suites import score_suite, view

    if target is not None or answers is None:
        raise BadInput("--suite scores a file: give --answers FILE, and no CONFIG or NAME@N")
    views.show(score_suite(suite, answers, data, column), view, as_json)


def _show(subject: str, as_json: bool) -> None:
    from tunegate.reading import candidate

    views.show(candidate(House.from_environment(), subject), views.candidate, as_json)


def _finish(subject: str, as_json: bool) -> NoReturn:
    from tunegate.reading import candidate

    found: dict[str, Any] = candidate(House.from_environment(), subject)
    views.show(found, views.candidate, as_json)
    raise typer.Exit(EXIT_BY_STANDING.get(found["standing"], 1))


guard(app)


def main() -> NoReturn:
    """Run a verb; errors of our own become one message and their exit code."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        code = app(standalone_mode=False)
    except TunegateError as error:
        views.complain(str(error))
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        views.complain("stopped; the same command continues")
        sys.exit(130)
    except typer.TyperException as error:
        views.complain(error.format_message())
        sys.exit(BadInput.exit_code)
    except OSError as error:
        views.complain(f"{error.strerror or error}: {error.filename or 'the home folder'}")
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)
