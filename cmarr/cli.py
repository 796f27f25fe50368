"""The command line. What a command needs is imported when it runs: torch alone takes seconds."""

import contextlib
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, NoReturn

import typer

from cmarr.errors import NotComputed, UserError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        from cmarr import __version__

        typer.echo(f"cmarr {__version__}")
        raise typer.Exit


@app.callback()
def main(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="print the version and exit"),
    ] = False,
) -> None:
    """Emotion recognition with missing modalities.

    A study is run by `dvc repro`; these commands look at a corpus before it, compare what came out,
    and use a model after it.
    """


@app.command()
def doctor(
    dataset: Annotated[
        str | None, typer.Argument(help="a name under `datasets` in params.yaml; default: its `dataset`")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="every dataset whose root exists, the generated demo aside")
    ] = False,
    params: Annotated[Path, typer.Option(help="the params.yaml to read")] = Path("params.yaml"),
) -> None:
    """Check a corpus: what was found, what is missing, and what to do about it.

    Exit status 1 where something would stop the pipeline (marked XX), else 0.
    """
    from cmarr.doctor.dataset import examine_datasets

    try:
        problems = examine_datasets(
            dataset, everything, params, typer.secho, run=": dvc exp run -S dataset={}"
        )
    except UserError as error:
        _fail("doctor", error, 1)
    raise typer.Exit(1 if problems else 0)


WHICH, LIMITS = "Which study, which model", "Limits"

Model = Annotated[
    Path | None,
    typer.Option(
        help="a folder that `cmarr export` wrote; default: the best model of the study in this folder",
        rich_help_panel=WHICH,
    ),
]
Study = Annotated[
    str | None,
    typer.Option(
        help="dataset of the study; default: `dataset` of params.yaml",
        rich_help_panel=WHICH,
    ),
]
Method = Annotated[
    str | None,
    typer.Option(help="a method or ablation; default: the method with the best model", rich_help_panel=WHICH),
]
Fold = Annotated[int | None, typer.Option(help="only models of this fold", rich_help_panel=WHICH)]
Seed = Annotated[int | None, typer.Option(help="only models of this seed", rich_help_panel=WHICH)]
Ensemble = Annotated[
    bool,
    typer.Option(
        "--ensemble",
        help="average the models of all folds and seeds instead of taking the best",
        rich_help_panel=WHICH,
    ),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODALITY=PATH",
        help="where the weights of an encoder lie here, as speech=FOLDER; may be repeated",
        rich_help_panel=WHICH,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
Workers = Annotated[str, typer.Option(help="processes that decode; auto: one a core")]
MaxMegabytes = Annotated[float, typer.Option(help="most megabytes of a file", rich_help_panel=LIMITS)]
MaxSeconds = Annotated[float, typer.Option(help="most seconds of a recording", rich_help_panel=LIMITS)]
MaxFrames = Annotated[int, typer.Option(help="most frames of a video", rich_help_panel=LIMITS)]
MaxPixels = Annotated[int, typer.Option(help="most pixels of a frame", rich_help_panel=LIMITS)]
MaxCharacters = Annotated[int, typer.Option(help="most characters of a text", rich_help_panel=LIMITS)]
TimeLimit = Annotated[
    float, typer.Option(help="most seconds that decoding a clip may take", rich_help_panel=LIMITS)
]
Params = Annotated[Path, typer.Option(help="params.yaml of the study's project", rich_help_panel=WHICH)]


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="an experiment, a git revision, or 'workspace'")],
    second: Annotated[str, typer.Argument(help="what to compare it with")] = "workspace",
    methods: Annotated[
        bool, typer.Option("--methods", help="the two names are methods (or ablations) of the workspace")
    ] = False,
    method: Annotated[str | None, typer.Option(help="only this method; default: all that both have")] = None,
    metric: Annotated[str | None, typer.Option(help="WAR, UAR, ...; default: UAR, of a score MAE")] = None,
    dataset: Study = None,
    params: Params = Path("params.yaml"),
) -> None:
    """Print how two experiments differ: paired intervals and tests, condition by condition.

    Both are computed from the predictions, those of an experiment from DVC's cache; the workspace stays as it is.
    """
    from cmarr.report.differences import differences_text, experiments_text

    try:
        if methods and method:
            raise UserError("--method chooses a method of two experiments; with --methods the names choose")
        if methods and first == second:
            raise UserError(f"{first} is compared with itself; name two different methods")
        name, only = _dataset(params, dataset), [method] if method else []
        if methods:
            found = _answers(params.parent, "workspace", name, [first, second])
            pair, title = (found[first], found[second]), f"{name}: {first} - {second}"
            text = differences_text((first, second), *pair, title=title, metric=metric)
        else:
            both = [_answers(params.parent, revision, name, only) for revision in (first, second)]
            text = experiments_text((first, second), *both, dataset=name, metric=metric)
    except UserError as error:
        _fail("compare", error, 1)
    typer.echo(text, nl=False)


