"""Forty schemas of every kind that users write, each with an answer that conforms and one that does not."""

from __future__ import annotations

import datetime
import enum
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    field_validator,
    model_validator,
)
from typing_extensions import TypedDict

T = TypeVar("T")


class Case(NamedTuple):
    """One schema.

    Attributes:
        name: what it is called here.
        source: what the user gives.
        good: what JSON holds of an answer that conforms; None where the schema is refused.
        bad: of one that does not; of a refused schema what the refusal says.
    """

    name: str
    source: Any
    good: Any
    bad: Any


class Color(enum.Enum):
    """A closed set."""

    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    """A closed set of numbers."""

    LOW = 1
    HIGH = 2


class Plain(BaseModel):
    """Text and number."""

    vendor: str
    total: float


class Optionals(BaseModel):
    """What may be missing, null, or both."""

    a: str
    b: int | None = None
    c: str = "none"
    d: float | None


class Dates(BaseModel):
    """Moments of every kind."""

    day: datetime.date
    at: datetime.datetime
    clock: datetime.time
    length: datetime.timedelta


class Money(BaseModel):
    """Exact numbers."""

    net: Decimal
    tax: Annotated[Decimal, Field(ge=0, max_digits=8, decimal_places=2)]
    tip: Decimal | None = None


class Enums(BaseModel):
    """Closed sets of every kind."""

    color: Color
    level: Level
    size: Literal["s", "m", "l"]
    always: Literal["yes"]


class Bounded(BaseModel):
    """Numbers within limits."""

    score: Annotated[int, Field(ge=1, le=10)]
    share: Annotated[float, Field(gt=0, lt=1)]
    even: Annotated[int, Field(multiple_of=2)]
    name: Annotated[str, Field(min_length=2, max_length=20)]


class Item(BaseModel):
    """A part."""

    name: str
    price: Decimal


class Order(BaseModel):
    """Parts in a list."""

    number: int
    items: list[Item]


class Deep(BaseModel):
    """Parts of parts."""

    order: Order
    notes: dict[str, str] = {}


class Cat(BaseModel):
    """One of two."""

    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    """The other one."""

    kind: Literal["dog"]
    tricks: list[str]


class Either(BaseModel):
    """A union that its own field tells apart."""

    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


class Mixed(BaseModel):
    """A union of scalars."""

    value: int | str
    values: list[int | None]


class Aliased(BaseModel):
    """Fields that JSON calls otherwise."""

    vendor: str = Field(alias="vendorName")
    total: float = Field(validation_alias=AliasChoices("grand-total", "sum"))


class Strict(BaseModel):
    """No field but its own, and no conversions."""

    model_config = ConfigDict(extra="forbid", strict=True)
    day: datetime.date
    count: int


class Checked(BaseModel):
    """Validators of the user's."""

    low: int
    high: int

    @field_validator("low")
    @classmethod
    def positive(cls, low: int) -> int:
        """Refuse a negative one."""
        if low < 0:
            raise ValueError("low must not be negative")
        return low

    @model_validator(mode="after")
    def ordered(self) -> Checked:
        """Refuse the wrong order."""
        if self.high < self.low:
            raise ValueError("high is below low")
        return self


class Angry(BaseModel):
    """A validator that raises what it should not."""

    name: str

    @field_validator("name")
    @classmethod
    def raising(cls, name: str) -> str:
        """Raise anything for one name."""
        if name == "boom":
            raise KeyError("boom")
        return name


class Described(BaseModel):
    """Fields with words of their own."""

    total: float = Field(description="with tax, in euros")
    vendor: str = Field(description="as it is written", examples=["ACME"])


class Box(BaseModel, Generic[T]):
    """A generic class."""

    content: T
    count: int


class Identified(BaseModel):
    """Formats."""

    key: uuid.UUID
    mail: Annotated[str, Field(json_schema_extra={"format": "email"})]


class Sets(BaseModel):
    """Collections that are no lists."""

    tags: set[str]
    pair: tuple[int, str]
    counts: dict[str, int]


