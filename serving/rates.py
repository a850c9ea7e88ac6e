"""What tokens cost, in millionths of the rate card's currency."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MILLION = 1_000_000


@dataclass(frozen=True)
class Rate:
    """Micros for a million tokens, so that a rate of 2 (of the currency) a million is 2,000,000."""

    prompt: int = 0
    output: int = 0


@dataclass(frozen=True)
class RateCard:
    """A rate for each route, and one for all others."""

    default: Rate = Rate()
    by_alias: Mapping[str, Rate] = field(default_factory=dict)

    def micros(self, alias: str, prompt_tokens: int, output_tokens: int) -> int:
        """The cost of a request, rounded up."""
        rate = self.by_alias.get(alias, self.default)
        return -(-(prompt_tokens * rate.prompt + output_tokens * rate.output) // MILLION)
