"""Documents with any signs in their names, behind a real nginx that decodes paths or passes them on."""

from collections.abc import Callable, Iterator
from urllib.parse import quote

import httpx
import pytest
from filled_queue import add_document, add_labels
from sqlalchemy.orm import Session

from sortline.client import Client
from sortline.settings import Settings
from tests.conftest import find_free_port
from tests.nginx import nginx
from tests.web.conftest import add_token, serving

NAMES = [("a/b", "2026/07/ticket 5%"), ("mail", "x?y#z ü 日本"), ("a%2Fb", "50%25"), ("shop", "//double//"), ("..", "."),
         ("mail", "a/../b"), ("mail", "plain")]  # fmt: skip
# A slash at the end of proxy_pass is a path too: nginx then decodes what came, to put that path in its place.
FORMS = {
    "decodes": "location / {{ proxy_pass http://127.0.0.1:{port}/; }}",
    "passes on": "location / {{ proxy_pass http://127.0.0.1:{port}; }}",
}


@pytest.fixture
def through(settings: Settings, session: Session) -> Iterator[Callable[[str], httpx.Client]]:
    """A client by nginx of a web at the root of its host, that may do everything: ``through("decodes")``."""
    add_token(session, "all", "all", ["documents", "erase"])
    add_labels(session)
    for source, id in NAMES:
        add_document(session, f"{source} {id}", None, source=source, name=id)
    ports = {name: find_free_port() for name in FORMS}
    with serving(settings, None) as web:
        servers = {port: FORMS[name].format(port=web.base_url.port) for name, port in ports.items()}
        with nginx(servers, tls=False):
            yield lambda form: httpx.Client(
                base_url=f"http://127.0.0.1:{ports[form]}", headers={"Authorization": "Bearer all"}, timeout=60
            )


@pytest.mark.parametrize("form", FORMS)
def test_names_with_any_signs_are_found_in_the_query(through: Callable[[str], httpx.Client], form: str) -> None:
    with through(form) as client:
        for source, id in NAMES:
            named = {"source": source, "id": id}
            answer = client.get("/v1/documents", params=named)
            assert (answer.status_code, answer.json() | named) == (200, answer.json()), named
            flagged = client.post("/v1/documents/flag", params=named, json={"note": "look"})
            assert flagged.json() == named | {"flagged": True}
            assert client.delete("/v1/documents", params=named).json()["documents"] == 1
            assert client.get("/v1/documents", params=named).status_code == 404
        assert client.get("/v1/documents", params={"id": "plain"}).status_code == 422
        assert client.delete("/v1/documents", params={"source": "", "id": "plain"}).status_code == 404


def raw(client: httpx.Client, method: str, source: str, id: str, after: str = "") -> httpx.Response:
    """Asks with the names in the path, all of them percent-encoded."""
    path = "/".join(quote(name, safe="").replace(".", "%2E") for name in (source, id))
    url = client.base_url.copy_with(raw_path=f"/v1/documents/{path}{after}".encode())
    return client.send(client.build_request(method, url))


def test_names_in_the_path_arrive_where_nginx_passes_it_on(through: Callable[[str], httpx.Client]) -> None:
    with through("passes on") as client:
        for source, id in NAMES:
            found = raw(client, "GET", source, id)
            assert (found.status_code, found.json()["id"]) == (200, id)
            assert raw(client, "POST", source, id, "/flag").json()["flagged"] is True
            assert raw(client, "DELETE", source, id).json()["documents"] == 1


def test_names_that_nginx_decoded_are_found_where_they_can_mean_one_document(
    through: Callable[[str], httpx.Client], session: Session
) -> None:
    with through("decodes") as client:
        source, id = NAMES[0]
        assert (
            raw(client, "GET", source, id).json() | {"source": source, "id": id}
            == raw(client, "GET", source, id).json()
        )
        assert raw(client, "POST", source, id, "/flag").json()["id"] == id
        assert raw(client, "GET", *NAMES[1]).status_code == 200  # no slash in it: nothing is lost
        assert raw(client, "DELETE", *NAMES[1]).json()["documents"] == 1

        erased = raw(client, "DELETE", source, id)  # a guess could erase another document
        assert (erased.status_code, client.get("/v1/documents", params={"source": source, "id": id}).status_code) == (
            404,
            200,
        )
        for said in ("decoded its %2F", "DELETE /v1/documents?source=SOURCE&id=ID", "proxy_pass"):
            assert said in erased.json()["detail"]
        add_document(session, "another", None, source="a", name=f"b/{id}")
        both = raw(client, "GET", source, id)
        assert (both.status_code, "GET /v1/documents?source=SOURCE&id=ID" in both.json()["detail"]) == (404, True)
        flagged = raw(client, "POST", source, id, "/flag")
        assert (flagged.status_code, "POST /v1/documents/flag?source=" in flagged.json()["detail"]) == (404, True)
        assert "decoded" in raw(client, "GET", "no", "such/document").json()["detail"]
        assert (
            raw(client, "GET", "no", "such document").json()["detail"]
            == "the document is unknown or still waiting in its lane"
        )


@pytest.mark.parametrize("form", FORMS)
def test_the_python_client_reads_states_of_any_names(through: Callable[[str], httpx.Client], form: str) -> None:
    with Client(str(through(form).base_url), token="all") as client:
        for source, id in NAMES:
            assert client.get(source, id)["id"] == id


def test_under_a_path_the_problem_says_the_whole_route(settings: Settings, session: Session) -> None:
    add_token(session, "all", "all", ["documents", "erase"])
    add_labels(session)
    add_document(session, "a text", None, source="a/b", name="c/d")
    under, port = settings.model_copy(update={"web_url": "http://example.test/sortline"}), find_free_port()
    with serving(under, None) as web:
        servers = {port: f"location /sortline/ {{ proxy_pass http://127.0.0.1:{web.base_url.port}/; }}"}
        headers = {"Authorization": "Bearer all"}
        outside = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60)
        with nginx(servers, tls=False), outside as client:
            assert client.get("/sortline/v1/documents/a%2Fb/c%2Fd").json()["id"] == "c/d"
            refused = client.delete("/sortline/v1/documents/a%2Fb/c%2Fd").json()["detail"]
            assert "DELETE /sortline/v1/documents?source=SOURCE&id=ID" in refused
            with Client(f"http://127.0.0.1:{port}/sortline", token="all") as producer:
                assert producer.get("a/b", "c/d")["source"] == "a/b"
