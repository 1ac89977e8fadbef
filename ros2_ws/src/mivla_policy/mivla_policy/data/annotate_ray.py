"""Files handed out by Ray Data: on this machine over loopback, or on a cluster that already runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LOOPBACK = "127.0.0.1"
UNREACHABLE_PROXY = f"http://{LOOPBACK}:9"  # the discard port: connections are refused at once
OBJECT_STORE_BYTES = 80 * 2**20  # rows are names and counts; Ray would take a third of the memory


def rows(
    work: Callable[[Path], Any], paths: list[Path], count: int | None, cluster: str | None
) -> Iterator[Any]:
    """What `work` gives for each of `paths`, in the order in which they are done.

    Args:
        work: can be pickled; gives a dict of plain values.
        count: files at a time; None takes every processor.
        cluster: address of a running cluster, whose machines see the same folders; None starts Ray here.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if cluster is None:
        # Ray replaces a loopback address by one that others reach, unless it takes this machine for one that
        # forms no clusters. Without usage reports it still asks by HTTP what cloud it runs in; a proxy that
        # nobody serves keeps that question, and the name look-up before it, here.
        proxies = {
            name: UNREACHABLE_PROXY for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
        }
        os.environ.update(proxies, no_proxy=f"{LOOPBACK},localhost", NO_PROXY=f"{LOOPBACK},localhost")
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    import ray  # reads the environment when it is imported

    where: dict[str, Any] = {"address": cluster}
    if cluster is None:
        where = {
            "num_cpus": count,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
            "_node_ip_address": LOOPBACK,
        }
    ray.init(log_to_driver=False, logging_level=logging.WARNING, **where)
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        files = ray.data.from_items([{"path": str(path)} for path in paths], override_num_blocks=len(paths))
        yield from files.map(lambda row: work(Path(row["path"])), concurrency=count).iter_rows()
    finally:
        ray.shutdown()
