"""Finished runs copied to object storage: file by file, the index last; the local folder stays the truth."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from landshift.flows.runtime.progress import step
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.errors import InputError, UnavailableError
from landshift.pipeline.manifest import file_hash
from landshift.pipeline.records import read_record, write_record
from landshift.pipeline.run.record import list_altered_files
from landshift.pipeline.run_files import COLLECTION, ITEM, RUN, RUN_MANIFEST, manifest_of_run

COPIES = "copied.json"
"""Record of what was copied, in the project's folder of outputs."""
PART_BYTES = 16 * 2**20
"""Larger files are sent in parts of this size: S3 takes 10,000 parts."""
_AT_ONCE = 4
_INDEX = (RUN_MANIFEST, COLLECTION, ITEM, RUN)
"""What makes a run known to readers, sent last and in this order."""
_TIMEOUT, _RETRIES, _RETRY_FOR = timedelta(seconds=60), 4, timedelta(seconds=90)
_STATUS = re.compile(r"status code: (\d{3})")


@dataclass(frozen=True)
class CopiedRun:
    """A run in object storage."""

    address: str
    """Of its folder."""
    sent: int
    """Files that were sent now; the others were there already, as they are here."""


@dataclass(frozen=True)
class CopiedRuns:
    """Runs that were copied."""

    runs: dict[str, str]
    """Address of the copy to the hash of the run's manifest, as it was copied last."""


def copy_run(ws: Workspace, folder: Path) -> CopiedRun | None:
    """Copy a finished run to where the config has it; None where it has no such place.

    Each file is compared by the mark that the storage has of its bytes (ETag), so that the same call goes on where it was
    interrupted, and replaces what was damaged there. `run.json` is taken away first where other files have to be sent, and
    comes last: a run with it is whole.

    Raises:
        InputError: The bucket is not there or may not be written to, the run was altered here, or the package is missing.
        UnavailableError: The storage cannot be reached, or bytes arrive otherwise than they were sent; nothing is lost.
    """
    if ws.project.publish is None:
        return None
    altered = list_altered_files(folder, everything=True)
    if altered:
        raise InputError(f"{folder} is not as it was made ({'; '.join(altered)}), so it is not copied. Make the run again.")
    address = _address_of(ws, folder)
    files = {name: folder / name for name in (*manifest_of_run(folder).entries()["run"]["files"], RUN_MANIFEST)}
    first = sorted(name for name in files if name not in _INDEX)
    ordered = [*first, *(name for name in _INDEX if name in files)]
    with _in_words(address, folder):
        sent = _send(_store_of(address), ordered, files)
    return CopiedRun(address, sent)


def copy_runs(ws: Workspace, folders: dict[str, Path]) -> tuple[str, ...]:
    """Copy the runs of a monitor that were not copied yet as they are now.

    Args:
        ws: The project.
        folders: Of the runs by the name of the pair; those that are not there any more are left out.

    Returns:
        A sentence for each that could not be copied; the next call tries again.
    """
    if ws.project.publish is None:
        return ()
    record = ws.output / COPIES
    known: dict[str, str] = {}
    # Without the record each copy is looked at again, and nothing that is there is sent twice.
    with suppress(InputError):
        known |= read_record(record, CopiedRuns).runs
    failed = []
    for pair, folder in folders.items():
        if not (folder / RUN_MANIFEST).is_file():
            continue
        state = file_hash(folder / RUN_MANIFEST)
        if known.get(_address_of(ws, folder)) == state:
            continue
        try:
            copied = copy_run(ws, folder)
        except (InputError, UnavailableError) as error:
            failed.append(f"the run of {pair}: {error}")
            continue
        if copied is not None:
            known[copied.address] = state
            write_record(record, CopiedRuns(known))
    return tuple(failed)


def _address_of(ws: Workspace, folder: Path) -> str:
    """Return the address of a run's copy: by project and key, so that no run takes the place of another."""
    to = ws.project.publish.to.rstrip("/") if ws.project.publish is not None else ""
    return f"{to}/{ws.project.name}/{manifest_of_run(folder).entries().get('run', {}).get('key', '')}"


