"""The script that records the lessons: its table is true, and no other server is recorded by mistake."""

from __future__ import annotations

import importlib
import socket
from types import ModuleType

import pytest
from paths import NOTEBOOKS


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, which lies beside the server that it starts."""
    monkeypatch.syspath_prepend(NOTEBOOKS / "models")
    return importlib.import_module("record")


def test_the_table_shows_what_the_lessons_measured(record: ModuleType) -> None:
    """As their outputs tell it; `python notebooks/models/record.py` writes it."""
    assert (NOTEBOOKS / "models" / "NUMBERS.md").read_text("utf-8") == record.numbers()


def test_what_listens_already_is_not_recorded(
    record: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be another model, or one without a seed."""
    started: list[object] = []
    monkeypatch.setattr(record.subprocess, "Popen", lambda *a, **k: started.append(a))
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setattr(record, "PORT", other.getsockname()[1])
        with pytest.raises(SystemExit, match="listens on port"), record.served(1):
            pass
    assert not started


def test_a_recording_that_goes_on_uses_no_seed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else two votes of one prompt would be one and the same."""
    monkeypatch.syspath_prepend(NOTEBOOKS / "models")
    seeded = importlib.import_module("serve").Seeded
    first, later = seeded(1, 0), seeded(1, 0, asked=2)
    requests = [first.seeded(b'{"a": 1}') for _ in range(3)]
    assert len({*requests}) == 3
    assert later.seeded(b'{"a": 1}') == requests[2]
    assert seeded(2, 0).seeded(b'{"a": 1}') not in requests


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_a_port_that_is_none_gets_one_line(
    port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the model is looked for."""
    monkeypatch.syspath_prepend(NOTEBOOKS / "models")
    with pytest.raises(SystemExit):
        importlib.import_module("serve").main([f"--port={port}"])
    assert f"--port {port} is none" in capsys.readouterr().err
