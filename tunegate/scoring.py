"""The judge of a canary's answers: an OpenAI-compatible endpoint, asked in the very words that evaluation judges by."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from serving.settings import Judge, JudgeSettings
from tunegate_core.config.endpoint import CanaryJudgeBlock, Endpoint
from tunegate_core.errors import BadInput


def judge_settings(endpoint: Endpoint) -> JudgeSettings | None:
    """How answers are judged; None where the config names nobody. Raises BadInput when its API key is not there."""
    chosen = endpoint.judge
    if chosen is None:
        return None
    if chosen.key_env and not os.environ.get(chosen.key_env):
        raise BadInput(f"the variable {chosen.key_env} is empty; expected the judge's API key")
    return JudgeSettings(lambda: opened(chosen), chosen.percent / 100, chosen.per_minute, chosen.parallel)


@contextmanager
def opened(chosen: CanaryJudgeBlock) -> Iterator[Judge]:
    """A connection to the judge, for one thread: a grade of 1 to 5 as 0 to 1, None where there is none."""
    from eval.endpoint import Endpoint as Chat
    from eval.endpoint import NoReply
    from eval.judging import REPLY_TOKENS, graded, read_grade, rubric_prompt

    with Chat(chosen.url, chosen.model, chosen.key_env, chosen.timeout_s, parallel=1) as chat:

        def score(question: str, answer: str) -> float | None:
            try:
                reply = chat.ask(rubric_prompt(chosen.rubric, question, answer, reference=""), REPLY_TOKENS)
            except NoReply:
                return None
            grade = read_grade(reply)
            return None if grade is None else graded(grade)

        yield score


def judged_by(endpoint: Endpoint) -> str | None:
    """The judge as the record of a decision names it: its model, and what it takes for a good answer."""
    return f"{endpoint.judge.model}: {endpoint.judge.rubric}" if endpoint.judge is not None else None
