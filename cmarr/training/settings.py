"""The settings of the training loop: the section `train` of params.yaml, which a method's own `train` goes over."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from cmarr.declaration import (
    MACHINE,
    AtLeastTwo,
    Count,
    CountOrZero,
    Flag,
    NotNegative,
    Positive,
    PositiveShare,
    Probability,
    Section,
    Share,
    distinct,
    setting,
)


def _feasible(rates: dict[str, float]) -> dict[str, float]:
    if sum(rates.values()) > 2:
        raise ValueError("the rates add up to more than 2, and every utterance keeps one of three modalities")
    return rates


Rates = Annotated[dict[Literal["speech", "video", "text"], Probability], AfterValidator(_feasible)]

Condition = Literal["t", "s", "v", "vt", "sv", "st", "svt"]
Conditions = Annotated[tuple[Condition, ...], Field(min_length=1)]

Part = Literal["recovery", "fusion", "encoders"]
Precision = Annotated[
    Literal["fp32", "bf16", "auto"]
    | Annotated[tuple[Part, ...], Field(min_length=1), AfterValidator(distinct)],
    MACHINE,
]


class Train(Section):
    """The training loop every gradient-trained method shares."""

    lr: Positive = setting(5e-4, "learning rate of Adam")
    batch_size: AtLeastTwo = setting(64, "utterances a step (a contrast needs company)")
    epochs: Count = setting(40, "passes over the training split at most")
    patience: CountOrZero = setting(
        10, "epochs without a better validation score after which training stops; 0 = never stop early"
    )
    betas: tuple[Probability, Probability] = setting(
        (0.9, 0.999), "of Adam: how long the gradient and its square are remembered"
    )
    weight_decay: NotNegative = setting(0.0, "L2 penalty added to the gradient")
    schedule: Literal["constant", "linear", "plateau"] = setting(
        "constant",
        "of the learning rate: constant; linear = falls to 0 over the last share decay of the epochs; plateau = a "
        "tenth whenever the best validation score is more than plateau epochs old",
    )
    decay: Share = setting(0.5, "share of the epochs over which a linear schedule falls")
    plateau: CountOrZero = setting(5, "epochs that a plateau schedule waits for a better validation score")
    clip: NotNegative = setting(1.0, "limit to the gradient; 0 = none")
    clip_by: Literal["whole", "part", "value"] = setting(
        "whole",
        "what it limits: whole = the norm of all gradients; part = that of each sub-network; value = each entry",
    )
    selection: Literal["mean7", "avg6", "complete"] | Condition = setting(
        "mean7",
        "which epoch is kept: the highest validation UAR (regression: lowest MAE), ties to the earliest, over mean7 "
        "(all seven conditions), avg6 (the six incomplete ones), complete (all modalities), or one condition",
    )
    selection_epochs: Count = setting(
        1,
        "epochs whose mean score decides: an epoch counts as the mean of the last so many up to it. More than 1 where "
        "few validation speakers make single scores jump",
    )
    selection_folds: Count = setting(
        1,
        "groups of speakers that choose the number of epochs in turn, one of them the validation speakers; the middle "
        "of what they choose is then trained on all of them, as refit does. So many times the time. 1 = the validation "
        "speakers alone",
    )
    masks: Literal["sample", "batch"] = setting(
        "sample",
        "sample = each utterance of a batch draws its own condition; batch = one draw for the whole batch",
    )
    mask_conditions: Literal["seven", "six", "cmad"] | Conditions = setting(
        "seven",
        "seven = drawn from all conditions; six = never the complete one; cmad = from all, t, s, v, vt, sv, st, svt as "
        "often as 2, 3, 3, 1, 3, 1, 1; or a list of them, [t, s, svt]: the others are then unseen in training",
    )
    labels: PositiveShare = setting(
        1.0,
        "share of the training utterances that keep their label; the features of all stay. Drawn once a fold, of each "
        "class alike, and nested: what keeps its label at 0.15 keeps it at 0.3",
    )
    holes: Probability | Rates = setting(
        0.0,
        "rate at which modalities of training utterances are missing, at random, drawn once a fold; an utterance keeps "
        "at least one. {speech: 0.3, video: 0.3, text: 0.9} = a rate of each, at most 2 together. Validation and test "
        "data stay as they are",
    )
    refit: Flag = setting(
        False,
        "true = once the epoch is chosen, train anew on training and validation data for as many epochs, with the same "
        "course of the learning rate; the validation scores stay those of the choice. Twice the time",
    )
    precision: Precision = setting(
        "fp32",
        "of a training step; predictions, flows and losses are always in fp32. bf16 = half the bits where they are "
        "enough, for a GPU: on a CPU it is slower (docs/speed.md, which also says what it does to the scores); a list "
        "of recovery, fusion, encoders = bf16 in these networks alone; auto = [recovery] where a short measurement at "
        "the start says that it pays, as with large networks on a CPU with instructions for bf16; the model's "
        "description tells which, and machines may differ",
    )
    compile: Flag = setting(
        False,
        "true = compile the step with torch.compile: minutes at the start, and a C++ compiler; on a CPU it has not "
        "been worth it. Rounds differently",
    )
    threads: Count = setting(
        1, "CPU threads a training. Part of the result: sums in another order round differently"
    )


DATA_KEYS = ("labels", "holes")
"""Keys that say what there is to learn from, and not how: they hold for a method that is fitted in one step, too, and a
model that a method starts from has the method's."""
