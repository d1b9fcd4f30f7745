"""The risk target: how many of the accepted documents may be wrong, as people have chosen."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from classifier.figures import VersionFigures
from classifier.risk_targets import at_target, check_offered, offered, told
from db.queries import model_forms, model_versions, risk_targets
from db.session import session
from sortline.errors import ConflictError, InvalidInputError
from web.api.reference import problems
from web.api.tokens import Promote, ReadModels
from web.once import Once

router = APIRouter(prefix="/v1/risk-target", tags=["models"])

_Share = Annotated[float, Field(gt=0, lt=1, strict=True)]


class Target(BaseModel):
    """A target, and what the model version that serves accepts at it. `told`: that in words, null: it has not tried."""

    target: float
    proved: bool
    coverage: Annotated[float | None, Field(description="Share of the test documents that would be accepted.")]
    told: str | None


class RiskTarget(BaseModel):
    """How many of the accepted documents may be wrong.

    `target` holds: `chosen` by people, or where that is null the `setting` SORTLINE_RISK_TARGET. `sentence` is what the
    model version that serves promises at it, null without one.
    """

    target: float
    chosen: float | None
    setting: float
    sentence: str | None
    offers: Annotated[list[Target], Field(description="The targets that can be chosen.")]


class Choice(BaseModel):
    """The risk target of the installation; null takes the choice back, so that SORTLINE_RISK_TARGET holds."""

    model_config = ConfigDict(extra="forbid")

    target: Annotated[_Share | None, Field(description="One of the targets in `offers`, such as 0.02 for 2 %.")]


@router.get("", response_model=RiskTarget, responses=problems(401, 403, 503))
def get_risk_target(request: Request, _token: ReadModels) -> RiskTarget:
    """The risk target that holds, and those that can be chosen."""
    settings = request.app.state.settings
    with session(settings.postgres_url) as opened:
        return _shown(opened, settings.risk_target)


@router.put("", response_model=RiskTarget, responses=problems(401, 403, 409, 413, 422, 503))
def choose_risk_target(request: Request, token: Promote, once: Once, choice: Choice) -> RiskTarget:
    """Choose the risk target of the installation; the audit log has the choice.

    It needs no training: workers take it up within seconds, and accept what waits as doubtful and reaches it now; each
    such document gets a `rescored` event. Audits, flagged documents and what is open at the desk stay. What was
    accepted stays accepted under a stricter target. 409: the target is not offered.
    """
    settings, actor = request.app.state.settings, f"token:{token}"
    if choice.target is not None:
        try:
            check_offered(choice.target, settings.risk_target)
        except InvalidInputError as refusal:
            raise ConflictError(str(refusal)) from None

    def choose() -> RiskTarget:
        if risk_targets.chosen(opened) != choice.target:
            risk_targets.choose(opened, choice.target, actor)
        return _shown(opened, settings.risk_target)

    with session(settings.postgres_url) as opened:
        return once.done(opened, actor, RiskTarget, choose)


def _shown(opened: Session, setting: float) -> RiskTarget:
    chosen, active = risk_targets.chosen(opened), model_versions.active(opened)
    figures = VersionFigures.model_validate(model_forms.served_figures(opened, active) if active else {})
    now = at_target(figures, chosen, active is not None and active.may_lack_proof)
    tried = {each.guarantee.risk_target: each for each in figures.offers}
    return RiskTarget(
        target=setting if chosen is None else chosen, chosen=chosen, setting=setting,
        sentence=now.guarantee.sentence or None,
        offers=[
            Target(target=each, proved=found.guarantee.proved, coverage=found.coverage, told=told(found))
            if (found := tried.get(each)) is not None else Target(target=each, proved=False, coverage=None, told=None)
            for each in offered(setting)
        ],
    )  # fmt: skip
