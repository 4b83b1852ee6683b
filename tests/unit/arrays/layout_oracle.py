"""The search as plain loops over the specification's text; shares no code with the product.

An image is a dictionary. S2: time (hours), cloud, valid. S1: time, valid, ascending. A layout is a
list of dictionaries: name, window (hours), cloud (low, high) or None, gap (hours) or None,
direction ("asc", "des" or None), s1 (bool), and, where the lowest cover is drawn, drawn: what was
drawn for each reference. Positions are searched one at a time; any unit of time will do.
"""

import json
import re
from itertools import product


def read_layout(text, unit=1):
    """Layout of a JSON text, and its groups of siblings; an hour is `unit` long.

    A random bound becomes `random`: (lowest, highest), and `drawn` has to be filled in.
    """
    content = json.loads(text)
    options = content.pop("options", {})
    roles = []
    for name, entry in content.items():
        sensors = {item["type"]: item for item in entry["acquisition"].values()}
        window = (entry.get("timeframe_start_hours", 0), entry.get("timeframe_end_hours", 0))
        gap = entry.get("max_s1s2_gap_hours")
        role = {
            "name": name,
            "window": tuple(hours * unit for hours in window),
            "cloud": None,
            "gap": None if gap is None else gap * unit,
            "direction": (sensors.get("S1", {}).get("orbit") or "").lower() or None,
            "s1": "S1" in sensors,
        }
        if "S2" in sensors:
            low = sensors["S2"].get("min_cloud_percent", 0)
            if isinstance(low, str):
                low = {"random_int": [int(number) for number in re.findall(r"\d+", low)]}
            if isinstance(low, dict):
                role["random"] = tuple(low["random_int"])
                low = 0
            role["cloud"] = (low, sensors["S2"].get("max_cloud_percent", 0))
        roles.append(role)
    return roles, options.get("siblings", []) + options.get("sibling", [])


def closest_s1(s2_image, s1_images, direction):
    best, best_gap = None, None
    for number, image in enumerate(s1_images):
        if not image["valid"]:
            continue
        if direction == "asc" and not image["ascending"]:
            continue
        if direction == "des" and image["ascending"]:
            continue
        gap = abs(image["time"] - s2_image["time"])
        closer = best is None or gap < best_gap
        earlier = best is not None and gap == best_gap and image["time"] < s1_images[best]["time"]
        if closer or earlier:
            best, best_gap = number, gap
    return best, best_gap


def lowest_cover(role, reference):
    low, high = role["cloud"]
    return min(role["drawn"][reference], high) if "drawn" in role else low


def candidates(role, reference, s2_images, s1_images):
    """Pairs (S2 number or -1, S1 number or -1)."""
    found = []
    begin = s2_images[reference]["time"] + min(role["window"])
    end = s2_images[reference]["time"] + max(role["window"])
    if role["cloud"] is None:
        for number, image in enumerate(s1_images):
            wanted = role["direction"] is None or (role["direction"] == "asc") == image["ascending"]
            if image["valid"] and wanted and begin <= image["time"] <= end:
                found.append((-1, number))
        return found
    for number, image in enumerate(s2_images):
        if not image["valid"] or not begin <= image["time"] <= end:
            continue
        if not lowest_cover(role, reference) <= image["cloud"] <= role["cloud"][1]:
            continue
        if not role["s1"]:
            found.append((number, -1))
            continue
        s1, gap = closest_s1(image, s1_images, role["direction"])
        if s1 is not None and gap <= role["gap"]:
            found.append((number, s1))
    return found


def brute_force(roles, s2_images, s1_images, siblings=(), historic=False):
    """All samples of one position: a list of tuples of (S2, S1), one per role."""
    samples = []
    for reference in range(len(s2_images)):
        lists = [candidates(role, reference, s2_images, s1_images) for role in roles]
        for sample in product(*lists):
            good = True
            for i in range(len(roles)):
                for j in range(i):
                    same = sample[i][0] == sample[j][0] != -1
                    names = (roles[i]["name"], roles[j]["name"])
                    related = any(names[0] in g and names[1] in g for g in siblings)
                    if same and not related:
                        good = False
            if good or historic:
                samples.append(sample)
    return samples
