"""Names: what a robot, a stream and a bucket may be called."""

import pytest

from fleetbox.errors import InputError
from fleetbox.naming import check_robot, check_site, check_stream, site_bucket, split_bucket, stream_from_topic


@pytest.mark.parametrize("name", ["", "r--1", "r1-", "-r1", "r 1", "r.1", "ü", "x" * 64, "r/1"])
def test_illegal_robot_ids_are_refused_with_the_rule(name: str) -> None:
    """An illegal robot id is refused, and the message says what is allowed."""
    with pytest.raises(InputError, match="without '--'"):
        check_robot(name)


@pytest.mark.parametrize("name", ["r1", "wh1-7", "a", "A_b-9", "x" * 63])
def test_legal_robot_ids_pass_unchanged(name: str) -> None:
    """A legal robot id comes back as it was."""
    assert check_robot(name) == name


@pytest.mark.parametrize(
    "name", ["", "a//b", "/a", "a/", "a.b", "a b", "a:b", "é", "cam/batch", "q", "x/rename", "$meta", "a" * 201]
)
def test_illegal_stream_names_are_refused(name: str) -> None:
    """A stream name the store could not hold, or that collides with its routes, is refused."""
    with pytest.raises(InputError, match="stream name"):
        check_stream(name)


def test_bad_site_name_is_called_a_site_name() -> None:
    """The message speaks of sites when a site's name is wrong."""
    with pytest.raises(InputError, match="site name"):
        check_site("edge--1")


def test_a_site_cannot_take_the_name_of_the_loaders_tasks() -> None:
    """A hop to a site called influx would share its task with the loader before it."""
    with pytest.raises(InputError, match="reserved"):
        check_site("influx")


@pytest.mark.parametrize(("robot", "cls"), [("r1", "sensor"), ("wh1-7", "kept"), ("a_b", "meta")])
def test_bucket_names_split_back(robot: str, cls: str) -> None:
    """A site's bucket name gives robot and class back."""
    assert split_bucket(site_bucket(robot, cls)) == (robot, cls)


@pytest.mark.parametrize("bucket", ["sensor", "r1--other", "--sensor", "r1-sensor", "$system", "r---sensor"])
def test_foreign_buckets_are_not_ours(bucket: str) -> None:
    """A bucket that is not named by the scheme belongs to nobody."""
    assert split_bucket(bucket) is None


@pytest.mark.parametrize(
    ("topic", "stream"),
    [("/imu", "imu"), ("/vehicle/x.y", "vehicle/x_y"), ("a b/batch", "a_b/batch_"), ("//x//y/", "x/y")],
)
def test_topics_become_stream_names(topic: str, stream: str) -> None:
    """A topic of another system becomes a legal stream name."""
    assert stream_from_topic(topic) == stream
