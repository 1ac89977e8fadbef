"""Benches for the tests of the driver."""

import pytest
from pretend_arm import Bench

from mivla_drivers.control.driver_report import Mode


@pytest.fixture
def bench():
    return Bench()


@pytest.fixture
def active(bench):
    """A bench whose driver is enabled and follows the policy."""
    bench.driver.select_source("policy")
    bench.driver.enable()
    bench.run(0.5)
    assert bench.report.mode is Mode.ACTIVE
    return bench
