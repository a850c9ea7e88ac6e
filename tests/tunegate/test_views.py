"""What a person sees: text that others typed stays text."""

import io

import pytest
from rich.console import Console

from tunegate import views
from tunegate.views import complain, escape, say

STEERING = ("\x1b[31mred", "\x1b]0;title\x07", "a\rb", "a\x08b", "\u202eevil", "\u2066x", "\x9b2J", "\x7f")


@pytest.mark.parametrize("text", STEERING)
def test_nothing_that_was_typed_steers_the_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    say(text)
    complain(text)
    shown = capsys.readouterr()
    for out in (shown.out, shown.err):
        assert not [char for char in out if char != "\n" and (char < " " or "\x7f" <= char <= "\x9f")]
        assert not set(out) & set("\u202e\u2066")
        assert "\\u" in out


def test_scores_in_doubt_stand_beside_what_was_not_measured() -> None:
    out = Console(record=True, width=200)
    figure = {"task": "help", "metric": "contains", "arm": "base", "text": "50.0 %", "unmeasured": {"refused": 1}}
    views._figures(out, [{**figure, "doubtful": {"cut off": 2}}, figure])
    first, second = out.export_text().splitlines()[1:]
    assert first.rstrip().endswith("refused: 1, scored but cut off: 2") and second.rstrip().endswith("refused: 1")


def test_ordinary_text_is_left_as_it_is() -> None:
    assert escape("für 5 €,\n\tca. 10 %") == "für 5 €,\n\tca. 10 %"
    assert escape("[bold]x") == r"\[bold]x"


@pytest.mark.parametrize(("terminal", "shown"), [(False, "ask «say this»"), (True, "ask \x1b[1;32msay this\x1b[0m")])
def test_what_is_learnt_is_seen_without_colour_too(terminal: bool, shown: str) -> None:
    written = io.StringIO()
    out = Console(file=written, force_terminal=terminal, color_system="standard", no_color=not terminal)
    example = [{"text": "ask ", "supervised": False}, {"text": "say this", "supervised": True}]
    views.check_report(out, {"findings": [], "example": example})
    assert shown in written.getvalue()
