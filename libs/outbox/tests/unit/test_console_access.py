"""Who may see the console: passwords, delays, sessions, proxies, settings. Nothing is served."""

from __future__ import annotations

from pathlib import Path

import pytest

from outbox.console import Access, ConsoleService, Proxy, Role, User, Users, build_console
from outbox.console.access.attempts import ADDRESS, PAIR, LoginAttempts
from outbox.console.access.sessions import LIFETIME, OF_ONE_USER, Sessions
from outbox.console.access.users import hashed
from outbox.console.settings import (
    Given,
    access_of,
    is_production,
    refuse_unknown,
    refuse_weak_passwords,
    with_files,
)
from outbox.errors import InvalidSetting
from outbox.worker import Application

ANN = User("ann", Role.OPERATOR)


# -- users ---------------------------------------------------------------------------------------


def test_a_user_of_the_file_logs_in_with_their_password(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"# people\n\nann:operator:{hashed('secret')}\nbob:viewer:{hashed('other')}\n")
    users = Users.read(file)
    assert users.verify("ann", "secret") == ANN
    assert users.verify("bob", "other") == User("bob", Role.VIEWER)
    assert users.verify("ann", "other") is None
    assert users.verify("eve", "") is None
    assert users.verify("ann", "secret" * 1000) is None


@pytest.mark.parametrize(
    "line",
    ["ann:admin:$argon2id$x", "ann:operator:secret", "ann", "a b:viewer:$argon2id$x", ":viewer:x"],
)
def test_a_line_that_is_no_user_is_refused_without_being_shown(tmp_path: Path, line: str) -> None:
    file = tmp_path / "users"
    file.write_text(f"{line}\n")
    with pytest.raises(InvalidSetting) as refused:
        Users.read(file)
    assert "line 1" in str(refused.value)
    assert line not in str(refused.value)


def test_a_name_stands_in_the_file_once(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"ann:operator:{hashed('a')}\nann:viewer:{hashed('b')}\n")
    with pytest.raises(InvalidSetting, match="line 2"):
        Users.read(file)


def test_a_file_without_a_user_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text("# nobody\n")
    with pytest.raises(InvalidSetting, match="has no user"):
        Users.read(file)
    with pytest.raises(InvalidSetting, match="cannot be read"):
        Users.read(tmp_path / "absent")


# -- guessing ------------------------------------------------------------------------------------


def test_wrong_logins_wait_longer_and_longer() -> None:
    attempts, now, waits = LoginAttempts(), 0.0, []
    for _ in range(PAIR.free + 12):
        wait = attempts.begin("ann", "10.0.0.1", now)
        waits.append(wait)
        now += wait
        if wait:
            assert attempts.begin("ann", "10.0.0.1", now) == 0.0
    assert waits[: PAIR.free] == [0.0] * PAIR.free
    assert waits[PAIR.free : PAIR.free + 3] == [1.0, 2.0, 4.0]
    assert max(waits) == PAIR.longest


def test_an_attempt_that_has_to_wait_is_not_counted() -> None:
    attempts = LoginAttempts()
    for _ in range(PAIR.free):
        assert attempts.begin("ann", "10.0.0.1", 0.0) == 0.0
    assert {attempts.begin("ann", "10.0.0.1", 0.5) for _ in range(9)} == {0.5}


def test_a_right_login_forgets_the_wrong_ones_before() -> None:
    attempts = LoginAttempts()
    for _ in range(PAIR.free):
        attempts.begin("ann", "10.0.0.1", 0.0)
    attempts.succeed("ann", "10.0.0.1")
    assert attempts.begin("ann", "10.0.0.1", 0.0) == 0.0


def test_an_address_that_tries_many_names_waits_too() -> None:
    attempts = LoginAttempts()
    for number in range(ADDRESS.free):
        assert attempts.begin(f"user{number}", "10.0.0.1", 0.0) == 0.0
    assert attempts.begin("ann", "10.0.0.1", 0.0) > 0
    assert attempts.begin("ann", "10.0.0.2", 0.0) == 0.0


