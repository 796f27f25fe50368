"""How a method, an encoder or a reader declares its settings: name, type, default, range and meaning, once.

    class Average(nn.Module):
        class Settings(Section):
            \"\"\"Sizes of the average of what may be used.\"\"\"

            d: Count = setting(32, "width of the mean")
            dropout: Probability = setting(0.1, "before the classifier")

params.yaml, the tables of docs/ and the messages about wrong values come from these lines.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0, strict=True)]
NotNegative = Annotated[float, Field(ge=0, strict=True)]
Number = Annotated[float, Field(strict=True)]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
PositiveShare = Annotated[float, Field(gt=0, le=1, strict=True)]
Probability = Annotated[float, Field(ge=0, lt=1, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
CountOrZero = Annotated[int, Field(ge=0, strict=True)]
AtLeastTwo = Annotated[int, Field(ge=2, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**63, strict=True)]


def distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values, for pydantic's AfterValidator. Raises ValueError if one stands there twice."""
    seen = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{value!r} stands here twice")
        seen.add(value)
    return values


class Mark:
    """Says of a type what its values are beside numbers or text."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return self.name


MACHINE, PLACE = Mark("MACHINE"), Mark("PLACE")
AutoCount = Annotated[Literal["auto"] | Count, MACHINE]
AutoPositive = Annotated[Literal["auto"] | Positive, MACHINE]
"""'auto' stands for what suits the machine: MACHINE says that no preset decides it."""

Place = Annotated[str, PLACE]
"""Where something lies: a file or a folder, if there is one, relative to params.yaml; or an id on the model hub."""

Names = Annotated[tuple[str, ...], AfterValidator(distinct)]


class Section(BaseModel):
    """A part of the settings: frozen, and without room for keys that do not exist."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


def setting(default: Any, meaning: str, *, alias: str | None = None) -> Any:
    """A key of a Section: its default, and one line that says what it does, as params.yaml and docs/ print it.

    alias: the key's name where Python cannot write it (`lambda`).
    """
    return Field(default, description=meaning, alias=alias)


def marked(section: type[BaseModel], mark: Mark) -> list[str]:
    """The keys of a section that bear a mark, such as PLACE."""
    return [name for name, field in section.model_fields.items() if mark in field.metadata]