def _answers(project: Path, revision: str, dataset: str, methods: list[str]) -> dict[str, list[Any]]:
    """Method -> predictions of a revision, which the project's own script, that knows DVC, copies out of it."""
    from cmarr.evaluation.predictions import read_folder

    with TemporaryDirectory() as work:
        folder = Path(work, revision)
        command = [sys.executable, "-m", "stages.experiment", revision, dataset, str(folder), *methods]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        if "Traceback" in done.stderr:
            raise RuntimeError(done.stderr)
        if done.returncode:
            raise UserError(done.stderr.strip().splitlines()[-1])
        return {path.name: read_folder(path) for path in sorted(folder.iterdir())}


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="the folder to write")],
    dataset: Study = None,
    method: Method = None,
    fold: Fold = None,
    seed: Seed = None,
    ensemble: Ensemble = False,
    force: Annotated[bool, typer.Option("--force", help="replace an earlier export in that folder")] = False,
    params: Params = Path("params.yaml"),
) -> None:
    """Put a study's trained model into one folder, which works without the study.

    The model with the best validation score is taken; no test score is looked at.
    """
    from cmarr.recognition.export import export as write
    from cmarr.recognition.trained import of_study

    try:
        name = _dataset(params, dataset)
        trained = of_study(name, method, root=params.parent, fold=fold, seed=seed, ensemble=ensemble)
        write(trained, folder, force=force)
    except UserError as error:
        _fail("export", error, 1)
    files = ", ".join(f"{m.file} (validation score {m.score:.4f})" for m in trained.about.models)
    typer.echo(f"{folder}: {trained.about.method} on {name}, {files}")


@app.command()
def predict(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            help="clips, folders of clips, or manifests (.csv, .parquet); `--` before a name with a dash"
        ),
    ] = None,
    model: Model = None,
    text: Annotated[str | None, typer.Option(help="what is said in the clip")] = None,
    transcript: Annotated[
        Path | None, typer.Option(help="a file with what is said: .txt, .srt or .vtt")
    ] = None,
    hide: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODALITY",
            help="do without speech, video or text, as if it were missing; may be repeated",
        ),
    ] = None,
    window: Annotated[
        float | None, typer.Option(help="seconds of a window; a longer recording gets a prediction for each")
    ] = None,
    hop: Annotated[
        float | None, typer.Option(help="seconds from one window to the next; default: half a window")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="write the predictions to this file; .jsonl and .parquet name the format"
        ),
    ] = None,
    format: Annotated[str | None, typer.Option(help="table, jsonl or parquet; default: a table")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="draw the course of the probabilities: .svg or .png; needs --window")
    ] = None,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="manifests and links may lead out of their folder")
    ] = False,
    dataset: Study = None,
    method: Method = None,
    fold: Fold = None,
    seed: Seed = None,
    ensemble: Ensemble = False,
    weights: Weights = None,
    device: Device = "auto",
    workers: Workers = "auto",
    max_megabytes: MaxMegabytes = 2000.0,
    max_seconds: MaxSeconds = 3600.0,
    max_frames: MaxFrames = 250_000,
    max_pixels: MaxPixels = 4096 * 2304,
    max_characters: MaxCharacters = 100_000,
    time_limit: TimeLimit = 60.0,
    params: Params = Path("params.yaml"),
) -> None:
    """Predict the emotion of clips with a trained model; what a clip does not have is simply missing.

    \b
    cmarr predict clip.mp4 --model exported --text "I did not expect that"
    cmarr predict clips/ --model exported --output predictions.jsonl

    A clip is a media file, with a transcript under the same name beside it if there is one. Exit status:
    0 all predicted, 1 some refused (with the reason), 2 nothing tried (a wrong option, path or model).
    """
    from cmarr.recognition.predict import Request, run
    from cmarr.recognition.reading import Limits

    try:
        request = Request(
            paths=paths or [],
            text=text,
            transcript=transcript,
            hide=hide or [],
            window=window,
            hop=hop,
            output=output,
            format=format,
            picture=picture,
            allow_outside=allow_outside,
        )
        request.check()
        limits = Limits(max_megabytes, max_seconds, max_frames, max_pixels, max_characters, time_limit)
        options = {"device": device, "workers": workers, "limits": limits, "weights": _weights(weights or [])}
        choice = {"fold": fold, "seed": seed, "ensemble": ensemble}
        with _recognizer("predict", model, dataset, method, params, choice, options) as recognizer:
            refused = run(request, recognizer, sys.stdout, partial(_note, "predict"))
    except UserError as error:
        _fail("predict", error, 2)
    except BrokenPipeError:  # of `cmarr predict ... | head`
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # nor may the flush at the end complain
        raise typer.Exit(1) from None
    raise typer.Exit(1 if refused else 0)


