"""How alerts travel: a receiver on this machine that fails, hangs and redirects, and secrets that must not get out."""

import hashlib
import hmac
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from landshift.flows.config.alerts import AppriseChannel, PrefectChannel, WebhookChannel
from landshift.flows.steps.alerts import channels as alert_channels
from landshift.flows.steps.alerts.channels import DeliveryError, Message, deliver
from landshift.flows.steps.alerts.sending import outbox_of, send_alerts
from landshift.pipeline.alerts.alert import Alert
from landshift.pipeline.alerts.outbox import SENDING, Outbox
from landshift.pipeline.alerts.rules import AlertRule
from landshift.pipeline.errors import InputError
from landshift.pipeline.records import content_of
from landshift.pipeline.register.store import open_register
from tests.register_runs import run
from tests.test_alerts import BOTH, FEED, WOOD, configured, stored, told
from tests.test_cli import run as command

SECRET = "tr0ub4dor-and-3"


class Receiver:
    """What a webhook talks to: answers from a list, the last one for ever, and remembers what it was sent."""

    def __init__(self) -> None:
        self.answers: list[Any] = [200]
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.url = ""
        self.meanwhile: Callable[[], None] = lambda: None


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            receiver.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            answer = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
            receiver.meanwhile()
            if answer == "hang":
                time.sleep(1.0)
                return
            if answer == "close":
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(answer)
            if 300 <= answer < 400:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(body[:100])

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook/{'p' * 8}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield receiver
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.setattr(alert_channels.time, "sleep", lambda _: None)
    with receiving() as made:
        yield made


@pytest.fixture
def alerts(tmp_path: Path) -> list[Alert]:
    return told(open_register(stored(tmp_path, (BOTH, "2021-06-15"))), AlertRule("r"))


def hook(receiver: Receiver, **more: Any) -> dict[str, Any]:
    return {"kind": "webhook", "name": "office", "url": receiver.url, "secret_env": "HOOK_SECRET"} | more


def channel(receiver: Receiver, **more: Any) -> WebhookChannel:
    return WebhookChannel(**hook(receiver, **more))


def is_signed(headers: dict[str, str], body: bytes) -> bool:
    """As a receiver checks it."""
    signed = headers["x-landshift-timestamp"].encode() + b"." + body
    wanted = "sha256=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    fresh = abs(time.time() - int(headers["x-landshift-timestamp"])) < 300
    return fresh and hmac.compare_digest(wanted, headers["x-landshift-signature"])


def test_a_message_is_signed_and_says_all(receiver: Receiver, alerts: list[Alert]) -> None:
    deliver(channel(receiver), Message("key-1", "place", alerts))
    [(path, headers, body)] = receiver.got
    assert path.startswith("/hook/")
    assert is_signed(headers, body)
    assert not is_signed(headers, body.replace(b"Water", b"Cater"))
    assert not is_signed(headers | {"x-landshift-timestamp": str(int(time.time()) + 9)}, body)
    assert (headers["idempotency-key"], headers["content-type"]) == ("key-1", "application/json")
    content = json.loads(body)
    assert (content["id"], content["project"], content["rule"]) == ("key-1", "place", "r")
    assert content["alerts"] == [content_of(a) for a in alerts]
    assert "biased when summed" in content["note"]


def test_failures_that_pass_are_tried_again_with_one_key(receiver: Receiver, alerts: list[Alert]) -> None:
    receiver.answers = [500, "close", 429, 200]
    deliver(channel(receiver), Message("key-1", "place", alerts))
    assert len(receiver.got) == 4
    assert {headers["idempotency-key"] for _, headers, _ in receiver.got} == {"key-1"}
    assert len({body for _, _, body in receiver.got}) == 1
    assert all(is_signed(headers, body) for _, headers, body in receiver.got)


