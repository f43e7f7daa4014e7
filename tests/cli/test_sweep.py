"""`expertnet sweep`."""

import signal
import subprocess
from pathlib import Path

import pytest

from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.sweeps.sweep import all_sweeps
from expertnet.sweeps.trials import best_trials, trials_of
from expertnet.training.stop import stop_run
from expertnet.utils import processes
from tests.support.command import PROGRAM, TINY_OPTIONS, command, document, refused
from tests.support.served import ROOT
from tests.support.small import LIMIT, until
from tests.support.sweeps import done, started, train

SMALL = ["sweep", *TINY_OPTIONS, "--vary", "training.lr=1e-3..1e-2:log", "--vary", "model.num_experts=1..2"]


@pytest.mark.slow
def test_a_sweep_trains_prints_and_is_followed_up():
    found = document(*SMALL, "--set", "training.epochs=1", "--trials", 2, "--name", "first")
    assert (found["state"], found["reason"], found["name"]) == ("finished", "2 trials", "first")
    assert [trial["state"] for trial in found["trials"]] == ["finished"] * 2 and len(RunStore().list()) == 2
    best = found["trials"][found["best"] - 1]
    assert best["accuracy"] == max(trial["accuracy"] for trial in found["trials"])
    assert RunStore().get(best["run"]).status().best_val_accuracy == best["accuracy"]
    (table,) = document("sweep", "seeds", "latest", "--best", 1, "--seeds", 2)
    assert table["seeds"] == 2 and table["in the sweep"] == best["accuracy"]
    assert document("sweep", "longer", "latest", 2)["state"] == "finished"
    assert len(RunStore().list()) == 4
    resumed = command("sweep", "resume", "latest", "--trials", 3)
    assert "Finished: 3 trials." in resumed.stdout and "\nTrial 3: training.lr=" in resumed.stderr


def test_what_waits_for_a_command_stays_in_the_queue_while_it_trains(monkeypatch):
    """Another host, which cannot see the process, drops what is not renewed."""
    store, turns = RunStore(), []
    sweep, queue = done(started(store)), RunQueue(store.root)

    def trained(run, stop, **_):
        turns.append(run.id)
        queue.remove(run.id)
        before = queue.entries()
        until(lambda: not before or queue.entries()[0].owner.heartbeat > before[0].owner.heartbeat)
        return run.status()

    monkeypatch.setattr(processes, "RENEW_AFTER", 0.01)
    monkeypatch.setattr("expertnet.training.lock.train_in_turn", trained)
    assert command("sweep", "seeds", sweep.id, "--best", 1, "--seeds", 3).returncode == 0 and len(turns) == 2


@pytest.mark.long
def test_a_sweep_goes_on_after_a_kill_without_a_trial_twice():
    words = [*PROGRAM, *SMALL, "--set", "training.epochs=30", "--trials", "1", "--pruner", "none"]
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until(lambda: any(run.status().epoch >= 1 for run in RunStore().list()), process)
    process.kill()
    process.wait()
    (sweep,) = all_sweeps(RunStore())
    (run,) = RunStore().list()
    before = run.status().epoch
    assert (sweep.status().state, run.state) == ("interrupted", "interrupted")
    found = document("sweep", "resume", "latest")
    assert [(trial["state"], trial["epochs"], trial["run"]) for trial in found["trials"]] == [("finished", 30, run.id)]
    assert [row["epoch"] for row in run.metrics()] == list(range(1, 31)) and before >= 1
    assert [other.id for other in RunStore().list()] == [run.id]


@pytest.mark.slow
def test_a_trial_that_is_stopped_or_pruned_does_not_end_the_sweep():
    words = [*PROGRAM, *SMALL, "--set", "training.epochs=5000", "--trials", "2", "--pruner", "none"]
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until(lambda: any(run.status().epoch >= 1 for run in RunStore().list()), process)
    (first,) = RunStore().list()
    stop_run(first)
    until(lambda: len(RunStore().list()) == 2 and RunStore().list()[0].state == "running", process)
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT) == 0
    (sweep,) = all_sweeps(RunStore())
    assert first.state == "stopped" and sweep.status().reason == "it was stopped"


