"""The authors' classes beside ours, on small packages with the same places, constructors and calls."""

import json
import sys
from dataclasses import replace
from unittest.mock import patch

import pytest

from benchmarks.peers import __main__ as command
from benchmarks.peers import beside, table
from benchmarks.peers.beside import measured
from benchmarks.peers.theirs import PEERS, Served, imagining, on_processor

LSTM = """
from torch import nn
class LSTMEncoder(nn.Module):
    def __init__(self, input_size, hidden_size, embd_method="last"):
        super().__init__()
        assert embd_method in ("maxpool", "last")
        self.last = embd_method == "last"
        self.rnn = nn.LSTM(input_size, hidden_size, batch_first=True)
    def forward(self, x):
        found = self.rnn(x)[0]
        return found[:, -1] if self.last else found.max(1).values
"""

TEXT = """
import torch
from torch import nn
class TextCNN(nn.Module):
    def __init__(self, input_dim, embd_size=128, in_channels=1, out_channels={channels}):
        super().__init__()
        for i, k in enumerate((3, 4, 5)):
            setattr(self, f"conv{{i + 1}}", nn.Conv2d(in_channels, out_channels, (k, input_dim)))
        self.embd = nn.Sequential(nn.Linear(3 * out_channels, embd_size), nn.ReLU())
    def forward(self, x):
        found = [c(x[:, None]).relu().amax((2, 3)) for c in (self.conv1, self.conv2, self.conv3)]
        return self.embd(torch.cat(found, 1))
"""

CLASSIFIER = """
from torch import nn
class FcClassifier(nn.Module):
    def __init__(self, input_dim, layers, output_dim, dropout=0.3, use_bn=False):
        super().__init__()
        self.fc_out = nn.Linear(layers[-1], output_dim)
        chain = []
        for width in layers:
            chain += [nn.Linear(input_dim, width), nn.ReLU(), nn.Dropout(dropout)]
            input_dim = width
        self.module = nn.Sequential(*chain)
    def forward(self, x):
        x = self.module(x)
        return self.fc_out(x), x
"""

CASCADE = """
import torch
from torch import nn
def chain(sizes, between):
    parts = []
    for a, b in zip(sizes, sizes[1:]):
        parts += [nn.Linear(a, b), between()]
    return nn.Sequential(*parts[:-1])
class ResidualAE(nn.Module):
    def __init__(self, layers, n_blocks, input_dim, dropout=0.5, use_bn=False):
        super().__init__()
        way, self.n = [input_dim, *layers], n_blocks
        self.transition = chain([input_dim] * 3, nn.ReLU)
        for i in range(n_blocks):
            setattr(self, f"encoder_{i}", chain(way, nn.LeakyReLU))
            setattr(self, f"decoder_{i}", chain(way[::-1], nn.ReLU))
    def forward(self, x{shared}):
        out, latents = 0, []
        for i in range(self.n):
            x = x + {added}
            latents.append(getattr(self, f"encoder_{i}")(x))
            out = getattr(self, f"decoder_{i}")(latents[-1])
        return self.transition(x + out), torch.cat(latents, -1)
"""

SHARED = """
from torch import nn
class SharedEncoder(nn.Module):
    def __init__(self, opt):
        super().__init__()
        d = opt.embd_size_a
        self.netshared = nn.Sequential(nn.Linear(d, d), nn.LeakyReLU(), nn.Linear(d, d), nn.LeakyReLU())
    def forward(self, x):
        return self.netshared(x)
"""

RECOVERING = """
import random
import torch
from torch import nn
from ...subNets import BertTextEncoder
device = "cuda"
def Euler_Maruyama_sampler(net, n, device="cuda"):
    return torch.zeros(n, device=device)
class {name}(nn.Module):
    def __init__(self, args):
        super().__init__()
        if args.use_bert:
            self.text_model = BertTextEncoder()
        assert args.train_mode == "classification"
        self.near = torch.ones(2, device=torch.device(device)).cuda().to("cuda:0")
        self.out = nn.Linear(sum(args.feature_dims), args.num_classes)
        self.cut = args.conv1d_kernel_size_l
    def forward(self, text, audio, video, {label}num_modal=None):
        print("what a checkout prints")
        assert num_modal in (1, 2) and random.sample([0, 1, 2], num_modal)
        assert text.shape[2] == 9 and audio.shape[2] == 5 and video.shape[2] == 4
        x = Euler_Maruyama_sampler(None, len(text), device="cuda") + torch.as_tensor(0.0, device=device)
        m = self.out(torch.cat([text, audio, video], -1).mean(1)) + x[:, None]
        return {{"M": m, "loss_rec": m.pow(2).mean(), "ava_modal_idx": [0]}}
"""

