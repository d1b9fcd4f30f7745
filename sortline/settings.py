"""All settings in one typed class, the only reader of the environment.

Each field is set by the environment variable ``SORTLINE_<NAME>`` or by a line of ``.env``.
"""

import hashlib
import logging
import os
import re
from difflib import get_close_matches
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AliasChoices, Field, ValidationError, ValidationInfo, field_serializer, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sortline.errors import ConfigurationError
from sortline.listening import socket_place, url_of
from sortline.postgres_address import PostgresAddress
from sortline.redis_address import Broker, RedisAddress
from sortline.web_address import check_web_url, clean_path

Lane = Literal["live", "bulk"]
LANES: tuple[Lane, Lane] = ("live", "bulk")
DEFAULT_BASE_MODEL = "all-MiniLM-L6-v2"
_DOTENV = ".env"
# Kubernetes gives each container variables of the services beside it: one called sortline-web makes
# SORTLINE_WEB_PORT=tcp://10.0.0.1:8080.
_OF_SERVICE = re.compile(r"SORTLINE_.*_(SERVICE_(HOST|PORT(_.+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_.+)?)?)")
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://\S+")
_HOST = re.compile(r"[\w.-]+|\[?[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\]?")  # a name or an address
_OTHERS = re.compile("SORTLINE_TEST_.*|SORTLINE_TOKEN")  # of the tests, and of `sortline enqueue`

log = logging.getLogger(__name__)


