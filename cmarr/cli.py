"""The command line. What a command needs is imported when it runs: torch alone takes seconds."""

import contextlib
import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial, wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cmarr.budgets import real, require_name
from cmarr.errors import NotComputed, NotWhole, UserError, many
from cmarr.files import refusal


class Commands(TyperGroup):
    """The commands; a file that the system refuses, or has no room for, is one sentence in all of them."""

    asked = ""

    def invoke(self, ctx: Any) -> Any:
        """Run what was asked for."""
        try:
            return super().invoke(ctx)
        finally:
            self.asked = f" {ctx.invoked_subcommand}" if ctx.invoked_subcommand else ""

    def main(self, *args: Any, **options: Any) -> Any:
        """As `invoke`, and what is said of versions and commands before one runs."""
        try:
            return super().main(*args, **options)
        except OSError as error:
            told = refusal(error)
            if told is None:
                raise
            typer.secho(f"cmarr{self.asked}: {told}", err=True, fg="red")
            _let_go_of_output()
            sys.exit(1)


def _let_go_of_output() -> None:
    """Let nothing complain at the end, when what could not be printed would be printed once more."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)


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
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if (
            getattr(sys, name) is None
        ):  # closed: the next file would take its number, and what is printed with it
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115
    try:
        Path.cwd()
    except FileNotFoundError:
        typer.secho(
            "cmarr: the folder that this is run in has been removed; go to another", err=True, fg="red"
        )
        raise typer.Exit(2) from None


def _named(text: str | Path) -> Path:
    """What was given as the name of a file or folder, if one can be called so: '' would be the current folder."""
    try:
        require_name(text)
    except UserError as error:
        raise typer.BadParameter(str(error)) from None
    return Path(text)


_FILE: dict[str, Any] = {"parser": _named, "metavar": "PATH"}


@app.command()
def doctor(
    dataset: Annotated[
        str | None, typer.Argument(help="a name under `datasets` in params.yaml; default: its `dataset`")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="every dataset whose root exists, the generated demo aside")
    ] = False,
    params: Annotated[Path, typer.Option(help="the params.yaml to read", **_FILE)] = Path("params.yaml"),
) -> None:
    """Check a corpus: what was found, what is missing, and what to do about it.

    Exit status 1 where something would stop the pipeline (marked XX), else 0.
    """
    from cmarr.doctor.dataset import examine_datasets

    with _failing("doctor", 1):
        problems = examine_datasets(
            dataset, everything, params, typer.secho, run=": dvc exp run -S dataset={}"
        )
    raise typer.Exit(1 if problems else 0)


_which = partial(typer.Option, rich_help_panel="Which study, which model")
_limit = partial(typer.Option, rich_help_panel="Limits")

Study = Annotated[str | None, _which(help="dataset of the study; default: `dataset` of params.yaml")]
Params = Annotated[Path, _which(help="params.yaml of the study's project", **_FILE)]


@dataclass(frozen=True)
class Choice:
    """Options that say which of a study's models are meant."""

    dataset: Study = None
    method: Annotated[
        str | None, _which(help="a method or ablation; default: the method with the best model")
    ] = None
    fold: Annotated[int | None, _which(help="only models of this fold")] = None
    seed: Annotated[int | None, _which(help="only models of this seed")] = None
    ensemble: Annotated[
        bool,
        _which("--ensemble", help="average the models of all folds and seeds instead of taking the best"),
    ] = False
    params: Params = Path("params.yaml")

    @property
    def open(self) -> bool:
        """Whether nothing was said of a study."""
        return self == Choice()

    def find(self, function: Callable[..., Any], instead: str = "", **options: Any) -> Any:
        """What a function such as `of_study` makes of the models that are meant."""
        dataset = _dataset(self.params, self.dataset, instead)
        chosen = {"fold": self.fold, "seed": self.seed, "ensemble": self.ensemble}
        return function(dataset, self.method, root=self.params.parent, **chosen, **options)


