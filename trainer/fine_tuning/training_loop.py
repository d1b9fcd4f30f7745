"""The training loop: steps, validation, saved states, and the model at the end."""

import copy
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.engines.openvino_cache import converted
from classifier.figures import Learning
from sortline.counted import counted
from sortline.errors import SortlineError
from sortline.logs import silence_telemetry
from sortline.training_progress import PREPARING
from sortline.whole_file import flush, whole_file, write_whole
from trainer.data import bounds
from trainer.fine_tuning.job import read_job
from trainer.fine_tuning.kept_embeddings import keep_embeddings
from trainer.fine_tuning.loss import Loss
from trainer.fine_tuning.sentence_embeddings import Matrix, mean_of_tokens
from trainer.fine_tuning.sentence_encoder import probed
from trainer.fine_tuning.trainee import (
    TrimmedVocabulary,
    batches,
    label_weights,
    last_linear,
    load_trainee,
    pad,
    parameter_groups,
    suit_attention,
)
from trainer.macro_f1 import macro_f1

silence_telemetry()

import torch  # noqa: E402
from accelerate import Accelerator  # noqa: E402
from accelerate.utils import broadcast  # noqa: E402

from classifier.engines.torch_device import learns_in_bf16, torch_device  # noqa: E402

_REPORTED_EVERY_S = 0.1
_MOST_POINTS = 500
_STOPS_EARLY_FROM = 50  # validation documents; with fewer an epoch's macro-F1 is chance
_EVALUATED_TOKENS = 8192


