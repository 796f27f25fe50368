"""Pretrained networks, from the model hub or from a folder, with errors that say what to do; where they run and how."""

import json
import os
import pickle
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.utils import parametrize

from cmarr.budgets import expanded
from cmarr.device import choose_device
from cmarr.errors import UserError
from cmarr.extras import extra
from cmarr.files import digest, file_digest

_UNUSED = re.compile(r"^(pooler\.|masked_spec_embed$)")
"""Weights that no feature depends on; a checkpoint may lack them."""

_ENDINGS = (".json", ".txt", ".model", ".safetensors", ".bin")
"""Files of a folder that decide the features: weights, configuration, vocabulary."""


@dataclass(frozen=True)
class Checkpoint:
    """A pretrained network in evaluation mode, float32, on the CPU.

    `preparation` is its tokenizer (text) or feature extractor (speech); `name` and `revision` say what it is,
    without saying where it lay.
    """

    network: Any
    preparation: Any
    name: str
    revision: str

    @property
    def config(self) -> Any:
        """The network's configuration."""
        return self.network.config


def load_checkpoint(
    encoder: str, model: str, revision: str, *, families: Sequence[str], preparation: str
) -> Checkpoint:
    """Load a network with its tokenizer or feature extractor.

    Args:
        encoder: the encoder's key, which error messages name.
        model: an id on the model hub, or a folder. In a folder, `revision` has no say: its content counts.
        revision: commit (or tag, branch) of the id.
        families: the `model_type`s that this encoder can run.
        preparation: 'tokenizer' or 'feature_extractor'.

    Safetensors are read where the checkpoint has them, otherwise torch's own files by its restricted loader, which
    accepts tensors and nothing that could run. Raises UserError, in one sentence naming the key, for anything that is
    not there, cannot be reached, is damaged, or is of another family.
    """
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")  # it would talk to the hub from a thread
    from safetensors import SafetensorError

    transformers = _transformers()
    key = f"encoders.{encoder}.model"
    folder = expanded(model)
    names_a_folder = model.startswith(("/", ".", "~")) or model.count("/") > 1
    if names_a_folder and not folder.is_dir():
        raise UserError(
            f"{key}: the folder {model} does not exist; give a folder that holds the model, or its id"
        )
    local = folder.is_dir()
    place = str(folder) if local else model
    pinned: dict[str, Any] = {"trust_remote_code": False} | ({} if local else {"revision": revision})
    try:
        config = transformers.AutoConfig.from_pretrained(place, **pinned)
        if config.model_type not in families:
            raise UserError(
                f"{key}: {model} is a model of the family {config.model_type}; this encoder runs {', '.join(families)}"
            )
        network, loaded = transformers.AutoModel.from_pretrained(
            place, config=config, dtype="float32", output_loading_info=True, **pinned
        )
        loader = {"tokenizer": "AutoTokenizer", "feature_extractor": "AutoFeatureExtractor"}[preparation]
        prepare = getattr(transformers, loader).from_pretrained(place, **pinned)
    except UserError:
        raise
    except (
        OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, EOFError, ImportError,
        SafetensorError, pickle.UnpicklingError,
    ) as error:  # fmt: skip
        raise UserError(f"{key}: {_reason(error, model, revision, local, preparation)}") from error
    _require_weights(key, model, loaded)
    name = folder.resolve().name if local else model
    commit = _folder_revision(folder) if local else getattr(config, "_commit_hash", None) or revision
    return Checkpoint(network.eval().requires_grad_(False), prepare, name, commit)


def configuration(network: Any) -> dict[str, Any]:
    """What `architecture` builds the network from: JSON-able, without the place it was loaded from."""
    values = json.loads(network.config.to_json_string(use_diff=False))
    return {k: v for k, v in values.items() if not k.startswith("_") and k != "transformers_version"}


def architecture(config: Mapping[str, Any]) -> Any:
    """A network of that configuration with random weights, float32, on the CPU. Nothing is fetched."""
    transformers = _transformers()
    own = dict(config)
    return transformers.AutoModel.from_config(transformers.AutoConfig.for_model(own.pop("model_type"), **own))


