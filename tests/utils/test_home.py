"""The command that starts the program, as it is called here."""

import os
import subprocess
import sys

import pytest

from expertnet.utils.home import install_command, launcher

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Programs have other names and quotes on Windows.")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A folder with a virtual environment, whose Python runs and whose programs are not on the PATH."""
    programs = tmp_path / "my venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "expertnet").write_text("#!/bin/sh\necho started\n")
    (programs / "expertnet").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    return programs


def started(folder):
    return subprocess.run(launcher(), shell=True, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_the_launcher_is_called_by_its_path_from_the_current_folder(installed, tmp_path):
    assert launcher() == "'my venv/bin/expertnet'" and started(tmp_path) == "started\n"


def test_from_elsewhere_the_whole_path_is_needed(installed, tmp_path, monkeypatch):
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    assert launcher() == f"'{installed}/expertnet'" and started(tmp_path / "else") == "started\n"


def test_on_the_path_the_name_is_enough(installed, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{installed}:/usr/bin:/bin")
    assert launcher() == "expertnet" and started(tmp_path) == "started\n"


def test_the_program_of_another_installation_on_the_path_is_not_called(installed, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "expertnet").write_text("#!/bin/sh\necho another\n")
    (tmp_path / "other" / "expertnet").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/other:{installed}:/usr/bin:/bin")
    assert launcher() == "'my venv/bin/expertnet'" and started(tmp_path) == "started\n"


def test_a_link_on_the_path_is_the_program_that_it_leads_to(installed, tmp_path, monkeypatch):
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "expertnet").symlink_to(installed / "expertnet")
    monkeypatch.setenv("PATH", f"{tmp_path}/links:/usr/bin:/bin")
    assert launcher() == "expertnet" and started(tmp_path) == "started\n"


def test_without_an_installed_program_python_starts_the_package(installed):
    (installed / "expertnet").unlink()
    assert launcher() == "'my venv/bin/python' -m expertnet"


def test_packages_are_installed_for_the_python_that_runs(installed):
    assert install_command("ray") == f"'{installed}/python' -m pip install ray"
