"""`finetext serve`: a real process with a real model, what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

Command = Callable[..., Any]
Start = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def started(finished: Path) -> Iterator[Start]:
    """A function that starts the command and gives the process and the address it prints."""
    processes: list[subprocess.Popen[str]] = []

    def start(*words: object, **environment: str) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "finetext", "serve", str(finished), "--json"]
        process = subprocess.Popen(
            [*command, *map(str, words or ("--port", 0))],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | environment,
        )  # fmt: skip
        processes.append(process)
        assert process.stdout is not None
        lines = ""
        while not lines.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            lines += line
        return process, json.loads(lines)["address"]

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ask(address: str, path: str, value: Any = None, token: str | None = None) -> Any:
    headers = {"content-type": "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    data = None if value is None else json.dumps(value).encode()
    asked = urllib.request.Request(address + path, data, headers)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return json.load(answer)


def test_it_answers_as_python_does_and_ctrl_c_ends_it(started: Start, finished: Path) -> None:
    import finetext

    process, address = started()
    texts = ["a fine and moving film", "a dull film", " é\t", "🙂"]
    classifier = finetext.load(finished)
    told = ask(address, "/decide", {"inputs": texts})
    for text, answer in zip(texts, told, strict=True):
        assert answer["probabilities"] == classifier(text)
    assert [answer["prediction"] for answer in told] == classifier.predict(texts)
    [scores] = ask(address, "/predict", {"inputs": texts[0]})
    assert {one["label"]: one["score"] for one in scores} == classifier(texts[0])
    words = ask(address, "/explain", {"inputs": texts[0]})["words"]
    assert {"fine", "moving"} <= {word["text"] for word in words}
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


def test_info_tells_the_run_and_no_place(started: Start, finished: Path) -> None:
    process, address = started()
    told = ask(address, "/info")
    assert told["name"] == "finished/tfidf"
    assert told["run"]["best"] == "tfidf"
    assert "macro_f1" in told["run"]["leaderboard"][-1]["metrics"]["test"]
    assert told["labels"] == ["bad", "good"]
    assert told["provenance"]["method"] == "tfidf"
    text = json.dumps(told)
    assert str(finished.parent) not in text
    assert "/tmp" not in text
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_the_token_comes_from_a_file_or_the_environment(
    started: Start, tmp_path: Path, command: Command, finished: Path
) -> None:
    path = tmp_path / "token"
    path.write_text("from-the-token-file\n")
    _, address = started("--port", 0, "--token-file", path, FINETEXT_TOKEN="from-the-environment")
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(address, "/info", token="from-the-environment")
    assert refused.value.code == 401
    refused.value.close()
    assert ask(address, "/info", token="from-the-token-file")["labels"]
    _, address = started(FINETEXT_TOKEN="from-the-environment")
    assert ask(address, "/info", token="from-the-environment")["labels"]
    for text in ("", "two words", "é"):
        path.write_text(text)
        seen = command("serve", finished, "--token-file", path)
        assert (seen.status, "a token is one line" in seen.err) == (2, True)
    path.write_text("fifteen-letters")
    seen = command("serve", finished, "--token-file", path)
    assert (seen.status, "15 characters can be guessed" in seen.err) == (2, True)
    seen = command("serve", finished, "--token-file", tmp_path / "none")
    assert (seen.status, "cannot be read" in seen.err) == (2, True)


def test_it_can_be_killed_under_load_and_started_again_at_once(started: Start) -> None:
    process, address = started()
    port = int(address.rpartition(":")[2])
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
    for made in held:
        made.sendall(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{")
    ask(address, "/predict", {"inputs": "x"})
    process.kill()
    process.wait(60)
    _, again = started("--port", port)
    assert again == address
    assert ask(again, "/predict", {"inputs": "x"})
    for made in held:
        made.close()


def test_it_says_where_it_is_and_how_to_ask(
    command: Command, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped:
        force_exit = False

        def run(self, sockets: list[socket.socket]) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr("finetext.serving.server.make_server", lambda app, settings: Stopped())
    seen = command("serve", finished, "--port", "0", status=0)
    assert f"{finished} is at http://127.0.0.1:" in seen.out
    assert "curl http://127.0.0.1:" in seen.err
    assert "Authorization" not in seen.err
    monkeypatch.setenv("FINETEXT_TOKEN", "secret-of-the-owner")
    seen = command("serve", finished, "--port", "0")
    assert "$FINETEXT_TOKEN" in seen.err
    assert "secret" not in seen.err + seen.out
    quiet = command("serve", finished, "--port", "0", "--quiet")
    assert (quiet.err, quiet.out.count("\n")) == ("", 1)


def test_it_warns_when_others_can_reach_it_without_a_token(
    command: Command, finished: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr("finetext.serving.server.answer", lambda *given: None)
    for host, is_warned in (("0.0.0.0", True), ("127.0.0.1", False), ("localhost", False)):
        caplog.clear()
        assert command("serve", finished, "--port", "0", "--host", host).status == 0
        assert ("--token-file" in caplog.text) is is_warned
    monkeypatch.setenv("FINETEXT_TOKEN", "secret-of-the-owner")
    caplog.clear()
    assert command("serve", finished, "--port", "0", "--host", "0.0.0.0").status == 0
    assert not caplog.text


def test_what_cannot_be_is_said_in_one_line(command: Command, finished: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        cases = [
            (("--port", port), f"port {port} of 127.0.0.1 is taken"),
            (("--host", "no.such.host.invalid"), "no such address on this machine"),
            (("--host", "192.0.2.1", "--port", 0), "cannot listen"),
            (("--max-batch", "0"), "batch_texts"),
            (("--set", "serve.batch_text=3"), "batch_texts"),
            (("--set", "data.text=3"), "only serve.NAME"),
            (("--max-texts", "5000"), "queue_texts"),
        ]
        for words, message in cases:
            seen = command("serve", finished, *words, status=2)
            assert message in seen.err
            assert seen.err.count("\n") == 1
    seen = command("serve", "no-such-folder", "--port", "0")
    assert (seen.status, "no-such-folder" in seen.err) == (2, True)


def test_without_the_extra_it_names_it(
    command: Command, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert 'pip install "finetext[serve]"' in command("serve", finished, status=2).err