@app.command()
def serve(
    model: Model = None,
    host: Annotated[
        str, typer.Option(help="address to listen on; 0.0.0.0 lets everybody in who can reach this machine")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one", min=0, max=65535)] = 5001,
    dataset: Study = None,
    method: Method = None,
    fold: Fold = None,
    seed: Seed = None,
    ensemble: Ensemble = False,
    weights: Weights = None,
    device: Device = "auto",
    workers: Workers = "auto",
    max_request_megabytes: Annotated[
        float,
        typer.Option(
            help="most megabytes of a request; base64 is a third larger than its file", rich_help_panel=LIMITS
        ),
    ] = 128.0,
    max_clips: Annotated[int, typer.Option(help="most clips of a request", rich_help_panel=LIMITS)] = 32,
    max_megabytes: MaxMegabytes = 64.0,
    max_seconds: MaxSeconds = 300.0,
    max_frames: MaxFrames = 20_000,
    max_pixels: MaxPixels = 4096 * 2304,
    max_characters: MaxCharacters = 100_000,
    time_limit: TimeLimit = 60.0,
    params: Params = Path("params.yaml"),
) -> None:
    """Predict over HTTP with a trained model; reached from this machine only, unless --host says otherwise.

    POST /invocations takes {"inputs": [{"text": "..."}, {"audio": "<base64>"}]}, as `mlflow models serve` does.
    SIGTERM or Ctrl-C let the requests that are under way finish.
    """
    from cmarr.serving.requests import bounds

    try:
        limits, most = bounds(
            {
                "max_clips": max_clips,
                "max_megabytes": max_megabytes,
                "max_seconds": max_seconds,
                "max_frames": max_frames,
                "max_pixels": max_pixels,
                "max_characters": max_characters,
                "time_limit": time_limit,
            }
        )
        bounds({"max_megabytes": max_request_megabytes})
        from cmarr.serving.server import listen
        from cmarr.serving.server import serve as run
        from cmarr.serving.service import Service

        with listen(host, port) as listening:
            options = {
                "device": device,
                "workers": workers,
                "limits": limits,
                "weights": _weights(weights or []),
            }
            choice = {"fold": fold, "seed": seed, "ensemble": ensemble}
            with _recognizer("serve", model, dataset, method, params, choice, options) as recognizer:
                service = Service(recognizer, most)
                service.warm()
                where = (
                    f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}/invocations"
                )
                typer.echo(f"{recognizer.about.method} on {recognizer.about.dataset} answers at {where}")
                sys.stdout.flush()
                run(service, listening, max_request_megabytes)
    except UserError as error:
        _fail("serve", error, 2)


def _recognizer(
    command: str,
    model: Path | None,
    dataset: str | None,
    method: str | None,
    params: Path,
    choice: dict[str, Any],
    options: dict[str, Any],
) -> Any:
    """The exported model, or the study's; its notes are printed."""
    from cmarr.recognition.recognizer import Recognizer

    if model is not None:
        _use_plugins_beside(params)
        found = Recognizer.load(model, **options)
    else:
        found = Recognizer.of_study(
            _dataset(params, dataset, ", or name an exported model with --model"),
            method,
            root=params.parent,
            **choice,
            **options,
        )
    for note in found.notes:
        _note(command, note)
    return found


def _note(command: str, sentence: str) -> None:
    typer.echo(f"cmarr {command}: {sentence}", err=True)


def _weights(given: list[str]) -> dict[str, str]:
    found = {}
    for word in given:
        modality, equals, place = word.partition("=")
        if not equals or not place:
            raise UserError(f"--weights {word}: write speech=FOLDER")
        found[modality] = place
    return found


def _dataset(params: Path, given: str | None, instead: str = "") -> str:
    """The dataset that was given, or else the project's; the project's plugins are known from now on.

    `instead` ends the sentence that says what else would do where params.yaml is not there.
    """
    from cmarr.settings.load import read_yaml, use_plugins

    if not params.is_file() and given is None:
        raise UserError(
            f"{params} is not there; run this in the project's folder, or name it with --params{instead}"
        )
    values = read_yaml(params) if params.is_file() else {}
    use_plugins(values, params)
    dataset = given or values.get("dataset")
    if not isinstance(dataset, str):
        raise UserError(f"{params}: dataset: must be a name, not {dataset!r}")
    return dataset


def _use_plugins_beside(params: Path) -> None:
    """Know the plugins that params.yaml names, if it is there and one of ours: an exported model needs no project."""
    from cmarr.settings.load import read_yaml, use_plugins

    values: dict[str, Any] = {}
    with contextlib.suppress(UserError):
        values = read_yaml(params) if params.is_file() else {}
    use_plugins(values, params)


def _fail(command: str, error: UserError, status: int) -> NoReturn:
    how = (
        " (`dvc repro` computes it, `dvc checkout` brings it back)" if isinstance(error, NotComputed) else ""
    )
    typer.secho(f"cmarr {command}: {error}{how}", err=True, fg="red")
    raise typer.Exit(status) from None


if __name__ == "__main__":
    app()
