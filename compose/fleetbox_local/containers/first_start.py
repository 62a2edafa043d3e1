"""Makes the secrets a place needs, once: `python -m fleetbox_local.containers.first_start tokens DIR NAME...`.

Everything else of the place waits for it, so it also says first what in .env makes no sense.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from fleetbox.disk import OWNER_ONLY, write_whole
from fleetbox_local.containers.check_settings import NEXT_STEP, faults

ROOTS = Path("/etc/ssl/certs/ca-certificates.crt")  # Debian's; the image has them
OWN = "site.pem"  # a certificate authority of one's own, such as Caddy's, put beside the tokens by hand
BUNDLE = "ca.pem"


def make_tokens(folder: Path, names: Sequence[str]) -> list[str]:
    """Write a new token to `folder/NAME.token`, mode 0600, for each name without one; return the names."""
    missing = [name for name in names if not (folder / f"{name}.token").exists()]
    for name in missing:
        write_whole(folder / f"{name}.token", secrets.token_urlsafe(32), OWNER_ONLY, durable=True)
    return missing


def join_roots(folder: Path, roots: Path = ROOTS) -> None:
    """Write the bundle that decides whom TLS trusts: everybody's roots and, where there is one, the site's own."""
    parts = [path.read_text(encoding="ascii", errors="replace") for path in (roots, folder / OWN) if path.exists()]
    write_whole(folder / BUNDLE, "\n".join(parts), OWNER_ONLY, durable=True)


def main(arguments: Sequence[str]) -> int:
    """Make what is missing in a folder and say what it was; exit 2 and make nothing on settings of no sense."""
    wrong = faults(os.environ)
    if wrong:
        sys.stderr.write("\n".join([*wrong, NEXT_STEP]) + "\n")
        return 2
    match arguments:
        case ["tokens", folder, *names]:
            made = make_tokens(Path(folder), names)
            join_roots(Path(folder))
        case _:
            sys.stderr.write("usage: first_start tokens DIR NAME...\n")
            return 2
    sys.stderr.write(f"made {', '.join(made)}\n" if made else "all secrets are there\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
