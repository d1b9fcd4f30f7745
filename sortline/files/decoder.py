"""`python -m sortline.files.decoder MOST`: decodes Parquet and workbooks in a process of limited memory.

A file of a few kilobytes can decode to more than any memory holds, and only the decoder notices. `sortline.files.apart`
starts this process and asks. It asks in pickles, and accepts as answers only those of a few harmless types.
"""

import os
import pickle
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any

from sortline.errors import ImportFileError
from sortline.files.json_records import Record

MOST_ANSWER = 64 * 2**20  # bytes; many times the longest text that is accepted
_BATCH, _BATCH_CHARS = 500, 2**20


def main() -> None:
    """Answer questions from standard input on standard output until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command ends, and this process with it
    most = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # so that what a library prints does not become an answer
    with os.fdopen(answers, "wb") as file:
        _serve(sys.stdin.buffer, file)


def _serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    stream: Iterator[Record] = iter(())
    ahead: bytes | None = None  # the stream's next answer, made while the parent works on the one before
    while True:
        try:
            function, given = pickle.load(questions)  # noqa: S301  # nosec B301  # the parent process wrote it
        except EOFError:
            return
        if function is None:
            answer = ahead or _answered(_batch, stream)
        else:
            stream = iter(())
            answer, stream = _called(function, given)
        answers.write(answer)
        answers.flush()
        ahead = _answered(_batch, stream)


def _called(function: Callable[..., Any], given: tuple[Any, ...]) -> tuple[bytes, Iterator[Record]]:
    """A function's answer, and its records if it yields them."""
    found: list[Iterator[Record]] = []

    def call() -> Any:
        answer = function(*given)
        if not isinstance(answer, Iterator):
            return answer
        found.append(answer)
        return None

    return _answered(call), (found or [iter(())])[0]


def _answered(function: Callable[..., Any], *given: Any) -> bytes:
    """What a function answers or raises."""
    try:
        return _packed(function(*given))
    except BaseException as error:  # a decoder's panic is no Exception
        expected = isinstance(error, MemoryError | ImportFileError)
        return _packed(error if expected else RuntimeError(repr(error)))


def _batch(stream: Iterator[Record]) -> list[tuple[Any, ...]]:
    """The next records, at most as many as the parent should hold at once; none at the end."""
    batch: list[tuple[Any, ...]] = []
    chars = 0
    for record in stream:
        batch.append(tuple(record))  # pickled faster than a class of ours
        chars += sum(len(value) for value in record.fields.values() if isinstance(value, str | bytes))
        if len(batch) == _BATCH or chars > _BATCH_CHARS:
            break
    return batch


def _packed(answer: Any) -> bytes:
    packed = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
    if len(packed) > MOST_ANSWER:
        where = f"row {answer[-1][0]:,} of it" if isinstance(answer, list) and answer else "its header"
        raise ImportFileError(
            f"{where} decodes to more than {MOST_ANSWER:,} bytes, many times the longest text; correct the file, or "
            "write it as CSV or JSON lines"
        )
    return packed


if __name__ == "__main__":
    main()
