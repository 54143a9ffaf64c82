"""Models of the hub, downloaded once: what they need, whole, checked, and resumed.

They lie in the hub's own cache, so what other programs have downloaded is used, and the
other way round. What was taken, of which commit and with which hashes, is recorded
there (`origin`), and a model that has its record is not asked for again: which commit
``main`` is is answered once, and stays.
"""

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from absl import logging

from diffusion_audio.errors import UserError, shortened
from diffusion_audio.pretrained import hub_files, system_folder
from diffusion_audio.pretrained.catalog import TOKENIZERS, Model, find, listed
from diffusion_audio.pretrained.hub_download import digest, download
from diffusion_audio.pretrained.hub_files import Remote
from diffusion_audio.storage import write_whole

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,200}", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")
RECORDS = "diffusion_audio"  # beside blobs, refs and snapshots of a model's cache
SECONDS = 30.0  # until a hub that does not answer counts as none


def is_hub_id(place: str) -> bool:
    """Whether a text has the form of a model's id, ``OWNER/NAME``."""
    return HUB_ID.fullmatch(place) is not None and ".." not in place


def located(model: str | Path, revision: str | None = None) -> Path:
    """Where a model lies on this machine, which may mean to download it first.

    Args:
        model: a file or folder, which goes first; or a model of the catalog by name;
            or a model's id on the hub.
        revision: of what is on the hub.

    Raises:
        UserError: as of `fetch`, or a folder that is here cannot have a revision.
    """
    path = Path(model).expanduser()
    known = listed(str(model)) is not None
    if path.exists() or not (known or is_hub_id(str(model)) or _is_name(str(model))):
        if revision is not None:
            raise UserError(
                f"--revision is for models of the hub, and {model} is "
                f"{'a folder here' if path.exists() else 'no id of one'}; leave it out"
            )
        return path
    return fetch(str(model), revision)


def fetch(place: str, revision: str | None = None, *, offline: bool = False) -> Path:
    """A model of the hub as a folder.

    The tokenizers that a model of the catalog needs and does not have come along, each
    from where it is published (`fetch_tokenizer`).

    Args:
        place: its id, or its name in the catalog.
        revision: branch, tag or commit; None for the catalog's, else ``main``.
        offline: use what is here and ask nobody, as with HF_HUB_OFFLINE=1.

    Returns:
        The folder: of a commit, in the hub's cache. Not to be written to.

    Raises:
        UserError: there is no such model, its list of files is not to be trusted or
            not of a model, a file arrived with another hash, or there is no network;
            then with what to fetch elsewhere, and where to put it.
    """
    entry = listed(place) or (None if is_hub_id(place) else find(place))
    hub_id = place if entry is None else entry.hub_id
    revision = revision or (entry and entry.revision) or "main"
    if not REVISION.fullmatch(revision) or ".." in revision:
        raise UserError(
            f"revision {shortened(repr(revision))} of {hub_id}: expected a branch, a "
            "tag or a commit"
        )
    remedy = _by_hand(hub_id, revision, entry)
    choose = functools.partial(_wanted, entry)
    return _fetch(hub_id, revision, choose, remedy, entry, offline=offline)


def fetch_tokenizer(name: str, *, offline: bool = False) -> Path:
    """The folder of a tokenizer of `catalog.TOKENIZERS`; see `fetch`."""
    _, hub_id, _ = TOKENIZERS[name]
    remedy = f"Beside the model: {tokenizer_by_hand(name, 'MODEL')}"
    choose = hub_files.choose_tokenizer
    return _fetch(hub_id, "main", choose, remedy, None, offline=offline)


def tokenizer_by_hand(name: str, beside: str | Path) -> str:
    """The command that puts a tokenizer beside the file of a model, in a folder."""
    folder, hub_id, _ = TOKENIZERS[name]
    files = " ".join(hub_files.TOKENIZER[:2])
    return f"`hf download {hub_id} {files} --local-dir {beside}/{folder}`"


