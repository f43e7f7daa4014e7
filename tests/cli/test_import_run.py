"""`expertnet import`."""

from expertnet.store.checks import find_damage
from expertnet.store.run_store import RunStore
from tests.support.command import command, document, refused


def test_an_exported_run_can_be_imported_elsewhere(trained, tmp_path):
    archive, elsewhere = tmp_path / "run.zip", tmp_path / "elsewhere"
    document("export", "latest", "--format", "zip", "--output", archive, **trained.env)
    result = document("import", archive, "--runs-dir", elsewhere)
    run_id = trained.run.id
    assert result == {"run": run_id, "was": run_id, "new": True, "name": "mine", "state": "finished"}
    assert find_damage(RunStore(elsewhere).get(run_id)) is None
    again = command("import", archive, "--runs-dir", elsewhere)
    assert again.returncode == 0 and "already" in again.stdout
    archive.write_bytes(archive.read_bytes()[:-30])
    assert "not a zip file" in refused(command("import", archive, "--runs-dir", elsewhere))
    assert "no file" in refused(command("import", tmp_path / "none", "--runs-dir", elsewhere))
    assert len(RunStore(elsewhere).list()) == 1
