"""The session speaks TLS, and works again after its store was away."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fleetbox.blobs import BucketSpec, Store
from fleetbox.errors import Unreachable
from fleetbox.records import Draft


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with the openssl program")
def test_a_private_authority_is_trusted_when_named(
    store_server, in_front_of: Callable, bucket_name: str, make_draft: Callable[..., Draft], tmp_path: Path
) -> None:
    """With the authority's file a store behind TLS is written and read; without it, it is Unreachable."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    proof = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    proof.load_cert_chain(cert, key)

    async def act(url: str) -> None:
        async with Store(url, store_server.token, ca_file=cert) as store:
            await store.ensure_bucket(bucket_name, BucketSpec("NONE", 0))
            await store.write(bucket_name, [make_draft("a", 1, b"hello")])
            assert [record.data async for record in store.query(bucket_name)] == [b"hello"]
        async with Store(url, store_server.token, name="r7") as store:
            with pytest.raises(Unreachable, match="r7"):
                await store.info()

    with in_front_of(store_server, tls=proof) as url:
        asyncio.run(act(url))


def test_a_session_outlives_its_store(
    new_store_server: Callable, bucket_name: str, make_draft: Callable[..., Draft]
) -> None:
    """While the store is down every call is Unreachable; after its return the same Store goes on."""
    server = new_store_server()

    async def act() -> None:
        async with Store(server.url, server.token) as store:
            await store.ensure_bucket(bucket_name, BucketSpec("NONE", 0))
            await store.write(bucket_name, [make_draft("a", 1)])
            server.kill()
            for call in (store.write(bucket_name, [make_draft("a", 2)]), store.buckets()):
                with pytest.raises(Unreachable):
                    await call
            server.start()
            await store.wait_ready(60)
            assert (await store.write(bucket_name, [make_draft("a", 3)])).written == 1
            assert [head.time_us async for head in store.query(bucket_name, head=True)] == [1, 3]

    asyncio.run(act())
