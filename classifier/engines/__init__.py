"""What runs a checkpoint: torch and OpenVINO behind one protocol."""

import sys

# OpenVINO and NNCF send telemetry unless asked, and neither reads a variable that would stop it; both do
# without where this package can't be imported.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