class FineTuning:
    """One fine-tuning, from its last state on.

    Args:
        work: the folder with the job; it holds what is needed to continue, and at the end the model.
        micro_batch: how many documents are computed at once.
        send: writes a message for the parent, by its fields.
    """

    def __init__(self, work: Path, micro_batch: int, send: Callable[..., None]) -> None:
        self.work, self.send = work, send
        self.job, how = read_job(work)
        self.checkpoint_s = float(how["checkpoint_s"])
        self.convert_into = how.get("convert_into")
        parameters = self.job.parameters
        device = torch_device(how["device"])
        mixed = learns_in_bf16(device)
        self._precision = torch.bfloat16 if mixed else torch.float32
        self.accelerator = Accelerator(cpu=device == "cpu", mixed_precision="bf16" if mixed else "no", rng_types=[])
        self.ranks, self.rank = self.accelerator.num_processes, self.accelerator.process_index
        torch.set_num_threads(max(1, int(how["threads"]) // self.ranks))
        torch.manual_seed(parameters.seed)
        self.micro_batch = micro_batch
        model = load_trainee(self.job)
        suit_attention(model, self.job, device)
        self.vocabulary = TrimmedVocabulary(model, self.job)
        self.train = self.vocabulary.encode(self.job.train)
        self.validation = self.vocabulary.encode(self.job.validation)
        self.bare = model.to(self.accelerator.device)
        self.optimizer = torch.optim.AdamW(parameter_groups(self.bare, parameters), fused=True)
        self.model = self.accelerator.prepare(self.bare)
        self.targets = np.array(self.job.train.targets, np.int64)
        labelled = self.targets[self.targets >= 0].tolist()
        weights = label_weights(labelled, len(self.job.labels), parameters).to(self.accelerator.device)
        self.loss = Loss(weights, parameters.label_smoothing, self.job.teacher)
        self._vectors = _given_to(last_linear(self.bare, len(self.job.labels))) if self.loss.reads_vectors else []
        self.weights = weights
        self.steps = parameters.epochs * -(-len(self.train) // parameters.batch_size)
        self.state: dict[str, Any] = {
            "epoch": 0, "batch": 0, "step": 0, "mean_loss": 0.0, "losses": [], "epochs": [], "best": None,
            "seconds": 0.0, "redone": 0,
        }  # fmt: skip
        # What earlier processes of this job had done by the last state.
        self.resumed_from, self._seconds_before = 0, 0.0
        # How far any process of this job came; steps after the last state are repeated.
        self._marker = os.open(work / "step", os.O_RDWR | os.O_CREAT)
        self._stage = ""
        self._began = self._saved = self._reported = self._told = time.monotonic()

    def run(self) -> None:
        """Train to the end, and write the model."""
        self._resume()
        self._began = time.monotonic()
        while self.state["epoch"] < self.job.parameters.epochs and not self._has_settled():
            self._run_epoch()
        self._finish()

    def _run_epoch(self) -> None:
        state, parameters = self.state, self.job.parameters
        draw = random.Random(f"{parameters.seed}-{state['epoch']}")  # noqa: S311 - an order, not a secret
        lengths = self.train.lengths.tolist()
        self.model.train()
        for number, batch in enumerate(batches(lengths, parameters.batch_size, draw)):
            if number < state["batch"]:
                continue
            self._step(batch)
            state["batch"] = number + 1
            if time.monotonic() - self._saved >= self.checkpoint_s:
                self._save()
        state["epoch"], state["batch"] = state["epoch"] + 1, 0
        self._validate()
        self._save()

    def _step(self, batch: list[int]) -> None:
        state = self.state
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * self._warmth(state["step"])
        mine = batch[self.rank :: self.ranks]
        share = 1.0 if mine else 0.0  # a rank without documents still takes part in the sum of gradients
        mine = mine or batch[:1]
        total = torch.zeros((), device=self.accelerator.device)
        for start in range(0, len(mine), self.micro_batch):
            part = mine[start : start + self.micro_batch]
            if start + self.micro_batch < len(mine):
                with self.accelerator.no_sync(self.model):
                    total += self._backward(part, len(batch), share)
            else:
                total += self._backward(part, len(batch), share)
        self.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        state["step"] += 1
        os.pwrite(self._marker, state["step"].to_bytes(8), 0)
        self._note(float(self.accelerator.reduce(total, "mean") if self.ranks > 1 else total))

    def _backward(self, part: list[int], whole: int, share: float) -> torch.Tensor:
        """Add the gradients of some documents of a batch; returns their share of its loss.

        Ranks' gradients are averaged, so each one's loss counts as many times as there are ranks.
        """
        ids, mask = pad([self.train[i] for i in part], self.job.pad_id)
        targets = torch.from_numpy(self.targets[part]).to(self.accelerator.device)
        logits = self.model(input_ids=ids.to(targets.device), attention_mask=mask.to(targets.device)).logits
        vectors = self._vectors[0].float() if self._vectors else None
        loss: torch.Tensor = self.loss.of(logits.float(), targets, part, vectors).sum() * (share * self.ranks / whole)
        self.accelerator.backward(loss)
        return loss.detach()

    def _warmth(self, step: int) -> float:
        """Linear warm-up, then linear decay to zero."""
        warm = max(1, int(self.steps * self.job.parameters.warmup))
        return min((step + 1) / warm, max(0.0, (self.steps - step) / max(1, self.steps - warm)))

    def _note(self, loss: float) -> None:
        state, now = self.state, time.monotonic()
        if not np.isfinite(loss):
            raise SortlineError(
                f"the training diverged at step {state['step']}: the loss is {loss}; use a lower learning rate"
            )
        state["mean_loss"] += (loss - state["mean_loss"]) / min(state["step"], 50)
        state["losses"].append(loss)
        done = state["step"] - self.resumed_from
        if now - self._reported >= _REPORTED_EVERY_S or state["step"] in (1, self.steps):
            self._reported = now
            left = (now - self._began) / done * (self.steps - state["step"])
            self._send(progress={
                "step": state["step"], "steps": self.steps, "loss": state["mean_loss"], "left_s": left,
                "epoch": state["epoch"] + 1, "epochs": self.job.parameters.epochs, "done": done,
            })  # fmt: skip

    def _tell(self, stage: str, done: int, of: int) -> None:
        """Report how many documents or passes of a stage are done: first, last, and at most ten times a second."""
        if done == of or stage != self._stage or time.monotonic() - self._told >= _REPORTED_EVERY_S:
            self._stage, self._told = stage, time.monotonic()
            self._send(stage=stage, done=done, of=of)

    def _validate(self) -> None:
        if not self.validation:
            return
        truth = np.array(self.job.validation.targets, np.int64)
        loss, predicted = self._evaluate(truth)
        score = macro_f1(truth, predicted)
        figures = {
            "epoch": self.state["epoch"], "loss": loss, "accuracy": float((predicted == truth).mean()),
            "macro_f1": score,
        }  # fmt: skip
        self.state["epochs"].append(figures)
        best = self.state["best"]
        if len(truth) >= _STOPS_EARLY_FROM and (best is None or score >= best["macro_f1"]):
            self.state["best"] = {"epoch": self.state["epoch"], "macro_f1": score}
            self.state["predicted"] = predicted.tolist()
            if self.accelerator.is_main_process:
                _save(self.bare.state_dict(), self.work / "best.pt")
        self._send(epoch=figures)

    def _evaluate(self, truth: NDArray[np.int64]) -> tuple[float, NDArray[np.int64]]:
        """Mean loss and predicted labels (n,) of the validation documents."""
        # Not the wrapped model: it waits for all ranks at each pass, and they have different numbers.
        model, device = self._reading(), self.accelerator.device
        predicted = torch.zeros(len(truth), dtype=torch.long, device=device)
        total = torch.zeros((), device=device)
        stage = f"validating epoch {self.state['epoch']} of {self.job.parameters.epochs}"
        for number, (part, ids, mask) in enumerate(self._by_length(self.validation, stage)):
            if number % self.ranks != self.rank:
                continue
            with torch.inference_mode():
                logits = model(input_ids=ids, attention_mask=mask).logits.float()
            targets = torch.from_numpy(truth[part]).to(device)
            total += torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
            predicted[part] = logits.argmax(dim=1)
        if self.ranks > 1:
            predicted, total = self.accelerator.reduce(predicted, "sum"), self.accelerator.reduce(total, "sum")
        return float(total) / len(truth), predicted.cpu().numpy()

    def _has_settled(self) -> bool:
        """Whether validation has not improved for as many epochs as patience allows."""
        best = self.state["best"]
        return best is not None and self.state["epoch"] - best["epoch"] >= self.job.parameters.patience

    def _save(self) -> None:
        """Save what is needed to continue from here."""
        self._saved = time.monotonic()
        if not self.accelerator.is_main_process:
            return
        self.state["seconds"] = self._seconds_before + self._saved - self._began
        _save(
            {
                "progress": json.dumps(self.state),
                "model": self.bare.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "random": torch.get_rng_state(),
            },
            self.work / "state.pt",
        )

    def _resume(self) -> None:
        path, came = self.work / "state.pt", int.from_bytes(os.pread(self._marker, 8, 0))
        if not path.is_file():
            self.state["redone"] = came
            if self.job.begins_fitted:
                self._fit_head()
            return
        kept = torch.load(path, map_location=self.accelerator.device, weights_only=True)
        self.bare.load_state_dict(kept["model"])
        self.optimizer.load_state_dict(kept["optimizer"])
        self.state = json.loads(kept["progress"])
        self.resumed_from, self._seconds_before = self.state["step"], self.state["seconds"]
        self.state["redone"] = max(self.state["redone"], came - self.resumed_from)
        if self.rank == 0:
            torch.set_rng_state(kept["random"].cpu())
        else:
            torch.manual_seed(self.job.parameters.seed + self.resumed_from * self.ranks + self.rank)

    def _fit_head(self) -> None:
        """Start the head as a logistic regression on the outputs of the encoder before it learns."""
        labelled = np.flatnonzero(self.targets >= 0)
        chosen = np.random.default_rng(self.job.parameters.seed).permutation(labelled)[: bounds.HEAD]
        features, embeddings = self._before_learning([self.train[i] for i in chosen])
        if self.accelerator.is_main_process:
            keep_embeddings(self.work, chosen, embeddings)
        head = last_linear(self.bare, len(self.job.labels))
        stage = f"fitting the head in passes over {counted(len(chosen), 'document')}"
        fitted = probed(features, self.targets[chosen], self.weights.cpu(), partial(self._tell, stage))
        head.load_state_dict(fitted.state_dict())
        for weight in head.parameters():
            broadcast(weight.data)

    def _before_learning(self, documents: Sequence[NDArray[np.int32]]) -> tuple[Matrix, Matrix]:
        """What the last layer of the head is given for each document (n, d), and its sentence embedding (n, width)."""
        model = self._reading()
        head = last_linear(model, len(self.job.labels))
        last = model.base_model.encoder.layer[-2]  # the last one is ours, and makes the mean
        features = np.zeros((len(documents), head.in_features), np.float32)
        embeddings = np.zeros((len(documents), model.config.hidden_size), np.float32)
        given: list[torch.Tensor] = []
        states: list[torch.Tensor] = []
        head.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
        last.register_forward_hook(lambda _, __, out: states.append(out[0] if isinstance(out, tuple) else out))
        for part, ids, mask in self._by_length(documents, "reading documents with the pretrained encoder"):
            with torch.inference_mode():
                model(input_ids=ids, attention_mask=mask)
                embeddings[part] = mean_of_tokens(states.pop(), mask)
            features[part] = given.pop().float().cpu().numpy()
        return features, embeddings

    def _reading(self) -> Any:
        """A copy of the model that reads faster: all of it computes in bfloat16, where that is what it learns in.

        Autocast leaves residual sums and norms in float32, and takes half as long again.
        """
        model = self.accelerator.unwrap_model(copy.deepcopy(self.bare), keep_fp32_wrapper=False)
        return model.to(self._precision).eval()

    def _by_length(
        self, documents: Sequence[NDArray[np.int32]], stage: str
    ) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
        """Batches of documents of like length: their places, token ids and mask on the device.

        Args:
            stage: what it is done for, in words; it is told how far that is.
        """
        order = sorted(range(len(documents)), key=lambda i: len(documents[i]))
        size = max(1, _EVALUATED_TOKENS // len(documents[order[-1]]))
        for start in range(0, len(order), size):
            part = order[start : start + size]
            self._tell(stage, start + len(part), len(order))
            ids, mask = pad([documents[i] for i in part], self.job.pad_id)
            yield part, ids.to(self.accelerator.device), mask.to(self.accelerator.device)

    def _finish(self) -> None:
        if not self.accelerator.is_main_process:
            return
        self._send(stage="writing the model")
        best = self.state["best"]
        if best is not None and best["epoch"] != self.state["epoch"]:
            self.bare.load_state_dict(torch.load(self.work / "best.pt", weights_only=True))
        self.bare.to("cpu")
        self.vocabulary.restore()
        draft = self.work / ".model.tmp"
        self.bare.save_pretrained(draft)
        for path in draft.iterdir():
            flush(path)
        learning = Learning(
            steps=_points(self.state["losses"]),
            epochs=self.state["epochs"],
            best_epoch=best["epoch"] if best else self.state["epoch"],
            micro_batch=self.micro_batch,
            processes=self.ranks,
            resumed_from=self.resumed_from,
            redone=self.state["redone"],
            seconds=round(self._seconds_before + time.monotonic() - self._began, 1),
        )
        written = learning.stored() | {"predicted": self.state.get("predicted", [])}
        write_whole(self.work / "learning.json", json.dumps(written).encode())
        draft.rename(self.work / "model")
        (self.work / "state.pt").unlink(missing_ok=True)
        (self.work / "best.pt").unlink(missing_ok=True)
        if self.convert_into:
            self._send(stage=PREPARING)
            self.optimizer.state.clear()  # memory for the conversion
            _convert(self.work / "model", Path(self.convert_into))

    def _send(self, **message: Any) -> None:
        if self.accelerator.is_main_process:
            self.send(**message)


def _given_to(head: torch.nn.Linear) -> list[torch.Tensor]:
    """A list that holds what the head was given last, as its only element."""
    given: list[torch.Tensor] = []

    def keep(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        given[:] = inputs[:1]

    head.register_forward_pre_hook(keep)
    return given


def _points(losses: list[float]) -> list[tuple[int, float]]:
    """Step and mean loss of at most 500 spans."""
    spans = np.array_split(np.array(losses), min(_MOST_POINTS, max(1, len(losses))))
    ends = np.cumsum([len(span) for span in spans])
    return [(int(end), round(float(span.mean()), 5)) for end, span in zip(ends, spans, strict=True) if len(span)]


def _save(what: dict[str, Any], path: Path) -> None:
    with whole_file(path) as file:
        torch.save(what, file)


def _convert(model: Path, cache: Path) -> None:
    """Convert the model for this machine's engine. If that fails, the engine tries again, and says what is wrong."""
    try:
        converted(model, cache, here=True)
    except Exception as error:  # OpenVINO has many
        print(f"the model is not converted yet: {error}", file=sys.stderr)  # noqa: T201 - standard error is a file
