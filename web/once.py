"""Requests that come twice but are carried out once: programs mark them with a header, forms with a hidden field.

A request that has a key of its own (a document's name, a lease, a bulk decision) needs neither.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel
from sqlalchemy.orm import Session

from db.queries import idempotency
from web.forms import Form
from web.links import route_path
from web.sessions import Person

SENT_BEFORE = "This form had been sent before and was carried out only once. This is the present state."
REPLAYED = "Idempotent-Replayed"
_Model = TypeVar("_Model", bound=BaseModel)
_Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", min_length=1, max_length=255, pattern="^[!-~]+$",
        description="A value that no other request of yours has, such as a UUID. A repeat with the same key within a "
        "day changes nothing and gets the first answer.",
    ),
]  # fmt: skip


@dataclass(slots=True)
class Repeatable:
    """A program's request, with its key if it has one."""

    key: str | None
    request_hash: bytes
    response: Response
    replayed: bool = False

    def done(self, session: Session, caller: str, model: type[_Model], does: Callable[[], _Model]) -> _Model:
        """Do what is asked and commit; if the request was carried out before, return that answer.

        Raises:
            ConflictError: the same request is being carried out.
            InvalidInputError: its key was used for another request.
        """
        if self.key is None:
            answer = does()
        else:
            kept = idempotency.answer(session, caller, self.key, self.request_hash)
            if kept is not None:
                self.replayed = True
                self.response.headers[REPLAYED] = "true"
                return model.model_validate(kept)
            answer = does()
            idempotency.keep(session, caller, self.key, answer.model_dump(mode="json"))
        session.commit()
        return answer

    def undone(self, session: Session, caller: str) -> None:
        """Note that the change was taken back, and commit, so that a repeat is a new attempt."""
        if self.key is not None:
            idempotency.forget(session, caller, self.key)
        session.commit()


async def _once(request: Request, response: Response, idempotency_key: _Key = None) -> Repeatable:
    asked = f"{request.method} {route_path(request)}?{request.url.query}\n".encode("utf-8", "surrogatepass")
    return Repeatable(idempotency_key, sha256(asked + await request.body()).digest(), response)


Once = Annotated[Repeatable, Depends(_once)]


def sent_before(request: Request, session: Session, person: Person, form: Form) -> bool:
    """Whether a person sent this form of this page before; if not, it counts as sent once this is committed.

    A second click waits for the first. The same form with other content counts as another form.
    """
    if not form.get("once"):
        return False
    said = repr((route_path(request), sorted(form.items()))).encode("utf-8", "surrogatepass")
    digest = sha256(said)
    return not idempotency.take(session, person.actor, digest.hexdigest(), digest.digest())