@dataclass(frozen=True)
class Machine:
    """Options that say how a model is loaded on this machine."""

    model: Annotated[
        str | None,
        _which(
            help="a folder that `cmarr export` wrote, a model that comes with cmarr (starter, starter-open), "
            "models:/NAME/VERSION, or OWNER/NAME on the hub; default: the best model of the study in this folder, or "
            "starter where there is none"
        ),
    ] = None
    weights: Annotated[
        list[str] | None,
        _which(
            metavar="MODALITY=PATH",
            help="where the weights of an encoder lie here, as speech=FOLDER; may be repeated",
        ),
    ] = None
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto"
    workers: Annotated[str, typer.Option(help="processes that decode; auto: one a core")] = "auto"


@dataclass(frozen=True)
class Limited:
    """Options that bound a clip: those of `cmarr.recognition.reading.Limits`."""

    max_megabytes: Annotated[float, _limit(help="most megabytes of a file")] = 2000.0
    max_seconds: Annotated[float, _limit(help="most seconds of a recording")] = 3600.0
    max_frames: Annotated[int, _limit(help="most frames of a video")] = 250_000
    max_pixels: Annotated[int, _limit(help="most pixels of a frame")] = 4096 * 2304
    max_characters: Annotated[int, _limit(help="most characters of a text")] = 100_000
    time_limit: Annotated[float, _limit(help="most seconds that decoding a clip may take")] = 60.0


@dataclass(frozen=True)
class Served(Limited):
    """Options that bound a request and its clips: what a stranger may ask for is less."""

    max_megabytes: Annotated[float, _limit(help="most megabytes of a file")] = 64.0
    max_seconds: Annotated[float, _limit(help="most seconds of a recording")] = 300.0
    max_frames: Annotated[int, _limit(help="most frames of a video")] = 20_000
    max_clips: Annotated[int, _limit(help="most clips of a request")] = 32


@dataclass(frozen=True)
class Spending:
    """Options that bound what a server spends on all requests: those of `cmarr.serving.budgets.Budgets`."""

    max_request_megabytes: Annotated[
        float, _limit(help="most megabytes of a request; base64 is a third larger than its file")
    ] = 128.0
    max_flight_megabytes: Annotated[float, _limit(help="most megabytes of all requests together")] = 512.0
    max_waiting: Annotated[int, _limit(help="most requests that wait or are worked on")] = 64
    max_connections: Annotated[int, _limit(help="most connections; the most silent makes room")] = 512
    header_seconds: Annotated[float, _limit(help="until a connection has sent a header")] = 10.0
    body_seconds: Annotated[float, _limit(help="until a request has sent its body")] = 120.0
    request_seconds: Annotated[float, _limit(help="until a request is answered")] = 120.0


def _with_options(**groups: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command take dataclasses, parameter by parameter: the options are their fields."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        options: list[inspect.Parameter] = []
        for parameter in inspect.signature(function).parameters.values():
            if parameter.name in groups:
                options += inspect.signature(groups[parameter.name]).parameters.values()
            else:
                options.append(parameter)

        @wraps(function)
        def command(**given: Any) -> None:
            for name, group in groups.items():
                given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
            function(**given)

        command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options]
        )
        command.__annotations__ = {option.name: option.annotation for option in options}
        return command

    return decorate


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

    with _failing("compare", 1):
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
        try:
            return {path.name: read_folder(path) for path in sorted(folder.iterdir())}
        except NotWhole as error:  # of a copy
            held = str(project / "data" / dataset / "predictions")
            place = str(error.path).replace(str(folder), held) if revision == "workspace" else error.path
            told = str(error).replace(str(folder), held if revision == "workspace" else f"{revision}:{held}")
            raise NotWhole(place, told) from None


@app.command()
def verify(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(parser=_named, help="files, exported folders or projects; default: this folder"),
    ] = None,
) -> None:
    """Check that every file holds what was written: data, features, models, predictions, scores, exports.

    Exit status 1 where one does not; the command that makes it again is named.
    """
    from cmarr.verify import verify as check

    with _failing("verify", 2):
        verdicts = list(check(paths or [Path()]))
    wrong = [verdict for verdict in verdicts if verdict.fault]
    made = _made_again([str(verdict.path) for verdict in wrong]) if wrong else []
    for verdict, command in zip(wrong, made, strict=True):
        again = f"`{command}` makes it again" if command else "make it again, or fetch it"
        typer.secho(f"XX {verdict.fault}; {again}", fg="red")
    typer.echo(f"{many(len(verdicts) - len(wrong), 'file')} whole, {len(wrong)} not")
    raise typer.Exit(1 if wrong else 0)