def _transformers() -> Any:
    """The library, made to say nothing but its errors."""
    with extra("encoders"):
        import transformers

    warnings.filterwarnings(
        "ignore", "Support for mismatched key_padding_mask", UserWarning
    )  # WavLM's, of torch
    from huggingface_hub.utils import logging as hub_logging

    hub: Any = hub_logging
    hub.set_verbosity_error()  # it announces each of its attempts to reach the hub
    logging: Any = transformers.utils.logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return transformers


def _reason(error: Exception, model: str, revision: str, local: bool, preparation: str) -> str:
    text = " ".join(str(error).split())
    if local:
        wanted = {"tokenizer": "its tokenizer's files", "feature_extractor": "preprocessor_config.json"}[
            preparation
        ]
        return (
            f"the model in the folder {model} cannot be loaded ({_short(text)}); the folder must hold config.json, "
            f"{wanted} and model.safetensors, as `save_pretrained` writes them"
        )
    if "is not a valid git identifier" in text:
        return (
            f"{model} has no revision {revision}; set the `revision` beside it to one of that model's commits"
        )
    if "is not a valid model identifier" in text:
        return f"{model} is neither a folder nor a model on the hub; correct the id, or give a folder"
    if _offline():
        why = "HF_HUB_OFFLINE forbids to fetch it"
    elif _unreachable(error):
        why = "the model hub cannot be reached"
    else:
        return f"{model} (revision {revision}) cannot be loaded ({_short(text)}); give another model, or a folder"
    return (
        f"{model} (revision {revision}) is not on this machine, and {why}; fetch it once with a connection, or set "
        "this key to a folder that holds the model"
    )


def _offline() -> bool:
    from huggingface_hub import constants

    return constants.is_offline_mode()


def _unreachable(error: BaseException | None) -> bool:
    """True where a connection failed somewhere down the chain of causes."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    while error is not None:
        if isinstance(error, (LocalEntryNotFoundError, ConnectionError, TimeoutError)):
            return True
        if "couldn't connect" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _short(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:157]}..."


def _require_weights(key: str, model: str, loaded: Mapping[str, Any]) -> None:
    missing = sorted(name for name in loaded["missing_keys"] if not _UNUSED.search(name))
    if missing or loaded["mismatched_keys"]:
        example = missing[0] if missing else str(sorted(loaded["mismatched_keys"], key=str)[0])
        count = len(missing) + len(loaded["mismatched_keys"])
        raise UserError(
            f"{key}: the weights of {model} do not fit its config.json ({count} are missing or of another shape, "
            f"among them {example}); features from random weights would mean nothing, so fetch the model again"
        )


def _folder_revision(folder: Path) -> str:
    files = sorted(p for p in folder.iterdir() if p.is_file() and p.suffix in _ENDINGS)
    return f"sha256:{digest({p.name: file_digest(p) for p in files})[:16]}"


Precision = Literal["fp32", "bf16"]
PRECISION = "fp32; bf16 = faster where the processor has units for it, and about 1 % off"


class Arithmetic:
    """Device and precision of a network.

    bf16 is autocast: matrix products and convolutions in bfloat16, the rest as torch decides. Their weights are
    converted once, where plain autocast converts them anew in every batch.
    """

    def __init__(self, device: str, precision: Precision):
        self.device = torch.device(choose_device(device))
        self.precision = precision
        if self.device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False  # fp32 means fp32: torch's default rounds convolutions

    def threads(self, workers: int) -> int:
        """How many batches to run side by side: one a core, or one on a GPU."""
        return workers if self.device.type == "cpu" else 1

    def place(self, network: Any) -> Any:
        """The network, moved and converted; weights that are computed from others are computed once."""
        for module in network.modules():
            if parametrize.is_parametrized(module):
                for name in list(module.parametrizations):
                    parametrize.remove_parametrizations(module, name)
        if self.precision == "bf16":
            for module in network.modules():
                if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)):
                    module.to(torch.bfloat16)
        return network.to(self.device)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Everything inside runs without gradients, in this precision. It holds for the thread that enters."""
        bf16 = self.precision == "bf16"
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            yield