class Unicode(BaseModel):
    """Names in other scripts."""

    größe: float
    название: str


class Shadow(BaseModel):
    """Names that mean something elsewhere."""

    answer: str
    value: int
    items: list[str]


@dataclass
class Paper:
    """A dataclass."""

    title: str
    pages: int = 1
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Folder:
    """A dataclass of dataclasses."""

    name: str
    papers: tuple[Paper, ...]


class Record(TypedDict):
    """A TypedDict."""

    vendor: str
    due: NotRequired[datetime.date]


class Node(BaseModel):
    """A class that holds itself."""

    name: str
    children: list[Node] = []


class Left(BaseModel):
    """A class that holds another one."""

    right: Right | None = None


class Right(BaseModel):
    """And that one holds the first."""

    left: Left | None = None


@dataclass
class Chain:
    """A dataclass that holds itself."""

    name: str
    next: Chain | None = None


class Listing(RootModel[list[int]]):
    """A list at the top."""


class Empty(BaseModel):
    """No fields."""


class Odd:
    """No schema at all."""


class Foreign(BaseModel):
    """A field that JSON cannot hold."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    odd: Odd


def document(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A JSON Schema of an object with these fields, all required."""
    return {"type": "object", "properties": properties, "required": [*properties], **more}


TEXT, NUMBER = {"type": "string"}, {"type": "number"}

