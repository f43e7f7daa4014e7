"""A zip that lists too many files is rejected before its listing becomes objects."""

import io
import zipfile

import pytest

from expertnet.data.zips import TooManyFilesError, open_zip


def zipped(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"content of " + name[:9].encode())
    return file


def test_a_zip_of_as_many_files_as_allowed_is_opened():
    archive = open_zip(zipped(*map(str, range(10))), 10)
    assert archive.namelist() == [str(number) for number in range(10)] and archive.read("7") == b"content of 7"


def test_a_zip_of_more_files_is_rejected():
    with pytest.raises(TooManyFilesError):
        open_zip(zipped(*map(str, range(11))), 10)


def test_a_listing_of_few_files_that_is_as_long_as_one_of_many_is_rejected():
    with pytest.raises(TooManyFilesError):
        open_zip(zipped("n" * 3000), 10)  # 246 bytes for each are allowed


def test_a_file_that_is_not_a_zip_is_rejected():
    with pytest.raises(zipfile.BadZipFile):
        open_zip(io.BytesIO(b"no zip" * 100), 10)