@app.command()
@_with_options(choice=Choice)
def export(
    folder: Annotated[Path, typer.Argument(parser=_named, help="the folder to write")],
    *,
    force: Annotated[bool, typer.Option("--force", help="replace an earlier export in that folder")] = False,
    choice: Choice,
) -> None:
    """Put a study's trained model into one folder, which works without the study.

    The model with the best validation score is taken; no test score is looked at.
    """
    from cmarr.recognition.export import export as write
    from cmarr.recognition.trained import of_study

    with _failing("export", 1):
        trained = choice.find(of_study)
        write(trained, folder, force=force)
    about = trained.about
    files = ", ".join(f"{m.file} (validation score {m.score:.4f})" for m in about.models)
    typer.echo(f"{folder}: {about.title}, {files}")


@dataclass(frozen=True)
class Asked:
    """Options that say what is predicted, and where it goes: those of `cmarr.recognition.predict.Request`."""

    paths: Annotated[
        list[str] | None,
        typer.Argument(
            help="clips, folders of clips, or manifests (.csv, .parquet); `--` before a name with a dash"
        ),
    ] = None
    text: Annotated[str | None, typer.Option(help="what is said in the clip")] = None
    transcript: Annotated[
        Path | None,
        typer.Option(
            help="a file with what is said: text, or captions (.srt, .vtt, .ass, .sbv, .ttml ...)", **_FILE
        ),
    ] = None
    hide: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODALITY",
            help="do without speech, video or text, as if it were missing; may be repeated",
        ),
    ] = None
    window: Annotated[
        float | None, typer.Option(help="seconds of a window; a longer recording gets a prediction for each")
    ] = None
    hop: Annotated[
        float | None, typer.Option(help="seconds from one window to the next; default: half a window")
    ] = None
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="write the predictions to this file; .jsonl and .parquet name the format",
            **_FILE,
        ),
    ] = None
    format: Annotated[str | None, typer.Option(help="table, jsonl or parquet; default: a table")] = None
    picture: Annotated[
        Path | None,
        typer.Option(help="draw the course of the probabilities: .svg or .png; needs --window", **_FILE),
    ] = None
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="manifests and links may lead out of their folder")
    ] = False


@app.command()
@_with_options(asked=Asked, machine=Machine, choice=Choice, limits=Limited)
def predict(
    *,
    asked: Asked,
    machine: Machine,
    choice: Choice,
    limits: Limited,
) -> None:
    """Predict the emotion of clips with a trained model; what a clip does not have is simply missing.

    \b
    cmarr predict clip.mp4 --model exported --text "I did not expect that"
    cmarr predict clips/ --model exported --output predictions.jsonl

    A clip is a media file, with a transcript under the same name beside it if there is one. Exit status:
    0 all predicted, 1 some refused (with the reason), 2 nothing tried (a wrong option, path or model).
    """
    try:
        with _failing("predict", 2):
            if asked.output is None and sys.stdout.name == os.devnull:
                raise UserError("standard output is closed; name a file with --output")
            from cmarr.recognition.predict import Request, run
            from cmarr.recognition.reading import Limits

            request = Request(**{name: given for name, given in vars(asked).items() if given is not None})
            request.check()
            with _recognizer("predict", machine, choice, Limits(**vars(limits))) as recognizer:
                refused = run(request, recognizer, sys.stdout, partial(_note, "predict"))
    except BrokenPipeError:  # of `cmarr predict ... | head`
        _let_go_of_output()
        raise typer.Exit(1) from None
    raise typer.Exit(1 if refused else 0)