SUPPORTED = [
    Case("plain", Plain, {"vendor": "ACME", "total": 1.5}, {"vendor": "ACME"}),
    Case("optionals", Optionals, {"a": "x", "d": None}, {"a": "x", "d": "much"}),
    Case(
        "dates",
        Dates,
        {"day": "2026-11-30", "at": "2026-11-30T07:30:00", "clock": "07:30", "length": "PT5M"},
        {"day": "30.11.2026", "at": "2026-11-30T07:30:00", "clock": "07:30", "length": "PT5M"},
    ),
    Case("money", Money, {"net": 9.9, "tax": "1.20"}, {"net": 9.9, "tax": -1}),
    Case(
        "enums",
        Enums,
        {"color": "red", "level": 2, "size": "m", "always": "yes"},
        {"color": "green", "level": 2, "size": "m", "always": "yes"},
    ),
    Case(
        "bounded",
        Bounded,
        {"score": 7, "share": 0.5, "even": 4, "name": "Ann"},
        {"score": 11, "share": 0.5, "even": 4, "name": "Ann"},
    ),
    Case(
        "order",
        Order,
        {"number": 1, "items": [{"name": "ink", "price": 3}]},
        {"number": 1, "items": [{"name": "ink"}]},
    ),
    Case(
        "deep",
        Deep,
        {"order": {"number": 1, "items": []}, "notes": {"a": "b"}},
        {"order": {"number": 1, "items": [1]}},
    ),
    Case(
        "either",
        Either,
        {"pet": {"kind": "dog", "tricks": ["sit"]}},
        {"pet": {"kind": "cow", "lives": 1}},
    ),
    Case("mixed", Mixed, {"value": "x", "values": [1, None]}, {"value": [], "values": []}),
    Case("aliased", Aliased, {"vendorName": "A", "grand-total": 2}, {"vendor": "A", "total": 2}),
    Case(
        "strict",
        Strict,
        {"day": "2026-11-30", "count": 1},
        {"day": "2026-11-30", "count": "1"},
    ),
    Case("checked", Checked, {"low": 1, "high": 2}, {"low": 3, "high": 2}),
    Case("angry", Angry, {"name": "Ann"}, {"name": "boom"}),
    Case("described", Described, {"total": 1, "vendor": "A"}, {"total": "a lot", "vendor": "A"}),
    Case("generic", Box[Item], {"content": {"name": "i", "price": 1}, "count": 1}, {"count": 1}),
    Case(
        "identified",
        Identified,
        {"key": "00000000-0000-4000-8000-000000000001", "mail": "a@example.com"},
        {"key": "1", "mail": "a@example.com"},
    ),
    Case(
        "sets",
        Sets,
        {"tags": ["a"], "pair": [1, "b"], "counts": {"a": 1}},
        {"tags": ["a"], "pair": [1], "counts": {}},
    ),
    Case("unicode", Unicode, {"größe": 1.8, "название": "x"}, {"größe": 1.8}),
    Case("shadow", Shadow, {"answer": "a", "value": 1, "items": []}, {"answer": "a"}),
    Case("dataclass", Paper, {"title": "t"}, {"title": 1}),
    Case(
        "nested dataclass",
        Folder,
        {"name": "n", "papers": [{"title": "t", "pages": 2, "tags": []}]},
        {"name": "n", "papers": [{}]},
    ),
    Case("typed dict", Record, {"vendor": "A"}, {"vendor": "A", "due": "soon"}),
    Case("short", "vendor, total: number", {"vendor": "A", "total": 1}, {"vendor": "A"}),
    Case(
        "short nested",
        "no: integer, lines: [{item, price: number}], kind: bill|receipt, due?: date, paid: boolean",
        {"no": 1, "lines": [{"item": "i", "price": 1}], "kind": "bill", "due": None, "paid": True},
        {"no": 1, "lines": [{"item": "i"}], "kind": "bill", "due": None, "paid": True},
    ),
    Case(
        "document",
        document({"vendor": TEXT, "total": NUMBER}),
        {"vendor": "A", "total": 1, "more": 1},
        {"vendor": "A", "total": "1"},
    ),
    Case(
        "closed document",
        document({"vendor": TEXT}, additionalProperties=False, title="Bill"),
        {"vendor": "A"},
        {"vendor": "A", "more": 1},
    ),
    Case(
        "references",
        document(
            {"from": {"$ref": "#/$defs/party"}, "to": {"$ref": "#/$defs/party"}},
            **{"$defs": {"party": document({"name": TEXT})}},
        ),
        {"from": {"name": "A"}, "to": {"name": "B"}},
        {"from": {"name": "A"}, "to": {}},
    ),
    Case(
        "one of",
        document({"x": {"oneOf": [{"type": "integer", "maximum": 5}, {"type": "string"}]}}),
        {"x": 3},
        {"x": 9},
    ),
    Case(
        "all of",
        document({"x": {"allOf": [document({"a": TEXT}), document({"b": NUMBER})]}}),
        {"x": {"a": "t", "b": 1}},
        {"x": {"a": "t"}},
    ),
    Case(
        "fixed list",
        document({"p": {"type": "array", "prefixItems": [NUMBER, TEXT], "items": False}}),
        {"p": [1, "a"]},
        {"p": [1, "a", 2]},
    ),
    Case(
        "old draft",
        document(
            {"n": {"type": ["number", "null"]}},
            **{"$schema": "http://json-schema.org/draft-07/schema#"},
        ),
        {"n": None},
        {"n": "one"},
    ),
    Case(
        "as a request holds it",
        {"name": "bill", "strict": True, "schema": document({"vendor": TEXT})},
        {"vendor": "A"},
        {"vendor": 1},
    ),
]
REFUSED = [
    Case("recursive", Node, None, "Node contains itself"),
    Case("in a circle", Left, None, "contains itself"),
    Case("recursive dataclass", Chain, None, "Chain contains itself"),
    Case("list at the top", Listing, None, "a JSON array"),
    Case("no fields", Empty, None, "no fields"),
    Case("a type", list[int], None, "a JSON array"),
    Case("what JSON cannot hold", Foreign, None, "Foreign cannot be used as a schema"),
    Case(
        "a reference outside",
        document({"a": {"$ref": "https://example.com/x"}}),
        None,
        "outside the schema",
    ),
    Case("no JSON Schema", document({"a": {"type": "strin"}}), None, "'strin'"),
    Case("an instance", Plain(vendor="A", total=1), None, "give the class itself: Plain"),
]
