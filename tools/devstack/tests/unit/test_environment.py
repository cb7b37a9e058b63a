from pathlib import Path

import pytest

from devstack.host import environment
from devstack.host.errors import Trouble


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"),
        ("export A=1", "1"),
        ("A = spaced out  # why", "spaced out"),
        ("A=a#b", "a#b"),
        ("A='single # kept' # gone", "single # kept"),
        (r'A="two\nlines \"quoted\""', 'two\nlines "quoted"'),
        ("A=", ""),
        ("A=# only a comment", ""),
        ("A=postgresql://u:p%40@h:1/d?x=y", "postgresql://u:p%40@h:1/d?x=y"),
    ],
)
def test_a_line_of_dotenv_is_read_as_a_shell_would(line: str, value: str) -> None:
    assert environment.parse(f"# comment\n\n{line}\n") == {"A": value}


def test_a_line_that_is_no_assignment_is_named_by_its_number() -> None:
    with pytest.raises(Trouble, match=r"\.env line 2 is not NAME=value: 'nonsense'") as caught:
        environment.parse("A=1\nnonsense\n")
    assert caught.value.status == 2


def test_the_shell_wins_over_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nB=file\n")
    assert environment.read(tmp_path, {"A": "shell"}) == {"A": "shell", "B": "file"}


def test_what_make_puts_into_the_environment_reaches_no_process() -> None:
    own = str(Path(environment.__file__).parents[2])
    made = {"MAKEFLAGS": "w", "MAKELEVEL": "1", "PYTHONPATH": f"{own}:/mine", "A": "1"}
    assert environment.without_make(made) == {"PYTHONPATH": "/mine", "A": "1"}
    assert environment.without_make({"PYTHONPATH": own}) == {}


@pytest.mark.parametrize("raw", ["0", "65536", "http", "-1", "8000.0"])
def test_a_port_that_is_none_is_refused_by_its_variable(raw: str) -> None:
    with pytest.raises(Trouble, match=f"ORDERS_PORT={raw} is not a port"):
        environment.number({"ORDERS_PORT": raw}, "ORDERS_PORT", 8000)


def test_an_empty_port_is_the_default() -> None:
    assert environment.number({"ORDERS_PORT": " "}, "ORDERS_PORT", 8000) == 8000
