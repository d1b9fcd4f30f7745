"""Pages on model versions and trainings: everyone may look; leads promote, roll back, start and cancel."""

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from classifier.figures import FormFigures, VersionFigures
from classifier.risk_targets import ALONE, at_target, check_offered, moved_since, named, read_target, told
from classifier.shortcomings import shortcomings
from db.queries import incidents, labelled, model_forms, model_versions, risk_targets, shadows, status, training_runs
from db.queries.sensitive import sensitive_documents
from db.session import session
from monitoring.first_evidence import on_the_way
from sortline.errors import ConflictError, InvalidInputError, NotFoundError, ServerUnreachableError
from trainer import trigger
from trainer.report.texts import TEXT_LENGTH
from web.api.training import refuse_faulty_base
from web.forms import Form, number
from web.ids import Id
from web.links import link
from web.model_versions.report import HEADERS, documents_of, filled, read_report
from web.model_versions.shadow_plot import plot
from web.once import SENT_BEFORE, sent_before
from web.render import page
from web.sessions import Lead, Person, PostedForm, Reviewer
from web.visible import visible

router = APIRouter(include_in_schema=False)
_PAIRS, _EXAMPLES, _CHARS = 20, 50, 300
_TAKEN_UP = (
    "workers take it up within seconds. What waits as doubtful and reaches it now is accepted; what was accepted stays "
    "accepted."
)
_ELSEWHERE = "Its label is sensitive; read it on the page of document {}."


@router.get("/model-versions")
def list_versions(request: Request, person: Reviewer) -> HTMLResponse:
    """Lists all model versions and the newest trainings."""
    return _versions(request, person)


@router.post("/model-versions/rollback")
def roll_back(request: Request, person: Lead, form: PostedForm) -> HTMLResponse:
    """Rolls back from the version that the page showed as active; a second click changes nothing."""
    leave = number(form, "leave", "The form does not say from which version to roll back.")
    try:
        with session(request.app.state.settings.postgres_url) as opened:
            if sent_before(request, opened, person, form):
                return _versions(request, person, said=SENT_BEFORE)
            version = model_versions.rollback(opened, person.actor, leave)
            opened.commit()
    except ConflictError as error:
        return _versions(request, person, wrong=str(error))
    return _versions(request, person, said=f"Version {version.id} is active again; workers swap to it within seconds.")


@router.post("/model-versions/target")
def choose_target(request: Request, person: Lead, form: PostedForm) -> HTMLResponse:
    """Chooses the risk target of the installation; an empty one takes the choice back."""
    settings = request.app.state.settings
    try:
        target = read_target(form.get("target", "")) if form.get("target") else None
        if target is not None:
            check_offered(target, settings.risk_target)
        with session(settings.postgres_url) as opened:
            if sent_before(request, opened, person, form):
                return _versions(request, person, said=SENT_BEFORE)
            risk_targets.choose(opened, target, person.actor)
            opened.commit()
    except InvalidInputError as error:
        return _versions(request, person, wrong=str(error))
    said = "as the setting says" if target is None else named(target)
    return _versions(request, person, said=f"The risk target is {said}; {_TAKEN_UP}")


@router.post("/model-versions/{id}/promote")
def promote(request: Request, person: Lead, form: PostedForm, id: Id) -> HTMLResponse:
    """Promotes a version; one that the gate refused needs a reason."""
    reason, leave = form.get("reason", "").strip()[:1000], _shown(form, "leave")
    try:
        with session(request.app.state.settings.postgres_url) as opened:
            if sent_before(request, opened, person, form):
                return _versions(request, person, said=SENT_BEFORE)
            version = model_versions.activate(opened, id, person.actor, forced_because=reason or None, leave=leave)
            opened.commit()
    except (ConflictError, NotFoundError) as error:
        return _versions(request, person, wrong=str(error))
    return _versions(request, person, said=f"Version {version.id} is active; workers swap to it within seconds.")


@router.post("/model-versions/{id}/form")
def serve_form(request: Request, person: Lead, form: PostedForm, id: Id) -> HTMLResponse:
    """Lets another form of a version serve; one that is not proved needs a reason."""
    name, leave, reason = (form.get(key, "").strip()[:1000] for key in ("form", "leave", "reason"))
    try:
        with session(request.app.state.settings.postgres_url) as opened:
            if sent_before(request, opened, person, form):
                return _versions(request, person, said=SENT_BEFORE)
            version = model_forms.serve(opened, id, name, person.actor, reason or None, leave or None)
            opened.commit()
    except (ConflictError, NotFoundError) as error:
        return _versions(request, person, wrong=str(error))
    said = f"Version {version.id} serves in its form {version.form}"
    return _versions(request, person, said=f"{said}; workers swap to it within seconds.")


@router.post("/model-versions/{id}/shadow")
def start_shadow(request: Request, person: Lead, form: PostedForm, id: Id) -> Response:
    """Starts a shadow: the version also answers a share of the traffic."""
    try:
        share = float(form.get("percent", "")) / 100
        with session(request.app.state.settings.postgres_url) as opened:
            if sent_before(request, opened, person, form):
                return _versions(request, person, said=SENT_BEFORE)
            shadows.start(opened, id, share, person.actor)
            opened.commit()
    except ValueError:
        raise HTTPException(422, "The share must be a number of percent, such as 10.") from None
    except (ConflictError, NotFoundError, InvalidInputError) as error:
        return _versions(request, person, wrong=str(error))
    return RedirectResponse(link(f"/model-versions/{id}/shadow"), 303)