@pytest.mark.parametrize(
    ("answers", "tries", "said"),
    [
        ([400], 1, "127.0.0.1 answered 400"), ([404, 200], 1, "404"), ([302, 200], 1, "redirects are not followed"),
        ([307, 200], 1, "redirects are not followed"), ([503], 3, "503, 3 times"), (["hang"], 3, "did not answer"),
    ],
)  # fmt: skip
def test_failures_that_stay(receiver: Receiver, alerts: list[Alert], answers: list[Any], tries: int, said: str) -> None:
    receiver.answers = answers
    with pytest.raises(DeliveryError, match=said) as caught:
        deliver(channel(receiver, attempts=3, timeout_s=0.15), Message("k", "place", alerts))
    assert len(receiver.got) == tries
    assert all(path != "/elsewhere" for path, _, _ in receiver.got)
    assert SECRET not in str(caught.value)
    assert "/hook" not in str(caught.value)


def test_pauses_grow_and_follow_the_receiver_within_reason(
    receiver: Receiver, alerts: list[Alert], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(alert_channels.time, "sleep", pauses.append)
    receiver.answers = [503]
    with pytest.raises(DeliveryError):
        deliver(channel(receiver, attempts=7), Message("k", "place", alerts))
    assert pauses == [1, 2, 4, 8, 16, 30]
    assert alert_channels._retry_after("12") == 12
    assert [alert_channels._retry_after(v) for v in ("", "-1", "Wed, 21 Oct 2015", "9" * 99, "nan", "²")] == [0] * 6


def test_nobody_there(alerts: list[Alert], receiver: Receiver) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DeliveryError, match=r"127.0.0.1 did not answer \(ConnectError\)"):
        deliver(WebhookChannel(**hook(receiver, url=f"http://127.0.0.1:{port}/")), Message("k", "p", alerts))


def test_the_secret_is_in_no_log_file_or_answer(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stored(tmp_path, (BOTH, "2021-06-15"))
    monkeypatch.setenv("CHAT_URL", f"json://user:{SECRET}@127.0.0.1:{receiver.url.split(':')[2].split('/')[0]}/{SECRET}")
    monkeypatch.setenv("BROKEN_URL", f"nonsense://{SECRET}")
    ways = [hook(receiver, attempts=2), {"kind": "apprise", "name": "chat", "url_env": "CHAT_URL"},
            {"kind": "apprise", "name": "broken", "url_env": "BROKEN_URL"}]  # fmt: skip
    configured(tmp_path, {"rules": [{"name": "all"}], "channels": ways})
    said = ""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "apprise", "urllib3"):
        caplog.set_level(logging.DEBUG, logger=name)
    for answers in ([500], [400], ["close"], [200]):
        receiver.answers = answers
        code, out, err = command("register", "alerts", path, tmp_path / "config.yaml", "--verbose")
        said += out + err
        assert code == 1
    assert "broken: 0 sent; 2 failed" in said
    assert "chat: 2 sent." in said
    assert "office: 2 sent." in said
    assert SECRET not in said + caplog.text
    assert "pppppppp" not in said + caplog.text
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) >= 3
    assert not [p for p in files if SECRET.encode() in p.read_bytes()]
    # The loggers are as they were.
    assert logging.getLogger("apprise").level == logging.DEBUG


def test_apprise_is_told_the_headlines_and_why_it_failed(
    receiver: Receiver, alerts: list[Alert], monkeypatch: pytest.MonkeyPatch
) -> None:
    way = AppriseChannel(kind="apprise", name="chat", url_env="CHAT_URL")
    with pytest.raises(DeliveryError, match="CHAT_URL is not set"):
        deliver(way, Message("k", "place", alerts))
    monkeypatch.setenv("CHAT_URL", receiver.url.replace("http", "json"))
    deliver(way, Message("k", "place", alerts))
    content = json.loads(receiver.got[0][2])
    assert content["title"] == "2 alerts: r"
    assert "Forest to Water, 0.06 ha: new" in content["message"]
    receiver.answers = [500]
    with pytest.raises(DeliveryError, match="apprise could not deliver"):
        deliver(way, Message("k", "place", alerts))


