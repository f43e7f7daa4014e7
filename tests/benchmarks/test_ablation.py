"""The recipe without one part at a time, and the table of what each part contributes."""

import pytest

from benchmarks import ablation, accuracy
from expertnet.errors import UserError
from expertnet.network.cost import estimate
from expertnet.settings.fields import build_settings, parse_assignments


def test_every_part_changes_the_recipe_and_nothing_else_repeats():
    made = [
        build_settings("fast", "digits", parse_assignments([*ablation.SHORT, *changes]))
        for changes in ablation.PARTS.values()
    ]
    assert len({settings.model_dump_json() for settings in made}) == len(ablation.PARTS)
    assert all(settings.training.epochs * settings.training.hardest_share == 5 for settings in made)
    by_part = dict(zip(ablation.PARTS, made, strict=True))
    narrower, whole = by_part.pop(ablation.NARROWER), by_part[ablation.WHOLE]
    assert all(settings.model.expert_blocks == (6,) for settings in by_part.values())
    assert not narrower.model.expert_blocks
    assert estimate(narrower, 10).multiply_adds == pytest.approx(estimate(whole, 10).multiply_adds, rel=0.01)


def row(seed, validation, changes=(), variant="learned"):
    return {"seed": seed, "validation_accuracy": validation, "variant": variant, "changes": [*ablation.SHORT, *changes]}


def test_the_table_compares_seed_by_seed():
    relu = ablation.PARTS["ReLU instead of GELU"]
    found = [row(seed, value) for seed, value in enumerate((0.80, 0.90, 0.85))]
    found += [
        row(0, 0.79, relu),
        row(1, 0.87, relu),
        row(1, 0.88, variant="uniform"),
        row(0, 0.5, ["of another version"]),
        row(0, 0.5, ["of another version"], "uniform"),
    ]
    lines = {cells[1]: cells[2:6] for cells in map(split, ablation.table(found).splitlines())}
    assert lines["the whole recipe"] == ["3", "85.00%", "", ""]
    # differences of -1 and -3 points: mean -2, standard error 1, and Student's t of one degree of freedom is 12.71
    assert lines["ReLU instead of GELU"] == ["2", "83.00%", "-2.00", "-14.71 to +10.71"]
    assert lines["equal weights instead of routing"] == ["1", "88.00%", "-2.00", ""]
    assert not any("of another version" in line for line in lines)
    assert lines["no label smoothing"] == ["0", "not measured", "", ""]
    tested = [each | {"test_accuracy_views": each["validation_accuracy"] / 2} for each in found]
    assert "| 42.50% |" in ablation.table(tested, "test-six-views")


def split(line):
    return [cell.strip() for cell in line.split("|")]


def test_a_training_that_fails_does_not_end_the_others_but_any_other_fault_does(monkeypatch, capsys, tmp_path):
    trained = []

    def measure(settings, preset, variants, seeds, file, changes):
        trained.append(tuple(changes[len(ablation.SHORT) :]))
        if len(trained) == 2:
            raise accuracy.FailedError("The training loss is not a finite number.")
        if len(trained) == 4:
            raise UserError("Another benchmark is training.")

    monkeypatch.setattr(accuracy, "measure", measure)
    with pytest.raises(UserError, match="Another benchmark"):
        ablation.measure("digits", 1, tmp_path / "rows.jsonl")
    assert trained == list(ablation.PARTS.values())[:4]
    assert "not a finite number" in capsys.readouterr().err
