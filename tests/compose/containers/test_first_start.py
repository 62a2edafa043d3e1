"""Secrets are made once, into files that only their owner reads."""

from __future__ import annotations

from pathlib import Path

from fleetbox_local.containers.first_start import join_roots, main, make_tokens


def test_tokens_are_made_once(tmp_path: Path) -> None:
    """A second start makes what is missing and leaves the rest as it is."""
    assert make_tokens(tmp_path, ["store"]) == ["store"]
    first = (tmp_path / "store.token").read_text()
    assert make_tokens(tmp_path, ["store", "influx"]) == ["influx"]
    assert (tmp_path / "store.token").read_text() == first != (tmp_path / "influx.token").read_text()
    assert (tmp_path / "store.token").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["influx.token", "store.token"]


def test_a_sites_own_authority_is_trusted_beside_everybodys(tmp_path: Path) -> None:
    """The bundle has both, and follows when the site's file comes later."""
    roots = tmp_path / "roots"
    roots.write_text("EVERYBODY")
    join_roots(tmp_path, roots)
    assert (tmp_path / "ca.pem").read_text() == "EVERYBODY"
    (tmp_path / "site.pem").write_text("OURS")
    join_roots(tmp_path, roots)
    assert (tmp_path / "ca.pem").read_text().split() == ["EVERYBODY", "OURS"]


def test_a_wrong_call_says_how(tmp_path: Path) -> None:
    """Arguments that mean nothing are a usage error, and make nothing."""
    assert main(["passwords", str(tmp_path)]) == 2
    assert main(["tokens", str(tmp_path), "store"]) == 0
    assert (tmp_path / "ca.pem").exists()
