"""Which worker of a cluster a process is: what the variable TF_CONFIG says."""

import dataclasses
import json
import os
import re

from dlnotes.validation import received

VARIABLE = "TF_CONFIG"
ROLES = ("chief", "worker")


@dataclasses.dataclass(frozen=True)
class Place:
    """Which worker of a cluster this process is.

    Attributes:
        index: Its number, in [0, `count`).
        count: Number of workers.
    """

    index: int
    count: int

    @property
    def first(self) -> bool:
        """Whether it is the worker that writes the checkpoint."""
        return self.index == 0


def read_place() -> Place | None:
    """Return what the variable TF_CONFIG says, or None if it is not set.

    It holds JSON such as ``{"cluster": {"worker": ["10.0.0.5:7000", "10.0.0.6:7000"]}, "task":
    {"type": "worker", "index": 0}}``, the same but for the index on each machine. A "chief", as
    some systems name the first worker, counts as worker 0.

    Raises:
        ValueError: If it cannot be read, or is of another kind of cluster.
    """
    text = os.environ.get(VARIABLE)
    if text is None:
        return None

    def wrong(what: str) -> ValueError:
        return ValueError(f"`{VARIABLE}` must {what}. {received(**{VARIABLE: text})}")

    try:
        config = json.loads(text)
        cluster, task = dict(config["cluster"]), dict(config["task"])
        role, index = task["type"], task["index"]
        addresses = [address for role in ROLES for address in cluster.get(role, [])]
    except (ValueError, KeyError, TypeError) as error:
        raise wrong('be JSON: {"cluster": {"worker": […]}, "task": {…}}') from error
    if not set(cluster) <= {*ROLES} or not addresses:
        raise wrong("list workers, and no servers of parameters or evaluators")
    if len(cluster.get("chief", [])) > 1:
        raise wrong("list one chief at most")
    if not all(isinstance(a, str) and re.fullmatch(r"\S+:\d{1,5}", a) for a in addresses):
        raise wrong("list the workers as HOST:PORT")
    if len(set(addresses)) < len(addresses):
        raise wrong("list each address once")
    many = len(cluster.get(role, [])) if isinstance(role, str) else 0
    if type(index) is not int or not 0 <= index < many:
        raise wrong("give a task that is in the cluster")
    place = index + (len(cluster.get("chief", [])) if role == "worker" else 0)
    return Place(place, len(addresses))
