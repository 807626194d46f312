"""Pictures and clips that cannot be read are named, whatever the libraries call it; people keep to their split."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pictures

from train.errors import MediaError
from train.real.media import in_view, read_clip, read_picture, split_of


def png(size: int = 8) -> bytes:
    file = io.BytesIO()
    Pictures.fromarray(np.full((size, size, 4), 90, np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_a_picture_with_alpha_is_read_as_rgb(tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    path.write_bytes(png())
    assert read_picture(path).shape == (8, 8, 3)


@pytest.mark.parametrize("content", [b"", b"no picture", png()[:45], png().replace(b"IDAT", b"ID\x00T")])
def test_a_damaged_picture_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "face.png"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"face\.png: no picture can be read"):
        read_picture(path)


def test_a_picture_too_large_to_be_true_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pictures, "MAX_IMAGE_PIXELS", 20)
    path = tmp_path / "face.png"
    path.write_bytes(png())
    with pytest.raises(MediaError, match=r"face\.png: no picture can be read"):
        read_picture(path)


def test_a_clip_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"no clip")
    with pytest.raises(MediaError, match=r"clip\.mp4: no video can be read"):
        list(read_clip(path))


def test_a_person_keeps_to_one_split() -> None:
    names = [f"A{number:06d}" for number in range(2000)]
    held = sum(split_of(name) == "held_out" for name in names)
    assert 140 < held < 260


def test_frames_with_a_hand_before_the_face_are_known() -> None:
    assert [in_view(Path("any/help.mkv"), frame) for frame in (24, 25, 41, 42)] == [True, False, False, True]
    assert in_view(Path("any/other.mkv"), 30)