class Settings(BaseSettings):
    """Sortline's settings."""

    model_config = SettingsConfigDict(
        env_prefix="SORTLINE_", env_file=_DOTENV, extra="ignore", secrets_dir=None, validate_default=True,
        hide_input_in_errors=True,
        validate_by_name=True,
        allow_inf_nan=False,
    )  # fmt: skip

    # Where things are
    database_url: str | None = Field(
        None, repr=False, description="URL of Postgres; unset: the embedded server of `sortline up`"
    )
    database_url_file: Path | None = Field(None, description="A file that holds DATABASE_URL (a secret)")
    redis_url: str | None = Field(
        None, repr=False, description="URL of Redis; unset: the embedded server of `sortline up`"
    )
    redis_url_file: Path | None = Field(None, description="A file that holds REDIS_URL (a secret)")
    redis_ca_file: Path | None = Field(
        None,
        description="CA certificates (PEM) that verify Redis's certificate, with rediss://; unset: the system's",
    )
    broker_url: str | None = Field(
        None, repr=False, description="URL of Celery's broker, a Redis; unset: another database of REDIS_URL"
    )
    broker_database: int | None = Field(
        None,
        ge=0,
        description="Number of the database of that Redis that the broker uses; unset: the one after REDIS_URL's",
    )
    data_dir: Path = Field(Path(".sortline"), description="Embedded servers' data, model store, run files")
    model_store: str | None = Field(
        None, description="Folder or fsspec URL of the checkpoints; unset: models/ under DATA_DIR"
    )
    prefix: str = Field(
        "sortline",
        description="First part of every Redis key; without spaces and * ? [ ] \\ ^",
        min_length=1,
        max_length=50,
    )
    log_level: str = Field("INFO", description="Lowest level that is logged: DEBUG, INFO, WARNING, ERROR or CRITICAL")
    log_format: Literal["text", "json"] = Field("text", description="text, or json: one object a line, for programs")
    traces_url: str | None = Field(
        None,
        description="Where traces are sent, such as http://127.0.0.1:4318/v1/traces (OTLP over HTTP); unset: no traces",
    )

    # The document queue
    max_backlog: int = Field(
        1_000_000, gt=0, description="Entries a lane may hold; further documents are refused with 429"
    )
    results_length: int = Field(100_000, gt=0, description="Entries kept in the results stream, approximately")
    require_durable_redis: bool = Field(
        True, description="Accept documents over HTTP only while Redis stores them durably (append-only, fsync always)"
    )

    # The worker
    engine: str = Field("auto", description="auto, torch, openvino")
    precision: str = Field("auto", description="auto, f32, bf16, int8 (of a form that is quantised, on a CPU)")
    form: Literal["", "whole", "int8", "student", "student-int8"] = Field(
        "", description="Form of the model version that this worker serves; empty: the one that was chosen for all"
    )
    device: str = Field("auto", description="auto, cpu, cuda")
    threads: int = Field(0, ge=0, description="Processor threads of an engine; 0: all cores")
    intakes: int = Field(
        0,
        ge=0,
        le=64,
        description=(
            "Processes of one worker that read, tokenise and store documents; with several, forward passes have a "
            "process of their own. 0: three on an accelerator, if it has the cores, and one on a CPU, which does it all"
        ),
    )
    classifier: str = Field(
        "classifier.classifier:load_classifier", description="module:function that loads a checkpoint"
    )
    tokens_per_batch: int = Field(
        0, ge=0, description="Tokens in one forward pass, at most; 0: what suits the engine (1,024 on a CPU)"
    )
    micro_batch: int = Field(512, gt=0, description="Documents in one micro-batch, at most")
    max_wait_ms: float = Field(
        5.0, ge=0, le=10, description="Milliseconds that an idle worker waits for a micro-batch to fill"
    )
    bulk_share: float = Field(
        0.2, gt=0, lt=1, description="Least share of the computing time that bulk gets while live is busy"
    )
    claim_idle_s: float = Field(
        30.0, gt=0, description="Seconds without a refresh after which another worker takes over an entry"
    )
    max_attempts: int = Field(5, gt=0, description="Attempts before an entry becomes a dead letter")
    isolate_after: int = Field(3, gt=0, description="Deliveries after which an entry is computed on its own")
    stuck_s: float = Field(
        120.0, gt=0, description="Seconds of one forward pass after which the worker ends, to be started again"
    )
    stalled_s: float = Field(
        60.0, ge=0, description="Seconds after which a worker that does not read a lane with entries ends; 0: never"
    )
    keep_previous_s: float = Field(600.0, ge=0, description="Seconds that a replaced model version stays loaded")
    watch_interval_s: float = Field(1.0, gt=0, description="Seconds between a worker's checks for a promotion")
    explain_keep_s: float = Field(
        300.0, ge=0, description="Seconds that the process for explanations is kept after the last question"
    )
    deaf_s: float = Field(
        15.0,
        ge=0,
        description="Seconds after which a Celery process that messages no longer reach ends, to restart; 0: never",
    )
    celery_door: bool = Field(False, description="Accept documents through the Celery task sortline.enqueue too")

    # The trainer
    base_model: str = Field(
        DEFAULT_BASE_MODEL, description="Encoder to fine-tune: a packaged one, a name on the hub or a folder"
    )
    base_models: str = Field(
        "",
        description="Further encoders that trainings asked for over HTTP may use, written as BASE_MODEL is; separated "
        "by commas. BASE_MODEL and the encoders of existing versions are always allowed",
    )
    accept_threshold: Annotated[float | None, Field(gt=0, lt=1)] = Field(
        None,
        description="Lowest confidence at which predictions of a new model version are accepted though nothing is "
        "proved; unset: without proof nothing is accepted",
    )
    auto_promote: bool = Field(True, description="A candidate that passes the gate goes live by itself")
    gate_margin: float = Field(
        0.005, gt=0, lt=1, description="Loss of accuracy, as a share, that the gate still counts as not worse"
    )
    risk_target: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.01,
        description="Promised limit of the error rate among automatically accepted documents, unless people have "
        "chosen one (sortline models target)",
    )
    risk_confidence: Annotated[float, Field(gt=0.5, lt=1)] = Field(
        0.95, description="Statistical confidence of that promise"
    )
    quantise: bool = Field(True, description="Make the int8 form for CPUs too, and serve it if it passes its gate")
    starter: bool = Field(
        True, description="While there is no trained model, make one of the labels' names and the first decisions"
    )
    students: bool = Field(
        True, description="Teach a smaller student, which answers faster, once 5,000 documents can judge it"
    )
    training_launcher: str = Field(
        "", description="Command that starts the fine-tuning, such as `torchrun --nproc-per-node 4`; unset: one process"
    )
    training_checkpoint_s: float = Field(
        60.0, ge=0, description="Seconds between saved states of the fine-tuning: a crash loses no more than that"
    )
    training_attempts: int = Field(3, gt=0, description="Processes that may die during a training run before it fails")
    training_silent_s: float = Field(
        120.0, gt=0, description="Seconds without a heartbeat after which a training run goes to another process"
    )
    retrain_after: int = Field(200, ge=0, description="New decisions after which a training starts by itself; 0: never")
    retrain_every_h: float = Field(
        168.0, ge=0, description="Hours after which a training starts if there is any new decision; 0: never"
    )
    drift_false_alarms: float = Field(
        0.1,
        ge=0,
        lt=1000,
        description="False alarms a month that the drift checks may be expected to raise; 0: no checks",
    )
    drift_margin: float = Field(
        0.02, ge=0, lt=1, description="How much a share of the documents may change before it counts as drift"
    )
    drift_trains: bool = Field(
        False, description="Start a training when the evidence of a drift alarm has been decided at the desk"
    )
    recheck_documents: int = Field(
        256, ge=0, description="Stored predictions that a worker computes again when it loads a model version; 0: none"
    )

    vectors_kept: int = Field(
        100_000,
        ge=0,
        description="About how many vectors are kept, by which documents that are alike are found; those of what waits "
        "for a person or was decided come on top. A worker stores no more of them than last for an hour",
    )

    # The desk
    audit_share: float = Field(
        0.01,
        gt=0,
        le=1,
        description="Share of all stored documents that people decide without seeing a prediction",
    )
    first_audit_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="That share of an installation's first documents, so that few decisions show early how good a "
        "model is; never less than AUDIT_SHARE",
    )
    first_documents: int = Field(
        2_000,
        ge=0,
        le=2**31 - 1,
        description="How many documents FIRST_AUDIT_SHARE is meant for, at most: those whose id is no greater. 0: none",
    )
    audit_overdue_d: float = Field(
        7.0, gt=0, description="Days after which an audit that nobody has decided is overdue"
    )
    accuracy_margin: float = Field(
        0.02,
        ge=0,
        lt=1,
        description="Difference between live accuracy and what the confidences promise above which an alarm is raised",
    )
    overlap_share: float = Field(
        0.05, ge=0, le=1, description="Share of decided documents that a second person also decides"
    )
    repeat_share: float = Field(
        0.01, ge=0, le=1, description="Share of decided documents that the same person decides again a day later"
    )
    hidden_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of documents whose prediction is hidden, to measure how much it sways people",
    )
    lease_s: float = Field(
        300.0, ge=1, description="Seconds after which a document that a reviewer left goes to another reviewer"
    )

    # Webhooks
    webhook_allowed: str = Field(
        "",
        description="Private hosts and networks (10.0.0.0/8), and hosts without TLS, that webhooks may reach; "
        "separated by commas",
    )
    webhook_timeout_s: float = Field(
        15.0, gt=0, le=30, description="Seconds that one request to a webhook may take in all"
    )
    # Keeping
    retention_days: int = Field(
        0,
        ge=0,
        description="Days after which documents and dead letters are erased; 0: never. Labels may say otherwise",
    )
    retention_held_out: bool = Field(
        False,
        description="Also erase by age the validation, calibration and test documents, which models are judged by",
    )

    # The web
    web_host: str = Field("127.0.0.1", description="Address that the web process listens on")
    web_port: int = Field(8080, gt=0, lt=65536, description="Port that the web process listens on")
    web_url: str | None = Field(
        None,
        description="Address that people use, with the path if a proxy puts the web under one "
        "(https://example.org/sortline); unset: http://WEB_HOST:WEB_PORT",
    )
    allowed_hosts: str = Field(
        "",
        description="Hosts that requests may name, separated by commas, besides that of WEB_URL and this machine's own "
        "names for itself; others get 421. Empty: any",
    )
    forwarded_allow_ips: str = Field(
        "127.0.0.1,::1",
        validation_alias=AliasChoices("SORTLINE_FORWARDED_ALLOW_IPS", "FORWARDED_ALLOW_IPS"),
        description="Addresses and networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted, "
        "separated by commas; `*`: all. Also read as FORWARDED_ALLOW_IPS",
    )
    session_idle_h: float = Field(
        12.0, gt=0, description="Hours without a request after which a person must sign in again"
    )
    session_most_h: float = Field(168.0, gt=0, description="Hours after which a person must sign in again in any case")
    second_factor_from: Literal["nobody", "reviewer", "lead", "admin"] = Field(
        "nobody", description="Lowest role that must have a second factor; lower roles may have one"
    )
    max_body_bytes: int = Field(16 * 2**20, gt=0, description="Bytes of an HTTP request body, at most")
    upload_rows: int = Field(2_000_000, gt=0, description="Rows of an uploaded file, at most")
    upload_bytes: int = Field(
        320 * 2**20, gt=0, description="Bytes of an uploaded file once unpacked and decoded, at most"
    )
    upload_s: float = Field(300.0, gt=0, description="Seconds of processor time that reading an uploaded file may take")
    upload_memory_mib: int = Field(
        1024, ge=512, description="MiB of address space for the process that reads an uploaded file"
    )
    max_request_documents: int = Field(1000, gt=0, description="Documents in one HTTP request, at most")
    flower_host: str = Field("127.0.0.1", description="Address that Flower listens on")
    flower_port: int = Field(5555, gt=0, lt=65536, description="Port that Flower listens on")
    flower_url: str | None = Field(
        None,
        description="Address that people use for Flower, with the path if a proxy puts it under one; "
        "unset: http://FLOWER_HOST:FLOWER_PORT",
    )
    flower_url_prefix: str = Field(
        "",
        validation_alias=AliasChoices("SORTLINE_FLOWER_URL_PREFIX", "FLOWER_URL_PREFIX"),
        description="Path of Flower, if FLOWER_URL is not set. Also read as FLOWER_URL_PREFIX",
    )
    flower_basic_auth: str | None = Field(
        None, repr=False, description="user:password of Flower; unset: no password is asked for"
    )
    flower_basic_auth_file: Path | None = Field(None, description="A file that holds FLOWER_BASIC_AUTH")

    @field_validator("*", mode="before")
    @classmethod
    def _as_meant(cls, given: object, info: ValidationInfo) -> object:
        """A text without the spaces and quotes that a file of variables may leave around it; empty: the default."""
        if not isinstance(given, str):
            return given
        text = given.strip()
        if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
            text = text[1:-1].strip()
        default = cls.model_fields[str(info.field_name)].default
        if isinstance(default, int) and _SERVICE_ADDRESS.fullmatch(text):
            return default
        return text or ("" if info.field_name == "forwarded_allow_ips" else default)

    @field_validator("prefix")
    @classmethod
    def _is_prefix(cls, given: str) -> str:
        if re.search(r"[\s*?\[\]\\^]", given):  # a pattern would find other keys
            raise ValueError("it must have no spaces and none of * ? [ ] \\ ^")
        return given

    @field_validator("log_level")
    @classmethod
    def _is_level(cls, given: str) -> str:
        if given.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
            raise ValueError("it must be DEBUG, INFO, WARNING, ERROR or CRITICAL")
        return given.upper()

    @field_validator("data_dir", "model_store", mode="after")
    @classmethod
    def _of_home(cls, given: Path | str | None) -> Path | str | None:
        """A folder below the home, as in a shell."""
        if given is None or not str(given).startswith("~"):
            return given
        try:
            return type(given)(Path(given).expanduser())
        except RuntimeError:
            raise ValueError("~ stands for no home here; write the whole path") from None

    @field_validator("web_url", "flower_url")
    @classmethod
    def _is_web_url(cls, given: str | None) -> str | None:
        return check_web_url(given) if given else None

    @field_validator("flower_url_prefix")
    @classmethod
    def _is_path(cls, given: str) -> str:
        return clean_path(given)

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _are_networks(cls, given: str) -> str:
        for each in _parts(given):
            try:
                if each != "*":
                    ip_network(each)
            except ValueError:
                raise ValueError(f"{each} is neither an address nor a network, such as 10.0.0.0/8") from None
        return given

    @field_validator("allowed_hosts")
    @classmethod
    def _are_hosts(cls, given: str) -> str:
        for each in _parts(given):
            if not _HOST.fullmatch(each):
                raise ValueError(f"{each} is not a host; write it without scheme and port, as example.org")
        return given

    @property
    def proxies(self) -> str:
        """Those of ``forwarded_allow_ips``, also as they come in over an IPv6 socket that takes IPv4 too."""
        found = _parts(self.forwarded_allow_ips)
        of_four = [ip_network(each) for each in found if "*" not in found]
        mapped = [f"::ffff:{net.network_address}/{96 + net.prefixlen}" for net in of_four if net.version == 4]
        return ",".join(["*"] if "*" in found else [*found, *mapped])

    @property
    def web_address(self) -> str:
        """The address at which people reach the web, without a trailing slash."""
        return check_web_url(self.web_url) if self.web_url else url_of(self.web_host, self.web_port)

    @property
    def web_path(self) -> str:
        """The path that all pages of the web lie under, as addresses have it (`/sortline`); empty: at the root."""
        return urlsplit(self.web_address).path

    @property
    def hosts(self) -> frozenset[str]:
        """Hosts that requests may name, as they stand in addresses but without brackets; empty: any."""
        given = [each.strip("[]").lower().rstrip(".") for each in _parts(self.allowed_hosts)]
        return frozenset([*given, urlsplit(self.web_address).hostname or ""]) if given else frozenset()

    @property
    def flower_address(self) -> str:
        """The address at which people reach Flower, without a trailing slash."""
        if self.flower_url:
            return check_web_url(self.flower_url)
        return url_of(self.flower_host, self.flower_port) + self.flower_path

    @property
    def flower_path(self) -> str:
        """The path that all pages of Flower lie under; empty: at the root."""
        return urlsplit(self.flower_address).path if self.flower_url else clean_path(self.flower_url_prefix)

    @field_validator("web_host", "flower_host")
    @classmethod
    def _host(cls, value: str) -> str:
        return value.strip().removeprefix("[").removesuffix("]")  # as an address stands in a URL

    @property
    def embedded(self) -> bool:
        """Whether `sortline up` starts any server itself."""
        return self.embedded_postgres or self.embedded_redis

    @property
    def embedded_postgres(self) -> bool:
        return not (self.database_url or self.database_url_file)

    @property
    def embedded_redis(self) -> bool:
        return not (self.redis_url or self.redis_url_file)

    @property
    def runtime_dir(self) -> Path:
        """Private folder of sockets; its name is short: Redis 6.2 cuts socket paths over 107 bytes."""
        name = hashlib.sha256(os.fsencode(self.data_dir.resolve())).hexdigest()[:10]
        return socket_place() / f"sl-{os.getuid()}-{name}"

    @property
    def postgres_url(self) -> PostgresAddress:
        """Where Postgres is.

        Raises:
            ConfigurationError: the setting can't be read.
        """
        url, name = _given("DATABASE_URL", self.database_url, self.database_url_file)
        return PostgresAddress.read(url, name) if url else PostgresAddress.on_socket(self.runtime_dir / "postgres")

    @property
    def redis(self) -> RedisAddress:
        """Where Redis is.

        Raises:
            ConfigurationError: the setting can't be read.
        """
        url, name = _given("REDIS_URL", self.redis_url, self.redis_url_file)
        return self._redis(url, name) if url else RedisAddress.on_socket(self.runtime_dir / "redis.sock")

    @property
    def celery_broker(self) -> RedisAddress:
        """Where Celery's broker is: by default the next database of the same Redis.

        Kombu keeps its ``unacked`` keys per Redis database, so the broker has one of its own where there is more
        than one.

        Raises:
            ConfigurationError: the setting can't be read.
        """
        return self.broker.address

    @property
    def broker(self) -> Broker:
        """Celery's broker with the setting that says where it is.

        Raises:
            ConfigurationError: the setting can't be read.
        """
        if self.broker_url:
            return Broker(self._redis(self.broker_url, "SORTLINE_BROKER_URL"), "SORTLINE_BROKER_URL")
        documents = self.redis
        if self.broker_database is not None:
            setting = "SORTLINE_REDIS_URL with SORTLINE_BROKER_DATABASE"
            return Broker(documents.of_database(self.broker_database), setting)
        number = documents.database + 1
        setting = f"database {number} of SORTLINE_REDIS_URL, because SORTLINE_BROKER_URL is unset"
        return Broker(documents.of_database(number), setting)

    def _redis(self, url: str, name: str) -> RedisAddress:
        address = RedisAddress.read(url, name, self.redis_ca_file)
        address.check_files(name if "ssl_" in url else "SORTLINE_REDIS_CA_FILE")
        return address

    @property
    def models(self) -> str:
        """Folder or URL of the model store."""
        return self.model_store or str((self.data_dir / "models").resolve())

    @property
    def flower_password(self) -> str | None:
        return self.flower_basic_auth or _secret(self.flower_basic_auth_file)

    def stream(self, lane: Lane) -> str:
        """Redis key of a lane's stream."""
        return f"{self.prefix}:documents:{lane}"

    @property
    def results_stream(self) -> str:
        """Redis key of the results stream."""
        return f"{self.prefix}:results"

    @property
    def streams(self) -> dict[str, str]:
        """Redis keys of the streams, by `live`, `bulk` and `results`."""
        lanes: dict[str, str] = {lane: self.stream(lane) for lane in LANES}
        return {**lanes, "results": self.results_stream}

    @field_serializer("database_url", "redis_url", "broker_url", "flower_basic_auth")
    def _hidden(self, value: str | None) -> str | None:
        return value and "***"


