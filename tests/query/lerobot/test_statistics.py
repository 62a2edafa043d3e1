"""Statistics equal numpy's over all values."""

from __future__ import annotations

import numpy as np
import pytest

from fleetbox_query.lerobot.statistics import QUANTILES, of_levels, of_values


def test_of_values() -> None:
    """Each number has its own; quantiles interpolate as numpy's do."""
    values = np.random.default_rng(1).normal(size=(1001, 3)).astype(np.float32)
    found = of_values(values)
    wide = values.astype(float)
    assert found["mean"] == pytest.approx(wide.mean(0).tolist())
    assert found["std"] == pytest.approx(wide.std(0).tolist())
    assert found["q90"] == pytest.approx(np.quantile(wide, 0.9, axis=0).tolist())
    assert found["count"] == [1001]


@pytest.mark.parametrize("pixels", [1, 2, 7, 5_000])
def test_of_levels_is_as_of_the_pixels_themselves(pixels: int) -> None:
    """Counts of levels give the very statistics of the pixels, scaled to [0, 1]."""
    picture = np.random.default_rng(pixels).integers(0, 256, (3, pixels))
    counts = np.array([np.bincount(row, minlength=256) for row in picture])
    found, scaled = of_levels(counts, 4), picture / 255
    for name, wanted in (
        ("min", scaled.min(1)),
        ("max", scaled.max(1)),
        ("mean", scaled.mean(1)),
        ("std", scaled.std(1)),
    ):
        assert np.array(found[name]).ravel() == pytest.approx(wanted)
    for name, share in QUANTILES.items():
        assert np.array(found[name]).ravel() == pytest.approx(np.quantile(scaled, share, axis=1))
    assert np.array(found["mean"]).shape == (3, 1, 1)
    assert found["count"] == [4]
