"""Labels are found on pages and in filters as people type them."""

import re

from filled_queue import add_document, add_labels, unlike
from sqlalchemy.orm import Session


def test_a_filter_takes_a_label_as_it_is_typed(sign_in_as, session: Session) -> None:
    add_labels(session, ("Straßenbahn", "résumé", "resume"))
    add_document(session, unlike(1))
    ann = sign_in_as("reviewer")
    for typed in ("Straßenbahn", "STRASSENBAHN", " straßen\u00adbahn"):
        assert "1 document." in ann.get("/documents", params={"predicted": typed}).text
    for exact in ("résumé", "resume"):
        assert "No documents" in ann.get("/documents", params={"decided": exact}).text
    several = ann.get("/documents", params={"predicted": "RESUME"})
    assert several.status_code == 422
    assert "There are several labels like &#39;RESUME&#39;: resume, résumé." in several.text
    assert ann.get("/documents", params={"predicted": "tram"}).status_code == 422


def test_the_page_of_labels_finds_one_among_many(sign_in_as, session: Session) -> None:
    names = ("İade", "Łódź transfer", "カード 再発行", *(f"label {i}" for i in range(10)))
    add_labels(session, names)
    ann = sign_in_as("reviewer")
    for typed, found in (("iade", "İade"), ("TRANSFER lodz", "Łódź transfer"), ("ｶｰﾄﾞ", "カード 再発行")):
        page = ann.get("/labels", params={"find": typed}).text
        assert re.findall(r'<td class="name"><a href="/labels/\d+"><bdi>(.*?)</bdi>', page) == [found]
    assert "No label in use has a name like" in ann.get("/labels", params={"find": "nothing"}).text
