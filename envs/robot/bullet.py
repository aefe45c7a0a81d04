"""A simulation of its own, so that two envs in one process cannot touch each other."""

from functools import partial
from typing import Any

import pybullet


class Bullet:
    """The functions of `pybullet` on one simulation without a window, which ends with `close`."""

    def __init__(self) -> None:
        self._client: int = pybullet.connect(pybullet.DIRECT)
        if self._client < 0:
            raise RuntimeError("pybullet has no room for another simulation in this process")

    def __getattr__(self, name: str) -> Any:
        function = partial(getattr(pybullet, name), physicsClientId=self._client)
        setattr(self, name, function)
        return function

    def close(self) -> None:
        """Ends the simulation; a second time does nothing."""
        if self._client >= 0:
            pybullet.disconnect(physicsClientId=self._client)
            self._client = -1
