"""What the processor can do, read from its flags without loading a library."""

from pathlib import Path

_BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def has_bf16() -> bool:
    """Whether the processor computes bf16 natively, so that it is faster than f32; False if this is not Linux."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return False
    return not _BF16.isdisjoint(flags)
