"""One signed request to a webhook, in the format of Standard Webhooks (https://www.standardwebhooks.com)."""

import asyncio
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import httpx
import orjson
from standardwebhooks import Webhook as Signer

from housekeeping.webhook_address import Address, Allowed, Target, check_url, resolve
from sortline.errors import InvalidInputError

_MOST_ANSWER_BYTES = 64 * 2**10
_OF_MANY = 8  # connections kept to one address


class Sender:
    """Sends to one webhook, in one event loop; its connections live as long as it does.

    Args:
        url: the webhook's.
        secrets: each of them signs; the newest first.
        timeout: seconds for a request, from resolving the name to the end of the answer.
    """

    def __init__(self, url: str, secrets: Sequence[str], allowed: Allowed, timeout: float) -> None:
        self.url = url
        self.allowed = allowed
        self.timeout = timeout
        self._signers = [Signer(secret) for secret in secrets]
        self._http = httpx.AsyncClient(
            verify=_trusted(), trust_env=False, follow_redirects=False, timeout=timeout,
            limits=httpx.Limits(max_connections=_OF_MANY),
        )  # fmt: skip

    async def __aenter__(self) -> "Sender":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def send(self, message_id: str, body: bytes) -> str | None:
        """Send a message; returns why it did not arrive, None if it did."""
        try:
            async with asyncio.timeout(self.timeout):
                target = check_url(self.url, self.allowed)
                return await self._post(target, await resolve(target, self.allowed), message_id, body)
        except TimeoutError:
            return f"no answer within {self.timeout:g} s"
        except InvalidInputError as error:
            return str(error)
        except httpx.TimeoutException:
            return f"no answer within {self.timeout:g} s"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # The error may quote what the other side sent.
            reason = f"{type(error).__name__}: {error}"[:500]
            return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in reason)

    async def _post(self, target: Target, address: Address, message_id: str, body: bytes) -> str | None:
        now = datetime.now(UTC)
        headers = {
            "Host": target.authority,
            "Content-Type": "application/json",
            "User-Agent": "Sortline",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(each.sign(message_id, now, body.decode()) for each in self._signers),
        }
        shown = f"[{address}]" if address.version == 6 else str(address)
        url = f"{target.scheme}://{shown}:{target.port}{target.path}"
        # The connection goes to the address, but the certificate is checked against the name.
        named: dict[str, Any] = {"sni_hostname": target.host}
        async with self._http.stream("POST", url, content=body, headers=headers, extensions=named) as answer:
            await _read_some(answer)
        if answer.is_redirect:
            return f"it answered {answer.status_code}, and redirects are not followed"
        return None if answer.is_success else f"it answered {answer.status_code}"


def message(event: dict[str, str]) -> bytes:
    """The body for an event (fields of the results stream); what doesn't apply is null."""
    data = {
        "source": event["source"],
        "id": event["id"],
        "label": event["label"] or None,
        "confidence": float(event["confidence"]) if event["confidence"] else None,
        "decision": event["decision"],
        "fit": float(event["fit"]) if event.get("fit") else None,
        "model_version": int(event["model_version"]) if event["model_version"] else None,
        "form": event.get("form") or None,
    }
    return orjson.dumps({"type": f"document.{event['event']}", "timestamp": event["at"], "data": data})


async def _read_some(answer: httpx.Response) -> None:
    """Read an answer to its end, so that the connection can be reused; stop early if it is long."""
    size = 0
    async for part in answer.aiter_raw():
        size += len(part)
        if size > _MOST_ANSWER_BYTES:
            return


@cache
def _trusted() -> ssl.SSLContext:
    return httpx.create_ssl_context()
