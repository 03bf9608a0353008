"""A PostgreSQL server of the tests' own: started from Debian's programs, and stopped and started again at will."""

import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL

DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
PATH = os.pathsep.join([os.environ.get("PATH", ""), *map(str, DEBIAN)])


class PostgreSQL:
    """A server that is heard at a Unix socket only, and does not wait for the disk.

    Attributes:
        missing: Why there is none; empty if there is.
    """

    missing = "" if shutil.which("pg_ctl", path=PATH) else "PostgreSQL's pg_ctl is not installed"

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="postgres"))  # pytest's folders are closed to other users
        self._numbers = itertools.count()

    def __enter__(self) -> Self:
        if self._user:
            shutil.chown(self._folder, self._user)
        self._run("initdb", "--auth=trust", "--username=test", "--no-sync", "--pgdata", str(self._folder / "data"))
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Starts it; it answers when this returns."""
        options = f"-c listen_addresses= -c unix_socket_directories={self._folder} -c fsync=off"
        self._control("start", "--options", options, "--log", str(self._folder / "log"))

    def stop(self) -> None:
        """Stops it as a crash of its machine would: connections are broken off."""
        self._control("stop", "--mode", "immediate")

    def new(self) -> URL:
        """Makes an empty database."""
        name = f"test{next(self._numbers)}"
        engine = create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self._url(name)

    def _url(self, database: str) -> URL:
        host = {"host": str(self._folder)}
        return URL.create("postgresql+psycopg", username="test", database=database, query=host)

    def _control(self, action: str, *arguments: str) -> None:
        self._run("pg_ctl", action, "--pgdata", str(self._folder / "data"), "--wait", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command = [shutil.which(program, path=PATH) or program, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=self._user, cwd=self._folder)

    @property
    def _user(self) -> str | None:
        """Name of the user that it runs as; PostgreSQL refuses to run as root."""
        return "postgres" if os.geteuid() == 0 else None
