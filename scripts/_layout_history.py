"""The kept layout of the Vault, commit by commit: what was stored by one commit is read by the next.

Invariant: each version of `deployment/layouts/Vault.json` fits the version of the commit before, by the rules of an
upgrade, or `deployment/layouts/breaks.toml` declares the break, with a reason. Deliberately nothing may be declared
once the registry of a chain is committed: then only an upgrade changes a layout.
"""

import hashlib
import json
import subprocess
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from scripts._layout import FOLDER, differences

KEPT: Final = f"{FOLDER}/Vault.json"
BREAKS: Final = f"{FOLDER}/breaks.toml"
REGISTRIES: Final = "deployments"
GIT_SECONDS: Final = 60


class Version(NamedTuple):
    """The storage that a commit keeps; `deployed` if a chain has a registry there."""

    commit: str
    storage: dict[str, Any]
    deployed: bool

    @property
    def name(self) -> str:
        """What a break calls it: the same storage has the same name."""
        return hashlib.sha256(json.dumps(self.storage, sort_keys=True).encode()).hexdigest()[:16]


def versions(root: Path) -> list[Version]:
    """The kept layouts of the branch, oldest first, the previous commit's among them; empty without git or history."""
    listed = _git(root, "log", "--first-parent", "--format=%H", "--reverse", "--", KEPT).split()
    if not listed or not _git(root, "rev-parse", "--verify", "--quiet", "HEAD~1"):
        return []
    return [
        Version(commit[:12], _storage(_git(root, "show", f"{commit}:{KEPT}")), _is_deployed(root, commit))
        for commit in listed
    ]


def present(root: Path) -> Version:
    """The kept layout of the working tree."""
    names = _git(root, "ls-files", "--", REGISTRIES).split()
    return Version("working tree", _storage((root / KEPT).read_text()), _has_registry(names))


def complaints(steps: Sequence[Version], declared: Mapping[tuple[str, str], str]) -> list[str]:
    """Which versions do not fit the one before, and how to declare it where that is allowed."""
    found = []
    for old, new in pairwise(steps):
        problems = differences(old.storage, new.storage)
        if not problems or (not old.deployed and declared.get((old.name, new.name))):
            continue
        remedy = (
            "it is deployed: keep every member" if old.deployed else f'declare from = "{old.name}", to = "{new.name}"'
        )
        found.append(f"{new.commit} does not fit {old.commit}: {problems[0]} ({len(problems)} in all); {remedy}")
    return found


def breaks(root: Path) -> dict[tuple[str, str], str]:
    """{(name before, name after): reason} of the declared breaks."""
    listed = tomllib.loads((root / BREAKS).read_text()).get("break", [])
    return {(item["from"], item["to"]): item["reason"].strip() for item in listed}


def _storage(text: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(text)
    # The first versions of the file were the storage and nothing else.
    storage: dict[str, Any] = content.get("storage", content)
    return storage


def _is_deployed(root: Path, commit: str) -> bool:
    return _has_registry(_git(root, "ls-tree", "--name-only", f"{commit}:{REGISTRIES}").split())


def _has_registry(names: Iterable[str]) -> bool:
    return any(name.endswith(".json") for name in names)


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=GIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
