"""The judge of an endpoint's config is asked as evaluation asks it, and named in the record of what was decided."""

import pytest

from serving.settings import JudgeSettings
from tests.serving.fake_upstream import FakeEngine, running
from tunegate.scoring import judge_settings, judged_by, opened
from tunegate_core.config.endpoint import CanaryJudgeBlock, Endpoint
from tunegate_core.errors import BadInput


def test_nobody_judges_unless_it_is_said() -> None:
    assert judge_settings(Endpoint()) is None
    assert judged_by(Endpoint()) is None


def test_a_grade_is_a_score_and_anything_else_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.endpoint.WAIT_SECONDS", 0.01)
    monkeypatch.setenv("JUDGE_KEY", "judge-key")
    engine = FakeEngine(names={"big"}, key="judge-key")
    with running(engine) as url:
        block = CanaryJudgeBlock(url=f"{url}/v1", model="big", rubric="Short.", key_env="JUDGE_KEY", percent=20)
        chosen = judge_settings(Endpoint(judge=block))
        assert isinstance(chosen, JudgeSettings) and (chosen.share, chosen.per_minute, chosen.parallel) == (0.2, 30, 2)
        with chosen.open() as judge:
            for words, score in ((("Good.\n", "GRADE: 4"), 0.75), (("GRADE: 1",), 0.0), (("I can't say.",), None)):
                engine.words = words
                assert judge("Why?", "Because.") == score
            engine.fault = "status"
            assert judge("Why?", "Because.") is None
    asked = engine.seen[0]["body"]
    assert asked["model"] == "big" and asked["temperature"] == 0
    prompt = asked["messages"][0]["content"]
    assert "Short." in prompt and "<<<QUESTION>>>\nWhy?" in prompt and "<<<ANSWER>>>\nBecause." in prompt
    assert judged_by(Endpoint(judge=block)) == "big: Short."


def test_a_key_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    block = CanaryJudgeBlock(url="http://j/v1", model="big", key_env="JUDGE_KEY")
    with pytest.raises(BadInput, match="JUDGE_KEY"):
        judge_settings(Endpoint(judge=block))
    with opened(CanaryJudgeBlock(url="http://127.0.0.1:9/v1", model="big")):
        pass