GCNET = """
import torch
from torch import nn
class GraphModel(nn.Module):
    def __init__(self, base_model, adim, tdim, vdim, D_e, graph_hidden_size, n_speakers, window_past, window_future,
                 n_classes, dropout=0.5, time_attn=True, no_cuda=False):
        super().__init__()
        assert base_model == "LSTM" and no_cuda
        self.out, self.again = nn.Linear(adim + tdim + vdim, n_classes), nn.Linear(n_classes, adim + tdim + vdim)
    def forward(self, inputfeats, qmask, umask, seq_lengths):
        (x,) = inputfeats
        assert x.shape[:2] == qmask.shape[::-1] == umask.shape[::-1] and seq_lengths == [4, 4]
        out = self.out(x)
        return out, [self.again(out)], out
"""

MOMKE = """
import torch
from torch import nn
class MoMKE(nn.Module):
    def __init__(self, args, adim, tdim, vdim, D_e, n_classes, depth=4, num_heads=4, mlp_ratio=1, drop_rate=0,
                 attn_drop_rate=0, no_cuda=False):
        super().__init__()
        self.a, self.t = adim, tdim
        self.out = nn.Linear(adim + tdim + vdim, n_classes)
    def forward(self, inputfeats, input_features_mask=None, umask=None, first_stage=False):
        n, rows, _ = inputfeats.shape
        assert input_features_mask.shape == (n, rows, 3) and umask.shape == (rows, n) and not first_stage
        parts = inputfeats.tensor_split((self.a, self.a + self.t), -1)  # what is hidden is hidden where the mask says
        assert all(not x[input_features_mask[..., i] == 0].any() for i, x in enumerate(parts))
        out = self.out(inputfeats.transpose(0, 1))
        return out, out, out, out, out, []
"""

PRIMD = """
import torch
from torch import nn
class PriMD(nn.Module):
    def __init__(self, args, adim, tdim, vdim, D_e, n_classes, depth=4, num_heads=4, mlp_ratio=1, drop_rate=0,
                 attn_drop_rate=0, no_cuda=False):
        super().__init__()
        self.dims, d = (adim, tdim, vdim), D_e
        two = lambda a, b, c: nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Dropout(drop_rate), nn.Linear(b, c))
        dims = dict(zip("atv", self.dims))
        self.student_encoders = nn.ModuleDict({m: nn.Sequential(nn.Linear(dims[m], d), nn.ReLU()) for m in "atv"})
        self.student_shared = nn.ModuleDict({m: two(d, d, d) for m in "atv"})
        self.student_specific = nn.ModuleDict({m: two(d, d, d) for m in "atv"})
        self.student_classifier = two(4 * d, 2 * d, n_classes)
    def start_student_stage(self):
        self.started = True
    def forward(self, inputfeats, input_features_mask=None, umask=None, first_stage=False, teacher_inputfeats=None):
        assert self.started and teacher_inputfeats.shape == inputfeats.shape
        parts = inputfeats.transpose(0, 1).tensor_split((self.dims[0], sum(self.dims[:2])), -1)
        x = {m: self.student_encoders[m](p) for m, p in zip("atv", parts)}
        z = sum(self.student_shared[m](x[m]) for m in "atv") / 3
        out = self.student_classifier(torch.cat([z, *(self.student_specific[m](x[m]) for m in {order!r})], -1))
        return out, out, out, out, out, [], {"student_loss": out.mean() * 0}
"""