@router.post("/model-versions/shadow/end")
def end_shadow(request: Request, person: Lead, form: PostedForm) -> Response:
    """Ends the shadow that the page showed; a second click changes nothing."""
    with session(request.app.state.settings.postgres_url) as opened:
        ended = _shown(form, "shadow")
        version_id = shadows.stop(opened, person.actor, f"ended by {person.name}", ended)
        opened.commit()
    return RedirectResponse(link(f"/model-versions/{version_id}/shadow" if version_id else "/model-versions"), 303)


@router.get("/model-versions/{id}/shadow")
def show_shadow(request: Request, person: Reviewer, id: Id) -> HTMLResponse:
    """Shows where a shadow's answers differ from the active version's, and which of them people found right."""
    with session(request.app.state.settings.postgres_url) as opened:
        version, shadow = model_versions.get(opened, id), shadows.of_version(opened, id)
        found = shadows.evidence(opened, id)
        pairs, examples = shadows.pairs(opened, id, _PAIRS), shadows.examples(opened, id, _EXAMPLES, _CHARS)
        blurred = sensitive_documents(opened, [each.document_id for each in examples])
    return page(
        "shadow.html", person=person, version=version, shadow=shadow, found=found, pairs=pairs, examples=examples,
        plot=plot(found), visible=visible, most=shadows.MOST_WAITING, sensitive=blurred,
    )  # fmt: skip


@router.post("/training-runs")
def train(request: Request, person: Lead, form: PostedForm) -> Response:
    """Starts a training, or says that one is already running."""
    settings = request.app.state.settings
    try:
        refuse_faulty_base({}, settings.base_model)
        with session(settings.postgres_url) as opened:
            if sent_before(request, opened, person, form):
                return _versions(request, person, said=SENT_BEFORE)
            run = trigger.request(opened, settings.broker, f"{person.name}, in the web", actor=person.actor)
    except (ConflictError, InvalidInputError, ServerUnreachableError) as error:
        return _versions(request, person, wrong=str(error))
    return RedirectResponse(link(f"/training-runs/{run.id}"), 303)


@router.get("/training-runs/{id}")
def show_run(request: Request, person: Reviewer, id: Id) -> HTMLResponse:
    """Shows one training and its progress."""
    with session(request.app.state.settings.postgres_url) as opened:
        run = training_runs.get(opened, id)
        version = model_versions.get(opened, run.model_version_id) if run.model_version_id else None
        found = model_forms.served_figures(opened, version) if version else {}
        target = risk_targets.chosen(opened)
    figures = at_target(VersionFigures.model_validate(found), target, version is not None and version.may_lack_proof)
    lacks = shortcomings(figures, version.status) if version else []
    return page("training_run.html", person=person, run=run, version=version, figures=figures, lacks=lacks)


@router.post("/training-runs/{id}/cancel")
def cancel(request: Request, person: Lead, form: PostedForm, id: Id) -> Response:
    """Cancels a training."""
    try:
        with session(request.app.state.settings.postgres_url) as opened:
            if sent_before(request, opened, person, form):
                return _versions(request, person, said=SENT_BEFORE)
            training_runs.cancel(opened, id, person.actor)
            opened.commit()
    except ConflictError as error:
        return _versions(request, person, wrong=str(error))
    return RedirectResponse(link(f"/training-runs/{id}"), 303)


@router.get("/model-versions/{id}/report")
def report(request: Request, _person: Reviewer, id: Id) -> Response:
    """Shows the report of the training that made a version; instead of a sensitive text, it says where to read it."""
    with session(request.app.state.settings.postgres_url) as opened:
        html = read_report(model_versions.get(opened, id))
        ids = documents_of(html)
        texts = labelled.beginnings(opened, ids, TEXT_LENGTH)
        texts |= {each: _ELSEWHERE.format(each) for each in sensitive_documents(opened, ids)}
    return HTMLResponse(filled(html, texts), headers=HEADERS)


def _shown(form: Form, name: str) -> int | None:
    """The id that a form's field gives for the state that its page showed; None if the field is missing."""
    return number(form, name, "The form is invalid; reload the page.") if form.get(name) else None


def _versions(request: Request, person: Person, said: str = "", wrong: str = "") -> HTMLResponse:
    with session(request.app.state.settings.postgres_url) as opened:
        versions, active = model_versions.listing(opened), model_versions.active(opened)
        previous = model_versions.previous(opened)
        runs = training_runs.newest(opened, 10)
        since = status.decisions_since(opened, 10_000)
        enough = status.enough_to_train(opened, request.app.state.settings.retrain_after)
        shadow = shadows.running(opened)
        starter, promise = on_the_way(opened, request.app.state.settings)
        target = risk_targets.chosen(opened)
        moved = incidents.drifted_since(opened, active.created_at) if active else None
        figures = {
            version.id: at_target(
                VersionFigures.model_validate(model_forms.served_figures(opened, version)), target,
                version.may_lack_proof,
            )
            for version in versions
        }  # fmt: skip
        forms = model_forms.of_versions(opened, [version.id for version in versions])
    return page(
        "model_versions.html",
        409 if wrong else 200,
        person=person,
        versions=versions,
        figures=figures,
        forms=[(form, FormFigures.model_validate(form.figures)) for form in forms],
        lacks={version.id: shortcomings(figures[version.id], version.status) for version in versions},
        active=active.id if active else None,
        previous=previous,
        target=target,
        moved=moved_since(moved),
        setting=request.app.state.settings.risk_target,
        alone=ALONE,
        named=named,
        told=told,
        runs=runs,
        unfinished=next((run for run in runs if run.state in ("waiting", "running")), None),
        since=since,
        shadow=shadow,
        enough=enough,
        starter=starter,
        promise=promise,
        said=said,
        wrong=wrong,
    )
