"""Faults in which processes are ended with SIGKILL."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from fleetbox_local.drill.scene import Scene

BETWEEN = 60  # numbers written while the store is away, and as many while it is back


@contextmanager
def edge(scene: Scene) -> Iterator[None]:
    """Kill the edge's store while it receives; then start it again."""
    scene.edge.kill()
    try:
        yield
    finally:
        scene.restart_store("edge")


def edge_often(count: int) -> Callable[[Scene], AbstractContextManager[None]]:
    """Return the fault that kills the edge's store so many times in a row, each time while it receives."""

    @contextmanager
    def fault(scene: Scene) -> Iterator[None]:
        for _ in range(count):
            with edge(scene):
                scene.writer.wait_for(BETWEEN)
            scene.writer.wait_for(BETWEEN)
        yield

    return fault


@contextmanager
def robot_store(scene: Scene) -> Iterator[None]:
    """Kill the robot's own store while it is written to; then start it again."""
    scene.robot.kill()
    try:
        yield
    finally:
        scene.restart_store("robot")


@contextmanager
def agent(scene: Scene) -> Iterator[None]:
    """Kill the robot's agent and the recording program; the program is back at once, the agent at the end."""
    scene.nodes["agent"].kill()
    scene.writer.kill()
    scene.writer.start()
    try:
        yield
    finally:
        scene.start_node("agent")


def at_random(count: int, rng: random.Random) -> Callable[[Scene], AbstractContextManager[None]]:
    """Return the fault that kills one of them, or several, so many times at random moments, each started again."""
    kinds = (edge, robot_store, agent, program)

    @contextmanager
    def fault(scene: Scene) -> Iterator[None]:
        for _ in range(count):
            scene.writer.wait_for(rng.randrange(1, 2 * BETWEEN))
            with ExitStack() as killed:
                for kind in rng.sample(kinds, rng.choice((1, 1, 1, 2, 3))):
                    killed.enter_context(kind(scene))
        yield

    return fault


@contextmanager
def program(scene: Scene) -> Iterator[None]:
    """Kill the recording program alone and start it again."""
    scene.writer.kill()
    scene.writer.start()
    yield


@contextmanager
def all_three(scene: Scene) -> Iterator[None]:
    """Kill the edge's store, the robot's store and its agent at the same moment; then start them again."""
    with agent(scene), robot_store(scene), edge(scene):
        yield
