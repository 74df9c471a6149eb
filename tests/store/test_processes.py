"""Processes and threads that share a store, and those that die."""

from __future__ import annotations

import signal
import subprocess
import threading
from pathlib import Path

import numpy as np
from stored_plugs import PACKAGE_ROOT, kept, run_script, script, shards

from ragdiag import HashingEmbedder
from ragdiag.store import Asked, Store


def test_what_was_returned_survives_a_process_that_is_killed(tmp_path: Path) -> None:
    ended = run_script(
        tmp_path,
        "Store(path).embedder(inner).embed_documents(['a', 'b'])",
        "Store(path).write_step('a', '1', [{'it': 1}])",
        "os.kill(os.getpid(), signal.SIGKILL)",
    )
    assert ended == -signal.SIGKILL
    rows = kept(tmp_path).embed_documents(["a", "b"])
    np.testing.assert_array_equal(rows, HashingEmbedder(8).embed_documents(["a", "b"]))
    assert Store(tmp_path).read_step("a", "1") == [{"it": 1}]


def test_a_process_that_is_killed_while_it_writes_leaves_nothing_that_is_believed(tmp_path: Path) -> None:
    """It dies when a file is written and has not got its name yet."""
    ended = run_script(
        tmp_path,
        "store = Store(path)",
        "stored = store.embedder(inner)",
        "stored.embed_documents(['a'])",
        "sync, os.fsync = os.fsync, lambda _: os.kill(os.getpid(), signal.SIGKILL)",
        "stored.embed_documents(['b'])",
    )
    assert ended == -signal.SIGKILL
    ended = run_script(
        tmp_path,
        "store = Store(path)",
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)",
        "store.write_step('a', '1', [{'it': 1}], name='mine')",
    )
    assert ended == -signal.SIGKILL
    store = Store(tmp_path)
    stored = store.embedder(HashingEmbedder(8))
    assert stored.missing(["a", "b"]) == ["b"]
    assert store.read_step("a", "1") is None
    listed = store.contents().set_index("kind")
    assert listed["entries"].to_dict() == {"a": 0, "document-vectors": 1}
    assert listed["files"].to_dict() == {"a": 1, "document-vectors": 3}
    assert store.clear() == listed["bytes"].sum()
    assert [path.name for path in tmp_path.iterdir()] == ["ragdiag-store.json"]


def test_processes_that_begin_and_write_at_the_same_time_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "results"
    command = script(
        "warnings.simplefilter('error')",
        "sys.stdin.read()",  # until all of them are there
        "store = Store(path)",
        "stored = store.embedder(inner)",
        "for turn, batch in enumerate(np.random.default_rng(int(sys.argv[2])).integers(0, 90, (30, 8))):",
        "    texts = [f'text {number}' for number in batch]",
        "    assert np.array_equal(stored.embed_documents(texts), inner.embed_documents(texts))",
        "    store.write_step('turn', str(turn), [{'it': turn}] * 50)",
        "    assert store.read_step('turn', str(turn)) == [{'it': turn}] * 50",
    )
    started = [
        subprocess.Popen([*command, path, str(seed)], cwd=PACKAGE_ROOT, stdin=subprocess.PIPE)
        for seed in range(3)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait(60) for process in started] == [0, 0, 0]
    for seed in range(3):
        numbers = np.random.default_rng(seed).integers(0, 90, (30, 8)).ravel()
        texts = [f"text {number}" for number in numbers]
        rows = kept(path).embed_documents(texts)
        np.testing.assert_array_equal(rows, HashingEmbedder(8).embed_documents(texts))
    assert not list(path.rglob("*.tmp"))


def test_what_another_process_finds_is_found_while_both_run(tmp_path: Path) -> None:
    mine = Store(tmp_path).embedder(HashingEmbedder(8))
    mine.embed_documents(["a"])
    assert run_script(tmp_path, "Store(path).embedder(inner).embed_documents(['b', 'c'])") == 0
    mine.embed_documents(["a", "b", "c"])
    assert mine.asked == Asked(documents=1)


def test_a_forked_process_goes_on_with_what_it_was_given(tmp_path: Path) -> None:
    ended = run_script(
        tmp_path,
        "store = Store(path)",
        "stored = store.embedder(inner)",
        "with store.batch():",
        "    stored.embed_documents(['a'])",
        "    child = os.fork()",
        "    if not child:",
        "        stored.embed_documents(['a', 'of the child'])",
        "if not child:",
        "    os._exit(stored.asked.documents)",  # one before and one in the child
        "status = os.waitstatus_to_exitcode(os.wait()[1])",
        "stored.embed_documents(['of the child', 'of the parent'])",
        "sys.exit(10 * status + stored.asked.documents)",
    )
    assert ended == 22
    kept(tmp_path).embed_documents(["a", "of the child", "of the parent"])


def test_a_process_that_is_forked_while_a_thread_reads_does_not_hang(tmp_path: Path) -> None:
    ended = run_script(
        tmp_path,
        "import threading, time",
        "stored = Store(path).embedder(inner)",
        "stored.embed_documents(['a'])",
        "shelf = stored.store.shelf('document-vectors', stored.name, '<f4')",
        "held, done = threading.Event(), threading.Event()",
        "def hold():",
        "    with shelf._lock:",
        "        held.set()",
        "        done.wait()",
        "thread = threading.Thread(target=hold)",
        "thread.start()",
        "held.wait()",
        "warnings.simplefilter('ignore')",  # Python warns of forks in processes with threads
        "if not os.fork():",
        "    signal.alarm(20)",
        "    stored.embed_documents(['a', 'of the child'])",
        "    os._exit(7)",
        "status = os.waitstatus_to_exitcode(os.wait()[1])",
        "done.set()",
        "sys.exit(status)",
    )
    assert ended == 7


def test_threads_share_a_store(tmp_path: Path) -> None:
    inner = HashingEmbedder(16)
    right: list[bool] = []
    texts = [f"text {i}" for i in range(40)]
    store = Store(tmp_path)
    stored = store.embedder(inner)

    def work(start: int) -> None:
        right.extend(
            np.array_equal(stored.embed_documents(texts[i:]), inner.embed_documents(texts[i:]))
            for i in range(start, start + 20)
        )

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 7, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 60


def test_the_batch_of_one_thread_does_not_hold_back_another(tmp_path: Path) -> None:
    store = Store(tmp_path)
    stored = store.embedder(HashingEmbedder(8))
    with store.batch():
        stored.embed_documents(["a"])
        thread = threading.Thread(target=stored.embed_documents, args=(["a", "b"],))
        thread.start()
        thread.join()
        assert stored.asked == Asked(documents=2), "what is held back is seen"
        assert len(shards(tmp_path)) == 1
        kept(tmp_path).embed_documents(["b"])
    kept(tmp_path).embed_documents(["a", "b"])
