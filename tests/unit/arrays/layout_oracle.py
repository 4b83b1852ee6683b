"""The search as plain loops over the specification's text; shares no code with the product.

An image is a dictionary. S2: time (hours), cloud, valid. S1: time, valid, ascending. A layout is a
list of dictionaries: name, window (hours), cloud (low, high) or None, gap (hours) or None,
direction ("asc", "des" or None), s1 (bool). Positions are searched one at a time.
"""

from itertools import product


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
        if not role["cloud"][0] <= image["cloud"] <= role["cloud"][1]:
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