IMAGINING = {
    "models/__init__.py": "",
    "models/networks/__init__.py": "",
    "models/networks/lstm.py": LSTM,
    "models/networks/textcnn.py": TEXT.format(channels=8),
    "models/networks/classifier.py": CLASSIFIER,
    "models/networks/autoencoder.py": CASCADE.replace("{shared}", "").replace("{added}", "out"),
    "models/networks/autoencoder_2.py": CASCADE.replace("{shared}", ", shared").replace("{added}", "shared"),
    "models/networks/shared.py": SHARED,
}
MODEL = "trains/singleTask/model"
AROUND = {  # what is imported on the way to the class, and has no part in it
    "trains/__init__.py": "from .ATIO import ATIO",
    "trains/ATIO.py": "from .singleTask import *\nclass ATIO: pass",
    "trains/singleTask/__init__.py": "from .TRAINER import Trainer",
    "trains/singleTask/TRAINER.py": "import a_progress_bar\nfrom ..utils import MetricsTop\nclass Trainer: pass",
    "trains/utils/__init__.py": "from .metricsTop import *",
    "trains/utils/metricsTop.py": "from some_statistics.metrics import f1_score\nclass MetricsTop: pass",
    "trains/subNets/__init__.py": "from .BertTextEncoder import BertTextEncoder",
    "trains/subNets/BertTextEncoder.py": """
import argparse
try:
    from apex import amp
except ImportError:
    amp = None
assert amp is None
from graphlib import a_name_that_is_gone_now
from words_of_old import BertModel as Words
argparse.ArgumentParser().parse_args()
class BertTextEncoder(Words):
    pass
""",
}
CHECKOUTS = {
    "mmin": IMAGINING,
    "if_mmin": IMAGINING,
    "cif_mmin": IMAGINING,
    "dicmor": {**AROUND, f"{MODEL}/dicmor.py": RECOVERING.format(name="DICMOR", label="label=None, ")},
    "imder": {**AROUND, f"{MODEL}/imder.py": RECOVERING.format(name="IMDER", label="")},
    "momke": {"MoMKE/model_expert_softmoe.py": MOMKE},
    "gcnet": {"gcnet/model.py": GCNET, "gcnet/helpers/__init__.py": ""},
    "primd": {"PriMD/model_primd.py": PRIMD.replace("{order!r}", repr("avt"))},
}
SMALL = {"d": 8, "blocks": 2, "heads": 2, "depth": 1, "graph": 4}
FEW = {
    "length": 8,
    "flow_steps": 1,
    "channels": 4,
    "levels": 2,
    "score_heads": 2,
    "score_layers": 1,
    "hidden": 12,
}


def small(name):
    peer = PEERS[name]
    sizes = {k: SMALL.get(k, v) for k, v in peer.sizes.items()}
    settings = {k: (SMALL | FEW).get(k, v) for k, v in peer.settings.items()}
    if name.endswith("mmin"):
        settings = {"d": 8, "blocks": 2}
    shapes = {"s": (1 if peer.dialogue > 1 else 8, 5), "v": (1 if peer.dialogue > 1 else 8, 4)}
    shapes["t"] = (1 if peer.dialogue > 1 else 8, 9)
    shared = tuple(pair for pair in peer.equal if pair in imagining(2) or pair not in imagining(5))
    return replace(
        peer,
        sizes=sizes,
        settings=settings,
        shapes=shapes,
        batch=8,
        dialogue=min(peer.dialogue, 4),
        equal=shared,
    )


def checked_out(name, folder, changed=()):
    own = folder / PEERS[name].repository.rpartition("/")[2]
    for path, source in {**CHECKOUTS[name], **dict(changed)}.items():
        (own / path).parent.mkdir(parents=True, exist_ok=True)
        (own / path).write_text(source)
    return folder


def run(name, folder, patience=60.0):
    return measured(name, small(name), folder, steps=1, patience=patience)


class Near:
    """What `Theirs` asks a process, asked here: a process takes seconds to start."""

    def __init__(self, name, peer, checkout, data, patience):
        widths = {m: width for m, (_, width) in peer.shapes.items()}
        sizes = {**peer.sizes, "widths": widths, "classes": 4, "length": peer.dialogue}
        self.known = set(sys.modules)
        sys.path.insert(0, str(checkout))
        self.device = on_processor()
        self.device.__enter__()
        with patch.object(sys, "argv", sys.argv[:1]):
            self.served = Served({"peer": name, "sizes": sizes, "data": str(data), "checkout": str(checkout)})
        self.parameters = self.served.parameters

    def ask(self, do, **asked):
        return getattr(self.served, do)(**asked)

    def close(self):
        self.device.__exit__(None, None, None)
        sys.path.pop(0)
        sys.meta_path.remove(self.served.absent)
        for name in set(sys.modules) - self.known:
            if name.partition(".")[0] in {
                "models", "trains", "model", "model_expert_softmoe", "model_primd", *self.served.absent.names,
            }:  # fmt: skip
                del sys.modules[name]


