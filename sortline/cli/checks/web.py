"""Do people reach the web and Flower, and only they?"""

from collections.abc import Iterator

from sortline.cli.checks.finding import Finding
from sortline.listening import url_of


def check_web(address: str, path: str, port: int) -> Iterator[Finding]:
    """Whether the address that people use reaches the web through the proxy, path and TLS in front of it."""
    import httpx

    advice = (
        f"make the proxy pass {path}/ to the web's port {port} (docs/servers.md, Behind a "
        "proxy), or set SORTLINE_WEB_URL to the address that people use"
    )
    try:
        answer = httpx.get(f"{address}/health/live", timeout=5, trust_env=False)
    except httpx.HTTPError as error:
        yield Finding("web", "warn", f"{address} can't be reached from this machine: {error}", advice)
        return
    if answer.is_success and answer.text.replace(" ", "") == '{"status":"ok"}':
        yield Finding("web", "ok", f"answers at {address}")
    elif answer.is_redirect:
        yield Finding("web", "warn", f"{address} redirects to {answer.headers['location']}", advice)
    else:
        yield Finding("web", "warn", f"{address}/health/live answers {answer.status_code}, not as the web does", advice)


def check_flower(host: str, port: int, path: str) -> Iterator[Finding]:
    """Whether a running Flower asks for a password: it can stop workers."""
    import httpx

    where = url_of(host, port)
    try:
        address = f"{where}{path}/workers"
        answer = httpx.get(address, timeout=3, follow_redirects=True, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL):
        return  # it is not running here
    if answer.status_code == 401:
        yield Finding("Flower", "ok", f"asks for a password at {where}")
    elif answer.is_success and "flower" in answer.text.lower():
        advice = "set SORTLINE_FLOWER_BASIC_AUTH to user:password, because Flower can stop workers"
        yield Finding("Flower", "warn", f"asks for no password at {where}", advice)
