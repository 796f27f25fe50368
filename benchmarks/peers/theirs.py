"""The authors' public classes: where each lies in a checkout, how it is built, how a training step calls it.

This file is run as a script, in a process of its own that sees one checkout and nothing of `cmarr`. It answers JSON
lines: `equal` loads our weights and writes its logits, `step` trains once and says how long that took. The checkouts
are the user's; their code is run, none of it is kept here.
"""

import contextlib
import functools
import importlib
import importlib.abc
import importlib.util
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional

Sizes = Mapping[str, Any]
Data = Mapping[str, Tensor]
"""s, v, t: (B, T, D) each; labels (B,), int64; masks (steps, B, 3), bool, in the order s, v, t."""

FRAMES = {"s": (60, 130), "v": (50, 342), "t": (22, 1024)}
"""Modality -> frames and width, as the MMIN family publishes them."""

SCORES = {"s": (50, 5), "v": (50, 20), "t": (50, 768)}
"""What DiCMoR and IMDer are fed."""

VECTORS = {"s": (1, 512), "v": (1, 1024), "t": (1, 1024)}
"""An utterance is a vector: GCNet's features, which MoMKE and PriMD take over."""


@dataclass(frozen=True)
class Peer:
    """One method, theirs and ours.

    repository: owner/name; the checkout is a folder of that name
    build:      (load, sizes) -> the network; `load` imports `module:Class` of the checkout
    sizes:      what `build` takes, `widths` and `classes` apart
    method:     ours, with its settings
    losses:     those of ours that belong to the step; empty: all
    shapes:     modality -> frames and width
    batch:      utterances
    dialogue:   utterances a dialogue, for classes that read dialogues
    root:       folder of the checkout that its scripts are run in
    equal:      (our module, theirs) whose weights are the same numbers; empty: none are, and `unlike` says why
    """

    repository: str
    build: Callable[[Callable[[str], Any], Sizes], "Network"]
    sizes: Sizes
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    losses: tuple[str, ...] = ()
    shapes: Mapping[str, tuple[int, int]] = field(default_factory=lambda: FRAMES)
    batch: int = 128
    dialogue: int = 1
    root: str = ""
    equal: tuple[tuple[str, str], ...] = ()
    unlike: str = ""


class Network(nn.Module):
    """What every peer is wrapped in.

    loss:   of a step; visible (B, 3) bool says what may be used, `at` is the step's number
    answer: logits (B, K) of complete utterances
    """

    def loss(self, data: Data, visible: Tensor, at: int) -> Tensor:
        raise NotImplementedError

    def answer(self, data: Data) -> Tensor:
        raise NotImplementedError


