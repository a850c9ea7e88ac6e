"""What somebody with the database in hand does to a ledger, and what verification found."""

from sqlalchemy import text

from governance.ledger import Ledger, Problem, VerifyReport


def attack(ledger: Ledger, *statements: str) -> None:
    """Change the tables behind the ledger's back."""
    with ledger._database.writing() as connection:
        for statement in statements:
            connection.execute(text(statement))


def only(report: VerifyReport) -> Problem:
    """The one problem that was found."""
    assert not report.ok
    assert len(report.problems) == 1, report.problems
    return report.problems[0]
