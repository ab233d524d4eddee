"""What Cloud Storage's operations cost: list prices in US dollars, for the Standard class in a single region.

Storage itself and traffic that leaves the region are not in it. The bucket's own prices may differ (dual-regions and
multi-regions cost twice as much); the order of magnitude is what the report is for.
"""

from __future__ import annotations

# Per 1,000 operations, as of September 2026 (flat namespace): https://cloud.google.com/storage/pricing#operations-pricing
CLASS_A = 0.005  # insert, list (a page), rewrite
CLASS_B = 0.0004  # get, of content or metadata


def dollars(class_a: int, class_b: int) -> float:
    """What so many operations cost. A folder's meter counts none, so that it costs nothing."""
    return (class_a * CLASS_A + class_b * CLASS_B) / 1000