def test_whatever_a_plugin_raises_is_a_failure_without_its_text(alerts: list[Alert], monkeypatch: pytest.MonkeyPatch) -> None:
    import apprise

    def raising(*_: Any, **__: Any) -> bool:
        raise RuntimeError(f"no route to {SECRET}")

    monkeypatch.setenv("CHAT_URL", f"json://{SECRET}@127.0.0.1/")
    monkeypatch.setattr(apprise.Apprise, "notify", raising)
    with pytest.raises(DeliveryError, match=r"failed \(RuntimeError\)") as caught:
        deliver(AppriseChannel(kind="apprise", name="chat", url_env="CHAT_URL"), Message("k", "place", alerts))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_busy_receiver_is_not_asked_for_each_message(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landshift.flows.steps.alerts.sending._TOGETHER", 1)
    path = stored(tmp_path, (BOTH, "2021-06-15"))
    ws = configured(tmp_path, {"rules": [{"name": "a"}], "channels": [hook(receiver, attempts=2)]})
    receiver.answers = [503]
    assert send_alerts(path, ws).deliveries[0].waiting == 2
    assert len(receiver.got) == 2
    receiver.answers = [200]
    assert send_alerts(path, ws).deliveries[0].sent == 2


def test_prefect_without_a_server_is_a_failure(alerts: list[Alert]) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: None}), pytest.raises(DeliveryError, match="PREFECT_API_URL"):
        deliver(PrefectChannel(kind="prefect", name="events"), Message("k", "place", alerts))


def test_prefect_gets_an_event_for_each_alert(receiver: Receiver, alerts: list[Alert]) -> None:
    from prefect.events.clients import AssertingEventsClient
    from prefect.events.worker import EventsWorker
    from prefect.settings import PREFECT_API_URL, temporary_settings

    AssertingEventsClient.reset()
    EventsWorker.set_client_override(AssertingEventsClient)
    try:
        with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
            with pytest.raises(DeliveryError, match="does not answer"):
                deliver(PrefectChannel(kind="prefect", name="events"), Message("k", "place", alerts))
            assert not [e for client in AssertingEventsClient.all for e in client.events]
        with temporary_settings({PREFECT_API_URL: receiver.url}):
            deliver(PrefectChannel(kind="prefect", name="events"), Message("k", "place", alerts))
            EventsWorker.instance().wait_until_empty()
            EventsWorker.drain_all()
        events = [e for client in AssertingEventsClient.all for e in client.events]
    finally:
        EventsWorker.set_client_override(None)
        AssertingEventsClient.reset()
    assert [e.id for e in events] == [a.id for a in alerts]
    assert {e.event for e in events} == {"landshift.alert.new"}
    assert events[0].payload["change_id"] == alerts[0].change_id


def test_a_channel_that_fails_stops_no_other_and_is_tried_again(receiver: Receiver, tmp_path: Path) -> None:
    path = stored(tmp_path, (BOTH, "2021-06-15"))
    ws = configured(tmp_path, {"rules": [{"name": "all"}], "channels": [hook(receiver), FEED]})
    receiver.answers = [400]
    failed = send_alerts(path, ws)
    assert failed.failed
    assert [(d.channel, d.sent, d.waiting) for d in failed.deliveries] == [("office", 0, 2), ("public", 2, 0)]
    open_register(path).merge([run(WOOD, "2022-06-15")])
    receiver.answers = [200]
    healed = send_alerts(path, ws)
    # The wood is confirmed by now, so its first message says only what still holds, and another tells the rest.
    assert [(d.channel, d.sent, d.waiting) for d in healed.deliveries] == [("office", 2, 0), ("public", 1, 0)]
    bodies = [[a["change"] for a in json.loads(body)["alerts"]] for _, _, body in receiver.got]
    assert bodies == [["Forest to Water", "Forest to Cropland"], ["Forest to Water"], ["Forest to Cropland"]]
    keys = [headers["idempotency-key"] for _, headers, _ in receiver.got]
    assert keys[0] == keys[1] != keys[2]
    count = len(receiver.got)
    assert [d.sent for d in send_alerts(path, ws).deliveries] == [0, 0]
    assert len(receiver.got) == count


