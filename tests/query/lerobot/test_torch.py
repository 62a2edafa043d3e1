"""The real torch's DataLoader takes the samples; skipped where torch is not installed."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbox.settings.lerobot import LerobotMap
from fleetbox_query.fleet import Fleet

from ..conftest import Tiers
from .conftest import SECOND, T0, record

FRONT = "observation.images.front"


@pytest.mark.parametrize(("workers", "start"), [(0, None), (2, "fork"), (2, "spawn")])
def test_a_data_loader_takes_the_samples(
    tiers: Tiers, fleet: Fleet, map_: LerobotMap, names: dict[str, str], workers: int, start: str | None
) -> None:
    """Every frame comes once, shuffled, in batches of tensors that hold its own picture."""
    torch: Any = pytest.importorskip("torch")
    record(tiers, names)
    samples = fleet.select(f"{tiers.robot}/**").between(T0, T0 + 2 * SECOND).torch(map_)
    assert samples[0]["index"] == 0  # a connection that a forked worker must not use
    loader = torch.utils.data.DataLoader(
        samples, batch_size=16, shuffle=True, num_workers=workers, multiprocessing_context=start
    )
    seen: list[int] = []
    for batch in loader:
        pictures, index = batch[FRONT], batch["index"].tolist()
        assert (pictures.dtype, pictures.ndim) == (torch.uint8, 4)
        assert batch["observation.state"].shape == (len(index), 2)
        assert pictures.float().mean(dim=(1, 2, 3)).tolist() == pytest.approx([40 + at for at in index], abs=2)
        assert batch["task"] == ["pick the cup"] * len(index)
        seen += index
    assert sorted(seen) == list(range(len(samples)))
