"""The user that PostgreSQL runs as: root needs another one, any other user is used as is.

PostgreSQL refuses root. Root therefore runs it in a user namespace, where root's files stay
reachable and the process holds no privilege; where namespaces are refused, or the folder is not
root's own, it runs under a uid of its own that keeps one capability, to reach a 0700 folder.
"""

import os
import pwd
import shutil
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path

from devstack.host.errors import Trouble

OWN_UIDS = 64100, 65000  # between Debian's reserved uids and nobody
NOBODY = 65534


def _known_uid() -> int:
    """Any unprivileged uid that has a name, because initdb looks up its own."""
    known = [entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid]
    return NOBODY if NOBODY in known else known[0]


def _namespace() -> list[str]:
    uid = _known_uid()
    return ["unshare", "-U", f"--map-user={uid}", f"--map-group={uid}"]


def _as_uid(uid: int) -> list[str]:
    ids = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    keep = "-all,+dac_override"
    # access(2), which PostgreSQL asks, ignores capabilities of other uids without this bit.
    ids.append("--securebits=+no_setuid_fixup")
    return ["setpriv", *ids, f"--inh-caps={keep}", f"--ambient-caps={keep}"]


@dataclass(frozen=True)
class Identity:
    """`folder` is handed to the uid that runs PostgreSQL, if that is not root's own namespace."""

    folder: Path
    binaries: Path

    def for_initdb(self) -> list[str]:
        """The words before the command. initdb's uid needs a name, the server's does not."""
        if os.geteuid() != 0:
            return []
        if self._in_namespace():
            return _namespace()
        self._hand_over(_known_uid())
        return _as_uid(_known_uid())

    def take_over(self) -> None:
        """Give the finished data folder to the uid the server will have."""
        if os.geteuid() == 0 and not self._in_namespace():
            self._hand_over(self._own_uid())

    def for_server(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        return _namespace() if self._in_namespace() else _as_uid(self._own_uid())

    def _in_namespace(self) -> bool:
        """Whether root owns the folder and a namespace reaches binaries and data."""
        if self.folder.stat().st_uid != 0 or not shutil.which("unshare"):
            return False
        look = 'test -x "$0/postgres" && test -w "$1"'
        probe = [*_namespace(), "sh", "-c", look, str(self.binaries), str(self.folder)]
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0

    def _own_uid(self) -> int:
        first, last = OWN_UIDS
        return first + zlib.crc32(str(self.folder).encode()) % (last - first)

    def _hand_over(self, uid: int) -> None:
        if not shutil.which("setpriv"):
            raise Trouble(
                "PostgreSQL cannot run as root here (no user namespaces, no setpriv): "
                "run make start as another user"
            )
        for folder, _, files in os.walk(self.folder):
            os.chown(folder, uid, uid)
            for file in files:
                os.chown(Path(folder) / file, uid, uid, follow_symlinks=False)
