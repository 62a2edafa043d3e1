"""The optional libraries: which extra of fleetbox brings which, and what to say when one is missing."""

from __future__ import annotations

from importlib.util import find_spec

from fleetbox.errors import FleetboxError

EXTRAS = {
    "robot": ("aiofiles", "av", "cv2", "mcap", "mcap_ros2", "numpy", "psutil", "pyarrow"),
    "site": ("numpy", "psutil", "pyarrow"),
    "query": ("av", "cv2", "numpy", "pandas", "pyarrow", "tsdownsample"),
    "sql": ("duckdb", "polars"),
    "lake": ("deltalake", "numpy", "pyarrow"),
    "export": ("av", "cv2", "fastavro", "foxglove", "h5py", "mcap", "numpy", "pandas", "pyarrow"),
    "view": ("aiomqtt", "av", "cv2", "foxglove", "numpy", "pandas", "pyarrow", "rerun"),
    "dashboards": ("grafana_client", "grafana_foundation_sdk"),
}


def missing_extra(error: ModuleNotFoundError) -> FleetboxError | None:
    """Say which extra to install for a missing library, or None when it is none of ours."""
    library = (error.name or "").partition(".")[0]
    # The smaller one first; whatever `site` needs, `query` has too.
    for extra in ("query", "robot", "sql", "lake", "export", "view", "dashboards"):
        if library in EXTRAS[extra]:
            return FleetboxError(f"this needs {library}, which is not installed", _install(extra))
    return None


def require(*extras: str) -> None:
    """Raise FleetboxError naming the extras that are not installed, before anything was started."""
    lacking = [extra for extra in extras if any(find_spec(library) is None for library in EXTRAS[extra])]
    if lacking:
        raise FleetboxError(f"this needs fleetbox[{','.join(lacking)}], which is not installed", _install(*lacking))


def _install(*extras: str) -> str:
    return f"pip install 'fleetbox[{','.join(extras)}]'"
