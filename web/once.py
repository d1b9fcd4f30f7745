"""Requests that come twice, and are carried out once: those of programs by a header, forms by a hidden field.

What has a key of its own anyway (a document's name, a lease, a bulk decision) needs neither.
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

SENT_BEFORE = "This form was sent before, and carried out once. Here is how things stand now."
REPLAYED = "Idempotent-Replayed"
_Model = TypeVar("_Model", bound=BaseModel)
_Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", min_length=1, max_length=255, pattern="^[!-~]+$",
        description="Anything that no other request of yours has, such as a UUID. A repeat with the same key within a "
        "day gets the first answer, and changes nothing.",
    ),
]  # fmt: skip


@dataclass(slots=True)
class Repeatable:
    """A request of a program, with its key if it has one."""

    key: str | None
    request_hash: bytes
    response: Response
    replayed: bool = False

    def done(self, session: Session, caller: str, model: type[_Model], does: Callable[[], _Model]) -> _Model:
        """Do what is asked and commit; of a request that was done before, give its answer.

        Raises:
            ConflictError: the same request is under way.
            InvalidInputError: its key was given to another one.
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
        """Note that what was done was taken back, and commit: a repeat is a new try."""
        if self.key is not None:
            idempotency.forget(session, caller, self.key)
        session.commit()


async def _once(request: Request, response: Response, idempotency_key: _Key = None) -> Repeatable:
    asked = f"{request.method} {route_path(request)}?{request.url.query}\n".encode("utf-8", "surrogatepass")
    return Repeatable(idempotency_key, sha256(asked + await request.body()).digest(), response)


Once = Annotated[Repeatable, Depends(_once)]


def sent_before(request: Request, session: Session, person: Person, form: Form) -> bool:
    """Whether a person sent this very form of this very page before; if not, it counts as sent once this is committed.

    A double click waits for the first one. The same form with other words in it is another.
    """
    if not form.get("once"):
        return False
    said = repr((route_path(request), sorted(form.items()))).encode("utf-8", "surrogatepass")
    digest = sha256(said)
    return not idempotency.take(session, person.actor, digest.hexdigest(), digest.digest())
