"""Spark itself reads the lake; opt-in: name an interpreter whose pyspark has Delta's jars, and have a Java."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import Tiers, blob, chunk
from .test_lake import T0, Sync, rows, sync, told

__all__ = ["sync", "told"]  # fixtures

READ = """
import json, sys
from pyspark.sql import SparkSession
spark = (SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    .config("spark.driver.host", "127.0.0.1").config("spark.sql.shuffle.partitions", "1")
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
    .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog").getOrCreate())
found = {path: [row.asDict(recursive=True) for row in spark.read.format("delta").load(path).collect()]
         for path in sys.argv[1:]}
print("FOUND", json.dumps(found, default=str))
spark.stop()
"""


@pytest.fixture
def spark() -> str:
    """The interpreter that has Spark."""
    named = os.environ.get("FLEETBOX_SPARK_PYTHON", "")
    if not named:
        pytest.skip("needs Spark: FLEETBOX_SPARK_PYTHON=/path/to/python, with Delta's jars in pyspark/jars")
    return named


@pytest.mark.timeout(1000)  # Spark takes its time to start
def test_spark_reads_every_table(tiers: Tiers, stream: str, told: Any, sync: Sync, tmp_path: Path, spark: str) -> None:
    """Rows with a field that came later and one that changed its type, and the catalog, are the same in Spark."""
    changed = chunk(stream, [T0 + 60_000_000], {"n": [0.5], "ünit": [1]}, robot=tiers.robot, session="s1", seq="60")
    tiers.put("edge", "sensor", [rows(tiers, stream, at) for at in range(0, 60, 5)])
    tiers.put("edge", "media", [blob("cam", T0, b"a picture", robot=tiers.robot, kind="images")])
    told()
    sync()
    tiers.put("edge", "sensor", [changed])
    told()
    sync()
    tables = [str(tmp_path / "lake" / "scalars" / stream), str(tmp_path / "lake" / "media")]
    done = subprocess.run([spark, "-c", READ, *tables], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("FOUND "))
    numbers, pictures = json.loads(line.removeprefix("FOUND ")).values()
    whole = sorted(row["n"] for row in numbers if row["n"] is not None)
    assert whole == list(range(60))
    (late,) = (row for row in numbers if row["n"] is None)
    assert (late["n__double"], late["ünit"], late["robot"]) == (0.5, 1, tiers.robot)
    assert [(row["robot"], row["stream"]) for row in pictures] == [(tiers.robot, "cam")]
