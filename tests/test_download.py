"""The download of the lecture's list, against servers of our own: quick, whole or not at all, and never silent."""

import contextlib
import errno
import hashlib
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import pooch  # noqa: F401  imported here, so that the tests below time the download and not the import
import pytest
import requests  # noqa: F401

import mmutils.data
from mmutils import load_words
from mmutils.data import fetch

HOME = Path(mmutils.data.__file__).resolve().parent.parent
LIST = ["emma", "olivia", "ava", "zoë"] * 200  # more than fits into the first chunks that are read
BODY = "\n".join(LIST).encode()
LIMIT = 1.0                                     # stands in for the 10 seconds
GRACE = 1.5                                     # how much later than that an answer may come


def test_the_download_is_given_up_after_10_seconds():
    assert mmutils.data.SECONDS == 10


# ----- servers --------------------------------------------------------------------------------------------------------

def head(length=None, status="200 OK"):
    size = "" if length is None else f"Content-Length: {length}\r\n"
    return f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n{size}Connection: close\r\n\r\n".encode()


def answer_well(send, _):
    send(head(len(BODY)) + BODY)


def answer_wrong_bytes(send, _):
    send(head(len(BODY)) + BODY.replace(b"emma", b"emmo"))


def answer_nothing_at_all(send, _):
    send(head(0))