@app.command()
@_with_options(machine=Machine, choice=Choice, limits=Served, spending=Spending)
def serve(
    *,
    host: Annotated[
        str, typer.Option(help="address to listen on; 0.0.0.0 lets everybody in who can reach this machine")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one", min=0, max=65535)] = 5001,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="a further name by which requests may call this machine; may be repeated; * allows any",
        ),
    ] = None,
    machine: Machine,
    choice: Choice,
    limits: Served,
    spending: Spending,
) -> None:
    """Predict over HTTP with a trained model, and on a page for a browser; reached from this machine only.

    The page is at /, what may be asked at /docs. POST /invocations takes {"inputs": [{"text": "..."}, {"audio":
    "<base64>"}]}, as `mlflow models serve` does. SIGTERM or Ctrl-C let the requests that are under way finish.
    """
    from cmarr.extras import require
    from cmarr.serving.requests import bounds, require_limits

    with _failing("serve", 2):
        allowed, most = bounds(vars(limits))
        require_limits(vars(spending))
        require("serve")
        from cmarr.serving.budgets import Budgets
        from cmarr.serving.server import listen
        from cmarr.serving.server import serve as run
        from cmarr.serving.service import Service

        with listen(host, port) as listening, _recognizer("serve", machine, choice, allowed) as recognizer:
            service = Service(recognizer, most)
            service.warm()
            where = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}/"
            about = recognizer.about

            def announce() -> None:
                typer.echo(f"{about.title} answers at {where}invocations")
                typer.echo(f"a page for a browser: {where}")
                sys.stdout.flush()

            budgets = Budgets(**vars(spending))
            run(service, listening, budgets, announce, host=host, names=allowed_host or [])


def _recognizer(command: str, machine: Machine, choice: Choice, limits: Any) -> Any:
    """The model that was named, or the study's, or else the one that comes with cmarr; its notes are printed."""
    from cmarr.recognition.recognizer import Recognizer
    from cmarr.serving.turns import MEDIA_LANES

    weights = _weights(machine.weights or [])
    options = {"device": machine.device, "workers": machine.workers, "limits": limits, "weights": weights}
    options |= {"patient": True} if command == "predict" else {"keep": MEDIA_LANES}
    if machine.model is not None:
        _use_plugins_beside(choice.params)
        found = Recognizer.from_pretrained(machine.model, **options)
    elif choice.open and not _is_project(choice.params):
        found = _starter(command, "there is no project here", options)
    else:
        try:
            found = choice.find(Recognizer.of_study, ", or name a model with --model", **options)
        except NotComputed as error:
            if not choice.open:
                raise
            found = _starter(command, str(error), options)
    for note in found.notes:
        _note(command, note)
    return found


def _is_project(params: Path) -> bool:
    """Whether a params.yaml is there and one of ours, or one of which nobody can tell, so that somebody should hear."""
    from cmarr.settings.load import read_yaml

    try:
        return params.is_file() and "dataset" in read_yaml(params)
    except UserError:
        return True


def _starter(command: str, why: str, options: dict[str, Any]) -> Any:
    """The model that comes with cmarr, and a sentence that says that it answers."""
    from cmarr.recognition.pretrained import DEFAULT
    from cmarr.recognition.recognizer import Recognizer

    found = Recognizer.from_pretrained(DEFAULT, **options)
    terms = f"; {found.about.terms}" if found.about.terms else ""
    _note(command, f"{why}, and no --model: {DEFAULT} answers, which is for trying out{terms}")
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


@contextlib.contextmanager
def _failing(command: str, status: int) -> Iterator[None]:
    """What is wrong as a sentence, how to make what is missing or damaged, and the exit status."""
    try:
        yield
    except UserError as error:
        how = " (`dvc repro` computes it, `dvc checkout` brings it back)"
        how = how if isinstance(error, NotComputed) else ""
        if isinstance(error, NotWhole) and (made := _made_again([error.path])[0]):
            how = f" (`{made}` makes it again)"
        typer.secho(f"cmarr {command}: {error}{how}", err=True, fg="red")
        raise typer.Exit(status) from None


def _made_again(paths: list[str]) -> list[str]:
    """The command that makes each file again, which the project's own script knows; '' where it is of no project."""
    inside = next((p for p in real(paths[0]).parents if (p / "dvc.yaml").is_file()), None)
    if inside is None:
        return [""] * len(paths)
    command = [sys.executable, "-m", "stages.makes", *(str(real(path)) for path in paths)]
    done = subprocess.run(command, cwd=inside, capture_output=True, text=True, check=False)
    told = done.stdout.split("\n")[: len(paths)]
    return told if not done.returncode and len(told) == len(paths) else [""] * len(paths)


if __name__ == "__main__":
    app()