def _parts(listed: str) -> list[str]:
    """What a list names, which is separated by commas."""
    return [each.strip() for each in listed.split(",") if each.strip()]


def _given(name: str, url: str | None, file: Path | None) -> tuple[str | None, str]:
    """The URL that is set, directly or in a file, and the name of the setting it comes from."""
    return (url, f"SORTLINE_{name}") if url else (_secret(file), f"SORTLINE_{name}_FILE")


def _secret(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        found = path.read_text(encoding="utf-8-sig").strip()
    except OSError as error:
        raise ConfigurationError(f"secret file {path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"secret file {path} can't be read: it is not text in UTF-8") from None
    if not found:
        raise ConfigurationError(f"secret file {path} is empty")
    return found


def unknown() -> dict[str, str]:
    """Variables that begin as settings do and are none, each with what it may have been meant to be (or empty)."""
    known = {f"SORTLINE_{name.upper()}": f"SORTLINE_{name.upper()}" for name in Settings.model_fields}
    written = dotenv_values(_DOTENV, interpolate=False, encoding="utf-8-sig")
    given = {name.upper() for name in [*os.environ, *written]}
    found = sorted(
        name for name in given - known.keys()
        if name.startswith("SORTLINE_") and not _OTHERS.fullmatch(name) and not _OF_SERVICE.fullmatch(name)
    )  # fmt: skip
    likely = known | {"SORTLINE_POSTGRES_URL": "SORTLINE_DATABASE_URL"}
    return {name: "".join(likely[near] for near in get_close_matches(name, likely, 1, 0.75)) for name in found}


@cache
def get_settings() -> Settings:
    """The settings of this process, read once. Variables that look like settings and are none are logged.

    Raises:
        ConfigurationError: a setting has a wrong value, or `.env` can't be read.
    """
    try:
        settings = Settings()
        for name, meant in unknown().items():
            log.warning("%s is not a setting and is ignored%s", name, f"; did you mean {meant}?" if meant else "")
        return settings
    except OSError as error:
        raise ConfigurationError(f"the file .env can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError("the file .env can't be read: it is not text in UTF-8") from None
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        name = "SORTLINE_" + name.removeprefix("SORTLINE_")  # a setting with a second name has it already
        raise ConfigurationError(f"setting {name}: {first['msg'].removeprefix('Value error, ')}") from None
