"""Zips from untrusted sources."""

import stat
import zipfile
from io import BytesIO

import pytest

from expertnet.transfer.import_run import import_all
from tests.support.exports import contents, exported, refusal, zipped


def link_to(target):
    info = zipfile.ZipInfo("notes.json")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return {info: target}


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"resume.pt": b"pickle"}, "not part of an exported run"),
        ({"../config.json": b"{}"}, "not part of an exported run"),
        ({"/etc/passwd": b""}, "not part of an exported run"),
        ({"a/config.json": b"{}"}, "not part of an exported run"),
        ({"epoch-00001x.safetensors": b""}, "not part of an exported run"),
        ({"routing-../best.safetensors": b""}, "not part of an exported run"),
        ({"epoch-٠٠٠١.safetensors": b""}, "not part of an exported run"),
        ({"controls/../config.json": b"{}"}, "not part of an exported run"),
        ({"controls/20260101-000000-abcd/../config.json": b"{}"}, "not part of an exported run"),
        ({"controls/20260101-000000-abcd/best.safetensors": b""}, "not part of an exported run"),
        ({"controls/2026٠١01-000000-abcd/config.json": b"{}"}, "not part of an exported run"),
        ({"controls/20260101-000000-abcd/config.json": bytes(2**22 + 1)}, "larger than the 4,194,304 bytes"),
        (link_to("/etc/passwd"), "not part of an exported run"),
        ({"notes.json": bytes(2**17)}, "larger than the 65,536 bytes"),
        ({"card.md": bytes(2**18 + 1)}, "larger than the 262,144 bytes"),
    ],
)
def test_other_files_are_rejected(source, store, more, why):
    assert why in refusal(store, zipped(contents(exported(source)) | more))


def test_other_files_than_zips_are_rejected(source, store):
    archive = exported(source)
    for wrong in (b"", b"PK", b"x" * 100, archive[:-1], archive[10:] + b"x", archive + b"x"):
        assert "not a zip file" in refusal(store, wrong)
    for name in ("export.json", "config.json", "status.json"):
        files = contents(archive)
        del files[name]
        assert f"no {name}" in refusal(store, zipped(files))


def test_two_files_of_one_name_are_rejected(source, store):
    file = BytesIO(exported(source))
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("config.json", b"{}")
    assert "two files named config.json" in refusal(store, file.getvalue())


def test_a_file_must_have_the_size_in_the_listing(source, store):
    files, size = contents(exported(source)), 5000
    archive = bytearray(zipped({**files, "card.md": b"a" * size}))
    place = archive.rindex(b"card.md", 0, archive.rindex(b"PK\5\6")) - 46 + 24
    for claimed in (size - 1, size + 1, 2**31):
        archive[place : place + 4] = claimed.to_bytes(4, "little")
        refusal(store, bytes(archive))


def test_the_members_of_a_zip_of_zips_are_read_in_any_order_without_reading_it_again(source, store):
    class Counting(BytesIO):
        taken = 0

        def read(self, size=-1):
            content = super().read(size)
            self.taken += len(content)
            return content

    files = contents(exported(source)) | {"log.txt": b"a" * 2**19}
    stored = BytesIO()
    with zipfile.ZipFile(stored, "w") as archive:
        for name in sorted(files, reverse=True):
            archive.writestr(name, files[name])
        archive.filelist.reverse()
    outer = Counting(zipped({f"run-{source.id}.zip": stored.getvalue()}))
    (outcome,) = import_all(store, outer, "runs.zip")
    assert outcome.new and outer.taken < 1.5 * len(outer.getvalue())


def test_a_zip_of_zips_that_begins_before_its_file_is_rejected(source, store):
    outer = zipped({f"run-{source.id}.zip": exported(source)})
    (outcome,) = import_all(store, BytesIO(outer[1:]), "runs.zip")
    assert outcome.startswith("runs.zip was not imported: it is damaged")