def _fetch(
    hub_id: str,
    revision: str,
    choose: Callable[[Mapping[str, Remote], str], list[Remote]],
    remedy: str,
    entry: Model | None,
    *,
    offline: bool,
) -> Path:
    """A folder of the hub: from the cache, the network, or what others left there.

    Args:
        hub_id: of the folder.
        revision: branch, tag or commit.
        choose: which of its files are wanted, or what it lacks.
        remedy: what to do where nothing can be had.
        entry: of the catalog, for its terms and its tokenizers.
        offline: ask nobody.
    """
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}"
    commit = _commit(cache, revision)
    if commit and _is_whole(cache / "snapshots" / commit):
        return cache / "snapshots" / commit
    info = None
    if not (offline or constants.is_offline_mode()):
        info = _asked(hub_id, revision)
    if info is None:
        return _as_it_lies(cache, commit, hub_id, choose, remedy, entry)
    commit = str(info.sha)
    if not COMMIT.fullmatch(commit):
        raise UserError(f"the hub gave no commit of {hub_id}: {shortened(commit)!r}")
    files = hub_files.check(map(_remote, info.siblings or ()), f"{hub_id} on the hub")
    whose = f"{hub_id} on the hub (commit {commit[:10]})"
    wanted = choose(files, whose)
    for name in () if entry is None else entry.tokenizers:
        fetch_tokenizer(name)  # first: the model is many times as large
    download(hub_id, commit, wanted, cache)
    if more := _listed(files, wanted, cache / "snapshots" / commit, whose):
        download(hub_id, commit, more, cache)
        wanted = more
    if revision != commit:
        reference = cache / "refs" / revision
        reference.parent.mkdir(parents=True, exist_ok=True)
        write_whole(reference, commit)
    terms = next((tag for tag in info.tags or () if tag.startswith("license:")), "")
    return _recorded(cache, commit, hub_id, wanted, entry, terms)


def origin(folder: str | Path) -> dict[str, Any] | None:
    """Where a folder comes from, for provenance: None where not from the hub.

    Returns:
        ``hub`` (its id), ``commit``, and ``files`` with the hash of each: SHA-256 of
        large files, Git's SHA-1 of small ones.
    """
    folder = Path(folder)
    if folder.parent.name != "snapshots":
        return None
    try:
        text = _record(folder.parent.parent, folder.name).read_text(encoding="utf-8")
        return dict(json.loads(text))
    except (OSError, ValueError):
        return None


def _is_whole(folder: Path) -> bool:
    """Whether all is here that was recorded; a cache may be cleared in part."""
    record = origin(folder)
    return record is not None and all(
        (folder / path).exists() for path in record["files"]
    )


def _is_name(text: str) -> bool:
    try:
        return bool(find(text))
    except UserError:
        return False


def _record(cache: Path, commit: str) -> Path:
    return cache / RECORDS / f"{commit}.json"


def _commit(cache: Path, revision: str) -> str | None:
    """The commit of a revision, as far as it is known without asking."""
    if COMMIT.fullmatch(revision):
        return revision
    try:
        text = (cache / "refs" / revision).read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return text if COMMIT.fullmatch(text) else None


def _asked(hub_id: str, revision: str) -> Any:
    """What the hub says of a model; None where it cannot be reached."""
    from huggingface_hub import HfApi, errors

    try:
        return HfApi().model_info(
            hub_id, revision=revision, files_metadata=True, timeout=SECONDS
        )
    except errors.GatedRepoError as error:
        raise UserError(
            f"{hub_id} asks to accept its terms first: do so on its page, then "
            "`hf auth login`"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"{hub_id}: no such folder here, and no such model on the hub; if it is "
            "private, `hf auth login`; `diffusion-audio models` lists those known here"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{hub_id} on the hub has no revision {revision!r}") from error
    except (errors.HTTPError, OSError) as error:
        logging.info("the hub cannot be reached: %s", _said(error))
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"the hub's answer for {hub_id} is no list of a model's files "
            f"({type(error).__name__}: {_said(error)})"
        ) from error


def _said(error: BaseException) -> str:
    return shortened(" ".join(str(error).split()))


def _remote(sibling: Any) -> Remote:
    if sibling.lfs is not None:
        return Remote(sibling.rfilename, sibling.size, sibling.lfs.sha256)
    return Remote(sibling.rfilename, sibling.size, sibling.blob_id)