def test_colleagues_of_one_address_do_not_lock_each_other_out() -> None:
    attempts = LoginAttempts()
    for number in range(200):
        attempts.begin(f"user{number}", "10.0.0.1", number * 60.0)
    assert attempts.begin("ann", "10.0.0.1", 200 * 60.0 - 59) <= 30.0


def test_nobody_can_lock_a_colleague_out() -> None:
    attempts = LoginAttempts()
    for number in range(1000):
        attempts.begin("ann", f"10.0.{number // 250}.{number % 250}", float(number * 20))
    assert attempts.begin("ann", "192.168.0.1", 20_000.0) <= 10.0


# -- sessions ------------------------------------------------------------------------------------


def test_a_session_ends_by_itself_and_by_a_logout() -> None:
    now = 0.0
    sessions = Sessions(lambda: now)
    token, session = sessions.begin(ANN)
    other, _ = sessions.begin(ANN)
    assert sessions.of(token) is session
    assert sessions.of("made up") is None
    assert sessions.of(None) is None
    sessions.end(token)
    assert sessions.of(token) is None
    assert sessions.of(other) is not None
    now = LIFETIME
    assert sessions.of(other) is None


def test_a_user_has_so_many_sessions_at_once() -> None:
    sessions = Sessions()
    tokens = [sessions.begin(ANN)[0] for _ in range(OF_ONE_USER + 2)]
    alive = [token for token in tokens if sessions.of(token)]
    assert alive == tokens[2:]


# -- proxies -------------------------------------------------------------------------------------

PROXY = Proxy.of("10.0.0.0/8", "X-User", "X-Role")


def test_only_a_trusted_proxy_says_who_somebody_is() -> None:
    said = {"x-user": "ann", "x-role": "operator"}
    assert PROXY.user("10.1.2.3", said) == ANN
    assert PROXY.user("192.168.0.1", said) is None
    assert PROXY.user("", said) is None


@pytest.mark.parametrize(
    "said",
    [
        {"x-user": "ann"},
        {"x-user": "ann", "x-role": "admin"},
        {"x-user": "ann,bob", "x-role": "operator"},
        {"x-user": "ann\n", "x-role": "operator,viewer"},
        {"x-user": "", "x-role": "operator"},
        {"x-user": "a" * 65, "x-role": "operator"},
    ],
)
def test_what_a_proxy_says_by_half_is_nobody(said: dict[str, str]) -> None:
    assert PROXY.user("10.1.2.3", said) is None


def test_without_a_header_of_roles_everybody_is_a_viewer() -> None:
    proxy = Proxy.of("10.0.0.1", "X-User")
    said = {"x-user": "ann", "x-role": "operator"}
    assert proxy.user("10.0.0.1", said) == User("ann", Role.VIEWER)


def test_the_address_is_the_last_one_that_no_trusted_proxy_has() -> None:
    headers = {"x-forwarded-for": "1.1.1.1, 8.8.8.8, 10.0.0.7"}
    assert PROXY.address("10.0.0.2", headers) == "8.8.8.8"
    assert PROXY.address("9.9.9.9", headers) == "9.9.9.9"
    assert PROXY.address("10.0.0.2", {}) == "10.0.0.2"
    assert PROXY.is_secure("10.0.0.2", {"x-forwarded-proto": "https"}, "http")
    assert not PROXY.is_secure("9.9.9.9", {"x-forwarded-proto": "https"}, "http")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("everybody", "X-User", None), "networks"),
        ((None, "X-User", None), "needs trusted proxies"),
        (("10.0.0.1", None, "X-Role"), "needs a proxy user header"),
    ],
)
def test_half_a_proxy_is_refused(
    given: tuple[str | None, str | None, str | None], says: str
) -> None:
    with pytest.raises(InvalidSetting, match=says):
        Proxy.of(*given)


# -- settings ------------------------------------------------------------------------------------


def no_application(_where: str) -> Application:
    raise AssertionError("no application was named")


def test_services_are_told_by_name() -> None:
    given = Given(["a=postgresql://u:p@h/a", "b=dbname=b"], ["b=amqp://u:p@h/"], ["b=http://h"])
    first, second = given.known(no_application)
    assert (first.name, str(first.database_url)) == ("a", "postgresql://u:***@h:5432/a")
    assert (second.name, second.management_url) == ("b", "http://h")
    assert "p@" not in repr([first, second])