def test_a_message_whose_changes_moved_on_is_dropped(receiver: Receiver, tmp_path: Path) -> None:
    path = stored(tmp_path, (WOOD, "2021-06-15"))
    ws = configured(tmp_path, {"rules": [{"name": "all", "states": ["new"]}], "channels": [hook(receiver)]})
    receiver.answers = [500]
    assert send_alerts(path, ws).deliveries[0].waiting == 1
    open_register(path).reject(send_alerts(path, ws).alerts[0].change_id, "harvest")
    receiver.answers, receiver.got = [200], []
    assert send_alerts(path, ws).deliveries[0].error == ""
    assert receiver.got == []
    assert Outbox(outbox_of(path)).read().begun == ()


def test_many_alerts_travel_in_several_messages(receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landshift.flows.steps.alerts.sending._TOGETHER", 1)
    path = stored(tmp_path, (BOTH, "2021-06-15"))
    ws = configured(tmp_path, {"rules": [{"name": "a"}, {"name": "b"}], "channels": [hook(receiver, rules=["b"])]})
    # What is wrong with one message need not be wrong with the next.
    receiver.answers = [413, 200]
    first = send_alerts(path, ws).deliveries[0]
    assert (first.sent, first.waiting, first.error) == (1, 1, "127.0.0.1 answered 413")
    assert send_alerts(path, ws).deliveries[0].sent == 1
    assert {json.loads(body)["rule"] for _, _, body in receiver.got} == {"b"}


def test_two_senders_at_once(receiver: Receiver, tmp_path: Path) -> None:
    path = stored(tmp_path, (WOOD, "2021-06-15"))
    ws = configured(tmp_path, {"rules": [{"name": "all"}], "channels": [hook(receiver)]})
    refused: list[str] = []

    def again() -> None:
        try:
            send_alerts(path, ws)
        except InputError as error:
            refused.append(str(error))

    receiver.meanwhile = again
    assert send_alerts(path, ws).deliveries[0].sent == 1
    assert len(refused) == 1
    assert "being sent by another program" in refused[0]


def test_a_kill_after_delivery_repeats_it_once_with_the_same_key(receiver: Receiver, tmp_path: Path) -> None:
    path = stored(tmp_path, (WOOD, "2021-06-15"))
    ws = configured(tmp_path, {"rules": [{"name": "all"}], "channels": [hook(receiver)]})
    script = (
        "import sys; from pathlib import Path; from landshift.flows.steps.alerts.sending import send_alerts; "
        "from landshift.flows.config.project import load_project; "
        "from landshift.flows.steps.project.workspace import workspace; p = Path(sys.argv[1]); "
        "send_alerts(p, workspace(load_project(p.with_name('config.yaml')), p.parent))"
    )
    killed = threading.Event()
    process: list[subprocess.Popen[bytes]] = []

    def kill() -> None:
        # The request arrived whole, and the sender does not know it yet.
        if not killed.is_set():
            killed.set()
            process[0].send_signal(signal.SIGKILL)
            process[0].wait()

    receiver.meanwhile = kill
    process.append(subprocess.Popen([sys.executable, "-c", script, str(path)], env=os.environ | {"HOOK_SECRET": SECRET}))
    assert process[0].wait(timeout=60) == -signal.SIGKILL
    assert killed.is_set()
    [open_message] = Outbox(outbox_of(path)).read().begun
    assert (open_message.channel, len(open_message.alerts)) == ("office", 1)
    assert json.loads(outbox_of(path).read_text().splitlines()[0])["event"] == SENDING
    assert send_alerts(path, ws).deliveries[0].sent == 1
    assert send_alerts(path, ws).deliveries[0].sent == 0
    first, second = receiver.got
    assert first[1]["idempotency-key"] == second[1]["idempotency-key"]
    assert first[2] == second[2]
