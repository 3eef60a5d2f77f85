"""How job types are declared, found by name, and started."""

import importlib
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import pytest
from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

from milepost.domain.events import Policy
from milepost.infrastructure.job_types.job_type import JobType, NoRequest, job_type
from milepost.infrastructure.job_types.registry import JobTypeBroken, JobTypes, RequestInvalid, UnknownJobType

Write = Callable[[str, str], None]

DECLARED = """
from milepost.infrastructure.job_types.job_type import JobType, NoRequest, job_type

@job_type("{name}")
class Declared(JobType[NoRequest]):
    pass
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a file into a folder from which Python imports; what it imported there is forgotten after the test."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def written(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        monkeypatch.delitem(sys.modules, path.stem, raising=False)
        importlib.invalidate_caches()

    return written


def test_the_shipped_types_are_always_there() -> None:
    types = JobTypes.load()

    assert {"import-flights", "self-test"} <= set(types.names())
    assert types.names() == tuple(sorted(types.names()))


def test_a_module_brings_the_types_that_it_declares_and_not_those_that_it_imports(write: Write) -> None:
    write("found_a.py", DECLARED.format(name="a"))
    write("found_b.py", "from found_a import Declared as FromA\n" + DECLARED.format(name="b"))
    types = JobTypes.load(["found_b"])

    assert "b" in types.names()
    assert "a" not in types.names()
    assert types.modules == ("found_b",)


def test_a_class_can_be_named_alone_also_one_inside_another(write: Write) -> None:
    inner = "\n\nclass Outer:\n    @job_type('inner')\n    class Inner(JobType[NoRequest]):\n        pass\n"
    write("found_c.py", DECLARED.format(name="c") + inner)
    types = JobTypes.load(["found_c:Outer.Inner"])

    assert "inner" in types.names()
    assert "c" not in types.names()


def test_installed_packages_bring_their_types_by_entry_point(write: Write) -> None:
    write("found_d.py", DECLARED.format(name="d"))
    write("plugin-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    write("plugin-1.0.dist-info/entry_points.txt", "[milepost.job_types]\nd = found_d:Declared [some-extra]\n")

    assert "d" in JobTypes.load().names()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import nosuchmodule", "ModuleNotFoundError: No module named 'nosuchmodule'"),
        ("raise SystemExit(1)", "SystemExit: 1"),
        ("x = 1", "it declares no job type"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_module_that_cannot_be_used_hides_its_own_types_only(write: Write, text: str, told: str) -> None:
    write("broken_e.py", text)
    write("found_f.py", DECLARED.format(name="f"))
    types = JobTypes.load(["broken_e", "found_f"])

    assert "f" in types.names()
    assert types.problems[0].source == "broken_e"
    assert told in types.problems[0].error


@pytest.mark.parametrize("source", ["found_g:nosuch", "found_g:number", "found_g:Undecorated"])
def test_what_is_no_job_type_is_a_problem_and_no_crash(write: Write, source: str) -> None:
    write("found_g.py", DECLARED.format(name="g") + "\nnumber = 1\nclass Undecorated(JobType[NoRequest]): pass\n")
    types = JobTypes.load([source])

    assert types.problems[0].source == source


def test_of_two_types_of_one_name_the_first_stays_and_the_second_is_a_problem(write: Write) -> None:
    write("found_h.py", DECLARED.format(name="self-test"))
    types = JobTypes.load(["found_h"])

    assert types.named("self-test").__name__ == "SelfTest"
    assert types.problems[0].error == "job type 'self-test' is already SelfTest"


def test_an_unknown_type_is_refused_with_those_that_are_known_and_what_could_not_be_loaded() -> None:
    with pytest.raises(UnknownJobType, match=r"Unknown job type 'x'.*self-test.*Not loaded: nosuch") as refused:
        JobTypes.load(["nosuch"]).get("x")

    assert refused.value.name == "x"
    assert "self-test" in refused.value.known


class Report(BaseModel):
    """A request that is stored otherwise than it is written."""

    model_config = ConfigDict(extra="forbid", strict=True)

    day: date
    pages: int = Field(default=3, alias="page-count")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def title(self) -> str:
        return f"{self.day}"


@job_type("report")
class Reports(JobType[Report]):
    """Reports."""

    policy = Policy(attempts=4)

    def details(self, request: Report) -> str:
        return f"{request.pages} pages"

    def key(self, request: Report) -> str | None:
        return request.day.isoformat()

    def limit_key(self, request: Report) -> str | None:
        return "printer"


def test_a_start_fills_in_defaults_and_asks_the_type_for_the_rest() -> None:
    command = JobTypes([Reports]).start_command("report", {"day": "2013-02-01"}, namespace="n", tags=("t",))

    assert command.request == {"day": "2013-02-01", "page-count": 3}
    assert (command.namespace, command.job_type, command.tags) == ("n", "report", ("t",))
    assert (command.details, command.key, command.limit_key) == ("3 pages", "2013-02-01", "printer")
    assert command.policy.attempts == 4


def test_what_is_stored_of_a_request_can_be_read_again() -> None:
    types = JobTypes([Reports])
    stored = types.start_command("report", {"day": "2013-02-01", "page-count": 9}, namespace="n").request

    assert types.parse("report", stored) == Report.model_validate({"day": date(2013, 2, 1), "page-count": 9})


def test_a_request_that_could_not_be_read_again_is_refused_when_the_job_starts() -> None:
    class OneWay(BaseModel, extra="forbid"):
        size: int = Field(validation_alias="in", serialization_alias="out")

    @job_type("one-way")
    class Way(JobType[OneWay]):
        pass

    with pytest.raises(RequestInvalid, match="as it would be stored"):
        JobTypes([Way]).start_command("one-way", {"in": 1}, namespace="n")


def test_a_request_that_does_not_fit_names_each_field() -> None:
    with pytest.raises(RequestInvalid) as refused:
        JobTypes([Reports]).start_command("report", {"page-count": "x", "more": 1}, namespace="n")

    assert [problem.partition(":")[0] for problem in refused.value.problems] == ["day", "page-count", "more"]


@pytest.mark.parametrize("value", [object(), {1}])
def test_a_request_that_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(RequestInvalid, match="it is not JSON"):
        JobTypes([Reports]).start_command("report", {"day": value}, namespace="n")


def test_the_schema_of_a_request_is_json_schema() -> None:
    schema = JobTypes([Reports]).request_schema("report")

    assert schema["required"] == ["day"]
    assert schema["properties"]["page-count"]["default"] == 3


def test_types_given_as_classes_can_be_found_again_in_another_process() -> None:
    assert JobTypes([Reports]).modules == (f"{__name__}:Reports",)


Inner = TypeVar("Inner", bound=BaseModel)


class Base(JobType[Inner], Generic[Inner]):
    """A base of job types."""


class Derived(Base[Report]):
    """Its request is named in its base."""


class Further(Derived):
    """Its request is named two bases up."""


@pytest.mark.parametrize(("declared", "model"), [(Derived, Report), (Further, Report), (JobType, NoRequest)])
def test_a_request_may_be_named_in_a_base(declared: type[JobType[Any]], model: type[BaseModel]) -> None:
    assert declared.request_model() is model


@pytest.mark.parametrize("name", ["", "two words", "-x", "a/b", "ä", "x" * 201])
def test_a_name_that_nobody_could_type_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match="is no name for a job type"):
        job_type(name)


def test_a_name_may_have_200_characters() -> None:
    declared: type[JobType[NoRequest]] = type("Long", (JobType,), {})

    assert job_type("x" * 200)(declared).name == "x" * 200


def test_a_name_belongs_on_a_job_type() -> None:
    not_one: Any = object

    with pytest.raises(TypeError, match="inherits from JobType"):
        job_type("x")(not_one)


def test_a_job_type_may_not_have_a_name_of_its_own() -> None:
    class Named(JobType[NoRequest]):
        name = "something else"

    with pytest.raises(TypeError, match=r"Named\.name is the job type's own"):
        job_type("x")(Named)


@pytest.mark.parametrize("wrong", [{"limits": 3}, {"policy": {"attempts": 3}}])
def test_limits_and_a_policy_that_are_none_are_refused_where_they_are_declared(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="`policy` takes a Policy, and `limits` takes Limits"):
        job_type("wrong")(type("Wrong", (JobType,), wrong))


def test_whatever_a_validator_raises_the_request_is_refused_with_it() -> None:
    class Fragile(BaseModel):
        @model_validator(mode="after")
        def looks(self) -> Self:
            raise FileNotFoundError("no such folder")

    @job_type("fragile")
    class Looks(JobType[Fragile]):
        pass

    with pytest.raises(RequestInvalid, match="FileNotFoundError: no such folder"):
        JobTypes([Looks]).start_command("fragile", {}, namespace="Default")


def test_a_request_that_is_no_model_is_refused_where_it_is_declared() -> None:
    wrong: Any = JobType["Later"]  # type: ignore[name-defined]

    with pytest.raises(TypeError, match="takes a pydantic model"):
        job_type("x")(type("Wrong", (JobType,), {"__orig_bases__": (wrong,)}))


def test_a_request_of_which_nothing_is_known_is_refused_where_it_is_declared() -> None:
    with pytest.raises(TypeError, match="takes a pydantic model"):
        job_type("x")(type("Anything", (JobType,), {"__orig_bases__": (JobType[BaseModel],)}))


def test_a_request_without_a_schema_is_a_problem_of_its_own_type() -> None:
    class Calls(BaseModel):
        call: Callable[[], int] | None = None

    @job_type("calls")
    class MakesCalls(JobType[Calls]):
        pass

    types = JobTypes([MakesCalls, Reports])

    for _ in range(2):
        with pytest.raises(JobTypeBroken, match="calls"):
            types.request_schema("calls")
    assert types.request_schema("report")
    (problem,) = types.problems
    assert problem.source.endswith("MakesCalls")
