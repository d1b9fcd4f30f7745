"""Engines, which run checkpoints: torch and OpenVINO behind one protocol."""

import sys

# OpenVINO and NNCF send telemetry by default, and no environment variable stops them. Both work without it if this
# package can't be imported.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