class Imagining(Network):
    """MMIN and its descendants: three encoders, a cascade, a classifier, a frozen first stage for the targets.

    kind: mmin, if_mmin or cif_mmin
    """

    def __init__(self, load: Callable[[str], Any], sizes: Sizes, kind: str):
        super().__init__()
        d, blocks, widths = sizes["d"], sizes["blocks"], sizes["widths"]
        recurrent, words = load("models.networks.lstm:LSTMEncoder"), load("models.networks.textcnn:TextCNN")
        dense = load("models.networks.classifier:FcClassifier")
        place = "autoencoder" if kind == "mmin" else "autoencoder_2"
        cascade = load(f"models.networks.{place}:ResidualAE")

        def encoders() -> nn.ModuleDict:
            return nn.ModuleDict(
                {
                    "A": recurrent(widths["s"], d, embd_method="maxpool"),
                    "V": recurrent(widths["v"], d, embd_method="maxpool"),
                    "L": words(widths["t"], d),
                }
            )

        self.kind = kind
        self.net, self.first = encoders(), encoders().requires_grad_(False)
        layers = [2 * d, d, d // 2]
        self.AE = cascade(list(layers), blocks, 3 * d, dropout=0, use_bn=False)
        self.back = cascade(list(layers), blocks, 3 * d, dropout=0, use_bn=False) if kind == "mmin" else None
        width = 3 * d if kind == "cif_mmin" else blocks * d // 2
        self.C = dense(width, [d, d], output_dim=sizes["classes"], dropout=0.5, use_bn=False)
        self.invariant: nn.Module | None = None
        if kind == "if_mmin":
            options = SimpleNamespace(embd_size_a=d, dropout_rate=0.5, run_idx="")
            self.invariant = load("models.networks.shared:SharedEncoder")(options)
        if kind == "cif_mmin":  # of words the last state in its second stage, whatever the first one learned
            pooled = {"A": "maxpool", "V": "maxpool", "L": "last"}
            self.invariant = nn.ModuleDict(
                {n: recurrent(widths[m], d, embd_method=pooled[n]) for n, m in NAMES.items()}
            )

    def encoded(self, own: nn.Module, data: Data, used: Tensor) -> list[Tensor]:
        """A, V, L of what is used (B, 3); the rest is zeros."""
        inputs = {n: data[m] * used[:, i, None, None] for i, (n, m) in enumerate(NAMES.items())}
        return [own[n](x) for n, x in inputs.items()]  # type: ignore[index]

    def alike(self, h: list[Tensor], data: Data, used: Tensor) -> Tensor:
        """H', what the modalities have in common."""
        assert self.invariant is not None
        if self.kind == "if_mmin":
            return torch.cat([self.invariant(x) for x in h], -1)
        return torch.cat(self.encoded(self.invariant, data, used), -1)

    def run(self, data: Data, used: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """h, what is imagined, the logits, and H'."""
        h = self.encoded(self.net, data, used)
        joint = torch.cat(h, -1)
        common = None if self.invariant is None else self.alike(h, data, used)
        imagined, latents = self.AE(joint) if common is None else self.AE(joint, common)
        logits, _ = self.C(joint + imagined if self.kind == "cif_mmin" else latents)
        return joint, imagined, logits, common

    def loss(self, data: Data, visible: Tensor, at: int) -> Tensor:
        joint, imagined, logits, common = self.run(data, visible.float())
        with torch.no_grad():
            target = torch.cat(self.encoded(self.first, data, (~visible).float()), -1)
        total = functional.cross_entropy(logits, data["labels"]) + 4 * functional.mse_loss(imagined, target)
        if self.back is not None:
            total = total + 2 * functional.mse_loss(self.back(imagined)[0], joint.detach())
        if common is not None:
            everything = torch.ones_like(visible, dtype=torch.float32)
            with torch.no_grad():
                whole = self.alike(self.encoded(self.first, data, everything), data, everything)
            total = total + 100 * functional.mse_loss(common, whole)
        return total

    def answer(self, data: Data) -> Tensor:
        return self.run(data, torch.ones(len(data["labels"]), 3))[2]


NAMES = {"A": "s", "V": "v", "L": "t"}
"""The MMIN family's names of the modalities, and ours."""


class Recovering(Network):
    """DiCMoR and IMDer, fed text, audio and video; they draw what is missing themselves, once a batch."""

    def __init__(self, load: Callable[[str], Any], sizes: Sizes, kind: str):
        super().__init__()
        made = load(f"trains.singleTask.model.{kind}:{kind.upper()}")
        widths, kernel = sizes["widths"], sizes["kernel"]
        self.kind = kind
        self.model = made(
            SimpleNamespace(
                use_bert=False, dst_feature_dim_nheads=(sizes["d"], sizes["heads"]), nlevels=sizes["depth"],
                feature_dims=(widths["t"], widths["s"], widths["v"]),
                attn_dropout=0.3, attn_dropout_a=0.2, attn_dropout_v=0.0, relu_dropout=0.0, embed_dropout=0.2,
                res_dropout=0.0, output_dropout=0.5, text_dropout=0.5, attn_mask=True,
                conv1d_kernel_size_l=kernel, conv1d_kernel_size_a=kernel, conv1d_kernel_size_v=kernel,
                num_classes=sizes["classes"], train_mode="classification",
            )
        )  # fmt: skip

    def loss(self, data: Data, visible: Tensor, at: int) -> Tensor:
        labels = {"label": data["labels"].float()} if self.kind == "dicmor" else {}
        found = self.model(data["t"], data["s"], data["v"], **labels, num_modal=1 + at % 2)
        extra = sum(found[k].sum() for k in found if k.startswith(("log_p", "loss_")))
        loss: Tensor = functional.cross_entropy(found["M"], data["labels"]) + 0.1 * extra
        return loss


class Dialogues(Network):
    """MoMKE, PriMD and GCNet: vectors of utterances, side by side as audio, text, video, in dialogues."""

    def __init__(self, load: Callable[[str], Any], sizes: Sizes, kind: str):
        super().__init__()
        widths = sizes["widths"]
        inputs = [widths[m] for m in "stv"]
        self.kind, self.length, self.widths = kind, sizes["length"], inputs
        options = SimpleNamespace(device=torch.device("cpu"), drop_rate=0.5)
        if kind == "gcnet":
            made = load("model:GraphModel")
            around = (2, 2, 2)  # speakers, utterances before, and behind
            self.model = made(
                "LSTM",
                *inputs,
                sizes["d"],
                sizes["graph"],
                *around,
                sizes["classes"],
                dropout=0.5,
                time_attn=False,
                no_cuda=True,
            )
        elif kind == "momke":
            made, sized = load("model_expert_softmoe:MoMKE"), (sizes["d"], sizes["classes"])
            own = {"depth": sizes["depth"], "num_heads": sizes["heads"], "no_cuda": True}
            self.model = made(options, *inputs, *sized, **own)
        else:
            made = load("model_primd:PriMD")
            self.model = made(options, *inputs, sizes["d"], sizes["classes"], drop_rate=0.5, no_cuda=True)
            self.model.start_student_stage()

    def together(self, x: Tensor) -> Tensor:
        """(B, ...) -> (length, dialogues, ...)."""
        return x.view(-1, self.length, *x.shape[1:]).transpose(0, 1)

    def run(self, data: Data, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, K), and what is added to the loss."""
        used = visible[:, [0, 2, 1]].float()  # audio, text, video
        whole = torch.cat([data[m][:, 0] for m in "stv"], -1)
        shown = torch.cat([data[m][:, 0] * used[:, i, None] for i, m in enumerate("stv")], -1)
        x, mask = self.together(shown), self.together(used)
        counted = torch.ones(x.shape[1], self.length)
        if self.kind == "gcnet":
            speakers = (torch.arange(self.length) // 2 % 2).expand(x.shape[1], -1)
            out, (again,), _ = self.model([x], speakers, counted, [self.length] * x.shape[1])
            hidden = torch.repeat_interleave(1 - mask, torch.tensor(self.widths), dim=-1)
            return out.transpose(0, 1).flatten(0, 1), ((again - self.together(whole)) ** 2 * hidden).mean()
        if self.kind == "momke":
            out = self.model(x, mask, counted, first_stage=False)[1]
            return out.flatten(0, 1), out.new_zeros(())
        *found, extra = self.model(
            x, mask, counted, first_stage=False, teacher_inputfeats=self.together(whole)
        )
        return found[1].flatten(0, 1), extra["student_loss"]

    def loss(self, data: Data, visible: Tensor, at: int) -> Tensor:
        logits, extra = self.run(data, visible)
        return functional.cross_entropy(logits, data["labels"]) + extra

    def answer(self, data: Data) -> Tensor:
        return self.run(data, torch.ones(len(data["labels"]), 3, dtype=torch.bool))[0]


def of(kind: type[Any], name: str) -> Callable[[Callable[[str], Any], Sizes], Network]:
    return lambda load, sizes: kind(load, sizes, name)


def imagining(blocks: int) -> tuple[tuple[str, str], ...]:
    """Our modules and theirs that the MMIN family shares."""
    pairs = [("encoders.s.lstm", "net.A.rnn"), ("encoders.v.lstm", "net.V.rnn")]
    pairs += [(f"encoders.t.convolutions.{i}", f"net.L.conv{i + 1}") for i in range(3)]
    pairs += [("encoders.t.join", "net.L.embd"), ("cascade.transition", "AE.transition")]
    pairs += [
        (f"cascade.blocks.{i}.{o}code", f"AE.{o}coder_{i}") for i in range(blocks) for o in ("en", "de")
    ]
    pairs += [("classifier.0", "C.module.0"), ("classifier.3", "C.module.3"), ("classifier.6", "C.fc_out")]
    return tuple(pairs)


STUDENT = tuple(
    (f"network.{ours}.{m}", f"model.student_{theirs}.{letter}")
    for ours, theirs in {"encoders": "encoders", "shared": "shared", "specific": "specific"}.items()
    for m, letter in {"s": "a", "v": "v", "t": "t"}.items()
)

MMIN = {"d": 128, "blocks": 5}
DICMOR = {"d": 32, "heads": 8, "depth": 4}
DROPOUTS = "dropouts and the cut of the first convolution differ"

PEERS: dict[str, Peer] = {
    "mmin": Peer("AIM3-RUC/MMIN", of(Imagining, "mmin"), MMIN, "mmin", equal=imagining(5)),
    "if_mmin": Peer(
        "ZhuoYulang/IF-MMIN", of(Imagining, "if_mmin"), MMIN, "if_mmin",
        equal=(*imagining(5), ("shared", "invariant")),  # whose blocks are joined otherwise: logits differ
    ),
    "cif_mmin": Peer(
        "ZhuoYulang/CIF-MMIN", of(Imagining, "cif_mmin"), MMIN, "cif_mmin", batch=64,
        unlike="the way from h and H' to the logits differs",
    ),
    "dicmor": Peer(
        "mdswyz/DiCMoR", of(Recovering, "dicmor"), DICMOR | {"kernel": 5}, "dicmor",
        {"d": 32, "length": 50, "depth": 4, "heads": 8, "flow_steps": 32, "blocks": 20}, shapes=SCORES, batch=32,
        unlike="its ActNorm and 1x1 weights are never used, ours are",
    ),
    "imder": Peer(
        "mdswyz/IMDer", of(Recovering, "imder"), DICMOR | {"kernel": 3}, "imder",
        {"d": 32, "length": 48, "depth": 4, "heads": 8, "channels": 32, "levels": 4, "score_heads": 8,
         "score_layers": 2, "blocks": 20}, shapes=SCORES, batch=32, unlike="its answers are drawn at random",
    ),
    "momke": Peer(
        "wxxv/MoMKE", of(Dialogues, "momke"), {"d": 256, "depth": 4, "heads": 2}, "momke",
        {"d": 256, "depth": 4, "heads": 2, "sequence": "dialogue", "dropout": 0.5}, losses=("cls",),
        shapes=VECTORS, batch=320, dialogue=20, root="MoMKE", unlike="its experts also read what is padded",
    ),
    "gcnet": Peer(
        "zeroQiaoba/GCNet", of(Dialogues, "gcnet"), {"d": 200, "graph": 100}, "gcnet",
        {"d": 200, "graph": 100, "hidden": 500, "pool": "mean", "dropout": 0.5}, shapes=VECTORS, batch=320, dialogue=20,
        root="gcnet", unlike="its relations are numbered anew in every process",
    ),
    "primd": Peer(
        "JiaqiZhang-Sengoku/PriMD", of(Dialogues, "primd"), {"d": 256}, "primd",
        {"d": 256, "pool": "mean", "dropout": 0.5}, shapes=VECTORS, batch=320, dialogue=20, root="PriMD",
        equal=(*STUDENT, ("network.joint", "model.student_classifier")),
    ),
}  # fmt: skip
"""Our method's name -> the class that its authors published, in their sizes."""


def fitted(x: Tensor, like: Tensor) -> Tensor | None:
    """A weight of ours as theirs has it: the same, or a convolution over words that is written as one over pictures."""
    if x.shape == like.shape:
        return x
    turned = x.transpose(1, 2).unsqueeze(1) if x.ndim == 3 else x
    return turned if turned.shape == like.shape else None


def take_over(model: nn.Module, weights: Mapping[str, list[Tensor]]) -> list[str]:
    """Load what fits; the modules that do not."""
    unfit = []
    for name, values in weights.items():
        try:
            own = list(model.get_submodule(name).parameters())
        except AttributeError:
            own = []
        found = [fitted(x, like) for x, like in zip(values, own, strict=False)]
        if len(own) != len(values) or any(x is None for x in found):
            unfit.append(name)
            continue
        with torch.no_grad():
            for x, like in zip(found, own, strict=True):
                like.copy_(x)  # type: ignore[arg-type]
    return unfit


class Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """In the place of packages that a checkout imports and this machine has not, or not as it was then: most are asked
    for by what is not built here. Whoever uses one of them is told which is missing."""

    def __init__(self) -> None:
        self.names = set[str]()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        own = name.partition(".")[0] in self.names
        return importlib.util.spec_from_loader(name, self, is_package=True) if own else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Placeholder(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class Placeholder(ModuleType):
    """A module of classes that cannot be made, whatever they are called."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        package = self.__name__.partition(".")[0]

        def missing(*_: Any, **__: Any) -> None:
            raise ModuleNotFoundError(f"No module named '{package}', whose {name} it uses")

        return type(name, (), {"__init__": missing})


MAKERS = (
    "arange", "as_tensor", "empty", "empty_like", "eye", "full", "full_like", "linspace", "load", "ones", "ones_like",
    "rand", "rand_like", "randint", "randn", "randn_like", "randperm", "tensor", "zeros", "zeros_like",
)  # fmt: skip
"""Functions of torch that are told a device."""


@contextlib.contextmanager
def on_processor() -> Iterator[None]:
    """What is sent to a GPU stays where it is: `.cuda()`, `.to("cuda")`, `device="cuda"`, in constructors or later."""

    def kept(x: Any) -> Any:
        return "cpu" if isinstance(x, (str, torch.device)) and str(x).startswith("cuda") else x

    def told(call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def called(*inputs: Any, **named: Any) -> Any:
            return call(*map(kept, inputs), **{name: kept(x) for name, x in named.items()})

        return called

    with contextlib.ExitStack() as stack:
        for owner in (Tensor, nn.Module):
            stack.enter_context(patch.object(owner, "to", told(owner.to)))
            stack.enter_context(patch.object(owner, "cuda", lambda own, *_, **__: own))
        for name in MAKERS:
            stack.enter_context(patch.object(torch, name, told(getattr(torch, name))))
        stack.enter_context(patch.object(torch.cuda, "set_device", lambda *_: None))
        yield


class Served:
    """A peer that was built, and what can be asked of it."""

    def __init__(self, job: Mapping[str, Any]):
        self.checkout, self.absent = Path(job["checkout"]), Absent()
        sys.meta_path.insert(0, self.absent)
        self.data = torch.load(job["data"], weights_only=True)
        torch.manual_seed(0)
        self.model = PEERS[job["peer"]].build(self._load, job["sizes"])
        self.model.train()
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimiser = torch.optim.Adam(trained, lr=1e-4)
        self.parameters = sum(p.numel() for p in trained)

    def _load(self, name: str) -> Any:
        module, _, own = name.partition(":")
        while True:
            try:
                return getattr(importlib.import_module(module), own)
            except ImportError as error:
                package = (error.name or "").partition(".")[0]
                theirs = any((self.checkout / own).exists() for own in (package, f"{package}.py"))
                if not package or theirs or package in {"torch", "numpy", *self.absent.names}:
                    raise
                self.absent.names.add(package)
                self._forget(package)

    def _forget(self, package: str) -> None:
        """What was imported of a package, and half of the checkout."""
        places = {  # a folder without `__init__.py` has a path alone
            name: getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "")
            for name, module in sys.modules.items()
        }
        for name, place in places.items():
            if name.partition(".")[0] == package or Path(place).is_relative_to(self.checkout):
                del sys.modules[name]

    def equal(self, weights: str, out: str) -> dict[str, Any]:
        """Take our weights over, and write the logits of complete utterances."""
        unfit = take_over(self.model, torch.load(weights, weights_only=True))
        if not unfit:
            self.model.eval()
            with torch.no_grad():
                torch.save(self.model.answer(self.data).contiguous(), out)
            self.model.train()
        return {"unfit": unfit}

    def step(self, at: int) -> dict[str, Any]:
        """Seconds of a training step."""
        start = time.perf_counter()
        loss = self.model.loss(self.data, self.data["masks"][at], at)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return {"seconds": time.perf_counter() - start}


def serve(job: Mapping[str, Any], out: Any) -> None:
    """Answer a line of JSON with a line, until there is none."""

    def say(found: Mapping[str, Any]) -> None:
        out.write(json.dumps(found) + "\n")
        out.flush()

    torch.set_num_threads(1)
    os.chdir(job["checkout"])
    sys.path.insert(0, job["checkout"])
    del sys.argv[1:]  # a checkout that reads arguments gets its defaults
    try:
        with on_processor():
            served = Served(job)
            say({"parameters": served.parameters})
            for line in sys.stdin:
                asked = json.loads(line)
                say(getattr(served, asked.pop("do"))(**asked))
    except BaseException as error:  # whatever a checkout does, it is a row of the table
        traceback.print_exc()
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        with contextlib.suppress(BrokenPipeError):
            say({"why": said.splitlines()[0] + raised_in(error, Path(job["checkout"]))})


def raised_in(error: BaseException, checkout: Path) -> str:
    """Where in a checkout: ' (models/base_model.py:12)'; nothing where that is not known."""
    steps = traceback.extract_tb(error.__traceback__)
    own = [step for step in steps if Path(step.filename).is_relative_to(checkout)]
    return f" ({Path(own[-1].filename).relative_to(checkout)}:{own[-1].lineno})" if own else ""


if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a checkout prints is no answer
    serve(job, answers)