def _send(store: Any, ordered: list[str], files: dict[str, Path]) -> int:  # noqa: ANN401 (optional package)
    import obstore

    marks = {str(entry["path"]): _plain(entry["e_tag"]) for part in obstore.list(store) for entry in part}
    stale = [name for name in ordered if marks.get(name) != mark_of(files[name])]
    if stale and stale != [RUN] and RUN in marks:
        # Readers must not take for whole what is not.
        obstore.delete(store, RUN)
        stale = [*(name for name in stale if name != RUN), RUN]
    with step(f"Copying {len(stale)} files") as advance:
        for number, name in enumerate(stale, start=1):
            _put(store, name, files[name])
            advance(number / len(stale))
    return len(stale)


def _put(store: Any, name: str, path: Path) -> None:  # noqa: ANN401
    import obstore

    whole = path.stat().st_size <= PART_BYTES
    put = obstore.put(store, name, path, use_multipart=not whole, chunk_size=PART_BYTES, max_concurrency=_AT_ONCE)
    if _plain(put["e_tag"]) == mark_of(path):
        return
    # Storage that encrypts with keys of its own (SSE-KMS) has other marks: there the file is read back.
    digest = hashlib.sha256()
    for part in obstore.get(store, name).stream():
        digest.update(part)
    with path.open("rb") as stream:
        if digest.hexdigest() != hashlib.file_digest(stream, "sha256").hexdigest():
            raise UnavailableError(f"{name} arrived otherwise than it was sent. Run the same command again.")


def mark_of(path: Path) -> str:
    """Return the mark (ETag) that S3 has of a file's bytes: MD5, of larger files MD5 of the MD5s of their parts."""
    with path.open("rb") as stream:
        if path.stat().st_size <= PART_BYTES:
            return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        parts = [hashlib.md5(part, usedforsecurity=False).digest() for part in iter(lambda: stream.read(PART_BYTES), b"")]
    return f"{hashlib.md5(b''.join(parts), usedforsecurity=False).hexdigest()}-{len(parts)}"


def _plain(mark: str | None) -> str:
    return (mark or "").strip('"')


def _store_of(address: str) -> Any:  # noqa: ANN401
    try:
        from obstore.store import S3Store
    except ImportError as error:
        raise InputError("`publish: to:` needs the package obstore: `pip install landshift[object-storage]`.") from error

    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    endpoint = next((os.environ[n] for n in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL") if os.environ.get(n)), "")
    # Keys, region and endpoint are those of the environment (AWS_ACCESS_KEY_ID and so on), or of the machine's role.
    return S3Store(
        bucket, prefix=prefix, client_options={"allow_http": endpoint.startswith("http://"), "timeout": _TIMEOUT},
        retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY_FOR},
    )  # fmt: skip


@contextmanager
def _in_words(address: str, folder: Path) -> Iterator[None]:
    """Turn errors of the storage into sentences; their own texts hold whole requests."""
    try:
        yield
    except (InputError, UnavailableError, ImportError):
        raise
    except Exception as error:
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        remedy = f"The run is whole in {folder}; run the same command again to copy it."
        status = _STATUS.search(str(error))
        code = status[1] if status else ""
        if isinstance(error, FileNotFoundError) or code == "404":
            raise InputError(f"{address}: the bucket is not there. Make it, or correct `publish: to:`. {remedy}") from None
        if isinstance(error, PermissionDeniedError | UnauthenticatedError) or code in ("401", "403"):
            raise InputError(
                f"{address} may not be read, written or listed. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of an account "
                f"that may (and AWS_REGION, AWS_ENDPOINT_URL outside Amazon). {remedy}"
            ) from None
        if not isinstance(error, BaseError | OSError):
            raise
        why = f"HTTP {code}" if code else type(error).__name__
        raise UnavailableError(f"{address} cannot be reached or written to ({why}). {remedy}") from None
