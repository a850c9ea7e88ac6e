"""A policy: what a candidate must show, and how many people must agree. Read from YAML, fixed in the plan by digest.

A policy with no check opens no door and is refused. Each check is a block whose `kind` names a file in
`governance/checks`; that file says which keys the block has and how it is judged.

Under both rules every check must PASS for a PASS: an intersection-union test, so no correction for their number is
needed, and power falls instead (Berger 1982, Technometrics 24:295). They differ in when a check may FAIL the whole:

- `all-required`: by its own test. The more checks, the likelier that chance alone fails a good candidate.
- `any-harm-holm`: only if its test for harm holds after Holm's correction for the number of checks; else it is
  UNDECIDED.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from governance.check import Check, CheckBlock
from governance.roles import Role
from tunegate_core import registry
from tunegate_core.config import load_yaml, validate
from tunegate_core.errors import BadInput, PolicyError
from tunegate_core.records import Record

CHECKS = "governance.checks"
Rule = Literal["all-required", "any-harm-holm"]


class OverrideRule(Record):
    """Who may release what was judged UNDECIDED: so many people who each have one of these roles. A FAIL stays one."""

    required: int = Field(ge=1, le=20, strict=True)
    roles: tuple[Role, ...] = Field(min_length=1)


class ApprovalRule(Record):
    """Whose yes is needed after a PASS. `expires_days`: how long an approval counts; None: for ever. `roles`: of which
    each approver must have one; none: any key that counts. `override`: None lets nobody past an UNDECIDED."""

    required: int = Field(default=1, ge=0, le=20, strict=True)  # strict: `required: no` is a mistake, not 0
    four_eyes: bool = True  # never the one who started the run
    expires_days: int | None = Field(default=30, ge=1, strict=True)
    roles: tuple[Role, ...] = ()
    override: OverrideRule | None = None

    @model_serializer(mode="wrap")
    def as_before(self, form: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What the rule does not say is not in its form: one from before the keys existed keeps its digest."""
        unsaid = {name for name in ("roles", "override") if not getattr(self, name)}
        return {key: part for key, part in form(self).items() if key not in unsaid}


class ErasureRule(Record):
    """What happens to a release that learnt from data which is withdrawn: it ends at once, or must be made anew in
    `days`. What is not released yet ends in any case."""

    then: Literal["revoke", "retrain"] = "revoke"
    days: int = Field(default=30, ge=1, strict=True)


class Policy(Record):
    """The checks as resolved blocks, in the order of the file. `erasure`: None is the rule's default."""

    name: str = Field(min_length=1)
    rule: Rule = "all-required"
    checks: tuple[dict[str, Any], ...] = Field(min_length=1)
    approvals: ApprovalRule = ApprovalRule()
    erasure: ErasureRule | None = None

    @model_serializer(mode="wrap")
    def as_before(self, form: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What a policy does not say is not in its form: one from before the key existed keeps its digest."""
        said: dict[str, Any] = form(self)
        return said if self.erasure is not None else {key: part for key, part in said.items() if key != "erasure"}

    def blocks(self) -> list[tuple[Check, CheckBlock]]:
        """Each check with its plug-in, in order."""
        loaded = [(load_check(raw["kind"]), raw) for raw in self.checks]
        return [(check, check.block.model_validate(raw)) for check, raw in loaded]

    def margins(self) -> dict[str, float]:
        """Each check's threshold by its id, for the plan."""
        return {block.id: check.threshold(block) for check, block in self.blocks()}


class _KindOnly(BaseModel):
    model_config = ConfigDict(extra="allow")

    kind: str


class _File(BaseModel):
    """A policy file before its checks are looked at one by one."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    rule: Rule = "all-required"
    checks: list[_KindOnly] = Field(min_length=1)
    approvals: ApprovalRule = ApprovalRule()
    erasure: ErasureRule | None = None

    @field_validator("checks")
    @classmethod
    def ids_once(cls, checks: list[_KindOnly]) -> list[_KindOnly]:
        ids = [(check.model_extra or {}).get("id") for check in checks]
        twice = sorted({str(name) for name in ids if name is not None and ids.count(name) > 1})
        if twice:
            raise ValueError(f"check ids must differ; given twice: {', '.join(twice)}")
        return checks


def load_policy(path: Path) -> Policy:
    """Read and check a policy file. Raises PolicyError with file, line, path of the key and the nearest known key."""
    raw, lines = load_yaml(path, PolicyError)
    file = validate(_File, raw, lines, path, PolicyError)
    blocks, problems = [], []
    for index, entry in enumerate(raw["checks"]):
        here = {key[2:]: line for key, line in lines.items() if key[:2] == ("checks", index)}
        try:
            plugin = load_check(file.checks[index].kind)
            blocks.append(validate(plugin.block, entry, here, path, PolicyError).model_dump(mode="json"))
        except PolicyError as error:
            problems.append(f"checks[{index}]: {error}")
        except BadInput as error:
            problems.append(f"checks[{index}]: {path}, line {here[('kind',)]}: {error}")
    if problems:
        raise PolicyError("\n".join(problems))
    return Policy(name=file.name, rule=file.rule, checks=tuple(blocks), approvals=file.approvals, erasure=file.erasure)


def load_check(kind: str) -> Check:
    """The plug-in of a kind of check (`non-inferior` is `governance/checks/non_inferior.py`)."""
    known = [name.replace("_", "-") for name in registry.names(CHECKS)]
    if kind not in known:
        hint = registry.nearest(kind, known)
        raise BadInput(f"there is no kind of check '{kind}'{hint}; there are: {', '.join(known)}")
    plugin: Check = registry.load(CHECKS, kind.replace("-", "_"))
    return plugin


def validate_against(policy: Policy, tasks: Iterable[str]) -> None:
    """Raises PolicyError when a check names a task that the config does not have."""
    known = list(tasks)
    for _, block in policy.blocks():
        if block.task not in known:
            hint = registry.nearest(block.task, known)
            raise PolicyError(
                f"check '{block.id}' of policy '{policy.name}' needs the task '{block.task}'{hint}; "
                f"the config has: {', '.join(known)}"
            )
