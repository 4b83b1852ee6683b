"""The search as the specification describes it: trees for each patch position, in plain Python.

Per position a nearest-neighbour tree (scipy) of the valid S1 times, and an R-tree (GEOS) of the
S2 images over time and cloud cover. Validity and gap are looked at after the query, and candidate
lists are multiplied instead of being listed: both make it faster than four dimensions and a
Cartesian product would be. No conflict rule.
"""

from math import inf, prod

import numpy as np
import shapely
from scipy.spatial import KDTree

from decloud_lib.arrays.candidates import Catalogue, Role, SearchLayout


def count_with_trees(catalogue: Catalogue, layout: SearchLayout) -> int:
    """Count the samples of all positions, without conflict rule, pass or random bounds."""
    positions = range(catalogue.n_positions)
    return sum(_count_position(catalogue, position, layout) for position in positions)


def _count_position(catalogue: Catalogue, position: int, layout: SearchLayout) -> int:
    times = catalogue.s2_time_ms.astype(float)
    s1_times = catalogue.s1_time_ms[catalogue.s1_valid[:, position]].astype(float)
    gaps = np.full(len(times), inf)
    if len(s1_times):
        gaps, _ = KDTree(s1_times[:, np.newaxis]).query(times[:, np.newaxis])
    cloud = catalogue.s2_cloud_percent[:, position].astype(float)
    tree = shapely.STRtree(shapely.points(times, cloud))
    valid = catalogue.s2_valid[:, position]

    def candidates(role: Role, reference: float) -> int:
        assert role.cloud_percent is not None
        (begin, end), (lowest, highest) = role.window_ms, role.cloud_percent
        found = tree.query(shapely.box(reference + begin, lowest, reference + end, highest))
        gap = inf if role.max_gap_ms is None else role.max_gap_ms
        return sum(1 for image in found if valid[image] and gaps[image] <= gap)

    total = 0
    for reference in times:
        total += prod(candidates(role, reference) for role in layout.roles)
    return total
