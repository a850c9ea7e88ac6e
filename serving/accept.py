"""From a clean request to a call: who answers it, and what it may cost at most, reserved."""

import time

from serving.call import Call
from serving.decide import decide
from serving.desk import Desk
from serving.endpoints import Endpoint
from serving.quota import Amount
from serving.sanitise import Request
from serving.view import Key


def accept(
    desk: Desk, endpoint: Endpoint, key: Key, request: Request, session: str, request_id: str, started: float
) -> Call:
    """The call, with its reservation held until `Desk.closing` settles it. Raises Refusal, and then nothing is held."""
    unit = request.user or session or key.owner
    view = desk.view()
    decision = decide(view, key, request.model, unit, desk.live.held)
    cost = desk.settings.rates.micros(decision.alias, request.most_prompt, request.most_output)
    now = time.monotonic()
    account = desk.account(key)
    reservation = account.reserve(Amount(request.most_prompt + request.most_output, cost), now)
    call = Call(
        endpoint=endpoint,
        request=request,
        decision=decision,
        key_id=key.key_id,
        unit=unit,
        account=account,
        reservation=reservation,
        request_id=request_id,
        started=started,
    )
    call.is_judged = desk.judging is not None and desk.judging.wants(view, call)
    call.reading.keeps_text = desk.settings.keeps_text or call.is_judged
    return call
