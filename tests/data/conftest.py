"""Each test has a machine of its own."""

from tests.machine import *  # noqa: F403
