"""What a request does that comes twice, for each route that changes something; generate_http.py writes it down."""

_FORM = "once a form"
_NOTHING = "changes nothing"

SENT_TWICE = {
    # Programs
    "POST /v1/documents": "Safe by source, id and text: nothing is stored twice. Repeat it before you send a newer "
    "text of the same id, for the newest is what came last.",
    "DELETE /v1/documents": "Safe: nothing is left to erase. What was sent under this name in between is erased too.",
    "DELETE /v1/documents/{source}/{id}": "Safe: nothing is left to erase. What was sent under this name in between "
    "is erased too.",
    "POST /v1/documents/{source}/{id}/flag": "Safe with an `Idempotency-Key`. Without one, a document that was decided "
    "in between waits for a person again.",
    "POST /v1/documents/flag": "Safe with an `Idempotency-Key`. Without one, a document that was decided in between "
    "waits for a person again.",
    "POST /v1/reviews": "Safe with an `Idempotency-Key`. Without one, what repeats the newest decision of the same "
    "person changes nothing, but one that comes late replaces a newer one.",
    "POST /v1/training-runs": "Safe with an `Idempotency-Key`. Without one, 409 while the first run waits or runs, and "
    "another training after it.",
    "POST /v1/training-runs/{id}/cancel": "Safe: a run ends once. Without an `Idempotency-Key` the repeat answers 409.",
    "POST /v1/model-versions/rollback": "Safe with `leave` (the repeat answers 409) or with an `Idempotency-Key`. With "
    "neither it goes back one version further.",
    "POST /v1/model-versions/{version_id}/promote": "Safe with `leave` (the repeat answers 409) or with an "
    "`Idempotency-Key`. With neither, 409 while the version is active; where another one is by then, it is promoted "
    "again.",
    # People
    "POST /sign-in": "begins another session",
    "POST /sign-in/code": "401: a code is right once, and the sign-in was used",
    "POST /sign-in/{token}": "401: the link was used",
    "POST /sign-out": "403: the session has ended",
    "POST /account/password": "403: the password before is not right any more",
    "POST /account/sessions/end": _NOTHING,
    "POST /account/second-factor/begin": "another secret, in place of one that is not confirmed",
    "POST /account/second-factor/confirm": "403: a code is right once",
    "POST /account/second-factor/codes": "403: a code is right once",
    "POST /account/second-factor/remove": "403: the second factor is gone",
    "POST /model-versions/rollback": "once a form, and only from the version that it showed",
    "POST /model-versions/{id}/promote": "once a form, and only while the version is active that it showed",
    "POST /model-versions/{id}/shadow": _FORM,
    "POST /model-versions/shadow/end": "ends the shadow that the form showed, once",
    "POST /training-runs": _FORM,
    "POST /training-runs/{id}/cancel": _FORM,
    "POST /desk/next": "gives the same documents",
    "POST /desk/decisions": "written once, by its lease",
    "POST /desk/undo": "undone once, by the decision",
    "POST /desk/renew": _NOTHING,
    "POST /desk/explanation": "computed once",
    "POST /documents/export": "gives the file again; the audit has both",
    "POST /documents/bulk": "looks again; nothing is decided",
    "POST /documents/bulk/{id}/decide": _NOTHING,
    "POST /documents/bulk/{id}/undo": _NOTHING,
    "POST /documents/{id}/flag": _FORM,
    "POST /labels": "once a form, and once a name",
    "POST /labels/{id}": "once a form, and only in place of the guideline that it showed",
    "POST /labels/{id}/archive": _FORM,
    "POST /labels/{id}/bring-back": _FORM,
    "POST /labels/{id}/merge": _FORM,
    "POST /labels/{id}/undo-merge": _FORM,
    "POST /labels/{id}/words": "computed once",
    "POST /dead-letters/requeue": "once a form, and each letter once",
    "POST /import": "keeps the file in place of the one before",
    "POST /import/preview": _NOTHING,
    "POST /import/leave": _NOTHING,
    "POST /import/confirm": "imported once: the file is gone",
    "POST /import/classify": "the same documents, stored once",
    "POST /webhooks/pause": _FORM,
    "POST /webhooks/resume": _FORM,
    "POST /webhooks/send-again": _FORM,
    "POST /incidents/{id}/close": _FORM,
}
