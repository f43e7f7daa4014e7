"""A database that keeps Optuna's studies, for sweeps on many computers: the one that EXPERTNET_OPTUNA_URL names, if any.

The URL holds a password, so it is neither a setting nor printed or stored. A plan names the database without it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from expertnet.errors import RunError, SettingsError
from expertnet.utils.home import install_command

VARIABLE = "EXPERTNET_OPTUNA_URL"
EXAMPLE = "postgresql+psycopg://user:password@host/name"
SERVERS = ("postgresql", "mysql", "mariadb")
PACKAGES = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}  # by module
OTHERS = {"mysqlconnector": "connection_timeout", "pg8000": "timeout"}  # drivers that have no connect_timeout
CONNECT_WITHIN = 3  # seconds for each address of a host, which rarely has more than two
LOST = {"keepalives_idle": 3, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 9000}  # s, s, 1, ms
SILENT = {"read_timeout": 30, "write_timeout": 30}  # seconds; a statement may wait for a lock
WHILE_CONNECTED = {"psycopg": LOST, "psycopg2": LOST, "pymysql": SILENT, "mysqldb": SILENT, "mariadbconnector": SILENT}


def database_name() -> str:
    """Return the database for users, which is its URL without a password; "" if there is none. Raises SettingsError."""
    if not os.environ.get(VARIABLE):
        return ""
    from sqlalchemy.engine import URL

    url = _url()
    return URL.create(url.drivername, url.username, None, url.host, url.port, url.database).render_as_string()


def check_database() -> None:
    """Raise SettingsError or RunError with what is wrong with the database."""
    name = database_name()
    if name:
        with explained(name):
            open_database(name)


def open_database(name: str) -> Any:
    """Return Optuna's storage in the database of a plan. Raises SettingsError, RunError or an error that `explained` explains."""
    if database_name() != name:
        found = f"names {database_name()}" if database_name() else "is not set"
        raise RunError(f"The trials are in the database {name}, and {VARIABLE} {found}. Set it to that database.")
    return _storage(os.environ[VARIABLE])


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Explain an error of the database in a sentence, as RunError."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
        reason = str(getattr(cause, "orig", cause)).strip().partition("\n")[0].rstrip(".")
        password = _url().password
        if password:
            reason = reason.replace(str(password), "***")
        raise RunError(f"The database {name} cannot be used: {reason}. Check that it runs, and {VARIABLE}.") from None


def _url() -> Any:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(os.environ[VARIABLE])
    except (ArgumentError, ValueError):
        raise SettingsError(f"{VARIABLE} must be the URL of a database, such as {EXAMPLE}.") from None
    if url.get_backend_name() == "sqlite":
        raise SettingsError(
            f"{VARIABLE} names a SQLite database, which is not made for several processes at once. Use PostgreSQL or MySQL, or unset "
            "the variable: a sweep then keeps its trials in a file."
        )
    if url.get_backend_name() not in SERVERS:
        raise SettingsError(f"{VARIABLE} must name a PostgreSQL or MySQL database, such as {EXAMPLE}.")
    return url


def time_limits(driver: str) -> dict[str, int]:
    """Return what limits how long a driver waits for a database that cannot be reached, or no longer, as far as it can."""
    return {OTHERS.get(driver, "connect_timeout"): CONNECT_WITHIN} | WHILE_CONNECTED.get(driver, {})


@cache
def _storage(text: str) -> Any:
    from optuna.storages import RDBStorage, get_storage
    from sqlalchemy.exc import NoSuchModuleError

    url = _url()
    try:
        limits = time_limits(url.get_driver_name())
        return get_storage(RDBStorage(text, {"connect_args": limits, "pool_pre_ping": True}))
    except NoSuchModuleError:
        raise SettingsError(f"{VARIABLE} names an unknown driver, {url.drivername}. Use one as in {EXAMPLE}.") from None
    except RuntimeError as error:  # tables of another version of Optuna
        raise RunError(f"The database {database_name()} cannot be used: {error}") from None
    except ImportError as error:
        module = getattr(error.__cause__, "name", None) or url.get_driver_name()
        package = PACKAGES.get(module, module)
        raise SettingsError(
            f"The database needs the package {package}, which is not installed. Run '{install_command(package)}', then try again."
        ) from None


class NoJournal:
    """Takes the place of the journal: the database is written at once."""

    is_current = can_be_restored = False

    def flush(self) -> None:
        """Do nothing."""
