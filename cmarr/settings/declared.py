"""The sections of params.yaml that methods and encoders declare in their own files, and the whole of it."""

import json
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ValidationError, create_model, model_validator
from pydantic.fields import FieldInfo

from cmarr.declaration import Section, distinct
from cmarr.encoders.registry import encoder_class
from cmarr.errors import UserError, require_known
from cmarr.methods.registry import method_class
from cmarr.modalities import NAMES
from cmarr.plugins import ENCODERS, METHODS, Kind, file_of, names
from cmarr.settings.schema import Encoders, Finetune, Settings

Fields = dict[str, Any]


def settings_model() -> type[Settings]:
    """`Settings`, with a section for every method and every encoder there is."""
    return _settings_model(_places(METHODS), _places(ENCODERS))


def selectable(modality: str | None = None) -> tuple[str, ...]:
    """The encoders that params.yaml may name, of one modality ('speech', 'video', 'text') or of all."""
    found = {name: encoder_class(name) for name in names(ENCODERS)}
    return tuple(
        name
        for name, encoder in found.items()
        if not hasattr(encoder, "input_of") and modality in (None, NAMES[encoder.modality])
    )


def objective(method: str) -> dict[str, str]:
    """Key at the top of params.yaml -> the setting of a method that it is: the weights of its objective."""
    made = method_class(method)
    return {made.Settings.model_fields[name].alias or name: name for name in getattr(made, "objective", ())}


@cache
def method_section(name: str) -> type[Section]:
    """The section `method.<name>`: what the method declares, less the weights of its objective; `train`, the keys of
    the training loop that it overrides; `first_stage`, of the model that it starts from."""
    made = method_class(name)
    _check_declared(METHODS, name, made)
    fields = _fields(made.Settings, without=objective(name).values())
    if not hasattr(made, "fit"):
        fields["train"] = (dict[str, Any], dict(getattr(made, "published_training", {})))
    first = getattr(made, "first_stage", None)
    if first is not None:
        _check_declared(METHODS, name, first)
        below = _fields(first.Settings, without=getattr(made, "first_stage_takes", ()))
        below["train"] = (dict[str, Any], dict(getattr(first, "published_training", {})))
        section = create_model(
            f"{name}_first_stage", __base__=Section, __doc__=first.Settings.__doc__, **below
        )
        fields["first_stage"] = (section, _default(section))
    fits: Any = model_validator(mode="after")(_fits(made.Settings))
    return create_model(
        name,
        __base__=Section,
        __doc__=made.Settings.__doc__,
        __validators__={"fits": fits},
        **fields,
    )


def own_settings(settings: Settings, name: str) -> Any:
    """The object that a method's constructor takes."""
    section = getattr(settings.method, name)
    made = method_class(name).Settings
    top = {own: getattr(settings, own) for own in objective(name).values()}
    return made.model_validate(
        {field: getattr(section, field) for field in made.model_fields if field not in top} | top
    )


def _places(kind: Any) -> tuple[tuple[str, Path], ...]:
    return tuple((name, file_of(kind, name)) for name in names(kind))


@cache
def _settings_model(
    methods: tuple[tuple[str, Path], ...], encoders: tuple[tuple[str, Path], ...]
) -> type[Settings]:
    sections = {name: method_section(name) for name, _ in methods}
    known = {name: encoder_class(name) for name in selectable()}
    for name, encoder in known.items():
        _check_declared(ENCODERS, name, encoder)
    trainable = tuple(name for name, encoder in known.items() if hasattr(encoder, "trainable_input"))
    which = Annotated[tuple[Literal[trainable], ...], AfterValidator(distinct)]  # type: ignore[valid-type]
    top: Fields = {}
    for name in sections:
        top |= _fields(method_class(name).Settings, only=objective(name).values())
    return create_model(
        "Settings",
        __base__=Settings,
        method=(_of("Methods", Section, {n: (s, _default(s)) for n, s in sections.items()}), ...),
        encoders=(
            _of("Encoders", Encoders, {n: (e.Settings, _default(e.Settings)) for n, e in known.items()}),
            ...,
        ),
        finetune=(_of("Finetune", Finetune, {"encoders": (which, ...)}), ...),
        **top,
    )


ADDED = {METHODS: ("train", "first_stage"), ENCODERS: ()}
"""Keys that the section of a method or an encoder has besides what is declared."""


def _check_declared(kind: Kind, name: str, made: Any) -> None:
    """Refuse settings that no params.yaml could hold, or that are not themselves as they declare. Raises UserError."""
    place = f"plugins: {file_of(kind, name)}: {made.__name__}.Settings"
    known: dict[str, FieldInfo] = made.Settings.model_fields
    for key in ADDED[kind]:
        if key in known:
            raise UserError(
                f"{place}.{key}: a {kind.what} has a key of this name already; give it another name"
            )
    for key in getattr(made, "objective", ()):
        require_known(key, known, f"{place}: objective names {key!r}, which is not declared")
        if key in Settings.model_fields:
            raise UserError(
                f"{place}.{key}: params.yaml has a key of this name already; give it another name"
            )
    if not any(field.is_required() for field in known.values()):
        try:
            defaults = made.Settings().model_dump(warnings=False)
            made.Settings.model_validate(defaults)
            json.dumps(defaults)
        except ValidationError as error:
            problem = error.errors()[0]
            key = ".".join(map(str, problem["loc"]))
            raise UserError(f"{place}: the defaults do not fit: {key}: {problem['msg']}; mend them") from None
        except TypeError as error:
            raise UserError(f"{place}: {error}; declare numbers, texts, or lists of them") from None


def _default(section: type[Section]) -> Any:
    required = any(field.is_required() for field in section.model_fields.values())
    return ... if required else section()


def _of(name: str, base: type[Section], fields: Fields) -> type[Section]:
    return create_model(name, __base__=base, **fields)


def _fields(section: type[Section], without: Any = (), only: Any = None) -> Fields:
    found: dict[str, FieldInfo] = section.model_fields
    return {
        name: (field.annotation, field)
        for name, field in found.items()
        if name not in without and (only is None or name in only)
    }


def _fits(declared: type[Section]) -> Any:
    """What holds between several settings, as the method declares it."""

    def fits(section: Any) -> Any:
        try:
            declared.model_validate(
                {n: getattr(section, n) for n in declared.model_fields if hasattr(section, n)}
            )
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
        return section

    return fits
