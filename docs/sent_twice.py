"""What a repeated request does, for each route that changes something; generate_http.py writes it down."""

_FORM = "once per form"
_NOTHING = "changes nothing"

SENT_TWICE = {
    # Programs
    "POST /v1/documents": "Safe: the same source, id and text are not stored twice. Repeat the request before you send "
    "a newer text of the same id, because the text that arrives last is the newest.",
    "DELETE /v1/documents": "Safe: nothing is left to erase. Documents sent under this name in between are erased too.",
    "DELETE /v1/documents/{source}/{id}": "Safe: nothing is left to erase. Documents sent under this name in between "
    "are erased too.",
    "POST /v1/documents/{source}/{id}/flag": "Safe with an `Idempotency-Key`. Without one, a document that was decided "
    "in between waits for a person again.",
    "POST /v1/documents/flag": "Safe with an `Idempotency-Key`. Without one, a document that was decided in between "
    "waits for a person again.",
    "POST /v1/reviews": "Safe with an `Idempotency-Key`. Without one, a repeat of the same person's newest decision "
    "changes nothing, but a late repeat replaces a newer decision.",
    "POST /v1/training-runs": "Safe with an `Idempotency-Key`. Without one, a repeat answers 409 while the first run "
    "waits or runs, and starts another training after that.",
    "POST /v1/training-runs/{id}/cancel": "Safe: a run ends once. Without an `Idempotency-Key` the repeat answers 409.",
    "POST /v1/model-versions/rollback": "Safe with `leave` (the repeat answers 409) or with an `Idempotency-Key`. With "
    "neither, a repeat goes back one version further.",
    "POST /v1/model-versions/{version_id}/promote": "Safe with `leave` (the repeat answers 409) or with an "
    "`Idempotency-Key`. With neither, a repeat answers 409 while the version is active; if another version has become "
    "active, it promotes this one again.",
    "PUT /v1/risk-target": "Safe: the same target again changes nothing. With an `Idempotency-Key` it changes nothing "
    "even if somebody has chosen another one in between.",
    "POST /v1/model-versions/{version_id}/form": "Safe with `leave` (the repeat answers 409) or with an "
    "`Idempotency-Key`. With neither, a repeat with `form` answers 409 while that form serves, and one with `back` "
    "goes back to the form that the first one left.",
    # People
    "POST /first-steps/hide": _NOTHING,
    "POST /sign-in": "starts another session",
    "POST /sign-in/code": "401: the code and the sign-in have been used",
    "POST /sign-in/{token}": "401: the link has been used",
    "POST /sign-out": "403: the session has ended",
    "POST /account/password": "403: the old password is no longer right",
    "POST /account/sessions/end": _NOTHING,
    "POST /account/second-factor/begin": "makes another secret in place of the unconfirmed one",
    "POST /account/second-factor/confirm": "403: a code works only once",
    "POST /account/second-factor/codes": "403: a code works only once",
    "POST /account/second-factor/remove": "403: the second factor is gone",
    "POST /model-versions/rollback": "once per form, and only from the version that the form showed",
    "POST /model-versions/{id}/promote": "once per form, and only while the version that the form showed is active",
    "POST /model-versions/{id}/form": "once per form, and only while the form of the version that it showed serves",
    "POST /model-versions/target": _FORM,
    "POST /model-versions/{id}/shadow": _FORM,
    "POST /model-versions/shadow/end": "ends the shadow that the form showed, once",
    "POST /training-runs": _FORM,
    "POST /training-runs/{id}/cancel": _FORM,
    "POST /desk/next": "returns the same documents",
    "POST /desk/decisions": "stored once per lease",
    "POST /desk/undo": "undone once per decision",
    "POST /desk/renew": _NOTHING,
    "POST /desk/explanation": "computed once",
    "POST /documents/export": "sends the file again; the audit log has both",
    "POST /documents/bulk": "prepares the same again; nothing is decided",
    "POST /documents/bulk/{id}/decide": _NOTHING,
    "POST /documents/bulk/{id}/undo": _NOTHING,
    "POST /documents/{id}/flag": _FORM,
    "POST /like": "finds the same again",
    "POST /like/decide": "prepares the same again; nothing is decided",
    "POST /documents/{id}/like": "prepares the same again; nothing is decided",
    "POST /topics/again": "asked for once while it runs",
    "POST /topics/{id}": "prepares the same again; nothing is decided",
    "POST /topics/{id}/label": _FORM,
    "POST /topics/{id}/aside": _NOTHING,
    "POST /labels/{id}/belonging": "prepares the same again; nothing is decided",
    "POST /labels": "once per form, and once per name",
    "POST /labels/list": "once per form, and once per name",
    "POST /labels/{id}/examples": "once per form, and once per text",
    "POST /labels/{id}/examples/{example}/remove": _FORM,
    "POST /labels/{id}": "once per form, and only in place of the guideline that the form showed",
    "POST /labels/{id}/archive": _FORM,
    "POST /labels/{id}/bring-back": _FORM,
    "POST /labels/{id}/merge": _FORM,
    "POST /labels/{id}/undo-merge": _FORM,
    "POST /labels/{id}/words": "computed once",
    "POST /dead-letters/requeue": "once per form, and each letter once",
    "POST /import": "keeps the file in place of the first one",
    "POST /import/preview": _NOTHING,
    "POST /import/leave": _NOTHING,
    "POST /import/confirm": "imports once: the file is gone after that",
    "POST /import/classify": "sends the same documents; each is stored once",
    "POST /webhooks/pause": _FORM,
    "POST /webhooks/resume": _FORM,
    "POST /webhooks/send-again": _FORM,
    "POST /incidents/{id}/close": _FORM,
}
