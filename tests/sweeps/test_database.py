"""Sweeps whose trials are in a database."""

import os
import re
import socket
import subprocess
import sys

import optuna
import pytest
import sqlalchemy

from expertnet.errors import RunError, SettingsError
from expertnet.sweeps.database import VARIABLE, database_name, time_limits
from expertnet.sweeps.deletion import delete_sweep, study_stays
from expertnet.sweeps.engine import advance, resume_sweep, start_sweep, stop_sweep
from expertnet.sweeps.journal import JOURNAL
from expertnet.sweeps.plan import Budget
from expertnet.sweeps.sweep import find_sweep
from expertnet.sweeps.trials import trials_of
from expertnet.utils.home import install_command
from tests.support.postgres import PASSWORD, postgres
from tests.support.served import ROOT
from tests.support.small import LIMIT, settings
from tests.support.sweeps import done, plan, started

STUDIO = (
    "import sys; from expertnet.store.run_store import RunStore; from expertnet.sweeps.driver import Driver\n"
    "from expertnet.training.manager import manager\n"
    "store = RunStore(sys.argv[1]); driver = Driver(store); driver.wake()\n"
    "assert driver.join(int(sys.argv[2])); manager(store).close()"
)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite:///trials.db", "names a SQLite database, which is not made for several processes"),
        ("postgresql+psycopg://u:pass@h:port/x", "must be the URL of a database, such as postgresql"),
        ("oracle://u:pass@h/x", "must name a PostgreSQL or MySQL database"),
        ("mysql+none://u:pass@h/x", "names an unknown driver, mysql+none"),
    ],
)
def test_a_url_that_cannot_be_used_leaves_nothing_behind_and_keeps_its_password(store, monkeypatch, url, says):
    monkeypatch.setenv(VARIABLE, url)
    with pytest.raises(SettingsError) as refused:
        started(store)
    assert says in str(refused.value) and "pass@" not in str(refused.value) and not store.root.exists()


def test_a_missing_driver_is_named_with_the_command_that_installs_it(store, monkeypatch):
    monkeypatch.setenv(VARIABLE, "postgresql+psycopg://u:pass@missing/x")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SettingsError, match=re.escape(f"Run '{install_command('psycopg[binary]')}'")):
        started(store)


def test_the_name_of_a_database_has_no_password(monkeypatch):
    monkeypatch.setenv(VARIABLE, "postgresql+psycopg://me:p%40ss@db:5433/trials?password=p%40ss")
    assert database_name() == "postgresql+psycopg://me@db:5433/trials"


@pytest.mark.slow
@pytest.mark.parametrize("listens", [False, True], ids=["closed", "silent"])
def test_a_database_that_does_not_answer_is_one_sentence(store, monkeypatch, listens):
    pytest.importorskip("psycopg")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listens:  # without a limit, the connection would wait for ever
            server.listen()
        address = f"me@127.0.0.1:{server.getsockname()[1]}/trials"
        monkeypatch.setenv(VARIABLE, f"postgresql+psycopg://{address.replace('@', f':{PASSWORD}@')}")
        with pytest.raises(RunError) as refused:
            started(store)
    says = str(refused.value)
    assert says.startswith(f"The database postgresql+psycopg://{address} cannot be used: conn") and "\n" not in says
    assert "s3cret" not in says and not store.root.exists()


def test_a_sweep_keeps_the_storage_with_which_it_began(store, monkeypatch):
    sweep = started(store)
    (run,) = advance(sweep)
    monkeypatch.setenv(VARIABLE, "postgresql+psycopg://me@nowhere/trials")
    assert [trial.run_id for trial in trials_of(sweep)] == [run.id]
    other = sweep.plan().model_copy(update={"database": "postgresql+psycopg://me@there/trials"})
    sweep.write_plan(other)
    with pytest.raises(RunError, match="are in the database .*me@there/trials, and .* names .*me@nowhere/trials"):
        trials_of(sweep)
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(RunError, match="me@there/trials, and EXPERTNET_OPTUNA_URL is not set"):
        trials_of(sweep)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="needs Linux")
def test_a_connection_to_postgresql_ends_soon_after_the_network_drops():
    """The system itself says what the connection's socket has been given."""
    with postgres() as url:
        engine = sqlalchemy.create_engine(url, connect_args=time_limits("psycopg"))
        with (
            engine.connect() as connection,
            socket.socket(fileno=os.dup(connection.connection.dbapi_connection.fileno())) as opened,
        ):
            options = (socket.TCP_USER_TIMEOUT, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL)
            lost, idle, interval = (opened.getsockopt(socket.IPPROTO_TCP, option) for option in options)
            assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        engine.dispose()
    assert 0 < lost <= 10_000 and idle + interval <= 10


def test_a_driver_gets_only_the_limits_that_it_has():
    assert time_limits("pymysql") == {"connect_timeout": 3, "read_timeout": 30, "write_timeout": 30}
    assert time_limits("mysqlconnector") == {"connection_timeout": 3} and time_limits("pg8000") == {"timeout": 3}


@pytest.mark.long
def test_two_studios_share_a_database_and_train_no_trial_twice(store, monkeypatch):
    with postgres() as url:
        monkeypatch.setenv(VARIABLE, url)
        sweep = start_sweep(store, plan("model.num_experts=1..3", "model.channels=8,16", settings=settings()))
        words = [sys.executable, "-c", STUDIO, str(store.root), str(LIMIT)]
        studios = [subprocess.Popen(words, cwd=ROOT) for _ in range(2)]
        assert [studio.wait(LIMIT) for studio in studios] == [0, 0]
        found = trials_of(sweep)
        assert [trial.state for trial in found] == ["finished"] * 6 and len(store.list()) == 6
        assert len({tuple(trial.values.values()) for trial in found}) == 6
        assert [run.log_tail().count("Started") for run in store.list()] == [1] * 6
        storage = optuna.storages.RDBStorage(url)
        told = [trial.value for trial in optuna.load_study(study_name=sweep.id, storage=storage).trials]
        assert [value for value in told if value is not None] == [trial.accuracy for trial in found]
        assert not (sweep.path / JOURNAL).exists()
        assert sweep.id in study_stays(sweep) and "s3cret" not in study_stays(sweep)
        kept = (path for path in store.root.rglob("*") if path.is_file())
        assert not any(b"s3cret" in path.read_bytes() for path in kept)
        delete_sweep(sweep)
        assert not sweep.path.exists() and optuna.get_all_study_names(storage) == [sweep.id]
        storage.engine.dispose()
        stopped = started(store, budget=Budget(trials=3))
        (run,) = advance(stopped)
        stop_sweep(stopped)
        resume_sweep(stopped)
        assert [each.id for each in advance(stopped)] == [run.id]
    with pytest.raises(RunError, match="cannot be used"):
        done(find_sweep(store, stopped.id))