@pytest.fixture
def near(monkeypatch):
    monkeypatch.setattr(beside, "Theirs", Near)


@pytest.mark.usefixtures("near")
@pytest.mark.parametrize("name", PEERS)
def test_every_declared_class_is_built_called_and_timed(name, tmp_path):
    found = run(name, checked_out(name, tmp_path))
    assert "why" not in found, found["why"]
    assert found["ours_ms"] > 0 and found["theirs_ms"] > 0 and found["theirs_parameters"] > 0
    assert bool(PEERS[name].equal) == ("difference" in found["equal"])
    if name in ("mmin", "primd"):
        assert found["equal"]["difference"] < 1e-4 * max(1.0, found["equal"]["largest"])


@pytest.mark.usefixtures("near")
def test_answers_that_differ_and_shapes_that_do_are_told(tmp_path):
    other = PRIMD.replace("{order!r}", repr("atv"))  # the specific parts in another order
    differs = run("primd", checked_out("primd", tmp_path / "a", {"PriMD/model_primd.py": other}))
    assert differs["equal"]["difference"] > 1e-3
    wider = {"models/networks/textcnn.py": TEXT.format(channels=6)}
    unfit = run("mmin", checked_out("mmin", tmp_path / "b", wider))
    assert unfit["equal"]["why"].startswith("not the same shapes: net.L.conv1") and unfit["theirs_ms"] > 0


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (None, "no checkout: git clone https://github.com/zeroQiaoba/GCNet"),
        ("import torch\nfrom not_there.nn import Conv\nclass GraphModel(Conv): pass",
         "ModuleNotFoundError: No module named 'not_there', whose Conv it uses"),
        ("import helpers.tools", "ModuleNotFoundError: No module named 'helpers.tools' (model.py:1)"),
        ("import os; os._exit(3)", "its process ended with status 3"),
        ("import time; time.sleep(600)", "no answer in 2 s"),
        (GCNET.replace("(x,) = inputfeats", "raise SystemExit('of a | kind')"), "SystemExit: of a | kind"),
    ],
)  # fmt: skip
def test_a_class_that_cannot_be_asked_is_a_row_that_says_why(source, why, tmp_path):
    if source is not None:
        checked_out("gcnet", tmp_path, {"gcnet/model.py": source})
    found = run("gcnet", tmp_path, patience=2.0 if source and "sleep" in source else 240.0)
    assert found["why"].startswith(why)
    line = table({"runs": {"gcnet": found}}).splitlines()[-1]
    assert line.count("|") == table({"runs": {}}).splitlines()[0].count("|") and "not measured: " in line


def test_the_command_prints_a_table_and_writes_json(tmp_path, monkeypatch, capsys):
    """In a process of its own, in which a checkout may call its files as we call ours."""
    monkeypatch.setitem(PEERS, "gcnet", small("gcnet"))
    mine = {
        "gcnet/cmarr/__init__.py": "raise RuntimeError('theirs')",
        "gcnet/benchmarks.py": "raise SystemExit",
    }
    checked_out("gcnet", tmp_path, mine)
    arguments = ["--only", "gcnet", "momke", "--steps", "1", "--results", str(tmp_path)]
    command.main(["--checkout", str(tmp_path), *arguments])
    printed, kept = capsys.readouterr().out, json.loads((tmp_path / "peers.json").read_text())
    assert table(kept) in printed and "gcnet" in printed
    assert kept["runs"]["gcnet"]["theirs_ms"] > 0 and "no checkout" in kept["runs"]["momke"]["why"]
    command.main(["--list"])
    assert "git clone https://github.com/AIM3-RUC/MMIN" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main(["--checkout", str(tmp_path / "nowhere")])
    assert "no folder" in capsys.readouterr().err
