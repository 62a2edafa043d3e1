"""`fleetbox policy keygen`: make the key that vouches for policies sent over the air."""

from __future__ import annotations

import os
from pathlib import Path

import click

from fleetbox.cli.options import json_option
from fleetbox.cli.output import emit, say
from fleetbox.errors import InputError
from fleetbox.signing import new_key


@click.command()
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default="policy.key", show_default=True
)
@json_option
def keygen(output: Path, as_json: bool) -> None:
    """Make a signing key (a file only you can read) and print the public half for every robot.toml."""
    private, public = new_key()
    try:
        with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(private + "\n")
    except FileExistsError:
        raise InputError(f"{output} is there already: a key is never overwritten", "give another --output") from None
    except OSError as error:
        raise InputError(f"{output} cannot be written: {error.strerror}", "give another --output") from None
    if as_json:
        emit({"file": str(output), "public": public})
        return
    say(f'{output}: keep it to yourself; name it in fleet.toml:  policy_key = {{ file = "{output}" }}')
    say(f'every robot.toml:  policy_keys = ["{public}"]')