def test_sweeps_are_listed_shown_and_stopped():
    sweep = done(started(RunStore(), name="mine"))
    assert "You entered nan." in refused(command("sweep", "resume", sweep.id, "--hours", "nan"))
    waiting = document(*SMALL, "--trials", 3, "--queue")
    assert (waiting["state"], waiting["trials"]) == ("running", [])  # until a studio runs
    listed = document("sweep", "list")
    assert [(each["name"], each["state"]) for each in listed] == [
        ("Digits: learning rate, experts per block", "running"),
        ("mine", "finished"),
    ]
    shown = command("sweep", "show", sweep.id).stdout.splitlines()
    assert shown[0].split()[:3] == ["trial", "state", "accuracy"] and len(shown) == 1 + 6 + 2
    column = shown[0].split().index("training.lr")
    drawn = [
        (line.split()[column], trial.values["training.lr"])
        for line, trial in zip(shown[1:-2], trials_of(sweep), strict=True)
    ]
    assert [text for text, _ in drawn] == [f"{float(f'{rate:.3g}'):g}" for _, rate in drawn]
    assert shown[-2] == "Finished: 6 trials." and "of the validation images: run " in shown[-1]
    assert command("sweep", "stop", "latest").returncode == 0
    assert document("sweep", "show")["state"] == "stopped"
    assert RunQueue(RunStore().root).ids() == []


def test_a_sweep_is_deleted_and_its_runs_stay():
    sweep, waiting = done(started(RunStore(), name="mine")), started(RunStore(), name="other")
    says = "Sweep other is running. Stop it before you delete it."
    assert says in refused(command("sweep", "delete", "latest")) and waiting.active
    ended = command("sweep", "delete", sweep.id)
    assert (ended.returncode, ended.stdout) == (0, "") and ended.stderr == "Deleted mine. Its runs stay.\n"
    assert [found.id for found in all_sweeps(RunStore())] == [waiting.id] and len(RunStore().list()) == 6


@pytest.mark.parametrize("words", [["longer", "latest", 9], ["seeds", "latest", "--best", 1, "--seeds", 2]])
def test_a_training_that_fails_after_a_sweep_fails_the_command(monkeypatch, words):
    done(started(RunStore()))

    def failing(run, stop, **_):
        run.write_status(run.status().changed(state="failed", error="Out of memory."))
        return run.status()

    monkeypatch.setattr("expertnet.training.lock.train_in_turn", failing)
    ended = command("sweep", *words)
    assert ended.returncode == 1 and "Out of memory." in ended.stderr and ended.stdout


def test_the_values_of_trials_with_several_seeds_are_as_short_as_in_the_sweep(monkeypatch):
    sweep = done(started(RunStore()))

    def trained(run, stop, **_):
        train(run)
        return run.status()

    monkeypatch.setattr("expertnet.training.lock.train_in_turn", trained)
    (best,) = best_trials(trials_of(sweep))
    head, row = command("sweep", "seeds", "latest", "--best", 1, "--seeds", 2).stdout.splitlines()
    drawn, shown = best.values["training.lr"], row.split()[head.split().index("training.lr")]
    assert shown == f"{float(f'{drawn:.3g}'):g}" != str(drawn)


def test_a_budget_of_ten_trials_ends_as_finished(monkeypatch):
    def trained(run, stop, **_):
        train(run)
        return run.status()

    monkeypatch.setattr("expertnet.sweeps.search.train_in_turn", trained)
    found = document(*SMALL, "--trials", 10)
    assert (found["state"], found["reason"], len(found["trials"])) == ("finished", "10 trials", 10)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "Nothing varies."),
        (["--vary", "training.lr=0..1", "--trials", 3], "`training.lr` must be greater than 0"),
        (["--vary", "training.lr=0.1..1"], "The budget is empty."),
        (["--vary", "training.lr=0.1..1", "--trials", 0], "trials must be greater than 0"),
        (["--vary", "training.lr=0.1..1", "--hours", "nan"], "The number of hours must be greater than 0"),
        (["--vary", "training.lr=0.1..1", "--hours", "inf"], "and at most 10,000. You entered inf."),
        (["--vary", "training.lr=0.1..1", "--trials", 3, "--preset", "report"], "validation images"),
        (["--vary", "training.lr=0.1..1", "--trials", 3, "--sampler", "best"], "There is no sampler 'best'."),
        (["--vary", "training.lr=0.1..1", "--trials", 3, "--pruner", "all"], "There is no pruner 'all'."),
        (["--vary", "training.lr=0.1..1", "--trials", "many"], "--trials"),
        (["--vary", "training.lr=0.1..1", "--trials", 3, "--seed", -1], "--seed must be between"),
        (["show"], "There is no sweep in "),
        (["stop", "2026"], "There is no sweep '2026'"),
        (["resume", "2026"], "There is no sweep '2026'"),
        (["delete", "2026"], "There is no sweep '2026'"),
        (["longer", "latest", 9], "There is no sweep in "),
    ],
)
def test_wrong_arguments_are_rejected_and_leave_nothing_behind(words, says):
    Path(RunStore().root).mkdir()
    assert says in refused(command("sweep", *words))
    assert list(RunStore().root.iterdir()) == []