def cut_off(send, _):
    send(head(len(BODY)) + BODY[:len(BODY) // 2])


def cut_off_without_a_length(send, _):
    send(head() + BODY[:len(BODY) // 2])


def answer_404(send, _):
    send(head(9, "404 Not Found") + b"not found")


def answer_no_http(send, _):
    send(b"220 this is another kind of server\r\n")


def hang_up(send, _):
    pass


def never_answer(send, over):
    over.wait()


def stall_in_the_middle(send, over):
    send(head(len(BODY)) + BODY[:len(BODY) // 2])
    over.wait()


def drip(send, over):
    send(head(len(BODY)))
    for byte in BODY:
        send(bytes([byte]))
        if over.wait(1.0):
            break


def drip_quickly(send, over):
    """Bytes come often enough that chunk after chunk fills, and still not fast enough."""
    send(head(len(BODY)))
    for k in range(0, len(BODY), 100):
        send(BODY[k:k + 100])
        if over.wait(0.2):
            break


class Server(socketserver.ThreadingTCPServer):
    """Answers every request with one of the functions above, and counts them. `over` frees those that wait."""

    daemon_threads, block_on_close = True, False

    def __init__(self, behave):
        self.requests, self.over = 0, threading.Event()
        server = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                with contextlib.suppress(OSError):  # the other side may have given up
                    request = b""
                    while b"\r\n\r\n" not in request:
                        if not (more := self.request.recv(4096)):
                            return
                        request += more
                    server.requests += 1
                    behave(self.request.sendall, server.over)

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty data folder and an empty folder for temporary files; tests may download here."""
    data, temporary = tmp_path / "data", tmp_path / "temporary"
    data.mkdir()
    temporary.mkdir()
    monkeypatch.setattr(mmutils.data, "DATA", data)
    monkeypatch.setattr(mmutils.data, "SHA256", hashlib.sha256(BODY).hexdigest())
    monkeypatch.setattr(mmutils.data, "SECONDS", LIMIT)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.delenv("MMUTILS_TEST", raising=False)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    return tmp_path


@pytest.fixture
def serve(place, monkeypatch):
    """Start a server that behaves as told, and let load_words ask it."""
    with contextlib.ExitStack() as stack:
        def serve(behave):
            server = stack.enter_context(Server(behave))
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            stack.callback(server.over.set)
            monkeypatch.setattr(mmutils.data, "URL", f"http://127.0.0.1:{server.server_address[1]}/names.txt")
            return server
        yield serve


def left_behind(place):
    return [str(path.relative_to(place)) for path in sorted(place.rglob("*")) if path.is_file()]


# ----- it works -------------------------------------------------------------------------------------------------------

def test_a_good_answer_is_kept_and_asked_for_once(serve, place, capfd):
    server = serve(answer_well)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_words() == LIST
        assert (place / "data" / "names.txt").read_bytes() == BODY
        assert load_words() == LIST
        assert fetch() is None
    assert server.requests == 1
    assert left_behind(place) == ["data/names.txt"]
    assert capfd.readouterr() == ("", "")


def test_a_data_folder_that_is_missing_is_made(serve, place):
    serve(answer_well)
    (place / "data").rmdir()
    assert load_words() == LIST
    assert left_behind(place) == ["data/names.txt"]


def test_fetch_puts_the_list_in_place(serve, place):
    serve(answer_well)
    assert fetch() is None
    assert left_behind(place) == ["data/names.txt"]


def test_the_words_come_from_the_list_and_not_from_the_stand_in_if_both_can_be_had(serve, place):
    serve(answer_well)
    (place / "data" / "sampled_names.txt").write_text("anna\n")
    assert load_words() == LIST


# ----- it fails -------------------------------------------------------------------------------------------------------

FAILURES = {
    answer_wrong_bytes: "what 127.0.0.1:PORT sent is not the list",
    answer_nothing_at_all: "what 127.0.0.1:PORT sent is not the list",
    cut_off: "127.0.0.1:PORT broke off in the middle",
    cut_off_without_a_length: "what 127.0.0.1:PORT sent is not the list",
    answer_404: "127.0.0.1:PORT answered 404 Not Found",
    answer_no_http: "127.0.0.1:PORT",
    hang_up: "127.0.0.1:PORT",
    never_answer: "no whole answer from 127.0.0.1:PORT within 1 seconds",
    stall_in_the_middle: "no whole answer from 127.0.0.1:PORT within 1 seconds",
    drip: "no whole answer from 127.0.0.1:PORT within 1 seconds",
    drip_quickly: "no whole answer from 127.0.0.1:PORT within 1 seconds",
}


def load_badly(place, capfd, why):
    """Ask for the list, which fails: check all that must hold whatever the cause. `why`: what the warning says."""
    (place / "data" / "sampled_names.txt").write_text("anna\nbert\n")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        started = time.monotonic()
        assert load_words() == ["anna", "bert"]
        seconds = time.monotonic() - started
    assert seconds < mmutils.data.SECONDS + GRACE
    assert [warning.category for warning in caught] == [UserWarning]
    told = str(caught[0].message)
    assert why in told
    assert "data/sampled_names.txt" in told and mmutils.data.URL in told
    assert "save the page as names.txt" in told and "folder data" in told
    assert left_behind(place) == ["data/sampled_names.txt"]
    assert capfd.readouterr() == ("", "")
    return caught[0]


@pytest.mark.parametrize("behave", FAILURES, ids=lambda behave: behave.__name__)
def test_a_download_that_fails_gives_the_stand_in_and_one_warning(serve, place, capfd, behave):
    server = serve(behave)
    load_badly(place, capfd, FAILURES[behave].replace("PORT", str(server.server_address[1])))
    assert server.requests > 0


@pytest.mark.parametrize("behave", [answer_404, cut_off])
def test_without_a_stand_in_the_error_says_how_to_put_the_list_there(serve, place, capfd, behave):
    server = serve(behave)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(FileNotFoundError) as raised:
            load_words()
    told = str(raised.value)
    assert FAILURES[behave].replace("PORT", str(server.server_address[1])) in told
    assert "data/names.txt" in told and mmutils.data.URL in told
    assert "save the page as names.txt" in told and "folder data" in told
    assert str(place) not in told
    assert left_behind(place) == []
    assert capfd.readouterr() == ("", "")


LOAD = """
import sys
from pathlib import Path
import mmutils.data
mmutils.data.URL, mmutils.data.SHA256, mmutils.data.DATA = sys.argv[1], sys.argv[2], Path(sys.argv[3])
print(len(mmutils.load_words()))
"""


@pytest.mark.parametrize("behave, n_words, n_lines", [(answer_well, len(LIST), 0), (answer_404, 1, 1)])
def test_a_reader_sees_at_most_one_line_and_no_path_of_this_machine(serve, place, behave, n_words, n_lines):
    serve(behave)
    (place / "data" / "sampled_names.txt").write_text("anna\n")
    done = subprocess.run([sys.executable, "-c", LOAD, mmutils.data.URL, mmutils.data.SHA256, place / "data"],
                          cwd=HOME, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{n_words}\n")
    assert len(done.stderr.splitlines()) == n_lines
    assert ("404" in done.stderr) is (behave is answer_404)
    for path in (place, HOME, tempfile.gettempdir()):
        assert str(path) not in done.stderr


def test_a_download_that_was_given_up_does_not_go_on(serve, place, capfd):
    serve(drip_quickly)
    serving = set(threading.enumerate())
    load_badly(place, capfd, "no whole answer")
    ours = {thread for thread in set(threading.enumerate()) - serving if "process_request" not in thread.name}
    for thread in ours:
        thread.join(3.0)  # the server would drip on for several seconds more
        assert not thread.is_alive()


def test_fetch_says_why_not_and_leaves_nothing(serve, place, capfd):
    serve(answer_404)
    assert "answered 404 Not Found" in fetch()
    assert left_behind(place) == []
    assert capfd.readouterr() == ("", "")


def test_a_port_where_nothing_listens_is_no_connection(place, monkeypatch, capfd):
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    monkeypatch.setattr(mmutils.data, "URL", f"http://127.0.0.1:{port}/names.txt")
    load_badly(place, capfd, f"no connection to 127.0.0.1:{port}")


def test_a_name_server_that_never_answers_holds_nobody_up(place, monkeypatch, capfd):
    over = threading.Event()

    def hang(*args, **kwargs):
        over.wait()
        raise socket.gaierror("no name server")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        load_badly(place, capfd, "no whole answer from raw.githubusercontent.com within 1 seconds")
    finally:
        over.set()


def test_an_unknown_host_is_no_connection(place, monkeypatch, capfd):
    def unknown(*args, **kwargs):
        raise socket.gaierror("unknown host")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    load_badly(place, capfd, "no connection to raw.githubusercontent.com")


def test_a_machine_without_a_folder_for_temporary_files_still_gives_the_stand_in(serve, place, monkeypatch, capfd):
    def refuse(*args, **kwargs):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    serve(answer_well)
    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    load_badly(place, capfd, "")


def test_a_test_run_asks_nobody(serve, place, monkeypatch, capfd):
    server = serve(answer_well)
    monkeypatch.setenv("MMUTILS_TEST", "1")
    load_badly(place, capfd, "try the download once, at their start")
    assert server.requests == 0


# ----- it comes, and cannot be kept -----------------------------------------------------------------------------------

def assert_told_but_loaded(place, capfd, reason):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert load_words() == LIST
    assert [warning.category for warning in caught] == [UserWarning]
    told = str(caught[0].message)
    assert "could not be kept in data/names.txt" in told and reason in told and "fetched again" in told
    assert str(place) not in told
    assert capfd.readouterr() == ("", "")


def test_a_folder_that_may_not_be_written_still_gives_the_words(serve, place, monkeypatch, capfd):
    def refuse(self, content):
        raise PermissionError(errno.EACCES, "Permission denied")

    serve(answer_well)
    monkeypatch.setattr(Path, "write_bytes", refuse)
    assert_told_but_loaded(place, capfd, "Permission denied")
    assert left_behind(place) == []


def test_a_disk_that_fills_up_still_gives_the_words_and_leaves_no_half_file(serve, place, monkeypatch, capfd):
    def write_half(self, content):
        with self.open("wb") as file:
            file.write(content[:len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    serve(answer_well)
    monkeypatch.setattr(Path, "write_bytes", write_half)
    assert_told_but_loaded(place, capfd, "No space left on device")
    assert left_behind(place) == []


def test_a_read_only_disk_still_gives_the_words(serve, place, monkeypatch, capfd):
    def refuse(self, *args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    serve(answer_well)
    monkeypatch.setattr(Path, "write_bytes", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)  # such a disk refuses even where there is nothing to delete
    assert_told_but_loaded(place, capfd, "Read-only file system")


def test_a_file_in_the_place_of_the_data_folder_still_gives_the_words(serve, place, monkeypatch, capfd):
    serve(answer_well)
    (place / "a_file").write_text("")
    monkeypatch.setattr(mmutils.data, "DATA", place / "a_file")
    assert_told_but_loaded(place, capfd, "File exists")
    assert left_behind(place) == ["a_file"]
