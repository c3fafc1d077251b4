"""Volumes of several currencies as one figure."""

from collections.abc import Mapping

from tongbao.routing.schema.volumes import Convert, Total


def total_in(volumes: Mapping[str, int], currency: str, convert: Convert) -> Total:
    """Return the sum of ``volumes`` (minor units by currency) in ``currency``; what has no rate is left out and said so."""
    minor = 0
    is_partial = False
    for source, volume in volumes.items():
        converted = volume if source == currency else convert(volume, source, currency)
        if converted is None:
            is_partial = is_partial or volume != 0
        else:
            minor += converted
    return Total(minor=minor, is_partial=is_partial)
