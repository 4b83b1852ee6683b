"""Which file of a delivered product plays which role: exactly one file for each."""

from collections.abc import Mapping, Sequence

from decloud_lib.bands import S2_10M_BANDS, S2_20M_BANDS
from decloud_lib.errors import MissingBandError, ProductError

#: The ten bands of a product.
BANDS = (*S2_10M_BANDS, *S2_20M_BANDS)


def one_of_each(
    uri: str, found: Mapping[str, Sequence[str]], masks: tuple[str, ...], expected: str
) -> dict[str, str]:
    """Return the one file of each role.

    Parameters
    ----------
    uri
        The product, for messages.
    found
        The files that were found for each role.
    masks
        Roles that are needed beside the ten bands.
    expected
        What the files are called, for messages.

    Raises
    ------
    ProductError
        Several files for a role, or a missing mask.
    MissingBandError
        Bands that are missing, by name.
    """
    roles = (*BANDS, *masks)
    twice = [f"{role}: {', '.join(found[role])}" for role in sorted(found) if len(found[role]) > 1]
    if twice:
        raise ProductError(f"{uri}: one file expected, several found for {'; '.join(twice)}")
    if missing := [role for role in roles if role not in found]:
        here = ", ".join(role for role in roles if role in found) or "none of the expected files"
        no_band = any(role in BANDS for role in missing)
        raise (MissingBandError if no_band else ProductError)(
            f"{uri}: {'band' if no_band else 'mask'} {', '.join(missing)} missing; found {here}; "
            f"expected {expected}: was it delivered completely?"
        )
    return {role: found[role][0] for role in roles}
