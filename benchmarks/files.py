"""Reading files that come in: how many records a second, and in how much memory."""

import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.stack import result, say
from benchmarks.texts import LABELS, ROOT, documents

_BATCH = 10_000
# In a process of its own that imports nothing else: seconds, rows, and the most memory (MiB) that reading takes.
_READ = """
import json, re, sys, time
from pathlib import Path
from sortline.files.opening import opened
began = time.perf_counter()
with opened(Path(sys.argv[1])) as reading:
    rows = sum(not row.error for row in reading.rows())
seconds = time.perf_counter() - began
# Not ru_maxrss, which counts what the parent process held before the exec.
held = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())
print(json.dumps([seconds, rows, int(held[1]) // 1024]))
"""


def files(count: int = 100_000) -> None:
    """`files`: records a second that are looked at and read, a process for each kind, and the most memory one took.

    Reading is what `sortline enqueue` does before it sends: encoding, delimiter and quoting over the whole file, then
    its rows.
    """
    with tempfile.TemporaryDirectory(prefix="sortline-") as folder:
        found: dict[str, Any] = {}
        for kind, write in _KINDS.items():
            path = Path(folder) / kind
            write(path, count)
            say(f"{kind}: {path.stat().st_size / 2**20:,.0f} MiB")
            run = subprocess.run(
                [sys.executable, "-c", _READ, str(path)], check=True, capture_output=True, text=True, cwd=ROOT
            )
            seconds, rows, memory = json.loads(run.stdout)
            assert rows == count, f"{kind}: {rows} of {count} rows were read"
            found |= {f"{kind}_per_s": round(count / seconds), f"{kind}_mib": memory}
            path.unlink()
    result("files", documents=count, **found)


def _records(count: int) -> Iterator[tuple[int, str, str]]:
    texts = documents(min(count, _BATCH), "files")
    for number in range(count):
        yield number, f"{texts[number % len(texts)].text} {number}", f"label {number % LABELS}"


def _write_csv(path: Path, count: int, quoting: Any = csv.QUOTE_MINIMAL) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=quoting)
        writer.writerow(("id", "text", "label"))
        if quoting == csv.QUOTE_MINIMAL:  # the plain one holds no quote at all
            writer.writerows((n, text.replace(",", " ").replace('"', " "), label) for n, text, label in _records(count))
        else:
            writer.writerows(_records(count))


def _write_quoted(path: Path, count: int) -> None:
    _write_csv(path, count, csv.QUOTE_ALL)


def _write_jsonl(path: Path, count: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        for number, text, label in _records(count):
            file.write(json.dumps({"id": number, "text": text, "label": label}) + "\n")


def _write_parquet(path: Path, count: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("id", pa.int64()), ("text", pa.string()), ("label", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        held: list[tuple[int, str, str]] = []
        for record in _records(count):
            held.append(record)
            if len(held) == _BATCH:
                writer.write_table(_table(pa, held, schema))
                held = []
        if held:
            writer.write_table(_table(pa, held, schema))


def _table(pa: Any, held: list[tuple[int, str, str]], schema: Any) -> Any:
    return pa.table(dict(zip(("id", "text", "label"), zip(*held, strict=True), strict=True)), schema=schema)


_KINDS: dict[str, Callable[[Path, int], None]] = {
    "csv": _write_csv, "quoted_csv": _write_quoted, "jsonl": _write_jsonl, "parquet": _write_parquet,
}  # fmt: skip