def _wanted(
    entry: Model | None, files: Mapping[str, Remote], whose: str
) -> list[Remote]:
    """The files to take: of a model of the catalog, only those that it lists."""
    if entry is None:
        return hub_files.choose(files, whose)
    known = {file.path: file for file in entry.files}
    ours = {path: file for path, file in files.items() if path in known}
    wanted = hub_files.choose(ours, whose)
    folders = {path.partition("/")[0] for path in known}
    lacking = sorted(folders - {file.path.partition("/")[0] for file in wanted})
    if lacking:
        raise UserError(
            f"{whose} has no {', '.join(lacking)}, of the files that the catalog "
            "lists; was the model changed? Another --revision may have them"
        )
    for file in wanted:
        said = known[file.path]
        if said.size not in (None, file.size) or said.sha256 not in (None, file.digest):
            raise UserError(
                f"{whose} has another {file.path} than the catalog: {file.size} bytes, "
                f"hash {file.digest}; expected {said.size}, {said.sha256}"
            )
    return wanted


def _listed(
    files: Mapping[str, Remote], wanted: Iterable[Remote], folder: Path, whose: str
) -> list[Remote]:
    """All of a folder that `convert` wrote, of which the manifest is here."""
    manifest = [file for file in wanted if file.path == system_folder.MANIFEST]
    if not manifest:
        return []
    return manifest + hub_files.choose_listed(
        files, system_folder.hashes(folder), whose
    )


def _as_it_lies(
    cache: Path,
    commit: str | None,
    hub_id: str,
    choose: Callable[[Mapping[str, Remote], str], list[Remote]],
    remedy: str,
    entry: Model | None,
) -> Path:
    """What another program has downloaded, where it is whole."""
    folder = cache / "snapshots" / (commit or "none")
    files = {}
    for path in folder.rglob("*"):
        if path.is_file():
            name, blob = path.relative_to(folder).as_posix(), path.resolve().name
            if not hub_files.DIGEST.fullmatch(blob):  # a copy, on disks without links
                blob = digest(path, hub_files.SHA256)
            files[name] = Remote(name, path.stat().st_size, blob)
    try:
        wanted = choose(files, hub_id)
        wanted = _listed(files, wanted, folder, hub_id) or wanted
    except UserError as error:
        raise UserError(
            f"{hub_id} is not here as a folder, nor whole in the cache of downloads, "
            f"and the hub cannot be reached. {remedy}"
        ) from error
    return _recorded(cache, folder.name, hub_id, wanted, entry, "")


def _by_hand(hub_id: str, revision: str, entry: Model | None) -> str:
    """How to bring a model here from a machine with network."""
    ends = [*hub_files.TEXTS, ".safetensors", ".bin", ".pt", ".pth"]
    if entry is not None:
        own = {Path(file.path).suffix for file in entry.files}
        ends = [end for end in ends if end in own]
    include = " ".join(f"--include '*{end}'" for end in ends)
    name = hub_id.partition("/")[2]
    commands = [
        f"`hf download {hub_id} --revision {revision} {include} --local-dir {name}`"
    ]
    if entry is not None:
        commands += [tokenizer_by_hand(each, name) for each in entry.tokenizers]
    return (
        f"On a machine that reaches it: {' and '.join(commands)}; bring that folder "
        f"here and give its path, --model={name}"
    )


def _recorded(
    cache: Path,
    commit: str,
    hub_id: str,
    wanted: Iterable[Remote],
    entry: Model | None,
    terms: str,
) -> Path:
    """Writes that a model is here and whole, and says its licence."""
    found = {file.path: file.digest for file in wanted}
    text = json.dumps({"hub": hub_id, "commit": commit, "files": found}, indent=2)
    (cache / RECORDS).mkdir(exist_ok=True)
    write_whole(_record(cache, commit), text + "\n")
    if entry is not None:
        only = "" if entry.commercial else ", non-commercial use only"
        logging.info("%s: %s%s", hub_id, entry.licence, only)
    elif terms:
        logging.info("%s: licence %s", hub_id, terms.removeprefix("license:"))
    return cache / "snapshots" / commit
