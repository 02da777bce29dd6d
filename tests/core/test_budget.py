"""The budget of reading, and errors of memory and nesting in words."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from finetext.core import budget
from finetext.core.budget import toml_values
from finetext.core.errors import ModelError, RecipeError, TooLargeError
from finetext.core.settings import ReadSettings
from finetext.data.read import read


@pytest.mark.parametrize(
    ("given", "bytes_"),
    [
        ("8GB", 8 * 10**9),
        ("1.5 kB", 1500),
        ("2GiB", 2 * 2**30),
        (77, 77),
        ("77", 77),
        ("1t", 10**12),
    ],
)
def test_sizes_are_read(given: str | int, bytes_: int) -> None:
    assert budget.most_bytes(given) == bytes_


@pytest.mark.parametrize("given", ["", "many", "-1", 0, "1PB", "1e9", True])
def test_what_is_no_size_is_refused_by_name(given: str | int) -> None:
    with pytest.raises(RecipeError, match=r"data\.most_bytes = .* 8GB"):
        ReadSettings(most_bytes=given)


def test_the_default_is_of_the_machine_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 2**28 < budget.most_bytes(None) < 2**45
    monkeypatch.setenv(budget.VARIABLE, "3MB")
    assert budget.most_bytes(None) == 3_000_000
    monkeypatch.setenv(budget.VARIABLE, "much")
    with pytest.raises(RecipeError, match="FINETEXT_MOST_BYTES = 'much'"):
        budget.most_bytes(None)


def test_all_that_is_read_counts_against_one_budget() -> None:
    told = pytest.raises(TooLargeError)
    with budget.reading(100) as outer:
        budget.take(60, "a.csv")
        with budget.reading("8GB") as inner, told as found:
            assert inner is outer
            budget.take(60, "b.csv")
    assert str(found.value) == (
        "b.csv takes more than 100 B of memory to read, the most that data.most_bytes allows; if "
        "you trust it, raise the limit with --set data.most_bytes=200B, or with "
        "FINETEXT_MOST_BYTES=200B in the environment"
    )
    with budget.reading(100):
        budget.take(60, "b.csv")


def test_bytes_count_as_they_come() -> None:
    zero, told = Path("/dev/zero"), pytest.raises(TooLargeError, match="endless")
    with zero.open("rb") as file, budget.reading(2_000), told:
        budget.read_all(file, "endless", 500)
    with budget.reading(2_000):
        assert budget.read_all(io.BytesIO(b"abc"), "short") == b"abc"


def test_a_device_is_not_read_without_end() -> None:
    with pytest.raises(TooLargeError, match="/dev/zero"):
        read("/dev/zero", settings=ReadSettings(most_bytes="5MB"))


@pytest.mark.parametrize("error", [MemoryError(), RecursionError("deep"), MemoryError("1 GB")])
def test_errors_of_memory_and_nesting_are_of_finetext(error: BaseException) -> None:
    @budget.within_memory
    def fail(_: Path) -> None:
        raise error

    with pytest.raises(TooLargeError, match=r"memory|deeply"):
        fail(Path("x"))


def test_other_errors_stay_as_they_are() -> None:
    @budget.within_memory
    def fail() -> None:
        raise RuntimeError("another")

    with pytest.raises(RuntimeError, match="another"):
        fail()


def test_reading_in_python_raises_an_error_of_finetext(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    (tmp_path / "a.csv").write_text("text,label\na b,x\nc d,y\n")
    monkeypatch.setattr("finetext.data.folders.parse_table", exhausted)
    with pytest.raises(TooLargeError, match=r"a\.csv: there is not enough memory"):
        read(tmp_path / "a.csv")


class PanicException(BaseException):
    """As pyo3 raises it where code in Rust panics."""


def test_a_panic_is_an_error_of_finetext() -> None:
    @budget.within_memory
    def fail() -> None:
        raise PanicException("chunk size must be non-zero")

    with pytest.raises(ModelError, match=r"gave up: chunk size must be non-zero"):
        fail()


@pytest.mark.parametrize("error", [PanicException("odd"), IndexError("odd"), Exception("odd")])
def test_what_native_code_raises_is_the_fault_of_the_model(error: BaseException) -> None:
    with (
        pytest.raises(ModelError, match=r"tokenizer\.json fails, .*damaged: .*odd"),
        budget.native("tokenizer.json"),
    ):
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), RecipeError("no")])
def test_errors_of_others_are_no_fault_of_the_model(error: BaseException) -> None:
    with pytest.raises(type(error)), budget.native("tokenizer.json"):
        raise error


@pytest.mark.parametrize("form", ["{} = 1", "[{}]", "a = {{ {} = 1 }}", '"b".{} = 1', "[[ {} ]]"])
def test_keys_of_thousands_of_parts_are_refused(form: str) -> None:
    with pytest.raises(ValueError, match="more than 200 parts"):
        toml_values(form.format(".".join("a" * 50_000)))
    files = ", ".join(f'"part.{n}.csv"' for n in range(5_000))
    assert len(toml_values(f"a.b.c = [{files}]")["a"]["b"]["c"]) == 5_000
