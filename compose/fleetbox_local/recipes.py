"""How each server is built from source by its own language's package manager."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fleetbox_local.programs import INFLUXDB, REDUCTSTORE, Release
from fleetbox_local.workshop import Workshop


@dataclass(frozen=True, slots=True)
class Recipe:
    """Build one release: the tools it needs, what to tell the waiting person, and the steps."""

    release: Release
    tools: tuple[str, ...]
    story: str
    build: Callable[[Workshop], None]

    def missing_tools(self, env: Mapping[str, str]) -> list[str]:
        """Name the tools that are not on PATH."""
        return [tool for tool in self.tools if not shutil.which(tool, path=env.get("PATH"))]


def build_reductstore(shop: Workshop) -> None:
    """Install ReductStore with cargo, without the web console (its build downloads it) and cloud backends."""
    shop.run(
        (
            "cargo",
            "install",
            "--locked",
            "reductstore",
            "--version",
            REDUCTSTORE.version,
            "--no-default-features",
            "--features",
            "fs-backend",
            "--root",
            str(shop.root),
        ),
        {"CARGO_TARGET_DIR": str(shop.work / "target"), "CARGO_TERM_COLOR": "never"},
    )


def build_influxdb(shop: Workshop) -> None:
    """Build influxd from a scratch Go module that depends on it, and its flux library with cargo."""
    module = "github.com/influxdata/influxdb/v2"
    version = f"v{INFLUXDB.version}"
    _write_module(shop.work, [])
    said = shop.run(("go", "mod", "download", "-json", f"{module}@{version}"))
    answer = json.loads(said[said.index("{") : said.rindex("}") + 1])  # Go tells its downloads around the answer
    # influxdb's own sums pin every dependency to the bytes its authors built with
    shutil.copyfile(Path(answer["Dir"]) / "go.sum", shop.work / "go.sum")
    (shop.work / "go.sum").chmod(0o644)  # files in Go's module cache are read-only
    with (shop.work / "go.sum").open("a") as sums:
        sums.write(f"{module} {version} {answer['Sum']}\n{module} {version}/go.mod {answer['GoModSum']}\n")
    _write_module(shop.work, [f"require {module} {version}", *_replacements(Path(answer["GoMod"]).read_text())])
    # it finds or builds the flux library, and asks the system's pkg-config for everything else
    shop.run(("go", "install", "github.com/influxdata/pkg-config@v0.3.0"), {"GOBIN": str(shop.work)})
    shop.run(
        (
            "go",
            "build",
            "-mod=mod",
            "-v",
            "-tags",
            "sqlite_foreign_keys,sqlite_json",
            "-ldflags",
            f"-s -w -X main.version={version}",
            "-o",
            str(shop.bin / INFLUXDB.binary),
            f"{module}/cmd/influxd",
        ),
        {
            "PKG_CONFIG": str(shop.work / "pkg-config"),
            "RUSTUP_TOOLCHAIN": "stable",  # the flux library names a Rust too old for its own dependencies
            "RUSTC_WRAPPER": str(_lenient_rustc(shop.work)),
        },
    )


def _write_module(folder: Path, lines: list[str]) -> None:
    (folder / "go.mod").write_text("\n".join(["module scratch", "go 1.23.0", *lines, ""]))


def _replacements(go_mod: str) -> list[str]:
    """Repeat the replace lines of influxdb's go.mod: Go heeds only those of the main module."""
    return [line for line in go_mod.splitlines() if line.startswith("replace ")]


def _lenient_rustc(folder: Path) -> Path:
    """Write the wrapper that lets lints of newer compilers pass: the flux library denies warnings."""
    wrapper = folder / "rustc-lenient"
    wrapper.write_text('#!/bin/sh\nexec "$@" --cap-lints warn\n')
    wrapper.chmod(0o755)
    return wrapper


RECIPES = {
    REDUCTSTORE.name: Recipe(
        REDUCTSTORE,
        ("cargo", "cc"),
        f"building ReductStore {REDUCTSTORE.version} from source with cargo, because there is no binary and no running "
        "Docker engine here;\n  about 7 minutes on two cores, 1 GB of disk meanwhile; this happens once per user",
        build_reductstore,
    ),
    INFLUXDB.name: Recipe(
        INFLUXDB,
        ("go", "cargo", "cc", "pkg-config"),
        f"building InfluxDB {INFLUXDB.version} from source with go and cargo, because there is no binary and no "
        "running Docker engine here;\n  "
        "about 5 minutes on two cores, 3 GB of disk meanwhile; this happens once per user",
        build_influxdb,
    ),
}