@pytest.mark.parametrize(
    "given",
    [
        Given([]),
        Given(["postgresql://u:secret@h/a"]),
        Given(["a=dbname=a", "a=dbname=b"]),
        Given(["A B=dbname=a"]),
        Given(["a=dbname=a"], ["b=amqp://u:secret@h/"]),
    ],
)
def test_services_that_cannot_be_told_apart_are_refused(given: Given) -> None:
    with pytest.raises(InvalidSetting) as refused:
        given.known(no_application)
    assert "secret" not in str(refused.value)


def test_a_value_with_passwords_can_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "services"
    file.write_text("a=dbname=a\nb=dbname=b\n")
    environ = {"CONSOLE_SERVICES_FILE": str(file)}
    assert with_files([], "CONSOLE_SERVICES", environ) == ["a=dbname=a", "b=dbname=b"]
    assert with_files(["c=dbname=c"], "CONSOLE_SERVICES", environ) == ["c=dbname=c"]
    with pytest.raises(InvalidSetting, match="cannot be read"):
        with_files([], "CONSOLE_SERVICES", {"CONSOLE_SERVICES_FILE": str(tmp_path / "absent")})


def test_a_misspelt_variable_is_refused() -> None:
    refuse_unknown(["CONSOLE_PORT", "PATH"])
    with pytest.raises(InvalidSetting, match="did you mean CONSOLE_USERS_FILE"):
        refuse_unknown(["CONSOLE_USER_FILE"])


def test_production_refuses_the_logins_of_development(tmp_path: Path) -> None:
    def access(users: Path | None, proxy: Proxy | None = None) -> Access:
        return access_of(users, proxy or Proxy(), "127.0.0.1", None, is_production=True)

    file = tmp_path / "users"
    with pytest.raises(InvalidSetting, match="CONSOLE_USERS_FILE"):
        access(None)
    file.write_text(f"ann:operator:{hashed('operator-dev-only')}\n")
    with pytest.raises(InvalidSetting, match="password of development"):
        access(file)
    file.write_text(f"ann:operator:{hashed('one of her own')}\n")
    assert access(file).users is not None
    assert access(None, PROXY).users is None


def test_the_logins_of_development_are_for_this_machine_alone() -> None:
    def access(host: str) -> Access:
        return access_of(None, Proxy(), host, None, is_production=False)

    for host in ("0.0.0.0", "::", "10.0.0.1", "console.example.com"):
        with pytest.raises(InvalidSetting, match="CONSOLE_USERS_FILE"):
            access(host)
    assert access("127.0.0.2").users
    assert access("localhost").users


@pytest.mark.parametrize("environment", ["prod", "Production", "PRODUCTION", "", "live"])
def test_an_environment_that_is_not_known_is_refused(environment: str) -> None:
    with pytest.raises(InvalidSetting, match="APP_ENV"):
        is_production(environment)
    assert is_production("production")
    assert not is_production("test")


@pytest.mark.parametrize("url", ["postgresql://u:x-dev-only@h/a", "postgresql://u@h/a"])
def test_production_refuses_a_databases_password_that_others_know(url: str) -> None:
    with pytest.raises(InvalidSetting) as refused:
        refuse_weak_passwords([ConsoleService("a", url)])
    assert "dev-only" not in str(refused.value)
    refuse_weak_passwords([ConsoleService("a", "postgresql://u:long-and-own@h/a")])


def test_hosts_are_compared_without_port_and_in_small_letters() -> None:
    access = access_of(None, Proxy(), "::1", "Console.Example.com", is_production=False)
    assert access.knows_host("console.example.COM:8002")
    assert access.knows_host("console.example.com.")
    assert not access.knows_host("127.0.0.1:8002")
    assert not access.knows_host("")
    usual = access_of(None, Proxy(), "127.0.0.1", None, is_production=False)
    assert usual.knows_host("[::1]:8002")
    assert usual.knows_host("localhost")
    assert not usual.knows_host("evil.example")


def test_a_console_without_a_service_is_refused() -> None:
    with pytest.raises(InvalidSetting):
        build_console([], Access(Users.of_development()))
